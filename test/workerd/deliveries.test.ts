import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import {
  type CloudEvent,
  createGateway,
  credential,
  type Destination,
  emit,
  type IdempotencyObject,
  idempotent,
  type PolicyOptions,
  probe,
  protect,
  queue,
  webhook,
} from '../../src/hapax.ts'
import { idOf, objectOf } from './client.ts'
import { clientOf } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { pass, stopClock } from './stopped-clock.ts'
import { until } from './until.ts'

const SHOP = 'https://shop.test/hooks'
const BANK = 'https://bank.test/hooks'
const DAY_MS = 86_400_000
/** How soon the alarm comes while something is under way. */
const LOOK_MS = 20_000
const { OUTBOX } = env as unknown as { OUTBOX: Queue }
const SETTINGS = env as unknown as Record<string, string | undefined>

const NEVER = () => new Promise<never>(() => {})
const { setTimeout: wait } = globalThis

stopClock()

beforeEach(() => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
})

/** What deliveries that hang stand at. Made by the test: what an object makes only that object may use. */
let gate = Promise.withResolvers<void>()

beforeEach(() => {
  gate = Promise.withResolvers<void>()
})

afterEach(() => {
  gate.resolve()
  delete SETTINGS['HAPAX_SEAL_KEY']
})

/** Makes waits of these lengths end soon. */
function shorten(lengths: readonly number[]): void {
  vi.spyOn(globalThis, 'setTimeout').mockImplementation((work: () => void, ms = 0) =>
    wait(work, lengths.includes(ms) ? 20 : ms),
  )
}
/** The patience of an alarm: that of a test with nothing to wait for need not be as long. */
const PATIENCE_MS = 2_000

/** Rings as the platform does, and not from outside: it would take the alarm away. */
const ring = async (key: string) =>
  runInDurableObject(await objectOf(key), (object: IdempotencyObject) => object.alarm())

/** Stands until the gate is opened, at the end of the test at the latest. */
async function hang(): Promise<Response> {
  await gate.promise
  return taken()
}

const taken = () => new Response(null, { status: 204 })
const down = () => new Response(null, { status: 503 })
const gone = () => new Response(null, { status: 410 })
const answer = (status: number) => new Response('x', { status, headers: { 'Content-Length': '1' } })

interface Received {
  readonly url: string
  readonly event: CloudEvent
}

type Receiver = (url: string, nth: number) => Response | Promise<Response>

/** Origin and receivers. @param receive Is told the URL, and the how manieth delivery there it is. */
function playWeb(receive: Receiver, origin: (request: Request) => Response = () => answer(201)) {
  const received: Received[] = []
  const calls: Request[] = []
  playOrigin(async (request) => {
    const { url } = request
    if (!url.includes('/hooks')) {
      calls.push(request)
      return origin(request)
    }
    received.push({ url, event: JSON.parse(await request.text()) as CloudEvent })
    return receive(url, received.filter((one) => one.url === url).length)
  })
  const typesAt = (url: string) =>
    received.filter((one) => one.url === url).map(({ event }) => event.type)
  return { received, calls, typesAt }
}

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/orders', protect(policy))
  return clientOf(app, '/orders')
}

/** Begins an operation that leaves these events. */
async function emitting(
  key: string,
  events: readonly { readonly type: string; readonly to: Destination }[],
): Promise<void> {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/reports', idempotent(), (c) => {
    for (const event of events) emit(c, event)
    return c.text('ok')
  })
  await clientOf(app, '/reports')(key)
}

interface StoredEvent extends Record<string, SqlStorageValue> {
  readonly failures: number
  readonly due_at: number
}

async function stored(key: string) {
  return runInDurableObject(await objectOf(key), async (_: IdempotencyObject, { storage }) => {
    const isThere = storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'event'").toArray()
    const alarmAt = await storage.getAlarm()
    if (isThere.length === 0) return { events: [], states: [], alarmAt }
    const events = storage.sql.exec<StoredEvent>('SELECT * FROM event ORDER BY sequence').toArray()
    const rows = storage.sql.exec<{ record: string }>('SELECT record FROM operation').toArray()
    const states = rows.map(({ record }) => (JSON.parse(record) as { state: string }).state)
    return { events, states, alarmAt }
  })
}
const countOf = async (key: string) => (await stored(key)).events.length

/** Lets the object's disk refuse one kind of write to its events. */
async function refuse(key: string, write: 'DELETE' | 'UPDATE'): Promise<void> {
  await runInDurableObject(await objectOf(key), (_: IdempotencyObject, { storage: { sql } }) => {
    sql.exec(`CREATE TRIGGER refusal BEFORE ${write} ON event
      BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
  })
}
const allow = async (key: string) =>
  runInDurableObject(await objectOf(key), (_: IdempotencyObject, { storage: { sql } }) => {
    sql.exec('DROP TRIGGER refusal')
  })

const directory = () => env.DIRECTORY.getByName('directory')
async function lettersOf(key: string) {
  const operationId = await idOf(key)
  const { entries } = await directory().listLetters({ after: null, limit: 1_000 })
  return entries.filter((letter) => letter.operationId === operationId)
}
async function isStuck(key: string) {
  const operationId = await idOf(key)
  const { entries } = await directory().listStuck({ after: null, limit: 1_000 })
  return entries.some((entry) => entry.operationId === operationId)
}

describe('a receiver that hangs', () => {
  it('holds back no recovery, no other receiver and not the operator’s list', async () => {
    shorten([PATIENCE_MS])
    let isKnown = false
    const { typesAt } = playWeb(
      (url) => (url === SHOP ? hang() : taken()),
      ({ method }) => answer(method === 'GET' && isKnown ? 200 : 500),
    )
    const on = ['unknown', 'succeeded'] as const
    await clientWith({
      unknown: probe('/orders/by-key/{key}', { grace: 0 }),
      events: [
        { on: [...on], to: webhook(SHOP) },
        { on: [...on], to: webhook(BANK) },
      ],
    })('hangs')
    await ring('hangs')
    expect(typesAt(BANK)).toEqual(['operation.unknown'])
    expect((await stored('hangs')).alarmAt).toBe(Date.now() + 5_000)
    pass(60_000)
    await ring('hangs')
    expect(await isStuck('hangs')).toBe(true)
    isKnown = true
    pass(60_000)
    await ring('hangs')
    expect((await stored('hangs')).states).toEqual(['succeeded'])
    await ring('hangs')
    expect(typesAt(BANK)).toEqual(['operation.unknown', 'operation.succeeded'])
    expect(typesAt(SHOP)).toEqual(['operation.unknown'])
  })

  it('lets the platform ring the next alarm', async () => {
    vi.useRealTimers()
    shorten([PATIENCE_MS])
    vi.spyOn(Math, 'random').mockReturnValue(0)
    const { typesAt } = playWeb((url, nth) => {
      if (url === SHOP) return hang()
      return nth < 3 ? down() : taken()
    })
    await emitting('rings', [
      { type: 'hangs', to: webhook(SHOP) },
      { type: 'fails', to: webhook(BANK) },
    ])
    await until(() => typesAt(BANK).length === 3)
    expect(typesAt(SHOP)).toHaveLength(1)
  })

  it('holds back those of its own operation alone: another lane goes on at once', async () => {
    shorten([PATIENCE_MS])
    const { typesAt } = playWeb((url) => (url === SHOP ? hang() : taken()))
    await emitting('lanes', [
      { type: 'a', to: webhook(SHOP) },
      { type: 'b', to: webhook(SHOP) },
      { type: '1', to: webhook(BANK) },
      { type: '2', to: webhook(BANK) },
      { type: '3', to: webhook(BANK) },
    ])
    await ring('lanes')
    expect(typesAt(BANK)).toEqual(['1', '2', '3'])
    expect(typesAt(SHOP)).toEqual(['a'])
    gate.resolve()
    await until(() => typesAt(SHOP).length === 2)
    await until(async () => (await countOf('lanes')) === 0)
  })

  it('gets no event twice while the alarm comes and comes, and the alarm comes seldom', async () => {
    shorten([PATIENCE_MS])
    const { received } = playWeb(() => hang())
    await emitting('once', [{ type: 'a', to: webhook(SHOP) }])
    for (let nth = 1; nth <= 4; nth += 1) {
      await ring('once')
      expect((await stored('once')).alarmAt).toBe(Date.now() + LOOK_MS)
      pass(LOOK_MS)
    }
    expect(received).toHaveLength(1)
  })

  it('gets an event again, with the same id, when the object has died meanwhile', async () => {
    shorten([PATIENCE_MS])
    const { received } = playWeb((_, nth) => (nth === 1 ? hang() : taken()))
    await emitting('dies', [
      { type: 'a', to: webhook(SHOP) },
      { type: 'b', to: webhook(SHOP) },
    ])
    await ring('dies')
    await abortAllDurableObjects()
    expect((await stored('dies')).alarmAt).toBe(Date.now() + LOOK_MS)
    pass(LOOK_MS)
    await ring('dies')
    expect(received.map(({ event }) => event.type)).toEqual(['a', 'a', 'b'])
    expect(received[1]?.event.id).toBe(received[0]?.event.id)
    expect(await countOf('dies')).toBe(0)
  })

  it('is one of four at the most, and each gets two at the most: room is left for a recovery', async () => {
    shorten([PATIENCE_MS])
    const { received } = playWeb((url) => (url.endsWith('/free') ? taken() : hang()))
    const at = (url: string) => ({ type: 'a', to: webhook(url) })
    await emitting('room', [
      ...['1', '2', '3'].map((path) => at(`${SHOP}/${path}`)),
      at(`${BANK}/free`),
      ...['1', '2', '3'].map((host) => at(`https://${host}.test/hooks`)),
      at('https://last.test/hooks/free'),
    ])
    await ring('room')
    expect(received.map(({ url }) => url).toSorted()).toEqual(
      [
        `${SHOP}/1`,
        `${SHOP}/2`,
        `${BANK}/free`,
        'https://1.test/hooks',
        'https://2.test/hooks',
      ].toSorted(),
    )
    expect((await stored('room')).alarmAt).toBe(Date.now() + LOOK_MS)
    await ring('room')
    expect(received).toHaveLength(5)
    gate.resolve()
    await until(async () => (await countOf('room')) === 0)
    expect(received).toHaveLength(8)
  })
})

// Fails as long as every look for what is due goes through all that waits.
it('ten times as many events read ten times as many rows', async () => {
  const { received } = playWeb(() => taken())
  /** Rows that are read while so many events are delivered. */
  async function rowsFor(count: number): Promise<number> {
    const key = `many-${count}`
    const event = { type: 'a', to: webhook(SHOP) }
    await emitting(
      key,
      Array.from({ length: count }, () => event),
    )
    const object = await objectOf(key)
    const { cursors, heal } = await watchStatements()
    await ring(key)
    heal()
    const sum = () => cursors.reduce((rows, { rowsRead }) => rows + rowsRead, 0)
    return runInDurableObject(object, sum)
  }
  const few = await rowsFor(20)
  const many = await rowsFor(200)
  expect(received).toHaveLength(220)
  expect(many).toBeLessThan(11 * few)
})

describe('a delivery has an end whatever hangs', () => {
  const HANGS: readonly {
    readonly what: string
    readonly to?: Destination
    readonly isSealed?: true
    readonly break: () => void
    readonly failures: number
  }[] = [
    {
      what: 'the receiver',
      break: () => void vi.spyOn(globalThis, 'fetch').mockImplementation(NEVER),
      failures: 1,
    },
    {
      what: 'the rest of its answer',
      break() {
        const body = () => new ReadableStream({ cancel: NEVER })
        playOrigin(() => new Response(body(), { status: 200 }))
      },
      failures: 0,
    },
    {
      what: 'the rest of its refusal',
      break() {
        const body = () => new ReadableStream({ cancel: NEVER })
        playOrigin(() => new Response(body(), { status: 503 }))
      },
      failures: 1,
    },
    {
      what: 'the signature',
      break: () => void vi.spyOn(crypto.subtle, 'sign').mockImplementation(NEVER),
      failures: 1,
    },
    {
      what: 'the opening of what is sealed',
      isSealed: true,
      break: () => void vi.spyOn(crypto.subtle, 'decrypt').mockImplementation(NEVER),
      failures: 1,
    },
    {
      what: 'the queue',
      to: queue('OUTBOX'),
      break: () => void vi.spyOn(OUTBOX, 'send').mockImplementation(NEVER),
      failures: 1,
    },
  ]

  it.each(HANGS)('$what', async (row) => {
    shorten([5_000, 15_000])
    const key = row.what.replaceAll(' ', '-')
    const { received } = playWeb(() => taken())
    if (row.isSealed) SETTINGS['HAPAX_SEAL_KEY'] = 'a secret of this test, 32 letters'
    await emitting(key, [{ type: 'a', to: row.to ?? webhook(SHOP) }])
    row.break()
    await ring(key)
    const { events } = await stored(key)
    expect(events.map(({ failures }) => failures)).toEqual(row.failures === 0 ? [] : [1])
    vi.restoreAllMocks()
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const { received: later } = playWeb(() => taken())
    pass(DAY_MS / 2)
    await ring(key)
    expect(await countOf(key)).toBe(0)
    expect(received).toHaveLength(0)
    expect(later).toHaveLength(row.failures === 0 || row.to !== undefined ? 0 : 1)
  })

  it('the directory', async () => {
    shorten([15_000])
    playWeb(
      () => taken(),
      () => answer(500),
    )
    await clientWith({})('no-directory')
    const spy = vi.spyOn(env.DIRECTORY, 'getByName')
    spy.mockReturnValue({ list: NEVER, strike: NEVER } as never)
    await ring('no-directory')
    expect(await stored('no-directory')).toMatchObject({ events: [{ failures: 1 }] })
    spy.mockRestore()
    pass(DAY_MS / 2)
    await ring('no-directory')
    expect(await isStuck('no-directory')).toBe(true)
  })
})

describe('an object whose disk refuses', () => {
  const TWO = [
    { type: 'first', to: webhook(SHOP) },
    { type: 'second', to: webhook(SHOP) },
  ] as const

  it.each([
    {
      what: 'to take a delivered event off',
      write: 'DELETE',
      receive: taken,
      sent: ['first', 'second'],
    },
    {
      what: 'to postpone one that failed',
      write: 'UPDATE',
      receive: down,
      sent: ['first', 'first', 'second'],
    },
    { what: 'to keep that one is dead', write: 'UPDATE', receive: gone, sent: ['first', 'second'] },
  ] as const)('$what: it is not delivered again, and stored later', async (row) => {
    const key = row.what.replaceAll(' ', '-')
    const { typesAt } = playWeb((_, nth) => (nth === 1 ? row.receive() : taken()))
    await emitting(key, TWO)
    await refuse(key, row.write)
    for (let nth = 1; nth <= 5; nth += 1) {
      await ring(key)
      const { alarmAt } = await stored(key)
      expect((alarmAt ?? 0) - Date.now()).toBeGreaterThanOrEqual(5_000)
      expect((alarmAt ?? 0) - Date.now()).toBeLessThanOrEqual(LOOK_MS)
      pass(LOOK_MS)
    }
    expect(typesAt(SHOP)).toEqual(['first'])
    await allow(key)
    await ring(key)
    pass(DAY_MS / 2)
    await ring(key)
    expect(typesAt(SHOP)).toEqual(row.sent)
    expect(await countOf(key)).toBe(0)
  })

  it('to take a delivered event off, and dies: it is delivered again, in its order', async () => {
    const { typesAt } = playWeb(() => taken())
    await emitting('refuses-and-dies', TWO)
    await refuse('refuses-and-dies', 'DELETE')
    await ring('refuses-and-dies')
    await abortAllDurableObjects()
    await allow('refuses-and-dies')
    pass(LOOK_MS)
    await ring('refuses-and-dies')
    expect(typesAt(SHOP)).toEqual(['first', 'first', 'second'])
    expect(await countOf('refuses-and-dies')).toBe(0)
  })

  it('holds back nobody whose events it takes', async () => {
    const { typesAt } = playWeb(() => taken())
    const hosts = ['1', '2', '3', '4', '5'].map((host) => `https://${host}.test/hooks`)
    await emitting('one-refused', [
      ...hosts.map((url) => ({ type: 'refused', to: webhook(url) })),
      ...TWO,
    ])
    await runInDurableObject(await objectOf('one-refused'), (_, { storage: { sql } }) => {
      sql.exec(`CREATE TRIGGER refusal BEFORE DELETE ON event WHEN OLD.head NOT LIKE '%${SHOP}%'
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
    })
    await ring('one-refused')
    pass(5_000)
    await ring('one-refused')
    expect(typesAt(SHOP)).toEqual(['first', 'second'])
    expect(await countOf('one-refused')).toBe(5)
  })

  it.each([
    { what: 'a receiver that takes them', receive: () => taken() },
    { what: 'one that fails first', receive: (nth: number) => (nth === 1 ? down() : taken()) },
    { what: 'one that wants no more', receive: (nth: number) => (nth === 1 ? gone() : taken()) },
  ])('any one statement: nothing is lost, and the order holds, with $what', async (row) => {
    for (let nth = 1; ; nth += 1) {
      const key = `nth-${row.what.replaceAll(' ', '-')}-${nth}`
      const { typesAt } = playWeb((_, count) => row.receive(count))
      await emitting(key, TWO)
      const { wasReached, heal } = await watchStatements(nth)
      await ring(key)
      const isOver = !wasReached()
      heal()
      await until(async () => {
        await ring(key)
        pass(DAY_MS / 24)
        return (await countOf(key)) === 0
      })
      // A repeat of the first before the second, and of the second behind that: no other order.
      const order = typesAt(SHOP).filter((type, at, all) => type !== all[at - 1])
      expect({ nth, order }).toEqual({ nth, order: ['first', 'second'] })
      vi.restoreAllMocks()
      vi.spyOn(console, 'error').mockImplementation(() => {})
      if (isOver) return
    }
  })
})

/** Watches the statements of all objects, and lets one of them fail, counted from 1. */
async function watchStatements(failing = 0) {
  const sql = await runInDurableObject(
    env.OPERATIONS.getByName('only to get at the prototype'),
    (_: IdempotencyObject, state) => Object.getPrototypeOf(state.storage.sql) as SqlStorage,
  )
  const { exec } = sql
  const cursors: { readonly rowsRead: number }[] = []
  let count = 0
  const spy = vi.spyOn(sql, 'exec').mockImplementation(function (this: SqlStorage, ...given) {
    count += 1
    if (count === failing) throw new Error('disk I/O error')
    const cursor = exec.apply(this, given)
    cursors.push(cursor)
    return cursor
  })
  return { cursors, wasReached: () => count >= failing, heal: () => spy.mockRestore() }
}

describe('an event that nobody will take', () => {
  const ENDS: readonly {
    readonly what: string
    readonly to: Destination
    readonly attempts: number
    readonly isGone: boolean
  }[] = [
    { what: 'a webhook that wants no more', to: webhook(SHOP), attempts: 1, isGone: true },
    { what: 'a webhook that failed to the end', to: webhook(SHOP), attempts: 3, isGone: false },
    { what: 'a queue that failed to the end', to: queue('OUTBOX'), attempts: 3, isGone: false },
  ]
  const DIRECTORIES = [
    { of: 'refuses', bury: () => Promise.reject(new Error('the disk is full')) },
    { of: 'hangs', bury: NEVER },
  ]

  it.each(ENDS.flatMap((end) => DIRECTORIES.map((how) => ({ ...end, ...how }))))(
    'is decided on once while the directory $of: $what',
    async ({ what, to, attempts, isGone, of, bury }) => {
      shorten([15_000])
      const key = `${what}-${of}`.replaceAll(' ', '-')
      let tries = 0
      let isUp = false
      const receive = () => {
        tries += 1
        if (isUp) return taken()
        return isGone ? gone() : down()
      }
      playWeb(receive)
      vi.spyOn(OUTBOX, 'send').mockImplementation(async () => {
        if (!receive().ok) throw new Error('overloaded')
        return {} as never
      })
      const on = ['unknown', 'succeeded'] as const
      const events = [{ on: [...on], to, retry: { attempts: isGone ? 5 : attempts } }]
      await clientWith({ retention: '60d', events })(key)
      const spy = vi.spyOn(env.DIRECTORY, 'getByName').mockReturnValue({ bury } as never)
      for (let nth = 1; nth <= 10; nth += 1) {
        await ring(key)
        // What had been decided on is on the disk.
        if (nth >= attempts) await abortAllDurableObjects()
        pass(DAY_MS / 12)
      }
      expect(tries).toBe(attempts)
      expect(await countOf(key)).toBe(1)
      spy.mockRestore()
      isUp = true
      await ring(key)
      expect(tries).toBe(attempts)
      expect(await countOf(key)).toBe(0)
      expect(await lettersOf(key)).toMatchObject([{ attempts, destination: to }])
    },
  )

  it('is not delivered again by an object that dies while it is buried', async () => {
    shorten([PATIENCE_MS])
    const { received } = playWeb(gone)
    await emitting('dies-burying', [{ type: 'a', to: webhook(SHOP) }])
    const spy = vi.spyOn(env.DIRECTORY, 'getByName').mockReturnValue({ bury: NEVER } as never)
    await ring('dies-burying')
    await abortAllDurableObjects()
    spy.mockRestore()
    pass(LOOK_MS)
    await ring('dies-burying')
    expect(received).toHaveLength(1)
    expect(await lettersOf('dies-burying')).toMatchObject([{ attempts: 1 }])
  })

  it('takes no room of those that are delivered while the directory hangs', async () => {
    shorten([PATIENCE_MS])
    const { typesAt } = playWeb((url) => (url.startsWith(SHOP) ? gone() : taken()))
    await emitting('dead-and-alive', [
      ...['1', '2', '3', '4', '5'].map((path) => ({
        type: 'dead',
        to: webhook(`${SHOP}/${path}`),
      })),
      { type: 'alive', to: webhook(BANK) },
      { type: 'behind', to: webhook(BANK) },
    ])
    const bury = () => gate.promise
    vi.spyOn(env.DIRECTORY, 'getByName').mockReturnValue({ bury } as never)
    await ring('dead-and-alive')
    expect(typesAt(BANK)).toEqual(['alive', 'behind'])
  })

  it('holds back those behind it until it is kept', async () => {
    const { typesAt } = playWeb((_, nth) => (nth === 1 ? gone() : taken()))
    await emitting('behind', [
      { type: 'dead', to: webhook(SHOP) },
      { type: 'behind', to: webhook(SHOP) },
    ])
    const bury = () => Promise.reject(new Error('the disk is full'))
    const spy = vi.spyOn(env.DIRECTORY, 'getByName').mockReturnValue({ bury } as never)
    await ring('behind')
    expect(typesAt(SHOP)).toEqual(['dead'])
    spy.mockRestore()
    pass(DAY_MS / 2)
    await ring('behind')
    expect(typesAt(SHOP)).toEqual(['dead', 'behind'])
    expect(await lettersOf('behind')).toHaveLength(1)
  })
})
