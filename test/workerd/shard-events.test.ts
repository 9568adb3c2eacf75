import {
  abortAllDurableObjects,
  createExecutionContext,
  runDurableObjectAlarm,
  runInDurableObject,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it, vi } from 'vitest'

import {
  type CloudEvent,
  createGateway,
  credential,
  emit,
  idempotent,
  protect,
  sharded,
  webhook,
} from '../../src/hapax.ts'
import { operators } from '../../src/operators.ts'
import { idOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { pass, stopClock } from './stopped-clock.ts'

const HOOK = 'https://shop.test/hooks'
const MINUTE_MS = 60_000
const DAY_MS = 1_440 * MINUTE_MS
const shard = () => env.OPERATIONS.getByName('shard:1:0')

stopClock()

const to = webhook(HOOK)
const app = createGateway({ tenant: credential('Authorization'), placement: sharded(1) })
const retention = 10 * MINUTE_MS
app.post('/pay', protect({ retention, events: [{ on: ['succeeded', 'unknown'], to }] }))
app.post('/emit', idempotent({ retention }), (c) => {
  emit(c, { type: 'first', to })
  emit(c, { type: 'second', to })
  return c.json({}, 201)
})
const pay = clientOf(app, '/pay')

/** An origin and a receiver of events. @returns What the receiver has taken. */
function playWeb(isDown: () => boolean, status = 201) {
  const received: CloudEvent[] = []
  playOrigin(async (request) => {
    if (request.url !== HOOK) return Response.json({}, { status })
    if (isDown()) return new Response(null, { status: 503 })
    received.push(await request.json())
    return new Response(null, { status: 204 })
  })
  return received
}

const countOf = (what: string) =>
  runInDurableObject(shard(), (_, { storage: { sql } }) => {
    const isThere = sql.exec('SELECT 1 FROM sqlite_master WHERE name = ?', what).toArray().length
    return isThere === 0 ? 0 : sql.exec(`SELECT 1 FROM ${what}`).toArray().length
  })

/** Rings until nothing that is due is left. */
async function ringUntilDelivered(): Promise<void> {
  await vi.waitFor(async () => {
    await runDurableObjectAlarm(shard())
    expect(await countOf('event')).toBe(0)
  })
}

describe('the events of a shard', () => {
  it('outlive the results of their operations and a restart, and are delivered once each', async () => {
    let isDown = true
    const received = playWeb(() => isDown)
    const keys = Array.from({ length: 12 }, (_, nth) => `many-${nth}`)
    for (const key of keys) expect(word(await pay(key))).toBe('executed')
    await runDurableObjectAlarm(shard())
    expect(await countOf('event')).toBe(12)
    pass(60 * MINUTE_MS)
    await runDurableObjectAlarm(shard())
    await abortAllDurableObjects()
    expect(word(await pay('many-0'))).toBe('executed')
    isDown = false
    pass(60 * MINUTE_MS)
    await ringUntilDelivered()
    const ids = await Promise.all(keys.map((key) => idOf(key)))
    expect(received).toHaveLength(13)
    expect(new Set(received.map(({ subject }) => subject))).toEqual(new Set(ids))
    expect(new Set(received.map(({ id }) => id)).size).toBe(13)
  })

  it('that a handler emits come in their order', async () => {
    const received = playWeb(() => false)
    expect(word(await clientOf(app, '/emit')('emits'))).toBe('executed')
    expect(word(await clientOf(app, '/emit')('emits'))).toBe('replayed')
    await ringUntilDelivered()
    expect(received.map(({ type }) => type)).toEqual(['first', 'second'])
  })

  it('are erased with their operation, and no others', async () => {
    let isDown = true
    const received = playWeb(() => isDown)
    await Promise.all([pay('erased'), pay('stays')])
    const admin = operators(app)
    const headers = { Authorization: 'Bearer operator', 'Content-Type': 'application/json' }
    const path = `https://ops.test/admin/operations/${await idOf('erased')}`
    const ctx = createExecutionContext()
    const request = new Request(path, { method: 'DELETE', headers })
    const erased = await admin.fetch(request, { ...env, HAPAX_ADMIN_TOKEN: 'operator' }, ctx)
    await waitOnExecutionContext(ctx)
    expect(erased.status).toBeLessThan(300)
    isDown = false
    pass(60 * MINUTE_MS)
    await ringUntilDelivered()
    expect(received.map(({ subject }) => subject)).toEqual([await idOf('stays')])
    expect(word(await pay('erased'))).toBe('executed')
    await ringUntilDelivered()
  })

  it('tell of an outcome that became unknown, which outlives its retention', async () => {
    const received = playWeb(() => false, 500)
    expect(word(await pay('doubt'))).toBe('unknown')
    await ringUntilDelivered()
    expect(received.map(({ subject }) => subject)).toEqual([await idOf('doubt')])
    pass(2 * DAY_MS)
    await runDurableObjectAlarm(shard())
    await abortAllDurableObjects()
    expect(word(await pay('doubt'))).toBe('unknown')
    expect(await countOf('event')).toBe(0)
  })
})
