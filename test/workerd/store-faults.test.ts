import { evictDurableObject, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Context } from 'hono'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  type IdempotencyObject,
  idempotent,
  protect,
} from '../../src/hapax.ts'
import { objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { until } from './until.ts'

afterEach(() => vi.restoreAllMocks())

type Part = 'statement' | 'alarm'

/** The test's own look, which is not made to fail. */
const LOOK = 'SELECT record AS looked FROM operation'

/** Lets one use of the storage fail, counted from 1. @returns Whether there were so many. */
async function failAt(nth: number, part: Part) {
  const object = env.OPERATIONS.getByName('only to get at the prototypes')
  const { sql, storage } = await runInDurableObject(object, (_: IdempotencyObject, state) => ({
    sql: Object.getPrototypeOf(state.storage.sql) as SqlStorage,
    storage: Object.getPrototypeOf(state.storage) as DurableObjectStorage,
  }))
  let count = 0
  const failNow = () => {
    count += 1
    if (count === nth) throw new Error('disk I/O error')
  }
  const { exec } = sql
  const { setAlarm } = storage
  const spy =
    part === 'statement'
      ? vi.spyOn(sql, 'exec').mockImplementation(function (this: SqlStorage, ...given) {
          if (given[0] !== LOOK) failNow()
          return exec.apply(this, given)
        })
      : vi.spyOn(storage, 'setAlarm').mockImplementation(function (
          this: DurableObjectStorage,
          ...given
        ) {
          failNow()
          return setAlarm.apply(this, given)
        })
  return {
    heal: () => spy.mockRestore(),
    wasReached: () => count >= nth,
  }
}

interface Route {
  readonly name: string
  readonly kind: 'protect' | 'idempotent' | 'streams'
}

/** A gateway, and how often its operation was executed. */
function gatewayOf({ kind }: Pick<Route, 'kind'>) {
  const app = createGateway({ tenant: credential('Authorization') })
  let executions = 0
  const execute = () => {
    executions += 1
    return new Response('done', { status: 201 })
  }
  playOrigin(execute)
  const handler = (c: Context) => {
    execute()
    const headers = kind === 'streams' ? { 'Content-Type': 'text/event-stream' } : {}
    return c.body('done', 201, headers)
  }
  if (kind === 'protect') app.post('/payments', protect())
  else app.post('/payments', idempotent(), (c) => handler(c))
  return {
    send: clientOf(app, '/payments', { isWaiting: false }),
    executions: () => executions,
  }
}

const ROUTES: readonly Route[] = [
  { name: 'the origin', kind: 'protect' },
  { name: 'a handler', kind: 'idempotent' },
  { name: 'a handler that streams', kind: 'streams' },
]

/** What may become of a request at first. */
const OUTCOMES = [
  { told: 'done', executions: 1 },
  { told: 'store-unavailable', executions: 0 },
]

describe('a store that fails once', () => {
  it.each(
    ROUTES.flatMap((route) =>
      (['statement', 'alarm'] as const).map((part) => ({ ...route, route, part })),
    ),
  )(
    'at any $part of a request to $name: executed once and replayed, or nothing and the key free',
    async ({ route, part }) => {
      for (let nth = 1; ; nth++) {
        const key = `${part}-${route.name.replaceAll(/\W/g, '-')}-${nth}`
        const { send, executions } = gatewayOf(route)
        const { heal, wasReached } = await failAt(nth, part)
        const first = await send(key)
        const text = await first.text()
        // What streams is settled behind its end.
        if (!wasReached()) await settled(key)
        heal()
        const told = first.status === 201 ? text : first.headers.get('Hapax-Error')
        expect(OUTCOMES).toContainEqual({ told, executions: executions() })
        const replay = await until(async () => {
          const again = await send(key)
          expect({ nth, word: word(again) }).not.toEqual({ nth, word: 'unknown' })
          return word(again) === 'replayed' ? again : null
        })
        expect(await replay.text()).toBe('done')
        expect({ nth, executions: executions() }).toEqual({ nth, executions: 1 })
        vi.restoreAllMocks()
        if (!wasReached()) return
      }
    },
  )

  it('sets the alarm at the next change where the platform does not take it', async () => {
    const { send } = gatewayOf({ kind: 'protect' })
    const object = await objectOf('alarm-refused')
    const storage = await runInDurableObject(
      object,
      (_: IdempotencyObject, state) => Object.getPrototypeOf(state.storage) as DurableObjectStorage,
    )
    const spy = vi.spyOn(storage, 'setAlarm').mockRejectedValue(new Error('no alarm'))
    expect((await send('alarm-refused')).status).toBe(201)
    spy.mockRestore()
    expect(word(await send('alarm-refused'))).toBe('replayed')
    const alarmAt = await runInDurableObject(object, (_, state) => state.storage.getAlarm())
    expect(alarmAt).toBeGreaterThan(Date.now())
  })
})

/** Waits until the operation of a key is not in progress any more. */
async function settled(key: string): Promise<void> {
  const object = await objectOf(key)
  await until(() =>
    runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) => {
      const rows = sql.exec<{ looked: string }>(LOOK).toArray()
      return rows.every(({ looked }) => !looked.includes('"in_progress"'))
    }),
  )
}

describe('a transaction that is rolled back', () => {
  it('takes its alarm along', async () => {
    const object = env.OPERATIONS.getByName('rolled back')
    const alarmAt = await runInDurableObject(object, async (_: IdempotencyObject, { storage }) => {
      const soon = Date.now() + 60_000
      storage.transactionSync(() => void storage.setAlarm(soon))
      const change = () =>
        storage.transactionSync(() => {
          void storage.setAlarm(soon + 60_000)
          throw new Error('rolled back')
        })
      expect(change).toThrow('rolled back')
      return (await storage.getAlarm()) === soon
    })
    expect(alarmAt).toBe(true)
  })
})

it.each(['closed', 'open'] as const)(
  'a record that a newer version wrote is neither executed nor replayed, and the store counts as %s',
  async (onStoreError) => {
    const origin = playOrigin(() => new Response('done', { status: 201 }))
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/newer', protect({ onStoreError }))
    const send = clientOf(app, '/newer')
    await (await send(onStoreError)).text()
    const object = await objectOf(onStoreError)
    await runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) =>
      sql.exec("UPDATE operation SET record = json_set(record, '$.version', 99)"),
    )
    await evictDurableObject(object)
    const refused = await send(onStoreError)
    expect([refused.status, refused.headers.get('Hapax-Error')]).toEqual([503, 'store-unavailable'])
    expect(origin.requests).toHaveLength(1)
  },
)
