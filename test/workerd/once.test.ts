import { runDurableObjectAlarm } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { HTTPException } from 'hono/http-exception'
import { afterEach, describe, expect, it, vi } from 'vitest'
import * as z from 'zod/mini'

import {
  body,
  business,
  IdempotencyObject,
  InProgressError,
  KeyReusedError,
  NotExecuted,
  once,
  type OnceContext,
  OutcomeUnknownError,
  probe,
  queue,
  ResultNotKeptError,
  StoredError,
} from '../../src/hapax.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

interface Refund {
  readonly order: string
  readonly amount: number
  readonly sentAt?: string
}

const toRefund = (order: string, amount = 500): Refund => ({ order, amount })

/** A function that counts its runs, and answers with their number. */
function counting() {
  const contexts: OnceContext[] = []
  const run = (_input: unknown, context: OnceContext) => {
    contexts.push(context)
    return { run: contexts.length }
  }
  return { contexts, run }
}

/** A function that ends when the test says so. */
function waiting<output>() {
  const { promise, resolve, reject } = Promise.withResolvers<output>()
  const started = Promise.withResolvers<OnceContext>()
  const run = (_input: unknown, context: OnceContext) => {
    started.resolve(context)
    return promise
  }
  return { run, resolve, reject, started: started.promise }
}

/** What a call has thrown. */
const thrown = (work: Promise<unknown>) =>
  work.then(
    () => null,
    (error: unknown) => error,
  )

/** The object of an operation, as an operator asks it. */
const objectOf = (operationId: string) => env.OPERATIONS.getByName(operationId)

describe('a repeat', () => {
  it('gets the result of the first call, by business values of the input', async () => {
    const { contexts, run } = counting()
    const refund = once('repeat', { key: business('/order') }, run)
    const first = await refund(env, toRefund('o1'))
    const second = await refund(env, toRefund('o1'))
    const other = await refund(env, toRefund('o2'))
    expect([first, second, other]).toEqual([{ run: 1 }, { run: 1 }, { run: 2 }])
    expect(contexts).toHaveLength(2)
  })

  it('with another input is refused, and names where it differs', async () => {
    const refund = once('reused', { key: business('/order') }, counting().run)
    await refund(env, toRefund('o1', 500))
    const error = await thrown(refund(env, toRefund('o1', 700)))
    expect(error).toBeInstanceOf(KeyReusedError)
    expect(error).toMatchObject({ code: 'key-reused', retry: 'new-key', pointers: ['/amount'] })
    expect(String(error)).not.toContain('o1')
  })

  it('is found by the whole input without a key, and by what of it counts', async () => {
    const ignoring = { fingerprint: { ignore: ['/sentAt'] } }
    const refund = once('whole', ignoring, counting().run)
    const first = await refund(env, { ...toRefund('o1'), sentAt: 'now' })
    const second = await refund(env, { sentAt: 'later', amount: 500, order: 'o1' })
    const third = await refund(env, toRefund('o1', 501))
    expect([first, second, third]).toEqual([{ run: 1 }, { run: 1 }, { run: 2 }])
  })

  it('is found by a value of the input that is the key, and by a function', async () => {
    const byField = once('by field', { key: body('/order') }, counting().run)
    const byFunction = once(
      'by function',
      { key: ({ order }: Refund) => `ö ${order}` },
      counting().run,
    )
    for (const refund of [byField, byFunction]) {
      await refund(env, toRefund('o1'))
      expect(await refund(env, toRefund('o1'))).toEqual({ run: 1 })
      expect(await refund(env, toRefund('o2'))).toEqual({ run: 2 })
    }
  })

  it('of another tenant or under another name is another operation', async () => {
    const { run } = counting()
    const policy = { key: body('/order'), tenant: ({ order }: Refund) => order.slice(0, 1) }
    const one = once('one', policy, run)
    const other = once('other', { ...policy, tenant: 'a' }, run)
    expect(await one(env, toRefund('a1'))).toEqual({ run: 1 })
    expect(await one(env, toRefund('b1'))).toEqual({ run: 2 })
    expect(await other(env, toRefund('a1'))).toEqual({ run: 3 })
  })

  it('waits for the running call, as long as the policy says', async () => {
    const { run, resolve, started } = waiting<number>()
    const patient = once('waits', { key: body('/order') }, run)
    const first = patient(env, toRefund('o1'))
    await started
    const second = patient(env, toRefund('o1'))
    const impatient = once('waits', { key: body('/order'), wait: 0 }, run)
    const error = await thrown(impatient(env, toRefund('o1')))
    expect(error).toBeInstanceOf(InProgressError)
    expect(error).toMatchObject({ retryable: true, retryAfterMs: expect.any(Number) as number })
    resolve(7)
    expect(await Promise.all([first, second])).toEqual([7, 7])
  })
})

describe('a result', () => {
  it.each([
    { result: null },
    { result: undefined },
    { result: 0 },
    { result: 'é' },
    { result: [] },
  ])('$result is the same for the first call and its repeat', async ({ result }) => {
    const tell = once(`result ${String(result)}`, {}, () => result)
    expect(await tell(env, {})).toEqual(result)
    expect(await tell(env, {})).toEqual(result)
  })

  it('is what JSON makes of it, and passes the schema on its way out', async () => {
    const schema = z.object({
      at: z.pipe(
        z.string(),
        z.transform((text) => new Date(text)),
      ),
    })
    const at = new Date('2027-03-01T00:00:00Z')
    const book = once('schema', { result: schema }, () => ({ at, secret: undefined }))
    expect(await book(env, {})).toEqual({ at })
    expect(await book(env, {})).toEqual({ at })
  })

  it.each([
    {
      by: 'a function that fails later',
      result: async () => {
        await Promise.resolve()
        throw new Error('no')
      },
    },
    {
      by: 'a schema that is a function',
      result: Object.assign(() => 'what is wrong', {
        '~standard': { validate: () => ({ issues: [{ message: 'no' }] }) },
      }),
    },
  ])('is refused by $by', async ({ by, result }) => {
    const strict = once(`strict by ${by}`, { result }, () => 1)
    expect(await thrown(strict(env, {}))).toMatchObject({ code: 'result-invalid' })
  })

  it('that the schema refuses stays stored', async () => {
    const { contexts, run } = counting()
    const strict = once('strict', { result: z.object({ runs: z.number() }) }, run)
    expect(await thrown(strict(env, {}))).toMatchObject({ code: 'result-invalid', retry: 'never' })
    expect(await once('strict', {}, run)(env, {})).toEqual({ run: 1 })
    expect(contexts).toHaveLength(1)
  })

  it.each([{ of: 'bigint' as const }, { of: 'symbol' as const }])(
    'that is no JSON, but a $of, was executed all the same, and only the first call gets it',
    async ({ of }) => {
      let runs = 0
      const results = { bigint: { runs: 1n }, symbol: Symbol('result') }
      const loop = once(`loop of ${of}`, {}, () => {
        runs++
        return results[of]
      })
      expect(await loop(env, {})).toBe(results[of])
      expect(await thrown(loop(env, {}))).toBeInstanceOf(ResultNotKeptError)
      expect(runs).toBe(1)
    },
  )

  it('that is an error over the limit is thrown, and stored as executed', async () => {
    const long = new Error('x'.repeat(1_500_000))
    const policy = { limits: { response: 1_200_000 }, outcomes: () => 'failed' as const }
    const fail = once('long error', policy, () => {
      throw long
    })
    expect(await thrown(fail(env, {}))).toBe(long)
    expect(await thrown(fail(env, {}))).toMatchObject({ code: 'snapshot-too-large' })
  })

  it('over the limit likewise', async () => {
    const large = once('large', { limits: { response: 100 } }, () => 'x'.repeat(200))
    expect(await large(env, {})).toHaveLength(200)
    expect(await thrown(large(env, {}))).toMatchObject({
      code: 'snapshot-too-large',
      message: expect.stringMatching(/^The function was executed.*limits\.response/) as string,
    })
  })

  it('of several MiB is stored whole', async () => {
    const text = 'é'.repeat(1_500_000)
    const large = once('several', {}, () => text)
    expect(await large(env, {})).toBe(text)
    expect(await large(env, {})).toBe(text)
  })

  it('can be sealed', async () => {
    const { run } = counting()
    const sealed = once('sealed', { key: body('/order'), snapshot: { seal: true } }, run)
    const bindings = { ...env, HAPAX_SEAL_KEY: 'a secret of the tests, which is long enough' }
    await sealed(bindings, toRefund('o1'))
    expect(await sealed(bindings, toRefund('o1'))).toEqual({ run: 1 })
    expect(await thrown(sealed(env, toRefund('o1')))).toMatchObject({
      code: 'gateway-misconfigured',
    })
  })
})

describe('an error', () => {
  it('that says that nothing was executed frees the key', async () => {
    const { contexts, run } = counting()
    const busy = new NotExecuted('The provider is busy.', { retryAfter: '3s' })
    const refund = once('not executed', {}, (input: Refund, context: OnceContext) => {
      const result = run(input, context)
      if (result.run === 1) throw busy
      return result
    })
    expect(await thrown(refund(env, toRefund('o1')))).toBe(busy)
    expect(await refund(env, toRefund('o1'))).toEqual({ run: 2 })
    expect(contexts.map(({ attempt }) => attempt)).toEqual([1, 1])
  })

  it('that nobody knows leaves the outcome unknown, and holds the operation', async () => {
    let runs = 0
    const lost = new Error('connection lost')
    const refund = once('held', {}, () => {
      runs++
      throw lost
    })
    expect(await thrown(refund(env, toRefund('o1')))).toBe(lost)
    const error = await thrown(refund(env, toRefund('o1')))
    expect(error).toBeInstanceOf(OutcomeUnknownError)
    expect(error).toMatchObject({ code: 'outcome-unknown', retry: 'never', retryable: false })
    expect(runs).toBe(1)
  })

  it.each([
    { what: 'an answer to a route', error: new HTTPException(400), outcomes: undefined },
    { what: 'what the policy misspells', error: new Error('no'), outcomes: () => 'faild' as never },
    {
      what: 'what makes the policy fail',
      error: new Error('no'),
      outcomes: () => {
        throw new Error('a bug')
      },
    },
  ])('that is $what leaves it unknown as well', async ({ what, error, outcomes }) => {
    const pay = once(`unknown: ${what}`, outcomes === undefined ? {} : { outcomes }, () => {
      throw error
    })
    expect(await thrown(pay(env, {}))).toBe(error)
    expect(await thrown(pay(env, {}))).toBeInstanceOf(OutcomeUnknownError)
  })

  it.each([
    { outcome: 'succeeded', body: '{"id":7}', expected: { id: 7 } },
    { outcome: 'succeeded', body: 'r_7', expected: 'r_7' },
    { outcome: 'succeeded', body: '', expected: undefined },
    { outcome: 'failed', body: 'No funds.', expected: ['Error', 'No funds.'] },
    {
      outcome: 'failed',
      body: '{"name":"CardError","message":"No funds."}',
      expected: ['CardError', 'No funds.'],
    },
  ] as const)(
    'that nobody knows is resolved by an operator: $outcome, $body',
    async ({ outcome, body: text, expected }) => {
      let id = ''
      const refund = once(`resolved ${outcome} ${text}`, {}, (_, context): unknown => {
        id = context.operationId
        throw new Error('connection lost')
      })
      await thrown(refund(env, {}))
      const bytes = Uint8Array.from(new TextEncoder().encode(text))
      const resolution = { outcome, status: 200, headers: [], body: bytes }
      await objectOf(id).operate(id, { kind: 'resolve', ...resolution })
      const end = await refund(env, {}).catch((error: unknown) =>
        error instanceof StoredError ? [error.name, error.message] : error,
      )
      expect(end).toEqual(expected)
    },
  )

  it.each([
    { by: 'its code', outcomes: { card_declined: 'failed' } as const },
    { by: 'its name', outcomes: { CardError: 'failed' } as const },
    { by: 'a function', outcomes: () => 'failed' as const },
  ])('that the policy calls failed by $by is thrown again as stored', async ({ by, outcomes }) => {
    let runs = 0
    const declined = Object.assign(new Error('No funds.'), {
      name: 'CardError',
      code: 'card_declined',
      config: { headers: { Authorization: 'Bearer secret' } },
    })
    const pay = once(`failed by ${by}`, { outcomes }, () => {
      runs++
      throw declined
    })
    expect(await thrown(pay(env, {}))).toBe(declined)
    const again = await thrown(pay(env, {}))
    expect(again).toBeInstanceOf(StoredError)
    expect(again).toMatchObject({ name: 'CardError', message: 'No funds.', code: 'card_declined' })
    expect(JSON.stringify(again)).not.toContain('secret')
    expect(runs).toBe(1)
  })

  it('reaches those who wait in the same way', async () => {
    const ends = [
      { name: 'joined failed', error: new Error('no'), outcome: 'failed', is: StoredError },
      {
        name: 'joined unknown',
        error: new Error('no'),
        outcome: 'unknown',
        is: OutcomeUnknownError,
      },
      { name: 'joined free', error: new Error('no'), outcome: 'not_executed', is: NotExecuted },
    ] as const
    for (const { name, error, outcome, is } of ends) {
      const { run, reject, started } = waiting<number>()
      const pay = once(name, { outcomes: () => outcome }, run)
      const first = thrown(pay(env, {}))
      await started
      const second = thrown(pay(env, {}))
      // It asks after the second, so the second waits by then.
      const third = once(name, { wait: 0 }, run)
      expect(await thrown(third(env, {}))).toBeInstanceOf(InProgressError)
      reject(error)
      expect(await first).toBe(error)
      expect(await second).toBeInstanceOf(is)
    }
  })
})

describe('after an unknown outcome', () => {
  it('`resend` runs the function again with the same key', async () => {
    const { contexts, run } = counting()
    const refund = once('resend', { unknown: 'resend' }, (input: Refund, context: OnceContext) => {
      const result = run(input, context)
      if (result.run === 1) throw new Error('connection lost')
      return result
    })
    await thrown(refund(env, toRefund('o1')))
    expect(await refund(env, toRefund('o1'))).toEqual({ run: 2 })
    const [first, second] = contexts
    expect(second).toMatchObject({
      key: first?.key,
      attempt: 2,
      inDoubtMs: expect.any(Number) as number,
    })
    expect(first?.inDoubtMs).toBeNull()
  })

  it('a probe returns the result of an earlier call that was executed', async () => {
    let runs = 0
    const find = vi.fn<() => { executed: true; result: string }>(() => ({
      executed: true,
      result: 'found',
    }))
    const refund = once('probe found', { unknown: probe(find) }, () => {
      runs++
      throw new Error('connection lost')
    })
    await thrown(refund(env, toRefund('o1')))
    expect(await refund(env, toRefund('o1'))).toBe('found')
    expect(await refund(env, toRefund('o1'))).toBe('found')
    expect([runs, find.mock.calls.length]).toEqual([1, 1])
  })

  it('a probe that has found nothing lets the function run again, after the grace', async () => {
    const answers = [undefined, { executed: false }, { executed: false }] as const
    let asked = 0
    let runs = 0
    const policyOf = (grace: number) => ({
      unknown: probe<unknown, string>(() => answers[asked++], { grace }),
    })
    const run = () => {
      runs++
      if (runs === 1) throw new Error('connection lost')
      return 'executed'
    }
    const patient = once('probe nothing', policyOf(60_000), run)
    await thrown(patient(env, {}))
    // It does not know yet, and then it is too early to believe it.
    for (const nth of [1, 2]) {
      const error = await thrown(patient(env, {}))
      expect(error).toBeInstanceOf(OutcomeUnknownError)
      expect(error).toMatchObject({ retry: 'wait' })
      expect([asked, runs]).toEqual([nth, 1])
    }
    const rash = once('probe nothing', policyOf(0), run)
    expect(await rash(env, {})).toBe('executed')
    expect([asked, runs]).toEqual([3, 2])
  })

  it('a grace counts from the last execution, and not from when somebody asked', async () => {
    let runs = 0
    const unknown = probe<unknown, string>(() => ({ executed: false }), { grace: '30s' })
    const refund = once('grace', { unknown }, () => {
      runs++
      throw new Error('connection lost')
    })
    const runsAfter = async (ms: number) => {
      vi.setSystemTime(Date.now() + ms)
      await thrown(refund(env, {}))
      return runs
    }
    const nth = []
    for (const ms of [0, 20_000, 20_000, 20_000, 20_000]) nth.push(await runsAfter(ms))
    // The third call is late enough; after it the fourth is too early again.
    expect(nth).toEqual([1, 1, 2, 2, 3])
  })

  it('a probe that fails has found nothing', async () => {
    let runs = 0
    const failing = probe<unknown, string>(() => {
      throw new Error('down')
    })
    const refund = once('probe fails', { unknown: failing }, () => {
      runs++
      throw new Error('connection lost')
    })
    await thrown(refund(env, {}))
    const log = vi.spyOn(console, 'error').mockReturnValue()
    expect(await thrown(refund(env, {}))).toBeInstanceOf(OutcomeUnknownError)
    expect(log.mock.calls.join()).toMatch(/a probe threw.*"reason":"Error"/)
    expect(log.mock.calls.join()).not.toContain('down')
    expect(runs).toBe(1)
  })

  it('what was probed is not sent again by a policy that only resends, nor by one that holds', async () => {
    let runs = 0
    const fail = () => {
      runs++
      throw new Error('connection lost')
    }
    await thrown(once('safer', { unknown: probe(() => undefined) }, fail)(env, {}))
    expect(await thrown(once('safer', { unknown: 'resend' }, fail)(env, {}))).toBeInstanceOf(
      OutcomeUnknownError,
    )
    expect(await thrown(once('safer', {}, fail)(env, {}))).toBeInstanceOf(OutcomeUnknownError)
    expect(runs).toBe(1)
  })
})

describe('an operation whose Worker is lost', () => {
  it('is in progress until its lease ends, then unknown', async () => {
    const { run, started } = waiting<number>()
    const refund = once('lost', { lease: '100ms', wait: 0 }, run)
    const lost = refund(env, {}).catch(() => {})
    const { operationId, signal } = await started
    // As if its Worker were gone: nothing renews the claim any more.
    await objectOf(operationId).operate(operationId, { kind: 'release' })
    expect(await thrown(refund(env, {}))).toBeInstanceOf(OutcomeUnknownError)
    await until(() => signal.aborted)
    expect(signal.reason).toMatchObject({ code: 'claim-lost' })
    void lost
  })

  it.each([
    { size: 'a small one', padding: '' },
    { size: 'one that is streamed', padding: ' '.repeat(1_500_000) },
  ])('tells the late owner that its result does not count: $size', async ({ size, padding }) => {
    const first = waiting<string>()
    let runs = 0
    const run = (input: unknown, context: OnceContext) =>
      ++runs === 1 ? first.run(input, context) : 'the second'
    const refund = once(`late with ${size}`, { unknown: 'resend' }, run)
    const late = thrown(refund(env, {}))
    const { operationId } = await first.started
    await objectOf(operationId).operate(operationId, { kind: 'release' })
    expect(await refund(env, {})).toBe('the second')
    first.resolve(`the first${padding}`)
    expect(await late).toMatchObject({ code: 'claim-lost', retry: 'same-key' })
    expect(await refund(env, {})).toBe('the second')
  })

  it('counts the late result if nobody has taken over', async () => {
    const { run, resolve, started } = waiting<string>()
    const refund = once('late counts', {}, run)
    const late = refund(env, {})
    const { operationId } = await started
    await objectOf(operationId).operate(operationId, { kind: 'release' })
    resolve('late')
    expect(await late).toBe('late')
    expect(await refund(env, {})).toBe('late')
  })
})

describe('durable', () => {
  it('runs in the object after the outcome is unknown, without a caller', async () => {
    const { contexts, run } = counting()
    const policy = { durable: true, unknown: 'resend', key: body('/order'), tenant: 'ä b' } as const
    const refund = once('durable', policy, (input: Refund, context: OnceContext) => {
      const { run: nth } = run(input, context)
      if (nth === 1) throw new Error('connection lost')
      return `${input.order} by ${context.attempt}`
    })
    await thrown(refund(env, toRefund('o1')))
    const [{ operationId, key } = { operationId: '', key: '' }] = contexts
    vi.setSystemTime(Date.now() + 10_000)
    await runDurableObjectAlarm(env.OPERATIONS.getByName(operationId))
    expect(await refund(env, toRefund('o1'))).toBe('o1 by 2')
    expect(contexts[1]).toMatchObject({ key, operationId, tenant: 'ä b', attempt: 2 })
    expect(contexts).toHaveLength(2)
  })

  it('asks its probe there first', async () => {
    const found = vi.fn<
      (input: unknown, context: OnceContext) => { executed: true; result: string }
    >((_, { inDoubtMs }) => ({ executed: true, result: `found after ${String(inDoubtMs)}` }))
    let id = ''
    const refund = once('durable probe', { durable: true, unknown: probe(found) }, (_, context) => {
      id = context.operationId
      throw new Error('connection lost')
    })
    await thrown(refund(env, {}))
    vi.setSystemTime(Date.now() + 10_000)
    await runDurableObjectAlarm(env.OPERATIONS.getByName(id))
    expect(await refund(env, {})).toMatch(/^found after 10\d{3}$/)
    expect(found).toHaveBeenCalledTimes(1)
  })
})

describe('a durable function of a later deployment', () => {
  const unasked = probe(() => undefined)

  it.each([
    { has: 'hold', first: 'resend', now: 'hold', runs: 1 },
    { has: 'no probe any more', first: unasked, now: 'resend', runs: 1 },
    { has: 'a probe', first: 'resend', now: unasked, runs: 1 },
    { has: 'the same', first: 'resend', now: 'resend', runs: 2 },
  ] as const)('that has $has runs as the safer policy says', async ({ has, first, now, runs }) => {
    const name = `redeployed with ${has}`
    const contexts: OnceContext[] = []
    const run = (_: unknown, context: OnceContext) => {
      contexts.push(context)
      throw new Error('connection lost')
    }
    await thrown(once(name, { durable: true, unknown: first }, run)(env, {}))
    once(name, { durable: true, unknown: now }, run)
    vi.setSystemTime(Date.now() + 10_000)
    await runDurableObjectAlarm(objectOf(contexts[0]?.operationId ?? ''))
    expect(contexts).toHaveLength(runs)
  })
})

it.each([{ durable: true }, { durable: false }])(
  'is the same function before and after `durable` changes: $durable',
  async ({ durable }) => {
    let runs = 0
    const run = () => {
      runs++
      if (runs === 1) throw new Error('connection lost')
      return runs
    }
    const policyOf = (isDurable: boolean) => ({ durable: isDurable, unknown: 'resend' }) as const
    await thrown(once(`durable ${durable}`, policyOf(durable), run)(env, {}))
    expect(await once(`durable ${durable}`, policyOf(!durable), run)(env, {})).toBe(2)
  },
)

describe('a guarded function within another one', () => {
  it('has a key of its own, which is that of the outer one and the same for its repeat', async () => {
    const inner = counting()
    const mail = once('mail', { key: body('/to') }, inner.run)
    let runs = 0
    const order = once(
      'order',
      { unknown: 'resend' },
      async (_: { id: string }, context: OnceContext) => {
        runs++
        const sent = await mail(env, { to: 'a@example.com' })
        const explicit = await mail(context, { to: 'a@example.com' })
        if (runs === 1) throw new Error('after the mail')
        return [sent, explicit]
      },
    )
    await thrown(order(env, { id: 'o1' }))
    expect(await order(env, { id: 'o1' })).toEqual([{ run: 1 }, { run: 1 }])
    expect(await mail(env, { to: 'a@example.com' })).toEqual({ run: 2 })
    expect(await order(env, { id: 'o2' })).toEqual([{ run: 3 }, { run: 3 }])
    expect(inner.contexts[0]?.correlationId).not.toBe(inner.contexts[1]?.correlationId)
  })
})

describe('an error of a guarded function within another one', () => {
  /** An outer function that has an effect of its own before it calls the inner one. */
  function charging(name: string, error: Error, policy: { unknown?: 'resend' } = {}) {
    let charges = 0
    const inner = once(`inner of ${name}`, {}, () => {
      throw error
    })
    const outer = once(name, policy, async (_: object, context: OnceContext) => {
      charges++
      await inner(context, {})
    })
    return { outer, charges: () => charges }
  }

  it('that nothing was executed says nothing of the outer one', async () => {
    const busy = new NotExecuted('busy')
    const { outer, charges } = charging('charged', busy)
    expect(await thrown(outer(env, {}))).toBe(busy)
    expect(await thrown(outer(env, {}))).toBeInstanceOf(OutcomeUnknownError)
    expect(charges()).toBe(1)
  })

  it('lets the outer one go on under `resend`', async () => {
    const { outer, charges } = charging('charged again', new NotExecuted('busy'), {
      unknown: 'resend',
    })
    await thrown(outer(env, {}))
    expect(await thrown(outer(env, {}))).toBeInstanceOf(NotExecuted)
    expect(charges()).toBe(2)
  })
})

describe('a policy', () => {
  it('that is wrong fails at start, with every field', () => {
    const outcomes = { CardError: 'faild' }
    const wrong = {
      key: 'order',
      unknown: probe('/path'),
      outcomes,
      retention: 'long',
      mode: 'off',
    }
    expect(() => once('wrong', wrong as never, () => null)).toThrow(
      /once\('wrong'\)[^]*mode[^]*key[^]*unknown[^]*outcomes[^]*retention/,
    )
  })

  it.each([
    { what: 'a name', name: '\ud800', policy: {} },
    { what: 'a name', name: undefined, policy: {} },
    { what: 'a key', name: 'wrong', policy: { key: null } },
    { what: 'a result', name: 'wrong', policy: { result: {} } },
    { what: 'an unknown', name: 'wrong', policy: { unknown: null } },
    { what: 'a tenant', name: 'wrong', policy: { tenant: '' } },
    { what: 'outcomes', name: 'wrong', policy: { outcomes: null } },
  ])('that has $what of no use names it', ({ what, name, policy }) => {
    const field = what.replace(/^an? /, '')
    expect(() => once(name as string, policy as never, () => null)).toThrow(
      new RegExp(`is not valid:\\n  ${field}: must be`),
    )
  })

  it('needs an input that is JSON', async () => {
    const refund = once('input', {}, () => null)
    expect(await thrown(refund(env, new Date()))).toBeInstanceOf(TypeError)
    expect(await thrown(refund(env, { amount: Number.NaN }))).toBeInstanceOf(TypeError)
  })

  it.each([
    { when: 'the key is empty', policy: { key: () => '' }, code: 'key-missing' },
    { when: 'the key is no Unicode', policy: { key: () => '\ud800' }, code: 'key-missing' },
    {
      when: 'there is no key',
      policy: { key: (input: { order?: string }) => input.order as string },
      code: 'key-missing',
    },
    { when: 'the tenant is empty', policy: { tenant: () => '' }, code: 'tenant-missing' },
    {
      when: 'the tenant is no text',
      policy: { tenant: () => 5 as unknown as string },
      code: 'tenant-missing',
    },
  ])('refuses the call if $when', async ({ when, policy, code }) => {
    const { contexts, run } = counting()
    const refund = once(`refuses: ${when}`, policy, run)
    const error = await thrown(refund(env, {}))
    expect(error).toMatchObject({ code, retry: 'never', name: 'HapaxError' })
    expect(String(error)).toContain('must be Unicode, and not empty')
    expect(contexts).toHaveLength(0)
  })

  it('without a value of its key in the input refuses the call', async () => {
    const refund = once('no key', { key: business('/order') }, () => null)
    expect(await thrown(refund(env, {}))).toMatchObject({ code: 'key-missing', retry: 'never' })
  })

  it('names what the deployment lacks', async () => {
    const refund = once(
      'lacks',
      { events: [{ on: 'succeeded', to: queue('NOWHERE') }] },
      () => null,
    )
    expect(await thrown(refund({ ...env, OPERATIONS: undefined }, {}))).toMatchObject({
      code: 'gateway-misconfigured',
      message: expect.stringMatching(/OPERATIONS[^]*NOWHERE/) as string,
    })
  })
})

it('is counted once for each call, without its input', async () => {
  const points: AnalyticsEngineDataPoint[] = []
  const METRICS = { writeDataPoint: (point: AnalyticsEngineDataPoint) => void points.push(point) }
  const refund = once('counted', { key: body('/order') }, () => 1)
  await refund({ ...env, METRICS }, toRefund('o1-secret'))
  await refund({ ...env, METRICS }, toRefund('o1-secret'))
  expect(points).toHaveLength(2)
  expect(JSON.stringify(points)).toMatch(/counted[^]*ONCE[^]*executed[^]*replayed/)
  expect(JSON.stringify(points)).not.toContain('secret')
})

it('does not begin with a signal that is aborted', async () => {
  const { contexts, run } = counting()
  const refund = once('aborted', {}, run)
  const signal = AbortSignal.abort(new Error('left'))
  expect(await thrown(refund(env, {}, { signal }))).toMatchObject({ message: 'left' })
  expect(contexts).toHaveLength(0)
})

it('gives the function the input as it was when it was called', async () => {
  const refund = once('changed', { key: body('/order') }, ({ order }: Refund) => order)
  const input = { order: 'o1', amount: 500 }
  const work = refund(env, input)
  input.order = 'o2'
  expect(await work).toBe('o1')
})

it('is told that its claim is lost when nothing renews it any more', async () => {
  vi.spyOn(IdempotencyObject.prototype, 'renew').mockReturnValue(new Promise(() => {}))
  const { run, resolve, started } = waiting<string>()
  const refund = once('renewal hangs', { lease: '100ms' }, run)
  const work = refund(env, {})
  const { signal } = await started
  await until(() => signal.aborted)
  expect(signal.reason).toMatchObject({ code: 'claim-lost' })
  resolve('counts, since nobody has taken over')
  expect(await work).toBe('counts, since nobody has taken over')
})

it('ends the wait for the result with the signal of the caller, and not the function', async () => {
  const { run, resolve, started } = waiting<string>()
  const refund = once('signal', {}, run)
  const controller = new AbortController()
  const left = thrown(refund(env, {}, { signal: controller.signal }))
  await started
  controller.abort(new Error('left'))
  expect(await left).toMatchObject({ message: 'left' })
  resolve('done')
  expect(await refund(env, {})).toBe('done')
})
