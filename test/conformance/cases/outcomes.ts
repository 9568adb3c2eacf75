import { describe, expect, it } from 'vitest'

import type { Reply } from '../client.ts'
import { firstAnswers, statusOf, useConformance } from '../harness.ts'
import { answer, answerInChunks, hangUp, hasNoBody, type Script } from '../origin.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()

/** An answer that says how long it is, or that does not. */
type Framing = typeof answer

const withStatus = (status: number, headers = {}, framed: Framing = answer): Script =>
  framed(status, { 'X-Kept': 'yes', ...headers }, bodyOf(status))
const bodyOf = (status: number) => (hasNoBody(status) ? '' : 'as it came')

const SUCCEEDED = [200, 201, 202, 203, 204, 206, 207, 300, 301, 302, 303, 304]
const FAILED = [400, 402, 404, 405, 409, 410, 411, 413, 414, 416, 418, 422, 424, 451, 501, 505]
const REFUSED = [
  307, 308, 401, 403, 406, 408, 412, 415, 417, 421, 423, 425, 426, 428, 429, 431, 499,
]
const AWAY = [503, 521, 523, 525, 526, 530]
const UNKNOWN = [500, 502, 504, 506, 507, 508, 511, 520, 522, 524, 527, 599]

/** Expects that the first client got what came back, whatever is made of it. */
function expectAsItCame(first: Reply, status: number): void {
  expect([first.status, first.text]).toEqual([status, bodyOf(status)])
  expect(first.headers).toMatchObject({ 'x-kept': 'yes' })
  expect(first.headers).not.toHaveProperty('hapax-error')
}

describe.concurrent.each([
  { route: 'default', framing: 'with a length', framed: answer },
  { route: 'resend', framing: 'in chunks', framed: answerInChunks },
])('under $route, $framing', ({ route, framed }) => {
  it.each([...SUCCEEDED, ...FAILED])('%i is stored and replayed', async (status) => {
    const one = conformance.operation(route)
    firstAnswers(one, withStatus(status, {}, framed))
    const [first, second] = [await one.send(), await one.send()]
    expectAsItCame(first, status)
    expect(statusOf(first)).toBe('executed')
    expect([second.status, statusOf(second), second.text]).toEqual([
      status,
      'replayed',
      bodyOf(status),
    ])
    expect(one.calls()).toHaveLength(1)
  })

  it.each([...REFUSED, ...AWAY])('%i releases the claim: the key is free', async (status) => {
    const one = conformance.operation(route)
    firstAnswers(one, withStatus(status, {}, framed))
    const [first, second] = [await one.send(), await one.send()]
    expectAsItCame(first, status)
    expect(statusOf(first)).toBe('not-executed')
    expect([second.status, statusOf(second), second.text]).toEqual([201, 'executed', 'call 2'])
    expect(one.calls()).toHaveLength(2)
  })
})

describe.concurrent('an unknown outcome', () => {
  it.each(UNKNOWN)('%i is held: nobody executes again', async (status) => {
    const one = conformance.operation('default')
    firstAnswers(one, withStatus(status))
    const first = await one.send()
    expectAsItCame(first, status)
    expect(statusOf(first)).toBe('unknown')
    expectProblem(await one.send(), 'outcome-unknown')
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it.each(UNKNOWN)(
    '%i in chunks is sent again where the route says that this is safe',
    async (status) => {
      const one = conformance.operation('resend')
      firstAnswers(one, withStatus(status, {}, answerInChunks))
      expect(statusOf(await one.send())).toBe('unknown')
      const second = await one.send()
      expect([second.status, statusOf(second), second.text]).toEqual([201, 'executed', 'call 2'])
      const third = await one.send()
      expect([third.status, statusOf(third), third.text]).toEqual([201, 'replayed', 'call 2'])
      const [a, b] = one.calls()
      expect(b?.headers['idempotency-key']).toBe(a?.headers['idempotency-key'])
      expect(b?.headers['idempotency-attempt']).toBe('2')
      expect(one.calls()).toHaveLength(2)
    },
  )

  it('is told from a mismatch', async () => {
    const one = conformance.operation('default')
    one.on(hangUp)
    await one.send()
    expectProblem(await one.send({ body: '{}' }), 'key-reused')
    expect(one.calls()).toHaveLength(1)
  })
})

describe.concurrent('the outcomes of a route', () => {
  it.each([
    { status: 500, becomes: 'failed', by: 'its own rule, which beats that of 5xx' },
    { status: 502, becomes: 'not_executed', by: 'the rule of 5xx' },
    { status: 501, becomes: 'not_executed', by: 'the rule of 5xx, which beats the table' },
    { status: 409, becomes: 'not_executed', by: 'its own rule, which beats that of 4xx' },
    { status: 422, becomes: 'unknown', by: 'the rule of 4xx' },
    { status: 401, becomes: 'unknown', by: 'the rule of 4xx, which beats the table' },
    { status: 201, becomes: 'succeeded', by: 'the table' },
  ])('make $status $becomes by $by', async ({ status, becomes }) => {
    const one = conformance.operation('outcomes')
    firstAnswers(one, withStatus(status))
    const first = await one.send()
    const second = await one.send()
    expect(first.status).toBe(status)
    const expected = {
      succeeded: ['executed', 'replayed', 1],
      failed: ['executed', 'replayed', 1],
      not_executed: ['not-executed', 'executed', 2],
      unknown: ['unknown', 'unknown', 1],
    }[becomes]
    expect([statusOf(first), statusOf(second), one.calls().length]).toEqual(expected)
  })
})

describe.concurrent('Idempotency-Outcome of the origin', () => {
  it.each([200, 404, 500, 503])('executed: %i is stored and replayed', async (status) => {
    const one = conformance.operation('default')
    firstAnswers(one, withStatus(status, { 'Idempotency-Outcome': 'executed' }))
    const [first, second] = [await one.send(), await one.send()]
    expect([first.status, statusOf(first)]).toEqual([status, 'executed'])
    expect([second.status, statusOf(second), second.text]).toEqual([
      status,
      'replayed',
      'as it came',
    ])
    expect(one.calls()).toHaveLength(1)
  })

  it.each([200, 404, 500, 503])('not-executed: %i releases the claim', async (status) => {
    const one = conformance.operation('default')
    firstAnswers(one, withStatus(status, { 'Idempotency-Outcome': 'not-executed' }))
    const [first, second] = [await one.send(), await one.send()]
    expect([first.status, statusOf(first), first.text]).toEqual([
      status,
      'not-executed',
      'as it came',
    ])
    expect([second.status, statusOf(second)]).toEqual([201, 'executed'])
  })

  it('beats the rule of the route', async () => {
    const one = conformance.operation('outcomes')
    firstAnswers(one, withStatus(500, { 'Idempotency-Outcome': 'not-executed' }))
    expect(statusOf(await one.send())).toBe('not-executed')
  })

  it('of another word counts as silence', async () => {
    const one = conformance.operation('default')
    firstAnswers(one, withStatus(500, { 'Idempotency-Outcome': 'perhaps' }))
    expect(statusOf(await one.send())).toBe('unknown')
  })
})

describe.concurrent('a freed key', () => {
  it('with another payload is a new operation', async () => {
    const one = conformance.operation('default')
    firstAnswers(one, withStatus(503))
    await one.send()
    const second = await one.send({ body: '{"amount":6}' })
    expect([second.status, statusOf(second)]).toEqual([201, 'executed'])
    expect(one.calls()[1]?.body.toString()).toBe('{"amount":6}')
  })
})
