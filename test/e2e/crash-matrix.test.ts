import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type Answer, headerOf } from '../../demo/client.ts'
import { type BareGateway, startBareGateway } from './bare.ts'
import { json, type Origin, startOrigin } from './server.ts'
import { recordIs, recordsAre } from './state.ts'

/**
 * The gateway is killed once, with SIGKILL, while operations of every policy stand at every point
 * at which it could be lost, and started again on the same state.
 */
const POLICIES = ['hold', 'probe', 'resend', 'asked'] as const
const POINTS = ['upload', 'sent', 'headers', 'mid-body', 'waiter', 'answered'] as const
type Policy = (typeof POLICIES)[number]
type Point = (typeof POINTS)[number]

/** What a retry finds after the restart, by where the gateway was lost: word, and calls of the origin in all. */
const UNKNOWN_AT: Record<Policy, { word: string; status: number; calls: number }> = {
  // Nobody executes again, and the answer says what resolves it.
  hold: { word: 'unknown', status: 409, calls: 1 },
  // The status resource holds the result.
  probe: { word: 'replayed', status: 200, calls: 1 },
  // The status resource does not know the operation.
  asked: { word: 'executed', status: 201, calls: 2 },
  // The origin knows repeats by their key.
  resend: { word: 'executed', status: 201, calls: 2 },
}

function expectedAt(policy: Policy, point: Point) {
  if (point === 'upload') return { word: 'executed', status: 201, calls: 1 }
  if (point === 'answered') return { word: 'replayed', status: 201, calls: 1 }
  return UNKNOWN_AT[policy]
}

const cases = POLICIES.flatMap((policy) =>
  POINTS.map((point) => ({ policy, point, expected: expectedAt(policy, point) })),
)
const pauses = ['hold', 'probe', 'resend'] as const
const body = '{"amount":1}'

let origin: Origin
let gateway: BareGateway
/** Calls of the operations between two calls, when the gateway was killed. */
const callsBefore = new Map<string, number>()
const pathOf = (policy: string, point: string) => `/${policy}/${point}`
const send = (where: string): Promise<Answer> => gateway.send({ path: where, key: where, body })

/** Retries what the alarm may ask about as well: a retry that joins that is sent once more. */
async function retryBesideAlarm(where: string): Promise<Answer> {
  const retry = await send(where)
  return headerOf(retry, 'Idempotency-Status') === 'joined' ? send(where) : retry
}

/**
 * The status resource: `probe` operations were executed, `asked` ones were not. About the one that
 * no client comes back for it does not answer at first.
 */
function scriptStatus({ isAloneStalled }: { isAloneStalled: boolean }): void {
  origin.on('/status', ({ path: asked }) => {
    const key = new URL(asked, origin.url).searchParams.get('key')
    const made = origin.requests.find(({ headers }) => headers['idempotency-key'] === key)
    if (isAloneStalled && made?.path === '/probe/alone') {
      return { kind: 'stall', when: 'after-headers' }
    }
    const isKnown = made !== undefined && !made.path.startsWith('/asked')
    return isKnown ? json(200, { found: true }) : json(404, {})
  })
}

/** Sends the headers of a request and half of its body. */
async function sendHalf(where: string): Promise<Socket> {
  const socket = connect(Number(new URL(gateway.url).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.on('error', () => {})
  socket.write(
    [
      `POST ${where} HTTP/1.1`,
      'Host: gateway.test',
      'Authorization: Bearer demo',
      'Content-Type: application/json',
      `Idempotency-Key: ${where}`,
      `Content-Length: ${body.length}`,
      '',
      body.slice(0, 4),
    ].join('\r\n'),
  )
  return socket
}

/** Brings an operation to its point. Resolves when it stands there. */
async function bringTo(policy: Policy, point: Point): Promise<void> {
  const where = pathOf(policy, point)
  switch (point) {
    case 'upload':
      await sendHalf(where)
      return
    case 'answered':
      await send(where)
      return
    case 'sent':
      origin.hold(where)
      break
    case 'waiter':
      origin.hold(where)
      void send(where)
      break
    case 'headers':
      origin.on(where, { kind: 'stall', when: 'after-headers' })
      break
    case 'mid-body':
      origin.on(where, { kind: 'stall', when: 'mid-body' })
      break
  }
  void send(where)
  await origin.received(where)
}

beforeAll(async () => {
  origin = await startOrigin()
  gateway = await startBareGateway({ origin })
  scriptStatus({ isAloneStalled: true })
  await Promise.all(cases.map(({ policy, point }) => bringTo(policy, point)))
  origin.on('/durable/alone', (_, nth) =>
    nth === 1 ? { kind: 'stall', when: 'after-headers' } : json(201, { nth }),
  )
  void send('/durable/alone')
  origin.hold('/probe/alone')
  void send('/probe/alone')
  for (const policy of pauses) {
    origin.on(`/${policy}-pause`, (_, nth) => json(503, { nth }))
    void send(`/${policy}-pause`)
  }
  await Promise.all(
    ['/durable/alone', '/probe/alone', ...pauses.map((policy) => `/${policy}-pause`)].map((where) =>
      origin.received(where),
    ),
  )

  await Promise.all(
    pauses.map((policy) =>
      recordIs(
        gateway.state,
        `POST /${policy}-pause`,
        ({ attempts }) => attempts[0]?.outcome !== null,
      ),
    ),
  )

  await gateway.kill()
  for (const policy of pauses) {
    // A pause is up to a minute by chance, so one more call may have come before the kill.
    const where = `/${policy}-pause`
    callsBefore.set(policy, origin.requestsTo(where).length)
    origin.on(where, (_, nth) => json(201, { nth }))
  }
  for (const { policy, point } of cases) {
    origin.on(pathOf(policy, point), (_, nth) => json(201, { nth }))
  }
  await gateway.restart()
  // The alarm asks about these as well, of its own accord: a retry that comes while it does would
  // wait for that, and be told that it has joined.
  const claimed = POINTS.filter((point) => point !== 'upload')
  const settled = { state: 'succeeded', count: claimed.length }
  await recordsAre(gateway.state, 'POST /probe/:point', settled)
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

describe('after SIGKILL and a restart on the same state', () => {
  it.each(cases)(
    'an operation lost at $point under $policy is $expected.word on its retry',
    async ({ policy, point, expected }) => {
      const where = pathOf(policy, point)
      const retry = await send(where)
      expect(retry).toMatchObject({ kind: 'answered', status: expected.status })
      expect(headerOf(retry, 'Idempotency-Status')).toBe(expected.word)
      const again = await send(where)
      const word = expected.word === 'executed' ? 'replayed' : expected.word
      expect(headerOf(again, 'Idempotency-Status')).toBe(word)
      expect(origin.requestsTo(where)).toHaveLength(expected.calls)
    },
  )

  it.each(pauses)(
    'an operation lost between two calls under %s runs again, since the first was not executed',
    async (policy) => {
      const retry = await send(`/${policy}-pause`)
      expect(headerOf(retry, 'Idempotency-Status')).toBe('executed')
      const calls = (callsBefore.get(policy) ?? 0) + 1
      expect(origin.requestsTo(`/${policy}-pause`)).toHaveLength(calls)
    },
  )

  it('what is stored is sent again by the alarm, without any client', async () => {
    const second = await origin.received('/durable/alone', 2)
    expect(second.body.toString()).toBe(body)
    expect(second.headers['idempotency-attempt']).toBe('2')
    const retry = await send('/durable/alone')
    expect(retry).toMatchObject({ status: 201, body: '{"nth":2}' })
    expect(origin.requestsTo('/durable/alone')).toHaveLength(2)
  })

  it('what can be asked for is asked for by the alarm, also when it is lost in the middle of that', async () => {
    const [first] = origin.requestsTo('/probe/alone')
    const key = first?.headers['idempotency-key']
    const asked = () =>
      origin.requestsTo('/status').filter(({ path: query }) => query.endsWith(`=${String(key)}`))
    const isAsked = async (times: number) => {
      for (let nth = 1; asked().length < times; nth++) await origin.received('/status', nth)
    }
    await isAsked(1)
    await gateway.kill()
    scriptStatus({ isAloneStalled: false })
    const before = asked().length
    await gateway.restart()
    await isAsked(before + 1)
    const retry = await retryBesideAlarm('/probe/alone')
    expect(headerOf(retry, 'Idempotency-Status')).toBe('replayed')
    expect(retry).toMatchObject({ status: 200, body: '{"found":true}' })
    expect(origin.requestsTo('/probe/alone')).toHaveLength(1)
  })
})

describe('a kill at any moment of a call', () => {
  /** Calls of the origin at the most: only resend may make a second one. */
  const MOST_CALLS = { hold: 1, probe: 1, resend: 2 } as const

  // From before the claim to behind the settle: the origin answers at once, the kill comes anywhere.
  it.each([0, 2, 4, 7, 11, 16, 23, 40])(
    'after %i ms never executes twice and never loses what a client has seen',
    async (delayMs) => {
      const operations = (['hold', 'probe', 'resend'] as const).flatMap((policy) =>
        Array.from({ length: 5 }, (_, index) => ({
          where: pathOf(policy, `kill-${delayMs}-${index}`),
          mostCalls: MOST_CALLS[policy],
        })),
      )
      const seen = new Map<string, Answer>()
      const sent = operations.map(async ({ where }) => seen.set(where, await send(where)))
      await new Promise((resolve) => setTimeout(resolve, delayMs))
      await gateway.restart()
      await Promise.all(sent)
      for (const { where, mostCalls } of operations) {
        const calls = origin.requestsTo(where).length
        const first = seen.get(where)
        const hasSeen = first?.kind === 'answered' && first.status === 201
        const retry = await (hasSeen ? send(where) : retryBesideAlarm(where))
        const word = headerOf(retry, 'Idempotency-Status') ?? ''
        expect(hasSeen ? ['replayed'] : ['executed', 'replayed', 'unknown']).toContain(word)
        expect(retry).toMatchObject(hasSeen ? { body: first.body } : {})
        expect(origin.requestsTo(where)).toHaveLength(word === 'executed' ? calls + 1 : calls)
        expect(origin.requestsTo(where).length).toBeLessThanOrEqual(mostCalls)
      }
    },
  )
})
