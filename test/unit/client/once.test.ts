import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import * as z from 'zod/mini'

import {
  body,
  business,
  ClaimLostError,
  HapaxError,
  InProgressError,
  KeyReusedError,
  NotExecuted,
  once,
  type OnceContext,
  OutcomeUnknownError,
  probe,
  StoredError,
} from '../../../src/client.ts'

/** A request that arrived at the gateway. */
interface Arrived {
  readonly path: string
  readonly authorization: string | null
  // oxlint-disable-next-line typescript/no-explicit-any -- what a test reads of it
  readonly sent: any
}

type Reply = Response | Error | object | ((arrived: Arrived) => Response | object)

const GRANT = {
  state: 'granted',
  operationId: 'id-1',
  tenant: 'deployment',
  key: 'key-1',
  attempt: 1,
  claim: '1.x',
  leaseMs: 3_000,
  claimMs: 0,
  inDoubt: false,
  inDoubtMs: null,
  correlationId: 'c-1',
}

/** A gateway that gives these answers to requests of a kind, one after the other, and the last one again. */
function gateway(answers: { claim?: Reply[]; renew?: Reply[]; settle?: Reply[] } = {}) {
  const arrived: Arrived[] = []
  const left = {
    claim: answers.claim ?? [GRANT],
    renew: answers.renew ?? [{ leaseMs: 3_000 }],
    settle: answers.settle ?? [{ settled: 'taken' }],
  }
  const send = async (url: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const path = new URL(url as string).pathname
    const headers = new Headers(init?.headers)
    const one = {
      path,
      authorization: headers.get('Authorization'),
      sent: JSON.parse(init?.body as string),
    }
    arrived.push(one)
    const kind = path.endsWith('/renew') ? 'renew' : path.endsWith('/settle') ? 'settle' : 'claim'
    const [next = {}, ...rest] = left[kind]
    if (rest.length > 0) left[kind] = rest
    if (next instanceof Error) throw next
    const reply = typeof next === 'function' ? next(one) : next
    return reply instanceof Response ? reply : Response.json(reply)
  }
  const env = { HAPAX_URL: 'https://gate.test/', HAPAX_CLAIMS_TOKEN: 'hush', fetch: send }
  const to = (kind: string) => arrived.filter(({ path }) => path.endsWith(kind))
  return {
    env,
    arrived,
    settles: () => to('/settle'),
    renews: () => to('/renew'),
    claims: () => to('/claims'),
  }
}

function problem(code: string, status: number, more: object = {}, headers = {}): Response {
  const document = { detail: `It is ${code}.`, retry: 'never', correlationId: 'c-9', ...more }
  return Response.json(document, { status, headers: { 'Hapax-Error': code, ...headers } })
}

const thrown = (work: Promise<unknown>) =>
  work.then(
    (value) => expect.fail(`It returned ${String(value)}.`),
    (error: unknown) => error,
  )

const lost = () => new TypeError('The connection is lost.')

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** Lets all timers run that a call waits for. */
async function ended<value>(work: Promise<value>): Promise<PromiseSettledResult<value>> {
  const [result] = await Promise.all([Promise.allSettled([work]), vi.runAllTimersAsync()])
  return result[0]
}

describe('once', () => {
  it('claims, runs the function, settles with its result, and returns that as JSON', async () => {
    const { env, arrived } = gateway()
    const contexts: OnceContext[] = []
    const refund = once(
      'refund',
      { key: business('/order'), retention: '72h', lease: '3s', fingerprint: { ignore: ['/at'] } },
      (input: { order: string }, context) => {
        contexts.push(context)
        return { order: input.order, at: undefined as string | undefined }
      },
    )
    expect(await refund(env, { order: 'o_1' })).toEqual({ order: 'o_1' })
    expect(arrived.map(({ path }) => path)).toEqual([
      '/_hapax/claims',
      '/_hapax/claims/id-1/settle',
    ])
    expect(arrived.map(({ authorization }) => authorization)).toEqual([
      'Bearer hush',
      'Bearer hush',
    ])
    expect(arrived[0]?.sent).toEqual({
      operation: 'refund',
      key: { business: ['/order'] },
      claim: expect.stringMatching(/^[\da-f-]{36}$/),
      policy: { retention: '72h', lease: '3s', fingerprint: { ignore: ['/at'] } },
      input: { order: 'o_1' },
    })
    expect(arrived[1]?.sent).toEqual({
      claim: '1.x',
      tenant: 'deployment',
      outcome: 'succeeded',
      result: { order: 'o_1' },
    })
    const { operationId, tenant, key, attempt, correlationId, inDoubtMs } = GRANT
    expect(contexts).toMatchObject([
      { operationId, tenant, key, attempt, correlationId, inDoubtMs, env },
    ])
    expect(contexts[0]).not.toHaveProperty('claim')
  })

  it.each([
    { form: 'a pointer', key: body('/id'), expected: { body: '/id' } },
    { form: 'a function', key: (input: { id: string }) => `k-${input.id}`, expected: 'k-7' },
    { form: 'the whole input', key: undefined, expected: undefined },
  ])('sends the key as $form', async ({ key, expected }) => {
    const { env, claims } = gateway()
    await once(
      'keyed',
      { ...(key && { key }), tenant: ({ id }) => `t-${id}` },
      () => 1,
    )(env, {
      id: '7',
    })
    expect(claims()[0]?.sent).toMatchObject({ tenant: 't-7', input: { id: '7' } })
    expect(claims()[0]?.sent.key).toEqual(expected)
  })

  it('returns the stored result of a repeat, and runs nothing', async () => {
    const fn = vi.fn()
    const { env, arrived } = gateway({ claim: [{ state: 'succeeded', result: { id: 1 } }] })
    const read = once('read', { result: z.object({ id: z.number() }) }, fn)
    expect(await read(env, {})).toEqual({ id: 1 })
    expect(fn).not.toHaveBeenCalled()
    expect(arrived).toHaveLength(1)
  })

  it('throws the stored error of a repeat', async () => {
    const error = { name: 'CardDeclined', message: 'No money.', code: 'declined' }
    const { env } = gateway({ claim: [{ state: 'failed', error }] })
    const caught = await thrown(once('pay', {}, () => 1)(env, {}))
    expect(caught).toBeInstanceOf(StoredError)
    expect(caught).toMatchObject({ ...error, isReplayed: true })
  })

  it.each([
    { code: 'key-reused', Expected: KeyReusedError, more: { pointers: ['/amount'] } },
    { code: 'outcome-unknown', Expected: OutcomeUnknownError },
    { code: 'in-progress', Expected: InProgressError, more: { retry: 'wait' } },
    { code: 'claim-invalid', Expected: HapaxError },
  ])('throws the problem $code', async ({ code, Expected, more }) => {
    const { env, arrived } = gateway({
      claim: [problem(code, 409, more, { 'Retry-After': '2' })],
    })
    const error = await thrown(once('pay', {}, () => 1)(env, {}))
    expect(error).toBeInstanceOf(Expected)
    expect(error).toMatchObject({ code, retryAfterMs: 2_000, correlationId: 'c-9', ...more })
    expect(arrived).toHaveLength(1)
  })

  it.each([
    { what: 'HAPAX_URL', env: { HAPAX_CLAIMS_TOKEN: 'x' } },
    { what: 'HAPAX_CLAIMS_TOKEN', env: { HAPAX_URL: 'https://gate.test' } },
  ])('says that $what is missing', async ({ env }) => {
    await expect(once('pay', {}, () => 1)(env, {})).rejects.toThrow('HAPAX_URL')
  })

  it('refuses an input that is no JSON', async () => {
    const { env } = gateway()
    const pay = once('pay', {}, (input: unknown) => typeof input)
    await expect(pay(env, new Map([['a', 1]]))).rejects.toThrow('The input of pay must be JSON.')
  })

  it.each([
    { what: 'tenant', policy: { tenant: () => '' } },
    { what: 'key', policy: { key: () => undefined as never } },
  ])('claims nothing if the function of its policy has no $what', async ({ what, policy }) => {
    const { env, arrived } = gateway()
    const error = await thrown(once('pay', policy, () => 1)(env, {}))
    expect(error).toMatchObject({ code: `${what}-missing`, retry: 'never' })
    expect(arrived).toEqual([])
  })

  it('gives the function a copy of its input', async () => {
    const { env } = gateway()
    const input = { amount: 1 }
    const work = once('pay', {}, (own: { amount: number }) => own.amount)(env, input)
    input.amount = 2
    expect(await work).toBe(1)
  })

  it('ends the wait when its caller does, while the function goes on', async () => {
    const { env, settles } = gateway()
    const gate = Promise.withResolvers<number>()
    const waiting = new AbortController()
    const fn = vi.fn(() => gate.promise)
    const work = once('slow', {}, fn)(env, {}, { signal: waiting.signal })
    await vi.waitUntil(() => fn.mock.calls.length === 1)
    waiting.abort(new Error('I leave.'))
    await expect(work).rejects.toThrow('I leave.')
    gate.resolve(7)
    await vi.waitUntil(() => settles().length === 1)
    expect(settles()[0]?.sent.result).toBe(7)
  })
})

it('claims nothing for a caller that has left already', async () => {
  const { env, arrived } = gateway()
  const work = once('pay', {}, () => 1)(env, {}, { signal: AbortSignal.abort(new Error('Gone.')) })
  await expect(work).rejects.toThrow('Gone.')
  expect(arrived).toEqual([])
})

describe('a lost answer', () => {
  it('to a claim is asked for again with the same claim', async () => {
    const { env, claims } = gateway({
      claim: [lost(), problem('store-unavailable', 503, { retry: 'same-key' }), GRANT],
    })
    const fn = vi.fn(() => 1)
    expect(await ended(once('pay', {}, fn)(env, {}))).toMatchObject({ value: 1 })
    const names = claims().map(({ sent }) => sent.claim)
    expect(names).toHaveLength(3)
    expect(new Set(names).size).toBe(1)
    expect(fn).toHaveBeenCalledTimes(1)
  })

  it('to a settle is asked for again, and the function runs once', async () => {
    const { env, settles } = gateway({
      settle: [lost(), new Response('Bad gateway', { status: 502 }), { settled: 'taken' }],
    })
    const fn = vi.fn(() => 1)
    expect(await ended(once('pay', {}, fn)(env, {}))).toMatchObject({ value: 1 })
    expect(settles()).toHaveLength(3)
    expect(fn).toHaveBeenCalledTimes(1)
  })

  it('to a settle that never comes leaves the result to its caller', async () => {
    const { env } = gateway({ settle: [lost()] })
    expect(await ended(once('pay', {}, () => 1)(env, {}))).toMatchObject({ value: 1 })
  })

  it('that never comes is an error that names the gateway, and says that it can be tried again', async () => {
    const { env } = gateway({ claim: [lost()] })
    const { reason } = (await ended(once('pay', {}, () => 1)(env, {}))) as PromiseRejectedResult
    expect(reason).toMatchObject({ code: 'gateway-unreachable', retryable: true })
  })

  it.each(['claim', 'settle'])('to a %s can stay away for many seconds', async (kind) => {
    const backAt = Date.now() + 20_000
    const answer = kind === 'claim' ? { ...GRANT, leaseMs: 60_000 } : { settled: 'taken' }
    const later = () => {
      if (Date.now() < backAt) throw lost()
      return answer
    }
    const { env, settles } = gateway({ [kind]: [later] })
    expect(await ended(once('pay', {}, () => 1)(env, {}))).toMatchObject({ value: 1 })
    expect(settles().at(-1)?.sent).toMatchObject({ outcome: 'succeeded' })
    expect(Date.now()).toBeGreaterThanOrEqual(backAt)
  })

  it.each([
    { what: 'a problem', answer: () => problem('gateway-misconfigured', 500) },
    { what: 'a path that does not exist', answer: () => new Response('', { status: 404 }) },
    { what: 'a login', answer: () => new Response('', { status: 403 }) },
  ])('that is $what, after which nothing else can come, ends the tries', async ({ answer }) => {
    const { env, arrived } = gateway({ claim: [answer] })
    const error = await thrown(once('pay', {}, () => 1)(env, {}))
    expect(error).toMatchObject({ retryable: false })
    expect(arrived).toHaveLength(1)
  })
})

describe('an error of the function', () => {
  it.each([
    { what: 'frees the key', error: new NotExecuted(), settle: { outcome: 'not_executed' } },
    {
      what: 'leaves the outcome unknown',
      error: new Error('hush'),
      settle: { outcome: 'unknown' },
    },
    {
      what: 'is stored where the policy says that it failed',
      error: Object.assign(new Error('No money.'), { code: 'declined', secret: 'hush' }),
      settle: {
        outcome: 'failed',
        error: { name: 'Error', message: 'No money.', code: 'declined' },
      },
    },
  ])('$what, and is thrown on', async ({ error, settle }) => {
    const { env, settles } = gateway()
    const pay = once('pay', { outcomes: { declined: 'failed' } }, () => {
      throw error
    })
    expect(await thrown(pay(env, {}))).toBe(error)
    expect(settles().map(({ sent }) => sent)).toEqual([
      { claim: '1.x', tenant: 'deployment', ...settle },
    ])
  })

  it('leaves the outcome unknown if the policy itself throws', async () => {
    const { env, settles } = gateway()
    const error = new Error('no')
    const outcomes = () => {
      throw new Error('of the policy')
    }
    const pay = once('pay', { outcomes }, () => {
      throw error
    })
    expect(await thrown(pay(env, {}))).toBe(error)
    expect(settles()[0]?.sent.outcome).toBe('unknown')
  })

  it('can be any value', async () => {
    const { env } = gateway()
    const pay = once('pay', {}, () => {
      // oxlint-disable-next-line typescript/only-throw-error -- code of others does so
      throw undefined
    })
    expect(await thrown(pay(env, {}))).toBeUndefined()
  })

  it('lets the call try again after NotExecuted, with another claim', async () => {
    const { env, claims, settles } = gateway()
    const fn = vi.fn<() => number>().mockReturnValue(2)
    fn.mockImplementationOnce(() => {
      throw new NotExecuted('Not now.', { retryAfter: '1s' })
    })
    const pay = once('pay', { retry: { attempts: 2 } }, fn)
    expect(await ended(pay(env, {}))).toMatchObject({ value: 2 })
    expect(settles().map(({ sent }) => sent.outcome)).toEqual(['not_executed', 'succeeded'])
    expect(new Set(claims().map(({ sent }) => sent.claim)).size).toBe(2)
  })

  it('whose outcome is held is not tried again, even if it says that it is retryable', async () => {
    const { env, claims } = gateway()
    const error = Object.assign(new Error('busy'), { retryable: true })
    const pay = once('pay', { retry: { attempts: 3 } }, () => {
      throw error
    })
    expect(await ended(pay(env, {}))).toMatchObject({ reason: error })
    expect(claims()).toHaveLength(1)
  })

  it('lets the call wait for another one that runs, where the policy says so', async () => {
    const { env } = gateway({
      claim: [problem('in-progress', 409, { retry: 'wait' }), { state: 'succeeded', result: 3 }],
    })
    const pay = once('pay', { retry: { attempts: 2 } }, () => 1)
    expect(await ended(pay(env, {}))).toMatchObject({ value: 3 })
  })
})

describe('the result', () => {
  it.each([
    { what: 'nothing', result: undefined, settle: {}, returned: undefined },
    { what: 'null', result: null, settle: { result: null }, returned: null },
    { what: 'a date', result: new Date(0), settle: { result: '1970-01-01T00:00:00.000Z' } },
    { what: 'no JSON', result: 1n, settle: { omitted: true }, returned: 1n },
    { what: 'a symbol', result: Symbol.for('x'), settle: { omitted: true } },
    { what: 'too large', result: 'x'.repeat(8_388_608), settle: { omitted: true } },
  ])('can be $what', async ({ result, settle, returned = settle.result ?? result }) => {
    const { env, settles } = gateway()
    expect(await once('pay', {}, (): unknown => result)(env, {})).toEqual(returned)
    const { claim: _, tenant: __, ...sent } = settles()[0]?.sent ?? {}
    expect(sent).toEqual({ outcome: 'succeeded', ...settle })
  })

  it('that the gateway does not take was executed all the same', async () => {
    const { env, settles } = gateway({
      settle: [problem('payload-too-large', 413), { settled: 'taken' }],
    })
    expect(await once('pay', {}, () => 'large')(env, {})).toBe('large')
    expect(settles().map(({ sent }) => sent.omitted)).toEqual([undefined, true])
  })

  it('that does not match the schema is an error, after it was stored', async () => {
    const { env, settles } = gateway()
    const pay = once('pay', { result: z.string() }, (): unknown => 1)
    expect(await thrown(pay(env, {}))).toMatchObject({ code: 'result-invalid' })
    expect(settles()[0]?.sent.result).toBe(1)
  })
})

describe('a probe', () => {
  const inDoubt = (inDoubtMs: number) => ({
    claim: [{ ...GRANT, attempt: 2, inDoubt: true, inDoubtMs }],
  })

  it('that finds the result settles with it, and the function does not run', async () => {
    const { env, claims, settles } = gateway(inDoubt(0))
    const fn = vi.fn(() => 'anew')
    const find = vi.fn(() => ({ executed: true, result: 'found' }) as const)
    expect(await once('pay', { unknown: probe(find) }, fn)(env, { a: 1 })).toBe('found')
    expect(fn).not.toHaveBeenCalled()
    expect(find).toHaveBeenCalledWith(
      { a: 1 },
      expect.objectContaining({ key: 'key-1', attempt: 2 }),
    )
    expect(claims()[0]?.sent.policy).toEqual({ unknown: 'probe' })
    expect(settles()[0]?.sent).toMatchObject({ outcome: 'succeeded', result: 'found' })
  })

  it('that finds nothing after its grace lets the function run', async () => {
    const { env } = gateway(inDoubt(10_000))
    const policy = { unknown: probe(() => ({ executed: false }), { grace: '10s' }) }
    expect(await once('pay', policy, () => 'anew')(env, {})).toBe('anew')
  })

  it.each([
    { what: 'finds nothing within its grace', find: () => ({ executed: false }) as const },
    { what: 'cannot tell', find: () => null },
    {
      what: 'throws',
      find: () => {
        throw new Error('away')
      },
      cause: new Error('away'),
    },
  ])('that $what leaves the outcome unknown', async ({ find, cause }) => {
    const { env, settles } = gateway(inDoubt(9_999))
    const fn = vi.fn(() => 'anew')
    const pay = once('pay', { unknown: probe(find, { grace: '10s' }) }, fn)
    const error = await thrown(pay(env, {}))
    expect(error).toBeInstanceOf(OutcomeUnknownError)
    expect(error).toMatchObject({ retryable: true, cause })
    expect(fn).not.toHaveBeenCalled()
    expect(settles()[0]?.sent.outcome).toBe('not_executed')
  })
})

describe('the lease', () => {
  /** A function that ends when its signal is aborted, or when the test says so. */
  function untilLost() {
    const started = Promise.withResolvers<AbortSignal>()
    const gate = Promise.withResolvers<string>()
    const fn = (_: unknown, { signal }: OnceContext) => {
      started.resolve(signal)
      signal.addEventListener('abort', () => gate.resolve('late'))
      return gate.promise
    }
    return { fn, started: started.promise, end: gate.resolve }
  }

  it('is renewed after every third of it, until the claim is settled', async () => {
    const { env, renews, settles } = gateway()
    const { fn, started, end } = untilLost()
    const work = once('slow', {}, fn)(env, {})
    const signal = await started
    await vi.advanceTimersByTimeAsync(9_000)
    expect(renews()).toHaveLength(9)
    expect(renews()[0]).toMatchObject({
      path: '/_hapax/claims/id-1/renew',
      sent: { claim: '1.x', tenant: 'deployment' },
    })
    expect(signal.aborted).toBe(false)
    end('done')
    expect(await work).toBe('done')
    expect(settles()).toHaveLength(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('that another owner has taken aborts the signal, and the call says that its claim is lost', async () => {
    const { env } = gateway({
      renew: [{ leaseMs: 3_000 }, problem('claim-lost', 409)],
      settle: [problem('claim-lost', 409)],
    })
    const { fn, started } = untilLost()
    const work = once('slow', {}, fn)(env, {})
    const signal = await started
    const error = thrown(work)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(signal.aborted).toBe(false)
    await vi.advanceTimersByTimeAsync(1_000)
    expect(signal.reason).toBeInstanceOf(ClaimLostError)
    expect(await error).toBeInstanceOf(ClaimLostError)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('whose renewals do not arrive is lost at its end, and a late result still counts', async () => {
    const { env } = gateway({ renew: [lost()], settle: [{ settled: 'late' }] })
    const { fn, started } = untilLost()
    const work = once('slow', {}, fn)(env, {})
    const signal = await started
    await vi.advanceTimersByTimeAsync(2_999)
    expect(signal.aborted).toBe(false)
    await vi.advanceTimersByTimeAsync(1)
    expect(signal.reason).toBeInstanceOf(ClaimLostError)
    expect(await work).toBe('late')
  })

  it('that began long ago is renewed at once', async () => {
    const late = () => {
      vi.setSystemTime(Date.now() + 2_000)
      return GRANT
    }
    const { env, renews } = gateway({ claim: [late] })
    const { fn, started, end } = untilLost()
    const work = once('slow', {}, fn)(env, {})
    await started
    expect(renews()).toHaveLength(1)
    end('done')
    expect(await work).toBe('done')
  })

  it('begins with the claim, which may have waited for another one', async () => {
    const late = () => {
      vi.setSystemTime(Date.now() + 5_000)
      return { ...GRANT, claimMs: 4_990 }
    }
    const { env, renews } = gateway({ claim: [late] })
    expect(await once('slow', {}, () => 'done')(env, {})).toBe('done')
    expect(renews()).toHaveLength(0)
  })

  it('that has ended before the answer came keeps the function from running, and frees the key', async () => {
    const late = () => {
      vi.setSystemTime(Date.now() + 3_000)
      return GRANT
    }
    const { env, settles } = gateway({ claim: [late] })
    const fn = vi.fn(() => 1)
    expect(await thrown(once('slow', {}, fn)(env, {}))).toBeInstanceOf(NotExecuted)
    expect(fn).not.toHaveBeenCalled()
    expect(settles()[0]?.sent.outcome).toBe('not_executed')
  })
})

describe('a guarded function within another one', () => {
  const inner = once('inner', {}, () => 'inside')

  it('says in which operation it runs', async () => {
    const { env, claims } = gateway()
    await once('outer', {}, async () => inner(env, { a: 1 }))(env, {})
    expect(claims().map(({ sent }) => [sent.operation, sent.outer])).toEqual([
      ['outer', undefined],
      ['inner', 'id-1'],
    ])
  })

  it('gets the gateway and the operation from a context', async () => {
    const { env, claims } = gateway()
    const contexts: OnceContext[] = []
    await once('outer', {}, (_, context) => contexts.push(context))(env, {})
    const [context] = contexts
    expect(await inner(context ?? {}, {})).toBe('inside')
    expect(claims()[1]?.sent).toMatchObject({ operation: 'inner', outer: 'id-1' })
  })

  it('says with NotExecuted nothing about the outer one, which may have done other things', async () => {
    const { env, settles } = gateway()
    const error = new NotExecuted()
    const failing = once('inner', {}, () => {
      throw error
    })
    const outer = once('outer', {}, () => failing(env, {}))
    expect(await thrown(outer(env, {}))).toBe(error)
    expect(settles().map(({ sent }) => sent.outcome)).toEqual(['not_executed', 'unknown'])
  })

  it('is no part of an operation outside of it', async () => {
    const { env, claims } = gateway()
    await once('outer', {}, () => 1)(env, {})
    await inner(env, {})
    expect(claims()[1]?.sent).not.toHaveProperty('outer')
  })
})

it('takes the variables of a process for the gateway', async () => {
  const work = once('pay', {}, () => 1)(process.env, {})
  await expect(work).rejects.toThrow('HAPAX_URL')
})
