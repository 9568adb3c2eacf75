import {
  abortAllDurableObjects,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'

import type { IdempotencyObject } from '../../src/hapax.ts'
import { objectOf, send } from './client.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const created = () => Response.json({ id: 'pay_1' }, { status: 201 })
const hours = (count: number) => count * 3_600_000

/** Moves the clock of Worker and objects; timers run on. */
function advance(ms: number): void {
  const now = Date.now()
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(now + ms)
}

/** Every text that is stored in the object of a key, its tables by name. */
async function readStorage(key: string): Promise<Record<string, string>> {
  const object = await objectOf(key)
  return runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) => {
    const tables = sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'")
    const names = Array.from(tables, ({ name }) => name).filter((name) => !name.startsWith('_cf_'))
    const dump = (name: string) => JSON.stringify(sql.exec(`SELECT * FROM ${name}`).toArray())
    return Object.fromEntries(names.map((name) => [name, dump(name)]))
  })
}

async function readAlarm(key: string): Promise<number | null> {
  const object = await objectOf(key)
  return runInDurableObject(object, (_: IdempotencyObject, state) => state.storage.getAlarm())
}

describe('IdempotencyObject', () => {
  it('has the claim on disk before the origin is called', async () => {
    const origin = playOrigin(async () => {
      expect(await readStorage('durable')).toMatchObject({
        operation: expect.stringContaining('in_progress'),
      })
      return created()
    })
    expect((await send({ key: 'durable' })).status).toBe(201)
    expect(origin.requests).toHaveLength(1)
  })

  it('replays from disk after it was evicted from memory', async () => {
    const origin = playOrigin(created)
    const first = await (await send({ key: 'evicted' })).text()
    await evictDurableObject(await objectOf('evicted'))
    const again = await send({ key: 'evicted' })
    expect(again.headers.get('Idempotency-Status')).toBe('replayed')
    expect(await again.text()).toBe(first)
    expect(origin.requests).toHaveLength(1)
  })

  it('lets a hundred duplicates wait for one call', async () => {
    const origin = playSlowOrigin(created)
    const answers = Array.from({ length: 100 }, () => send({ key: 'storm' }))
    await origin.asked()
    origin.release()
    const responses = await Promise.all(answers)
    const words = responses.map(({ headers }) => headers.get('Idempotency-Status'))
    expect(words.filter((word) => word === 'executed')).toHaveLength(1)
    expect(words.filter((word) => word === 'joined' || word === 'replayed')).toHaveLength(99)
    expect(origin.requests).toHaveLength(1)
  })

  it('turns duplicates away when more than 256 wait already', async () => {
    const origin = playSlowOrigin(created)
    const answers = Array.from({ length: 300 }, () => send({ key: 'crowd' }))
    await origin.asked()
    await until(async () => {
      const words = await Promise.all(
        answers.map((answer) => Promise.race([answer, Promise.resolve(null)])),
      )
      return words.filter((response) => response?.status === 409).length === 43
    })
    origin.release()
    const statuses = (await Promise.all(answers)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 201)).toHaveLength(257)
  })

  it('says mismatch while the first request still runs', async () => {
    const origin = playSlowOrigin(created)
    const first = send({ key: 'early-mismatch' })
    await origin.asked()
    const other = await send({ key: 'early-mismatch', body: '{"amount":2}' })
    expect(other.headers.get('Hapax-Error')).toBe('key-reused')
    origin.release()
    expect((await first).status).toBe(201)
    expect(origin.requests).toHaveLength(1)
  })

  it('knows at once that a claim is an orphan when the object has restarted, and holds it', async () => {
    const origin = playSlowOrigin(created)
    const first = send({ key: 'orphan' })
    await origin.asked()
    await abortAllDurableObjects()
    expect((await first).headers.get('Hapax-Error')).toBe('store-unavailable')
    const retry = await send({ key: 'orphan' })
    expect(retry.status).toBe(409)
    expect(retry.headers.get('Hapax-Error')).toBe('outcome-unknown')
    origin.release()
    expect((await send({ key: 'orphan' })).headers.get('Hapax-Error')).toBe('outcome-unknown')
    expect(origin.requests).toHaveLength(1)
  })

  it('sends an orphan again, as the next attempt, where the route says resend', async () => {
    const origin = playSlowOrigin(created)
    const first = send({ key: 'orphan-resend', path: '/tickets' })
    await origin.asked()
    await abortAllDurableObjects()
    await first
    origin.release()
    expect((await send({ key: 'orphan-resend', path: '/tickets' })).status).toBe(201)
    const attempts = origin.requests.map(({ headers }) => headers.get('Idempotency-Attempt'))
    const keys = origin.requests.map(({ headers }) => headers.get('Idempotency-Key'))
    expect(attempts).toEqual(['1', '2'])
    expect(new Set(keys).size).toBe(1)
  })

  it('marks an orphan by alarm, without any client', async () => {
    const origin = playSlowOrigin(created)
    const first = send({ key: 'orphan-alarm' })
    await origin.asked()
    await abortAllDurableObjects()
    await first
    advance(6_000)
    expect(await runDurableObjectAlarm(await objectOf('orphan-alarm'))).toBe(true)
    expect((await readStorage('orphan-alarm'))['operation']).toContain('owner-lost')
  })

  it('keeps a call that outlives its alarm', async () => {
    const origin = playSlowOrigin(created)
    const first = send({ key: 'slow' })
    await origin.asked()
    advance(6_000)
    await runDurableObjectAlarm(await objectOf('slow'))
    origin.release()
    expect((await first).status).toBe(201)
    expect((await send({ key: 'slow' })).headers.get('Idempotency-Status')).toBe('replayed')
  })

  it('forgets a settled operation when its retention is over, whether or not the alarm came', async () => {
    const origin = playOrigin(created)
    await send({ key: 'forgotten', path: '/tickets' })
    advance(hours(24) - 1_000)
    const before = await send({ key: 'forgotten', path: '/tickets' })
    advance(2_000)
    const after = await send({ key: 'forgotten', path: '/tickets' })
    expect(before.headers.get('Idempotency-Status')).toBe('replayed')
    expect(after.headers.get('Idempotency-Status')).toBe('executed')
    expect(origin.requests).toHaveLength(2)
  })

  it('refuses a late retry for as long as the tombstone stands, without the snapshot', async () => {
    const origin = playOrigin(created)
    await send({ key: 'late' })
    advance(hours(73))
    await runDurableObjectAlarm(await objectOf('late'))
    const late = await send({ key: 'late', body: '{"amount":2}' })
    expect(late.status).toBe(410)
    expect(late.headers.get('Hapax-Error')).toBe('key-expired')
    expect(await readStorage('late')).toEqual({ operation: expect.stringContaining('"body":null') })
    advance(hours(24 * 31))
    expect((await send({ key: 'late' })).status).toBe(201)
    expect(origin.requests).toHaveLength(2)
  })

  it('gives its whole storage back when nothing is remembered any more', async () => {
    playOrigin(created)
    await send({ key: 'cleaned', path: '/tickets' })
    expect(await readAlarm('cleaned')).toBeGreaterThan(Date.now())
    advance(hours(25))
    await runDurableObjectAlarm(await objectOf('cleaned'))
    expect(await readStorage('cleaned')).toEqual({})
    expect(await readAlarm('cleaned')).toBeNull()
    const again = await send({ key: 'cleaned', path: '/tickets' })
    expect(again.headers.get('Idempotency-Status')).toBe('executed')
  })

  it.each([401, 403, 429, 503])(
    'frees key and storage at once when the origin says %i',
    async (status) => {
      const key = `freed-${status}`
      const origin = playOrigin(() => new Response('no', { status }))
      const first = await send({ key })
      expect(first.status).toBe(status)
      expect(first.headers.get('Idempotency-Status')).toBe('not-executed')
      expect(await readStorage(key)).toEqual({})
      expect(await readAlarm(key)).toBeNull()
      await send({ key, body: '{"amount":2}' })
      expect(origin.requests).toHaveLength(2)
    },
  )

  it('stores neither the key, nor the credential, nor the request', async () => {
    playOrigin(created)
    await send({ key: 'marked-key-0815', body: '{"secret":"marked-body-4711"}' })
    const stored = JSON.stringify(await readStorage('marked-key-0815'))
    expect(stored).toContain('POST /payments')
    expect(stored).not.toContain('marked-key-0815')
    expect(stored).not.toContain('marked-body-4711')
    expect(stored).not.toContain('tenant-a')
  })

  it('cuts a large body into rows and replays the same bytes', async () => {
    const large = new Uint8Array(2_500_000).map((_, index) => (index * 31) % 251)
    const origin = playOrigin(() => new Response(large, { status: 201 }))
    const first = new Uint8Array(await (await send({ key: 'large' })).arrayBuffer())
    const again = new Uint8Array(await (await send({ key: 'large' })).arrayBuffer())
    expect(first).toEqual(large)
    expect(again).toEqual(large)
    const object = await objectOf('large')
    const sizes = await runInDurableObject(object, (_: IdempotencyObject, { storage }) =>
      storage.sql.exec<{ size: number }>('SELECT length(bytes) AS size FROM body').toArray(),
    )
    expect(sizes.map(({ size }) => size)).toEqual([1_048_512, 1_048_512, 402_976])
    expect(origin.requests).toHaveLength(1)
  })

  it('answers duplicates from memory and never executes again while a settle cannot be stored', async () => {
    const origin = playSlowOrigin(created)
    const first = send({ key: 'full-disk' })
    await origin.asked()
    const object = await objectOf('full-disk')
    const spy = await runInDurableObject(object, (_: IdempotencyObject, { storage }) =>
      vi.spyOn(Object.getPrototypeOf(storage), 'transactionSync').mockImplementation(() => {
        throw new Error('disk I/O error')
      }),
    )
    origin.release()
    expect((await first).status).toBe(201)
    spy.mockRestore()
    const retry = await send({ key: 'full-disk' })
    expect(retry.status).toBe(201)
    expect(origin.requests).toHaveLength(1)
    await until(async () => (await readStorage('full-disk'))['operation']?.includes('succeeded'))
  })

  it('forwards nothing when the claim cannot be stored', async () => {
    const origin = playOrigin(created)
    const object = await objectOf('no-claim')
    const spy = await runInDurableObject(object, (_: IdempotencyObject, { storage }) =>
      vi.spyOn(Object.getPrototypeOf(storage), 'transactionSync').mockImplementation(() => {
        throw new Error('disk I/O error')
      }),
    )
    const refused = await send({ key: 'no-claim' })
    spy.mockRestore()
    expect(refused.status).toBe(503)
    expect(refused.headers.get('Hapax-Error')).toBe('store-unavailable')
    expect(refused.headers.get('X-Should-Retry')).toBe('true')
    expect(origin.requests).toHaveLength(0)
    expect((await send({ key: 'no-claim' })).status).toBe(201)
  })
})
