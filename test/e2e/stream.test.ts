import { createHash } from 'node:crypto'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type BareGateway, startBareGateway } from './bare.ts'
import { openRaw, type RawExchange, rawStatus, rawValue, sendRaw } from './raw-client.ts'
import { json, type Origin, startOrigin } from './server.ts'
import { readBodyRows, recordsAre } from './state.ts'

const MIB = 1_048_576
const eventStream = { 'Content-Type': 'text/event-stream' }
const body = '{"amount":1}'

let origin: Origin
let gateway: BareGateway

beforeAll(async () => {
  origin = await startOrigin()
  gateway = await startBareGateway({ origin })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

/** Sends the request of a path; every path is one operation. */
function open(where: string): RawExchange {
  return openRaw(gateway.url, { path: where, key: where, body })
}

async function wordOf(exchange: RawExchange): Promise<string | undefined> {
  return rawValue(await exchange.head, 'Idempotency-Status')
}

/** Sends the request again and tells how it is refused. */
async function retryOf(where: string) {
  const answer = await sendRaw(gateway.url, { path: where, key: where, body })
  const problem = rawValue(answer, 'Hapax-Error')
  return { status: rawStatus(answer), problem, calls: origin.requestsTo(where).length }
}

/** Bytes of every value, always the same ones. */
function bytesOf(length: number): Buffer {
  const bytes = Buffer.alloc(length)
  for (let at = 0, state = 1; at < length; at++) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223
    bytes[at] = state >>> 24
  }
  return bytes
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

describe('an answer that the origin streams', () => {
  it('reaches the first client chunk by chunk, and a duplicate from its beginning; then it is replayed', async () => {
    const where = '/stream/live'
    const answer = origin.stream(where, { headers: eventStream })
    const first = open(where)
    await answer.write('data: one\n\n')
    expect(await first.bodyAt(11)).toBe('data: one\n\n')
    expect(await wordOf(first)).toBe('executed')

    const joined = open(where)
    expect(await wordOf(joined)).toBe('joined')
    expect(await joined.bodyAt(11)).toBe('data: one\n\n')
    await answer.write('data: two\n\n')
    expect(await first.bodyAt(22)).toBe('data: one\n\ndata: two\n\n')
    expect(await joined.bodyAt(22)).toBe('data: one\n\ndata: two\n\n')
    await answer.end()

    const [whole, follower] = await Promise.all([first.ended, joined.ended])
    const replay = await sendRaw(gateway.url, { path: where, key: where, body })
    for (const { isWhole } of [whole, follower, replay]) expect(isWhole).toBe(true)
    expect(whole.body.toString()).toBe('data: one\n\ndata: two\n\n')
    expect(follower.body).toEqual(whole.body)
    expect(replay.body).toEqual(whole.body)
    expect(rawValue(whole, 'Content-Type')).toBe('text/event-stream')
    expect(rawValue(replay, 'Content-Type')).toBe('text/event-stream')
    expect(rawValue(replay, 'Idempotency-Status')).toBe('replayed')
    expect(origin.requestsTo(where)).toHaveLength(1)
  })

  it('lets a client see its head before there is any body', async () => {
    const where = '/stream/head'
    const answer = origin.stream(where, { status: 202, headers: eventStream })
    const first = open(where)
    const head = await first.head
    expect([rawStatus(head), rawValue(head, 'Content-Type')]).toEqual([202, 'text/event-stream'])
    await answer.end()
    expect(await first.ended).toMatchObject({ isWhole: true, body: Buffer.alloc(0) })
    expect(await sendRaw(gateway.url, { path: where, key: where, body })).toMatchObject({
      statusLine: 'HTTP/1.1 202 Accepted',
      isWhole: true,
      body: Buffer.alloc(0),
    })
  })

  it('is recorded to its end when the client is gone in mid-stream', async () => {
    const where = '/stream/gone'
    const answer = origin.stream(where, { headers: eventStream })
    const first = open(where)
    await answer.write('data: one\n\n')
    await first.bodyAt(11)
    first.hangUp()
    // More than any buffer on the way to a client holds.
    const piece = bytesOf(65_536)
    for (let nth = 0; nth < 48; nth++) await answer.write(piece)
    await answer.end()

    const retry = await open(where).ended
    expect(retry.isWhole).toBe(true)
    expect(hashOf(retry.body)).toBe(
      hashOf(Buffer.concat([Buffer.from('data: one\n\n'), ...Array<Buffer>(48).fill(piece)])),
    )
    expect(await wordOf(open(where))).toBe('replayed')
    expect(origin.requestsTo(where)).toHaveLength(1)
  })

  it('goes on to a duplicate when the first client is gone', async () => {
    const where = '/stream/left-alone'
    const answer = origin.stream(where, { headers: eventStream })
    const first = open(where)
    await answer.write('data: one\n\n')
    await first.bodyAt(11)
    const joined = open(where)
    await joined.bodyAt(11)
    first.hangUp()
    await answer.write('data: two\n\n')
    expect(await joined.bodyAt(22)).toBe('data: one\n\ndata: two\n\n')
    await answer.end()
    expect(await joined.ended).toMatchObject({ isWhole: true })
    expect(origin.requestsTo(where)).toHaveLength(1)
  })

  it.each([
    { name: 'chunked', headers: eventStream },
    { name: 'declared', headers: { 'Content-Length': String(4 * MIB) } },
  ])('and breaks off does so for both clients, and is never replayed, $name', async (framing) => {
    const where = `/stream/broken-${framing.name}`
    const answer = origin.stream(where, { headers: framing.headers })
    const first = open(where)
    // So much that a part of it is in a row already.
    const half = bytesOf(MIB + 1)
    await answer.write(half)
    const joined = open(where)
    await Promise.all([first.bodyAt(half.length), joined.bodyAt(half.length)])
    expect(await wordOf(joined)).toBe('joined')
    await answer.breakOff()

    for (const broken of await Promise.all([first.ended, joined.ended])) {
      expect(broken.isWhole).toBe(false)
      expect(hashOf(broken.body)).toBe(hashOf(half))
    }
    expect(await retryOf(where)).toEqual({ status: 409, problem: 'outcome-unknown', calls: 1 })
  })

  it('and falls silent for longer than the route allows breaks off', async () => {
    const where = '/silent'
    const answer = origin.stream(where, { headers: eventStream })
    const first = open(where)
    await answer.write('data: one\n\n')
    expect(await first.ended).toMatchObject({ isWhole: false, body: Buffer.from('data: one\n\n') })
    expect(await retryOf(where)).toEqual({ status: 409, problem: 'outcome-unknown', calls: 1 })
  })

  it.each([
    { name: 'in its first chunk', pieces: [5_000] },
    { name: 'later', pieces: [999, 1, 1, 200_000] },
  ])('and goes over the limit $name reaches the first client whole, once', async (over) => {
    const where = `/small/over-${over.pieces.length}`
    const answer = origin.stream(where, { headers: eventStream })
    const first = open(where)
    const pieces = over.pieces.map((length) => bytesOf(length))
    for (const piece of pieces) await answer.write(piece)
    await answer.end()
    const whole = await first.ended
    expect(whole.isWhole).toBe(true)
    expect(hashOf(whole.body)).toBe(hashOf(Buffer.concat(pieces)))
    expect(await retryOf(where)).toEqual({ status: 409, problem: 'snapshot-too-large', calls: 1 })
  })

  it('and has exactly the limit is kept', async () => {
    const where = '/small/at-the-limit'
    const answer = origin.stream(where, { headers: eventStream })
    const first = open(where)
    await answer.write(bytesOf(1_000))
    await answer.end()
    await first.ended
    const replay = open(where)
    expect(await wordOf(replay)).toBe('replayed')
    expect(hashOf((await replay.ended).body)).toBe(hashOf(bytesOf(1_000)))
  })

  it.each([
    { where: '/large', headers: { 'Content-Length': String(20 * MIB) } },
    { where: '/chunked-large', headers: {} },
  ])('of 20 MiB is kept in rows and replayed to the byte, $where', async ({ where, headers }) => {
    const sent = bytesOf(20 * MIB)
    const answer = origin.stream(where, { headers })
    const first = open(where)
    await answer.write(sent.subarray(0, 3 * MIB))
    const joined = open(where)
    expect(await wordOf(joined)).toBe('joined')
    await answer.write(sent.subarray(3 * MIB))
    await answer.end()
    const both = await Promise.all([first.ended, joined.ended])
    const replay = open(where)
    expect(await wordOf(replay)).toBe('replayed')
    for (const { isWhole, body: received } of [...both, await replay.ended]) {
      expect(isWhole).toBe(true)
      expect(hashOf(received)).toBe(hashOf(sent))
    }
    const rows = readBodyRows(gateway.state, `POST ${where}`)
    expect(rows.reduce((sum, size) => sum + size, 0)).toBe(20 * MIB)
    expect(Math.max(...rows)).toBeLessThanOrEqual(MIB)
    expect(origin.requestsTo(where)).toHaveLength(1)
  })
})

describe('after SIGKILL in mid-stream and a restart on the same state', () => {
  const half = bytesOf(2 * MIB + 5)
  const after = bytesOf(3 * MIB)
  // Each with rows of a body that never ended, but for `brief`, which was too short for one.
  const lost = ['/hold/brief', '/hold/stream', '/resend/stream', '/asked/stream', '/probe/stream']
  const broken: { isWhole: boolean }[] = []

  beforeAll(async () => {
    origin.on('/status', ({ path: asked }) => {
      const key = new URL(asked, origin.url).searchParams.get('key')
      const made = origin.requests.find(({ headers }) => headers['idempotency-key'] === key)
      return made?.path.startsWith('/asked') ? json(404, {}) : json(200, { found: true })
    })
    const exchanges = await Promise.all(
      [...lost, '/durable/stream'].map(async (where) => {
        const answer = origin.stream(where, { headers: eventStream })
        const first = open(where)
        const sent = where === '/hold/brief' ? half.subarray(0, 9) : half
        await answer.write(sent)
        await first.bodyAt(sent.length)
        return first
      }),
    )
    await gateway.kill()
    broken.push(...(await Promise.all(exchanges.map(({ ended }) => ended))))
    for (const where of [...lost, '/durable/stream']) {
      origin.on(where, { kind: 'respond', headers: eventStream, body: after })
    }
    await gateway.restart()
  })

  it('every client has seen its body break off', () => {
    expect(broken.map(({ isWhole }) => isWhole)).toEqual(Array(6).fill(false))
  })

  it.each(['/hold/brief', '/hold/stream'])(
    'what stood at %s is unknown, and half of it is never replayed',
    async (where) => {
      expect(await retryOf(where)).toEqual({ status: 409, problem: 'outcome-unknown', calls: 1 })
    },
  )

  it.each([
    { where: '/resend/stream', why: 'since the origin knows repeats' },
    { where: '/asked/stream', why: 'since the origin does not know it' },
  ])('what stood at $where runs again and is kept whole, $why', async ({ where }) => {
    const again = open(where)
    expect(await wordOf(again)).toBe('executed')
    expect(hashOf((await again.ended).body)).toBe(hashOf(after))
    const replay = open(where)
    expect(await wordOf(replay)).toBe('replayed')
    expect(hashOf((await replay.ended).body)).toBe(hashOf(after))
    expect(origin.requestsTo(where)).toHaveLength(2)
  })

  it('what the status resource tells is kept in place of the half', async () => {
    const where = '/probe/stream'
    // The alarm asks of its own accord: a retry that comes while it does would only have joined.
    await recordsAre(gateway.state, 'POST /probe/:point', { state: 'succeeded', count: 1 })
    const retry = open(where)
    expect(await wordOf(retry)).toBe('replayed')
    expect((await retry.ended).body.toString()).toBe('{"found":true}')
    expect((await open(where).ended).body.toString()).toBe('{"found":true}')
    expect(readBodyRows(gateway.state, 'POST /probe/:point')).toEqual([14])
    expect(origin.requestsTo(where)).toHaveLength(1)
  })

  it('what is stored is sent again by the alarm and kept whole', async () => {
    const where = '/durable/stream'
    await origin.received(where, 2)
    const retry = await open(where).ended
    expect({ isWhole: retry.isWhole, hash: hashOf(retry.body) }).toEqual({
      isWhole: true,
      hash: hashOf(after),
    })
    expect(await wordOf(open(where))).toBe('replayed')
    expect(origin.requestsTo(where)).toHaveLength(2)
  })

  it('20 MiB that were kept before are replayed to the byte', async () => {
    const replay = open('/large')
    expect(await wordOf(replay)).toBe('replayed')
    expect(hashOf((await replay.ended).body)).toBe(hashOf(bytesOf(20 * MIB)))
    expect(origin.requestsTo('/large')).toHaveLength(1)
  })
})
