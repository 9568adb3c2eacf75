import {
  abortAllDurableObjects,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { concat } from '../../src/core/bytes.ts'
import {
  createGateway,
  credential,
  type IdempotencyObject,
  idempotent,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { listKeys } from './bucket.ts'
import { idOf, objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const MIB = 1_048_576
const HOUR_MS = 3_600_000
const SEALING = { HAPAX_SEAL_KEY: 'a secret of thirty-two characters' }

/** Moves the clock of Worker and objects; timers run on. */
function advance(ms: number): void {
  const now = Date.now()
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(now + ms)
}

/** Several pieces of the same digit, so that a mixture of two shows. */
const bodyOf = (digit: number) => new Uint8Array(4 * MIB).fill(48 + digit)

/** An origin whose every answer is another one: all `1`, then all `2`, … */
function playCountingOrigin(headers: Record<string, string> = {}) {
  let count = 0
  return playOrigin(() => new Response(bodyOf((count += 1)), { status: 201, headers }))
}

function clientWith(policy: PolicyOptions = {}) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/exports', protect({ limits: { response: 16 * MIB }, retention: '1h', ...policy }))
  return clientOf(app, '/exports', { isWaiting: false })
}

/** A reader that has begun, and takes the rest when it is told to. */
async function begin(response: Response) {
  const reader = response.body?.getReader()
  if (reader === undefined) throw new Error('The answer has no body.')
  const chunks: Uint8Array[] = []
  const { value } = await reader.read()
  if (value !== undefined) chunks.push(value)
  return {
    leave: () => reader.cancel(),
    async readOn(): Promise<Uint8Array> {
      for (;;) {
        const { done, value: chunk } = await reader.read()
        if (done) return concat(chunks)
        chunks.push(chunk)
      }
    },
  }
}

/** The digits of a body, each run of the same digit as one, and how long it is. */
function summary(bytes: Uint8Array): [string, number] {
  const digits = bytes.filter((byte, at) => byte !== bytes[at - 1])
  return [new TextDecoder().decode(digits), bytes.byteLength]
}

async function readWhole(response: Response): Promise<[string, number]> {
  return summary(new Uint8Array(await response.arrayBuffer()))
}

/** How many generations there are pieces of in the rows of an object; none where it has no tables. */
async function countGenerations(key: string): Promise<number> {
  const object = await objectOf(key)
  return runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) => {
    const [table] = sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'body'")
    if (table === undefined) return 0
    return sql.exec('SELECT DISTINCT operation_id, belongs_to FROM body').toArray().length
  })
}

/** Epoch milliseconds until which the result of a key is remembered. */
async function readExpiry(key: string): Promise<number> {
  const object = await objectOf(key)
  return runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) => {
    const row = sql.exec<{ record: string }>('SELECT record FROM operation').one()
    return (JSON.parse(row.record) as { expiresAt: number }).expiresAt
  })
}

/** What a repeat is told; of its body it takes nothing. */
async function wordOf(answer: Promise<Response>): Promise<string | null> {
  const response = await answer
  await response.body?.cancel()
  return word(response)
}

const countObjects = async () => (await listKeys()).length

async function readAlarm(key: string): Promise<number | null> {
  const object = await objectOf(key)
  return runInDurableObject(object, (_: IdempotencyObject, state) => state.storage.getAlarm())
}

describe('an answer that is read while its key expires and executes again', () => {
  it.each([
    { name: 'in rows', policy: {} },
    { name: 'sealed', policy: { snapshot: { seal: true } } },
    { name: 'spilled', policy: { snapshot: { spill: MIB } } },
    { name: 'spilled and sealed', policy: { snapshot: { spill: MIB, seal: true } } },
  ] satisfies { name: string; policy: PolicyOptions }[])(
    'is the old one to its end, $name, and goes when nobody reads it any more',
    async ({ name, policy }) => {
      const origin = playCountingOrigin()
      const send = clientWith(policy)
      const key = `read-on-${name.replaceAll(' ', '-')}`
      const before = await countObjects()
      await readWhole(await send(key, { env: SEALING }))
      const replay = await send(key, { env: SEALING })
      expect(word(replay)).toBe('replayed')
      const slow = await begin(replay)

      advance(2 * HOUR_MS)
      const again = await send(key, { env: SEALING })
      expect([word(again), await readWhole(again)]).toEqual(['executed', ['2', 4 * MIB]])
      await until(async () => (await wordOf(send(key, { env: SEALING }))) === 'replayed')
      expect(await countGenerations(key)).toBe(2)

      expect(summary(await slow.readOn())).toEqual(['1', 4 * MIB])
      await until(async () => (await countGenerations(key)) === 1)
      const newest = await send(key, { env: SEALING })
      expect([word(newest), await readWhole(newest)]).toEqual(['replayed', ['2', 4 * MIB]])
      const spilledCount = policy.snapshot && 'spill' in policy.snapshot ? 4 : 0
      await until(async () => (await countObjects()) === before + spilledCount)
      expect(origin.requests).toHaveLength(2)
    },
  )

  it('outlives its operation and the storage that is given back with it', async () => {
    playCountingOrigin()
    const send = clientWith()
    await readWhole(await send('outlives'))
    const slow = await begin(await send('outlives'))
    advance(2 * HOUR_MS)
    await runDurableObjectAlarm(await objectOf('outlives'))
    expect(await countGenerations('outlives')).toBe(1)
    expect(await readAlarm('outlives')).toBeGreaterThan(Date.now() + 1_000)
    expect(summary(await slow.readOn())).toEqual(['1', 4 * MIB])
    await until(async () => (await countGenerations('outlives')) === 0)
    await until(async () => (await readAlarm('outlives')) === null)
  })

  it('goes at once when its reader leaves', async () => {
    playCountingOrigin()
    const send = clientWith()
    await readWhole(await send('leaves'))
    const slow = await begin(await send('leaves'))
    advance(2 * HOUR_MS)
    await runDurableObjectAlarm(await objectOf('leaves'))
    expect(await countGenerations('leaves')).toBe(1)
    await slow.leave()
    await until(async () => (await countGenerations('leaves')) === 0)
  })

  it('is cleaned up by the alarm when its object crashed before', async () => {
    playCountingOrigin()
    const send = clientWith()
    await readWhole(await send('crashed'))
    const slow = await begin(await send('crashed'))
    advance(2 * HOUR_MS)
    await readWhole(await send('crashed'))
    expect(await countGenerations('crashed')).toBe(2)
    await abortAllDurableObjects()
    await expect(slow.readOn()).rejects.toThrow(Error)
    expect(await countGenerations('crashed')).toBe(2)
    advance(61_000)
    await runDurableObjectAlarm(await objectOf('crashed'))
    expect(await countGenerations('crashed')).toBe(1)
    expect(await readWhole(await send('crashed'))).toEqual(['2', 4 * MIB])
  })
})

describe('an answer that its own client still reads', () => {
  it('does not expire, and is remembered from then on for as long as the route says', async () => {
    const origin = playCountingOrigin()
    const send = clientWith()
    const slow = await begin(await send('own'))
    await until(async () => (await wordOf(send('own'))) === 'replayed')
    advance(3 * HOUR_MS)
    await runDurableObjectAlarm(await objectOf('own'))
    expect(await readAlarm('own')).toBeGreaterThan(Date.now() + 1_000)
    expect(await wordOf(send('own'))).toBe('replayed')
    expect(summary(await slow.readOn())).toEqual(['1', 4 * MIB])

    advance(HOUR_MS - 1_000)
    expect(await wordOf(send('own'))).toBe('replayed')
    // What is still on its way to a slow client is allowed for, with a minute at the most.
    advance(62_000)
    expect(await wordOf(send('own'))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('is remembered from when that client has left', async () => {
    const origin = playCountingOrigin({ 'Idempotency-Store': 'max-age=60' })
    const send = clientWith()
    const slow = await begin(await send('left'))
    await until(async () => (await wordOf(send('left'))) === 'replayed')
    const settledExpiry = await readExpiry('left')
    advance(HOUR_MS)
    await slow.leave()
    await until(async () => (await readExpiry('left')) > settledExpiry)
    advance(59_000)
    expect(await wordOf(send('left'))).toBe('replayed')
    advance(2_000)
    expect(await wordOf(send('left'))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('is remembered while its last bytes are on their way, though nothing of it is kept', async () => {
    const origin = playCountingOrigin({ 'Idempotency-Store': 'max-age=1' })
    const send = clientWith({ limits: { response: MIB } })
    const slow = await begin(await send('over'))
    advance(5_000)
    expect(summary(await slow.readOn())).toEqual(['1', 4 * MIB])
    await until(async () => (await wordOf(send('over'))) === 'too-large')
    expect(await countGenerations('over')).toBe(0)
    advance(10_000)
    expect(await wordOf(send('over'))).toBe('too-large')
    advance(3_000)
    expect(await wordOf(send('over'))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('counts from settling after a crash', async () => {
    const origin = playCountingOrigin()
    const send = clientWith()
    const slow = await begin(await send('own-crashed'))
    await until(async () => (await wordOf(send('own-crashed'))) === 'replayed')
    await abortAllDurableObjects()
    await expect(slow.readOn()).rejects.toThrow(Error)
    advance(HOUR_MS - 1_000)
    expect(await wordOf(send('own-crashed'))).toBe('replayed')
    advance(2_000)
    expect(await wordOf(send('own-crashed'))).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })
})

describe('an operator and an answer of several pieces', () => {
  const operate = async (key: string, action: Parameters<IdempotencyObject['operate']>[1]) =>
    (await objectOf(key)).operate(await idOf(key), action)

  function streamingClient() {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    const app = createGateway({ tenant: credential('Authorization') })
    const headers = { 'Content-Type': 'text/event-stream' }
    app.post('/chat', idempotent(), () => new Response(readable, { headers }))
    return { writer, send: clientOf(app, '/chat', { isWaiting: false }) }
  }

  it('erases it under its readers, who get all of it', async () => {
    playCountingOrigin()
    const send = clientWith()
    const first = await begin(await send('erased'))
    await until(async () => (await wordOf(send('erased'))) === 'replayed')
    const second = await begin(await send('erased'))
    expect(await operate('erased', { kind: 'erase' })).toMatchObject({ kind: 'done' })
    expect(await readWhole(await send('erased'))).toEqual(['2', 4 * MIB])
    expect(summary(await first.readOn())).toEqual(['1', 4 * MIB])
    expect(summary(await second.readOn())).toEqual(['1', 4 * MIB])
    await until(async () => (await countGenerations('erased')) === 1)
  })

  it('does not erase it while it is recorded', async () => {
    const { send, writer } = streamingClient()
    const first = await send('recorded')
    await writer.write(bodyOf(1))
    expect(await operate('recorded', { kind: 'erase' })).toMatchObject({ kind: 'refused' })
    const reading = readWhole(first)
    await writer.close()
    expect(await reading).toEqual(['1', 4 * MIB])
    expect(await readWhole(await send('recorded'))).toEqual(['1', 4 * MIB])
  })

  it('resolves one that broke off: nobody gets parts of both', async () => {
    const { send, writer } = streamingClient()
    const first = await send('resolved')
    await writer.write(bodyOf(1))
    const slow = await begin(first)
    await writer.abort(new Error('the origin is gone'))
    await until(async () => (await wordOf(send('resolved'))) === 'unknown')
    const body = bodyOf(7)
    const done = await operate('resolved', {
      kind: 'resolve',
      outcome: 'succeeded',
      status: 200,
      headers: [],
      body,
    })
    expect(done).toMatchObject({ kind: 'done' })
    await expect(slow.readOn()).rejects.toThrow(Error)
    expect(await readWhole(await send('resolved'))).toEqual(['7', 4 * MIB])
    await until(async () => (await countGenerations('resolved')) === 1)
  })
})

describe('a settle that names pieces which are no longer there', () => {
  it('is refused: the outcome is unknown, and half an answer is never replayed', async () => {
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    const app = createGateway({ tenant: credential('Authorization') })
    const headers = { 'Content-Type': 'text/event-stream' }
    app.post('/chat', idempotent(), () => new Response(readable, { headers }))
    const send = clientOf(app, '/chat', { isWaiting: false })
    const reading = readWhole(await send('gone'))
    await writer.write(bodyOf(1))
    await until(async () => (await countGenerations('gone')) === 1)
    await runInDurableObject(await objectOf('gone'), (_: IdempotencyObject, { storage }) => {
      storage.sql.exec('DELETE FROM body WHERE part = 0')
    })
    await writer.close()
    await reading
    await until(async () => (await wordOf(send('gone'))) === 'unknown')
    expect(await countGenerations('gone')).toBe(0)
  })
})

describe('an answer that an earlier version has stored', () => {
  it('is replayed, and goes with its operation', async () => {
    const origin = playCountingOrigin()
    const send = clientWith()
    await readWhole(await send('earlier'))
    await runInDurableObject(await objectOf('earlier'), (_: IdempotencyObject, { storage }) => {
      storage.sql.exec("UPDATE body SET belongs_to = 'response'")
      storage.sql.exec("UPDATE operation SET record = json_remove(record, '$.generation')")
    })
    await evictDurableObject(await objectOf('earlier'))
    expect(await readWhole(await send('earlier'))).toEqual(['1', 4 * MIB])
    const slow = await begin(await send('earlier'))
    advance(2 * HOUR_MS)
    expect(await readWhole(await send('earlier'))).toEqual(['2', 4 * MIB])
    expect(summary(await slow.readOn())).toEqual(['1', 4 * MIB])
    await until(async () => (await countGenerations('earlier')) === 1)
    expect(origin.requests).toHaveLength(2)
  })
})
