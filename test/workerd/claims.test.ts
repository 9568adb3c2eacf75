import { abortAllDurableObjects } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Hono } from 'hono'
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'

import {
  body as inBody,
  business,
  createGateway,
  credential,
  hapax,
  IdempotencyObject,
  once,
  StoredError,
} from '../../src/hapax.ts'
import { processOf } from './claims.ts'
import { pass, stopClock } from './stopped-clock.ts'
import { until } from './until.ts'

stopClock()

const { claim, post, renew, settle } = processOf(
  createGateway({ tenant: credential('Authorization') }),
)

/** What an answer says. */
const word = ({ status, answer, headers }: Awaited<ReturnType<typeof claim>>) =>
  `${status} ${answer?.state ?? headers.get('Hapax-Error') ?? ''}`.trim()

let claimed: MockInstance<IdempotencyObject['claim']>
beforeEach(() => {
  claimed = vi.spyOn(IdempotencyObject.prototype, 'claim')
})
/** Resolves when so many claims have come to objects in this test. */
const arrived = (count: number) => until(() => claimed.mock.calls.length === count)

describe('a claim from elsewhere', () => {
  it('is granted once, and its result is given to every repeat', async () => {
    const asked = { operation: 'refund', key: 'life', input: { order: 'o_1' } }
    const first = await claim(asked)
    expect(word(first)).toBe('201 granted')
    expect(first.answer).toEqual({
      state: 'granted',
      operationId: expect.stringMatching(/^[\w-]{43}$/),
      tenant: 'deployment',
      key: first.answer.operationId,
      attempt: 1,
      claim: expect.stringMatching(/^1\.60000\.\d+\.[\w-]{43}$/),
      leaseMs: 60_000,
      claimMs: expect.any(Number),
      inDoubt: false,
      inDoubtMs: null,
      correlationId: first.headers.get('X-Correlation-Id'),
    })
    expect((await renew(first)).answer).toEqual({ leaseMs: 60_000 })
    const result = { id: 'r_1' }
    const settled = await settle(first, { outcome: 'succeeded', result })
    expect([settled.status, settled.answer]).toEqual([200, { settled: 'taken' }])
    pass(5_000)
    const again = await claim(asked)
    const { operationId } = first.answer
    const known = { operationId, attempt: 1, replayed: true }
    expect(again.answer).toEqual({ state: 'succeeded', ...known, result })
    expect(again.headers.get('Idempotency-Status')).toBe('replayed')
    expect(again.headers.get('Age')).toBe('5')
  })

  it('passes a failure on, with what is told of the error', async () => {
    const asked = { operation: 'refund', key: 'failure' }
    const error = { name: 'CardDeclined', message: 'No money.', code: 'declined' }
    await settle(await claim(asked), { outcome: 'failed', error })
    expect((await claim(asked)).answer).toMatchObject({ state: 'failed', error, attempt: 1 })
  })

  it('frees the key if nothing was executed, and another input may have it', async () => {
    const asked = { operation: 'refund', key: 'freed', input: 1 }
    const first = await claim(asked)
    expect((await settle(first, { outcome: 'not_executed' })).answer).toEqual({ settled: 'taken' })
    const second = await claim({ ...asked, input: 2 })
    expect(second.answer).toMatchObject({ state: 'granted', attempt: 1 })
    expect(word(await settle(first, { outcome: 'not_executed' }))).toBe('409 claim-lost')
  })

  it('keeps every digit of input and result', async () => {
    const write = (input: string) => `{"operation":"digits","key":"digits","input":${input}}`
    const first = await post('', write('{"amount":9007199254740993}'))
    const path = `/${first.answer.operationId}/settle`
    const { claim: held } = first.answer
    const settled = `{"claim":"${held}","outcome":"succeeded","result":[1.10, 9007199254740993]}`
    expect((await post(path, settled)).status).toBe(200)
    const same = await post('', write('{ "amount": 9007199254740993.0 }'))
    expect(same.text).toContain('"result":[1.10, 9007199254740993]')
    const other = await post('', write('{"amount":9007199254740992}'))
    expect(word(other)).toBe('409 key-reused')
    expect(other.answer).toMatchObject({
      pointers: ['/amount'],
      type: 'https://gateway.test/_hapax/problems/key-reused',
    })
  })

  it.each([
    { what: 'nothing', sent: {}, expected: undefined },
    { what: 'null', sent: { result: null }, expected: null },
    { what: 'a text', sent: { result: 'é' }, expected: 'é' },
  ])('has $what as a result', async ({ what, sent, expected }) => {
    const asked = { operation: 'result', key: what }
    await settle(await claim(asked), { outcome: 'succeeded', ...sent })
    const { answer } = await claim(asked)
    expect(answer).toMatchObject({ state: 'succeeded' })
    expect(answer.result).toEqual(expected)
  })

  it.each([
    { what: 'omits', sent: { omitted: true } },
    { what: 'sends too large', sent: { result: 'x'.repeat(8_388_608) } },
  ])('was executed if its process $what the result', async ({ what, sent }) => {
    const asked = { operation: 'large', key: what }
    const settled = await settle(await claim(asked), { outcome: 'succeeded', ...sent })
    expect(settled.answer).toEqual({ settled: 'taken' })
    expect(word(await claim(asked))).toBe('409 result-not-kept')
  })

  it('keeps a result of several MiB', async () => {
    const asked = { operation: 'large', key: 'several' }
    const result = 'é'.repeat(3_000_000)
    await settle(await claim(asked), { outcome: 'succeeded', result })
    const { answer } = await claim(asked)
    expect(answer.result === result).toBe(true)
  })

  it('tells the pointers of a business key that the input does not have', async () => {
    const refused = await claim({ operation: 'business', key: { business: ['/order'] } })
    expect(word(refused)).toBe('400 key-missing')
    expect(refused.answer.detail).toContain('The input has no value')
  })
})

describe('the paths of claims', () => {
  it.each([
    { what: 'without the secret', path: '', sent: { env: { HAPAX_CLAIMS_TOKEN: '' } } },
    { what: 'by another method', path: '', sent: { method: 'GET' } },
    { what: 'with an id that is none', path: '/an-id/renew', sent: {} },
    { what: 'with another action', path: `/${'a'.repeat(43)}/steal`, sent: {} },
    { what: 'below another one', path: '/a/b/c', sent: {} },
  ])('do not exist $what', async ({ path, sent }) => {
    const { status, text } = await post(path, {}, sent)
    expect([status, text]).toEqual([404, 'Not found'])
  })

  it('are served by an app of its own, below its path', async () => {
    const app = new Hono()
    app.use('/api/*', hapax({ tenant: credential('Authorization') }))
    const own = processOf(app)
    const granted = await own.claim({ operation: 'mounted' }, { base: '/api' })
    expect(word(granted)).toBe('201 granted')
    const settled = await own.settle(granted, { outcome: 'unknown' }, { base: '/api' })
    expect(settled.status).toBe(200)
    const held = await own.claim({ operation: 'mounted' }, { base: '/api' })
    expect(held.answer.type).toBe('https://gateway.test/api/_hapax/problems/outcome-unknown')
    expect((await own.claim({ operation: 'mounted' })).status).toBe(404)
  })
})

describe('the token of a process', () => {
  const TOKENS = JSON.stringify({ acme: 'of-acme', other: 'of-other', '*': 'of-all' })
  const bindings = { HAPAX_CLAIMS_TOKEN: TOKENS, HAPAX_CLAIMS_TOKEN_PREVIOUS: '{"acme":"before"}' }
  const as = (token: string) => ({ token, env: bindings })

  it.each([
    { token: '', named: undefined },
    { token: 'of-nobody', named: undefined },
    { token: 'of-acme', named: 'other' },
    { token: 'before', named: 'other' },
  ])('$token does not let it act for the tenant $named', async ({ token, named }) => {
    const refused = await claim({ operation: 'token', ...(named && { tenant: named }) }, as(token))
    expect(word(refused)).toBe('401 tenant-missing')
    expect(refused.headers.get('WWW-Authenticate')).toBe('Bearer')
    expect(refused.text).not.toMatch(/of-|before/)
  })

  it.each([
    { token: 'of-acme', named: undefined, expected: 'acme' },
    { token: 'of-acme', named: 'acme', expected: 'acme' },
    { token: 'before', named: undefined, expected: 'acme' },
    { token: 'of-all', named: 'third', expected: 'third' },
    { token: 'of-all', named: undefined, expected: 'deployment' },
  ])('$token lets it act for $expected', async ({ token, named, expected }) => {
    const asked = { operation: 'token', key: `${token} ${named}`, ...(named && { tenant: named }) }
    expect((await claim(asked, as(token))).answer).toMatchObject({ tenant: expected })
  })

  it('does not reach the claim of another tenant, even with all that is known of it', async () => {
    const granted = await claim({ operation: 'token', key: 'mine' }, as('of-acme'))
    for (const body of [{}, { tenant: 'other' }]) {
      expect(word(await renew(granted, body, as('of-other')))).toBe('409 claim-lost')
      const end = { outcome: 'succeeded', ...body }
      expect(word(await settle(granted, end, as('of-other')))).toBe('409 claim-lost')
    }
    const end = { outcome: 'succeeded', result: 1 }
    expect((await settle(granted, end, as('of-acme'))).answer).toEqual({ settled: 'taken' })
  })

  it('that is malformed in the deployment is a fault of that', async () => {
    const malformed = { env: { HAPAX_CLAIMS_TOKEN: '{"acme":"of acme"}' } }
    const refused = await claim({ operation: 'token' }, malformed)
    expect(word(refused)).toBe('500 gateway-misconfigured')
    expect(refused.text).not.toContain('of acme')
  })
})

describe('a request that is wrong', () => {
  it('is told every wrong field of a claim', async () => {
    const refused = await post('', {
      operation: '',
      tenant: '',
      key: { business: ['order'] },
      outer: 'x',
      claim: 'x',
      policy: { lease: '1y', wait: '2m', durable: true, fingerprint: { ignore: ['x'] }, color: 1 },
      extra: 1,
    })
    expect(word(refused)).toBe('400 claim-invalid')
    const fields = ['operation', 'tenant', 'key', 'outer', 'claim', 'input', 'policy.durable']
    const values = ['policy.lease', 'policy.wait', 'policy.fingerprint.ignore.0']
    for (const field of [...fields, ...values])
      expect(refused.answer.detail).toContain(`${field}: `)
    expect(refused.answer.detail).toMatch(/"color".*"extra"|"extra".*"color"/)
  })

  it.each([
    { what: 'operation', sent: { operation: '\ud800' } },
    { what: 'tenant', sent: { tenant: '\ud800' } },
    { what: 'key', sent: { key: '\ud800' } },
  ])('has a text that is no Unicode as its $what', async ({ what, sent }) => {
    const refused = await claim({ operation: 'wrong', ...sent })
    expect(word(refused)).toBe('400 claim-invalid')
    expect(refused.answer.detail).toMatch(new RegExp(`^${what}: must be .*Unicode`))
  })

  it('has more pointers than can be compared with each other', async () => {
    const many = Array.from({ length: 40_000 }, (_, index) => `/items/${index}`)
    const refused = await claim({ operation: 'wrong', policy: { fingerprint: { ignore: many } } })
    expect(word(refused)).toBe('400 claim-invalid')
    const said = 'policy.fingerprint.ignore: must be at most 32 JSON pointers.'
    expect(refused.answer.detail).toBe(said)
  })

  it.each(['durable', 'events', 'snapshot', 'limits', 'outcomes', 'result', 'retry'])(
    'is told why %s cannot be had from elsewhere',
    async (field) => {
      const refused = await claim({ operation: 'wrong', policy: { [field]: {} } })
      expect(refused.answer.detail).toMatch(new RegExp(`^policy\\.${field}: must be left out: \\w`))
    },
  )

  it.each([
    { what: 'no JSON', body: '{"operation":', expected: '400 payload-invalid' },
    { what: 'no UTF-8', body: new Uint8Array([0x22, 0xff, 0x22]), expected: '400 payload-invalid' },
    { what: 'no object', body: '[]', expected: '400 claim-invalid' },
    { what: 'nothing', body: '', expected: '400 payload-invalid' },
    {
      what: 'an input with a member twice',
      body: '{"operation":"wrong","input":{"a":1,"a":2}}',
      expected: '400 payload-invalid',
    },
    {
      what: 'an input with a member twice, and a key',
      body: '{"operation":"wrong","key":"k","input":{"a":1,"a":2}}',
      expected: '400 payload-invalid',
    },
    {
      what: 'an input over the limit',
      body: JSON.stringify({ operation: 'wrong', key: 'k', input: 'x'.repeat(1_048_577) }),
      expected: '413 payload-too-large',
    },
    {
      what: 'a document over the limit',
      body: `{"operation":"wrong","input":1}${' '.repeat(1_200_000)}`,
      expected: '413 payload-too-large',
    },
  ])('has $what', async ({ body: sent, expected }) => {
    const refused = await post('', sent)
    expect(word(refused)).toBe(expected)
    expect(refused.headers.get('X-Correlation-Id')).toMatch(/./)
  })

  it.each([
    { what: 'another word', sent: { outcome: 'done' }, field: 'outcome' },
    { what: 'no outcome', sent: {}, field: 'outcome' },
    { what: 'a result of a failure', sent: { outcome: 'failed', result: 1 }, field: 'result' },
    { what: 'a failure without an error', sent: { outcome: 'failed' }, field: 'error' },
    { what: 'another form of error', sent: { outcome: 'failed', error: 'x' }, field: 'error' },
    {
      what: 'an error of a success',
      sent: { outcome: 'succeeded', error: { name: 'E', message: '' } },
      field: 'error',
    },
  ])('ends a claim with $what', async ({ sent, field }) => {
    const granted = await claim({ operation: 'wrong', key: JSON.stringify(sent) })
    const refused = await settle(granted, sent)
    expect(word(refused)).toBe('400 claim-invalid')
    expect(refused.answer.detail).toContain(`${field}: `)
    expect((await settle(granted, { outcome: 'not_executed' })).status).toBe(200)
  })
})

describe('a repeat of a request, whose answer was lost', () => {
  it('gets the claim that was granted before, and another process does not', async () => {
    const asked = { operation: 'repeat', key: 'claim', policy: { wait: 0 } }
    const nonce = crypto.randomUUID()
    const [first, second] = [
      await claim({ ...asked, claim: nonce }),
      await claim({ ...asked, claim: nonce.toUpperCase() }),
    ]
    expect(second.answer.attempt).toBe(1)
    const secretOf = (text: string) => text.split('.')[3]
    expect(secretOf(second.answer.claim)).toBe(secretOf(first.answer.claim))
    const other = await claim({ ...asked, claim: crypto.randomUUID() })
    expect(word(other)).toBe('409 in-progress')
    expect(Number(other.headers.get('Retry-After'))).toBeGreaterThanOrEqual(1)
    expect(other.answer).toMatchObject({ retry: 'wait' })
    expect(other.text).not.toContain(secretOf(first.answer.claim))
  })

  it.each([
    { outcome: 'succeeded', result: 1 },
    { outcome: 'failed', error: { name: 'E', message: '' } },
    { outcome: 'not_executed' },
  ])('that settled as $outcome is taken again, and nothing else is', async (sent) => {
    const granted = await claim({ operation: 'repeat', key: sent.outcome })
    for (let nth = 0; nth < 2; nth++) {
      expect((await settle(granted, sent)).answer).toEqual({ settled: 'taken' })
    }
    const other = { outcome: sent.outcome === 'succeeded' ? 'not_executed' : 'succeeded' }
    expect(word(await settle(granted, other))).toBe('409 claim-lost')
  })

  it('that settled as unknown is taken again, and what is found out later counts', async () => {
    const granted = await claim({ operation: 'repeat', key: 'unknown' })
    for (let nth = 0; nth < 2; nth++) {
      expect((await settle(granted, { outcome: 'unknown' })).answer).toEqual({ settled: 'taken' })
    }
    const settled = await settle(granted, { outcome: 'succeeded', result: 1 })
    expect(settled.answer).toEqual({ settled: 'late' })
  })
})

describe('a process that waits for another one', () => {
  const asked = { operation: 'wait', policy: { wait: '5s' } }

  it('gets the result', async () => {
    const granted = await claim({ ...asked, key: 'result' })
    const second = claim({ ...asked, key: 'result' })
    await arrived(2)
    await settle(granted, { outcome: 'succeeded', result: 7 })
    expect((await second).answer).toMatchObject({ state: 'succeeded', result: 7, replayed: false })
  })

  it('is granted the operation if that was not executed', async () => {
    const granted = await claim({ ...asked, key: 'freed' })
    const second = claim({ ...asked, key: 'freed' })
    await arrived(2)
    await settle(granted, { outcome: 'not_executed' })
    expect((await second).answer).toMatchObject({ state: 'granted', attempt: 1, inDoubt: false })
  })

  it.each([
    { unknown: 'hold', expected: '409 outcome-unknown' },
    { unknown: 'resend', expected: '201 granted' },
    { unknown: 'probe', expected: '201 granted' },
  ])('is told under $unknown that the outcome is unknown', async ({ unknown, expected }) => {
    const policy = { wait: '5s', unknown }
    const granted = await claim({ ...asked, key: unknown, policy })
    const second = claim({ ...asked, key: unknown, policy })
    await arrived(2)
    await settle(granted, { outcome: 'unknown' })
    expect(word(await second)).toBe(expected)
  })
})

describe('a process that is lost', () => {
  const withUnknown = (unknown: string) => ({
    operation: 'lost',
    key: unknown,
    policy: { lease: '10s', unknown, wait: 0 },
  })

  it('leaves an operation that is held until its outcome is known', async () => {
    const asked = withUnknown('hold')
    await claim(asked)
    pass(9_999)
    expect(word(await claim(asked))).toBe('409 in-progress')
    pass(1)
    const held = await claim(asked)
    expect(word(held)).toBe('409 outcome-unknown')
    expect(held.answer).toMatchObject({ retry: 'never' })
  })

  it.each(['resend', 'probe'])(
    'leaves an operation that is claimed again under %s, in doubt',
    async (unknown) => {
      const asked = withUnknown(unknown)
      const first = await claim(asked)
      pass(10_000)
      const second = await claim(asked)
      expect(second.answer).toMatchObject({ state: 'granted', attempt: 2, inDoubt: true })
      expect(second.answer.key).toBe(first.answer.key)
      await settle(second, { outcome: 'unknown' })
      pass(3_000)
      const third = await claim(asked)
      expect(third.answer).toMatchObject({ attempt: 3, inDoubt: true, inDoubtMs: 3_000 })
      // It did nothing itself, but that says nothing about the attempts before it.
      for (let nth = 0; nth < 2; nth++) {
        const settled = await settle(third, { outcome: 'not_executed' })
        expect(settled.answer).toEqual({ settled: 'taken' })
      }
      pass(3_000)
      const fourth = await claim(asked)
      expect(fourth.answer).toMatchObject({ attempt: 4, inDoubt: true, inDoubtMs: 6_000 })
    },
  )

  it.each([
    { unknown: 'resend', expected: { attempt: 1, inDoubt: false } },
    { unknown: 'probe', expected: { attempt: 2, inDoubt: true } },
  ])('leaves a doubt that $unknown forgets, or not, after retention', async (one) => {
    const asked = { ...withUnknown(one.unknown), key: `${one.unknown} later` }
    await settle(await claim(asked), { outcome: 'unknown' })
    pass(25 * 3_600_000)
    expect((await claim(asked)).answer).toMatchObject({ state: 'granted', ...one.expected })
  })

  it('is not taken for lost as long as its lease is renewed', async () => {
    const asked = { ...withUnknown('resend'), key: 'renewed' }
    const granted = await claim(asked)
    for (let nth = 0; nth < 3; nth++) {
      pass(8_000)
      expect((await renew(granted)).answer).toEqual({ leaseMs: 10_000 })
    }
    expect(word(await claim(asked))).toBe('409 in-progress')
  })

  it('may settle late if nobody has taken over', async () => {
    const asked = { ...withUnknown('resend'), key: 'late' }
    const granted = await claim(asked)
    pass(20_000)
    expect((await settle(granted, { outcome: 'succeeded', result: 1 })).answer).toEqual({
      settled: 'late',
    })
    expect((await claim(asked)).answer).toMatchObject({ state: 'succeeded', result: 1 })
  })

  it('has lost its claim if another one has taken over', async () => {
    const asked = { ...withUnknown('resend'), key: 'taken over' }
    const first = await claim(asked)
    pass(10_000)
    const second = await claim(asked)
    expect(word(await renew(first))).toBe('409 claim-lost')
    const refused = await settle(first, { outcome: 'succeeded', result: 1 })
    expect(word(refused)).toBe('409 claim-lost')
    expect(refused.headers.get('X-Should-Retry')).toBe('false')
    await settle(second, { outcome: 'succeeded', result: 2 })
    expect((await claim(asked)).answer).toMatchObject({ result: 2, attempt: 2 })
  })

  it.each([
    { what: 'with a longer lease', change: ['.10000.', '.600000.'] },
    { what: 'of another attempt', change: [/^1\./, '2.'] },
    { what: 'that was never given out', change: [/.$/, '-'] },
    { what: 'that is no claim', change: [/.+/, 'x'] },
  ] as const)('cannot renew or settle a claim $what', async ({ what, change }) => {
    const granted = await claim({ ...withUnknown('hold'), key: what })
    const forged = { claim: granted.answer.claim.replace(...change) }
    expect(word(await renew(granted, forged))).toBe('409 claim-lost')
    const end = { ...forged, outcome: 'succeeded' }
    expect(word(await settle(granted, end))).toBe('409 claim-lost')
  })
})

describe('an object', () => {
  it('that restarts keeps the claims of processes elsewhere, and those who wait', async () => {
    const asked = { operation: 'restart', key: 'restart', policy: { wait: '5s' } }
    const granted = await claim(asked)
    await abortAllDurableObjects()
    const second = claim(asked)
    await arrived(2)
    expect((await renew(granted)).status).toBe(200)
    const settled = await settle(granted, { outcome: 'succeeded', result: 1 })
    expect(settled.answer).toEqual({ settled: 'taken' })
    expect((await second).answer).toMatchObject({ state: 'succeeded', result: 1 })
  })

  it('that cannot be reached is a problem after which the same request can be sent', async () => {
    const granted = await claim({ operation: 'away' })
    const lost = () => Promise.reject(new Error('lost'))
    const away = { claim: lost, renew: lost, settle: lost, examine: lost }
    const sent = { env: { OPERATIONS: { getByName: () => away } as never } }
    const answers = [
      await claim({ operation: 'away' }, sent),
      await renew(granted, {}, sent),
      await settle(granted, { outcome: 'unknown' }, sent),
    ]
    expect(answers.map(word)).toEqual(Array.from(answers, () => '503 store-unavailable'))
    for (const { answer } of answers) expect(answer.retry).toBe('same-key')
  })

  it('that the deployment does not have is a fault of that', async () => {
    const refused = await claim({ operation: 'away' }, { env: { OPERATIONS: undefined as never } })
    expect(word(refused)).toBe('500 gateway-misconfigured')
  })
})

describe('an operator', () => {
  it('sees a claim from elsewhere, and sets its result as a text', async () => {
    const asked = { operation: 'operated', key: 'operated', policy: { lease: '10s' } }
    const { answer } = await claim(asked)
    const { operationId } = answer
    const object = env.OPERATIONS.getByName(operationId)
    expect(await object.examine(operationId)).toMatchObject({
      operation: 'operated',
      tenant: 'deployment',
      state: 'in_progress',
      recovery: 'hold',
      correlationId: answer.correlationId,
    })
    pass(10_000)
    const decision = {
      status: 200,
      headers: [],
      body: Uint8Array.from('by hand', (char) => char.charCodeAt(0)),
    } as const
    await object.operate(operationId, { kind: 'resolve', outcome: 'succeeded', ...decision })
    expect((await claim(asked)).answer).toMatchObject({ state: 'succeeded', result: 'by hand' })
  })
})

describe('a function in the Worker', () => {
  const input = { order: 'o_1', amount: 9_007_199_254_740_991 }

  it.each([
    {
      what: 'values',
      key: business('/order', '/amount'),
      sent: () => ({ business: ['/order', '/amount'] }),
    },
    { what: 'a value', key: inBody('/order'), sent: () => ({ body: '/order' }) },
    {
      what: 'a text',
      key: ({ order }: typeof input) => `ö "${order}"`,
      sent: (order: string) => `ö "${order}"`,
    },
    { what: 'the whole input', key: undefined, sent: () => undefined },
  ])('has the same operation, by $what', async ({ what, key, sent }) => {
    const name = `shared by ${what}`
    const fn = vi.fn(() => ({ from: 'worker' }))
    const shared = once(name, { tenant: 'acme', ...(key && { key }) }, fn)
    const asked = (of: typeof input) => ({
      operation: name,
      tenant: 'acme',
      input: of,
      key: sent(of.order),
    })
    expect(await shared(env, input)).toEqual({ from: 'worker' })
    expect((await claim(asked(input))).answer).toMatchObject({ result: { from: 'worker' } })
    const later = { ...input, order: 'o_2' }
    const granted = await claim(asked(later))
    expect(word(granted)).toBe('201 granted')
    await settle(granted, { tenant: 'acme', outcome: 'succeeded', result: { from: 'elsewhere' } })
    expect(await shared(env, later)).toEqual({ from: 'elsewhere' })
    expect(fn).toHaveBeenCalledTimes(1)
  })

  it('waits for a process elsewhere, and the other way round', async () => {
    const gate = Promise.withResolvers<number>()
    const fn = vi.fn(() => gate.promise)
    const shared = once('shared wait', { key: inBody('/order') }, fn)
    const asked = { operation: 'shared wait', key: { body: '/order' }, policy: { wait: '5s' } }
    const granted = await claim({ ...asked, input: { order: 'a' } })
    const first = shared(env, { order: 'a' })
    const second = shared(env, { order: 'b' })
    await until(() => fn.mock.calls.length === 1)
    const third = claim({ ...asked, input: { order: 'b' } })
    await arrived(4)
    await settle(granted, { outcome: 'succeeded', result: 1 })
    gate.resolve(2)
    expect(await Promise.all([first, second])).toEqual([1, 2])
    expect((await third).answer).toMatchObject({ result: 2 })
    expect(fn).toHaveBeenCalledTimes(1)
  })

  it('throws the error with which a process elsewhere has failed, and the other way round', async () => {
    const error = { name: 'CardDeclined', message: 'No money.', code: 'declined' }
    const shared = once('shared failure', { outcomes: { declined: 'failed' } }, () => {
      throw Object.assign(new Error('No money.'), { code: 'declined' })
    })
    await settle(await claim({ operation: 'shared failure' }), { outcome: 'failed', error })
    const thrown = await shared(env, {}).catch((caught: unknown) => caught)
    expect(thrown).toBeInstanceOf(StoredError)
    expect(thrown).toMatchObject(error)
    await shared(env, { a: 1 }).catch(() => {})
    const asked = { operation: 'shared failure', input: { a: 1 } }
    expect((await claim(asked)).answer).toMatchObject({
      state: 'failed',
      error: { ...error, name: 'Error' },
    })
  })

  it('has the same operations within another one', async () => {
    const inner = once('shared inner', {}, () => 'worker')
    const ids: string[] = []
    await once('shared outer', {}, async (_, { operationId }) => {
      ids.push(operationId)
      await inner(env, {})
    })(env, {})
    const inside = await claim({ operation: 'shared inner', outer: ids[0] })
    expect(inside.answer).toMatchObject({ state: 'succeeded', result: 'worker' })
    expect(word(await claim({ operation: 'shared inner' }))).toBe('201 granted')
  })
})

describe('what is counted and logged', () => {
  let log: MockInstance<typeof console.log>
  beforeEach(() => {
    vi.spyOn(env.METRICS, 'writeDataPoint')
    log = vi.spyOn(console, 'log').mockImplementation(() => {})
  })
  afterEach(() => vi.restoreAllMocks())

  const points = () => vi.mocked(env.METRICS.writeDataPoint).mock.calls.map(([point]) => point)
  /** Operation, method, status, problem, outcome and settle of each point. */
  const facts = () =>
    points().map((point) =>
      [0, 1, 2, 3, 4, 8].map((index) => point?.blobs?.[index] as string).join(' '),
    )

  it('has one point for each claim, with its outcome', async () => {
    const asked = { operation: 'counted', key: 'counted', policy: { unknown: 'resend' } }
    const first = await claim(asked)
    expect(facts()).toEqual([])
    await settle(first, { outcome: 'unknown' })
    await settle(first, { outcome: 'unknown' })
    const second = await claim(asked)
    pass(1_500)
    await renew(second)
    await settle(second, { outcome: 'succeeded', result: 1 })
    await settle(second, { outcome: 'succeeded', result: 1 })
    await claim(asked)
    await claim({ ...asked, input: 2 })
    await settle(first, { outcome: 'succeeded' })
    const asking = { operation: 'asking', key: 'asking', policy: { unknown: 'probe' } }
    await settle(await claim(asking), { outcome: 'unknown' })
    const undecided = await claim(asking)
    await settle(undecided, { outcome: 'not_executed' })
    await settle(undecided, { outcome: 'not_executed' })
    expect(facts()).toEqual([
      'counted ONCE unknown  unknown taken',
      'counted ONCE executed  succeeded taken',
      'counted ONCE replayed  succeeded ',
      'counted ONCE mismatch key-reused  ',
      'counted ONCE executed  succeeded refused',
      'asking ONCE unknown  unknown taken',
      'asking ONCE unknown  unknown taken',
    ])
    const [, settled] = points()
    const [, , fence, , , originMs] = settled?.doubles ?? []
    expect([fence, originMs]).toEqual([2, 1_500])
    expect(settled?.blobs?.[6]).toBe(second.headers.get('X-Correlation-Id'))
  })

  it('says nothing of input, key, result, claim or token', async () => {
    const asked = { operation: 'logged', key: 'marked-key', input: 'marked-input' }
    const granted = await claim(asked)
    await settle(granted, { outcome: 'succeeded', result: 'marked-result' })
    await claim({ ...asked, input: 'marked-other' })
    await post('', { operation: 'logged', marked: 1 })
    const written = JSON.stringify([points(), log.mock.calls])
    expect(written).toContain('logged')
    expect(written).not.toMatch(/marked|a-token/)
    expect(written).not.toContain(granted.answer.claim.split('.')[3])
  })
})
