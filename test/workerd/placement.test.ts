import {
  createExecutionContext,
  createMessageBatch,
  listDurableObjectIds,
  runDurableObjectAlarm,
  runInDurableObject,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'

import {
  attribute,
  consume,
  createGateway,
  credential,
  fromHeader,
  idempotent,
  perKey,
  protect,
  sharded,
} from '../../src/hapax.ts'
import { operators } from '../../src/operators.ts'
import { processOf } from './claims.ts'
import { idOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'

const tenant = credential('Authorization')
const SHARDS = ['shard:2:0', 'shard:2:1'].map((name) => env.OPERATIONS.getByName(name))
/** The shards, and what other test files have left. */
const expectedIds = new Set(SHARDS.map(({ id }) => id.toString()))
const VARS = { HAPAX_ADMIN_TOKEN: 'operator' }

afterEach(() => vi.restoreAllMocks())

beforeAll(async () => {
  for (const id of await others()) expectedIds.add(id.toString())
})

/** Objects of operations that are no shard. */
const others = async () =>
  (await listDurableObjectIds(env.OPERATIONS)).filter((id) => !expectedIds.has(id.toString()))

describe('a gateway with shards', () => {
  const app = createGateway({ tenant, placement: sharded(2) })
  app.post('/pay', protect())
  app.post('/grant', idempotent(), (c) => c.json({ granted: true }, 201))

  it('keeps all operations in them, of origin and handlers', async () => {
    const { requests } = playOrigin(() => Response.json({ paid: true }, { status: 201 }))
    const [pay, grant] = [clientOf(app, '/pay'), clientOf(app, '/grant')]
    for (let nth = 0; nth < 4; nth++) {
      for (const send of [pay, grant]) {
        const key = `${send === pay ? 'pay' : 'grant'}-${nth}`
        expect([word(await send(key)), word(await send(key))]).toEqual(['executed', 'replayed'])
      }
    }
    expect(requests).toHaveLength(4)
    expect(await others()).toEqual([])
  })

  it('has the claims of processes elsewhere in them', async () => {
    const { claim, settle } = processOf(app)
    const asked = { operation: 'refund', key: 'o-1' }
    const granted = await claim(asked)
    const settled = await settle(granted, { outcome: 'succeeded', result: 1 })
    expect(settled.answer).toEqual({ settled: 'taken' })
    expect((await claim(asked)).answer).toMatchObject({ state: 'succeeded', result: 1 })
    expect(await others()).toEqual([])
  })

  it('shares them with a consumer of messages, which has a gateway of its own', async () => {
    const handle = vi.fn(() => ({ done: true }))
    const consumer = consume(
      { 'order.paid': handle },
      { tenant: attribute('tenant'), key: attribute('order') },
    )
    const body = { type: 'order.paid', tenant: 'acme', order: 'o-1' }
    for (const id of ['m-1', 'm-2']) {
      const sent = { id, timestamp: new Date(), attempts: 1, body }
      const ctx = createExecutionContext()
      await consumer(createMessageBatch('orders', [sent]), env, ctx)
      await waitOnExecutionContext(ctx)
    }
    expect(handle).toHaveBeenCalledTimes(1)
    expect(await others()).toEqual([])
  })

  it('lets operators find, list and resolve them, from a Worker of their own as well', async () => {
    playOrigin(() => new Response('lost', { status: 500 }))
    const id = await idOf('stuck')
    expect(word(await clientOf(app, '/pay')('stuck'))).toBe('unknown')
    await Promise.all(SHARDS.map((shard) => runDurableObjectAlarm(shard)))
    const admin = operators(app)
    const ask = async (path: string, init: RequestInit = {}) => {
      const headers = { Authorization: 'Bearer operator', 'Content-Type': 'application/json' }
      const request = new Request(`https://ops.test/admin${path}`, { ...init, headers })
      const ctx = createExecutionContext()
      const response = await admin.fetch(request, { ...env, ...VARS }, ctx)
      await waitOnExecutionContext(ctx)
      return response.status === 204 ? null : response.json()
    }
    expect(await ask(`/operations/${id}`)).toMatchObject({ state: 'unknown' })
    await vi.waitFor(async () => {
      expect(await ask('/stuck')).toMatchObject({ entries: [{ id, tenant: expect.any(String) }] })
    })
    // It asks the shard by its name.
    await runDurableObjectAlarm(env.DIRECTORY.getByName('directory'))
    expect(await ask('/stuck')).toMatchObject({ total: 1 })
    const body = JSON.stringify({ outcome: 'not_executed' })
    await ask(`/operations/${id}/resolve`, { method: 'POST', body })
    playOrigin(() => Response.json({ paid: true }, { status: 201 }))
    expect(word(await clientOf(app, '/pay')('stuck'))).toBe('executed')
    expect(await others()).toEqual([])
  })

  it('makes the call of a client that comes back in an object that stores nothing', async () => {
    const { release } = playSlowOrigin(() => Response.json({ paid: true }, { status: 201 }))
    const send = clientOf(app, '/pay')
    const accepted = await send('async', { headers: { Prefer: 'respond-async' } })
    expect(accepted.status).toBe(202)
    release()
    await vi.waitFor(async () => expect(word(await send('async'))).toBe('replayed'))
    const caller = env.OPERATIONS.getByName(`call:${await idOf('async')}`)
    const tables = await runInDurableObject(caller, (_, { storage }) =>
      storage.sql.exec('SELECT name FROM sqlite_master').toArray(),
    )
    expect(tables).toEqual([])
    expect((await others()).map(String)).toEqual([String(caller.id)])
  })

  it('asks for that call once, since one that was lost may still be made', async () => {
    const forward = vi.fn(() =>
      Promise.reject(Object.assign(new Error('The connection is lost.'), { retryable: true })),
    )
    const getByName = (name: string) =>
      name.startsWith('call:') ? { forward } : env.OPERATIONS.getByName(name)
    const headers = { Prefer: 'respond-async' }
    const options = { headers, env: { OPERATIONS: { getByName } } }
    expect((await clientOf(app, '/pay')('lost', options)).status).toBe(503)
    expect(forward).toHaveBeenCalledTimes(1)
  })

  it('cannot be beside a gateway with another placement or jurisdiction', () => {
    const says = /All gateways of a Worker have one placement/
    expect(() => createGateway({ tenant, placement: perKey() })).toThrow(says)
    expect(() => createGateway({ tenant, placement: sharded(3) })).toThrow(says)
    expect(() => createGateway({ tenant: fromHeader('X-Tenant') })).not.toThrow()
    expect(() => createGateway({ tenant, placement: sharded(2) })).not.toThrow()
  })

  it('refuses a placement or jurisdiction that does not exist, at start', () => {
    const elsewhere = { tenant, jurisdiction: 'mars' as never }
    expect(() => createGateway(elsewhere)).toThrow(/^jurisdiction must be one of eu, /)
    const unmade = { tenant, placement: { kind: 'sharded', count: 2 } as never }
    expect(() => createGateway(unmade)).toThrow(/^placement must be perKey\(\) or sharded\(16\)/)
  })
})
