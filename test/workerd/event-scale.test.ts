import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, expect, it, vi } from 'vitest'

import { DELIVERY_RETRY } from '../../src/core/event/event.ts'
import { createGateway, credential, type IdempotencyObject, protect } from '../../src/hapax.ts'
import { EventLanes } from '../../src/object/event-lanes.ts'
import { EventTable, type PendingEvent } from '../../src/object/event-table.ts'
import { Tables } from '../../src/object/tables.ts'
import { objectOf } from './client.ts'
import { clientOf } from './gateway.ts'
import { playOrigin } from './origin.ts'

const SHOP = 'https://shop.test'
const BANK = 'https://bank.test'
const NOW = 1_000_000

afterEach(() => vi.restoreAllMocks())

/** What an object does with its events, as after a restart. */
function startOn(storage: DurableObjectStorage) {
  const tables = new Tables(storage)
  const events = new EventTable(tables)
  const lanes = new EventLanes(events)
  const take = (now = NOW) => lanes.take(now).map(({ sequence }) => events.read(sequence))
  const end = (event: PendingEvent, write: () => void) => {
    lanes.land(event.lane)
    write()
    lanes.leave(event.lane)
  }
  return {
    events,
    take,
    left: (now = NOW) => lanes.left(now),
    add(operationId: string, url: string, dueAt = NOW) {
      const text = `${operationId} ${url} ${crypto.randomUUID()}`
      const bytes = new Uint8Array(new TextEncoder().encode(text))
      const recipient = { to: 'webhook', url } as const
      events.add({ operationId, recipient, retry: DELIVERY_RETRY, bytes, dueAt })
      return text
    },
    delivered: (event: PendingEvent) => end(event, () => events.delete(event)),
    failed: (event: PendingEvent, dueAt: number, death?: PendingEvent['death']) =>
      end(event, () =>
        events.postpone({ ...event, failures: event.failures + 1, dueAt, ...(death && { death }) }),
      ),
  }
}

const textOf = ({ bytes }: PendingEvent) => new TextDecoder().decode(bytes)

let objectCount = 0
const inObject = <result>(work: (storage: DurableObjectStorage) => result) =>
  runInDurableObject(
    env.OPERATIONS.getByName(`scale ${objectCount++}`),
    (_: IdempotencyObject, { storage }) => work(storage),
  )

/** Counts the rows of the statements of some work. */
function rowsOf(storage: DurableObjectStorage, work: () => void) {
  const prototype = Object.getPrototypeOf(storage.sql) as SqlStorage
  const { exec } = prototype
  const cursors: { readonly rowsRead: number; readonly rowsWritten: number }[] = []
  const spy = vi.spyOn(prototype, 'exec').mockImplementation(function (this: SqlStorage, ...given) {
    const cursor = exec.apply(this, given)
    cursors.push(cursor)
    return cursor
  })
  work()
  spy.mockRestore()
  const sum = (rows: 'rowsRead' | 'rowsWritten') =>
    cursors.reduce((total, cursor) => total + cursor[rows], 0)
  return { read: sum('rowsRead'), written: sum('rowsWritten'), statements: cursors.length }
}

/** An id as that of an operation. */
const newId = () => btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))))

/** What is read while so many events wait for a receiver that is down. */
function costWith(count: number) {
  return inObject((storage) => {
    const { add } = startOn(storage)
    storage.transactionSync(() => {
      for (let index = 0; index < count; index++) add(newId(), `${SHOP}/hooks`)
    })
    const object = startOn(storage)
    const start = rowsOf(storage, () => object.left()).read
    const taking = rowsOf(storage, () => object.take()).read
    const claim = rowsOf(storage, () => object.left()).read
    const settle = rowsOf(storage, () => {
      object.add(newId(), `${BANK}/hooks`)
      object.left()
    }).read
    const delivery = rowsOf(storage, () => {
      for (const event of object.take()) object.delivered(event)
      object.take()
      object.left()
    }).read
    return { start, taking, claim, settle, delivery }
  })
}

it('costs the same however many events wait', async () => {
  const few = await costWith(10)
  expect(await costWith(1_000)).toEqual(few)
  expect(await costWith(10_000)).toEqual(few)
  // As `docs/decisions/017-events-that-wait.md` says.
  expect(few).toMatchObject({ claim: 0, settle: 4, delivery: 5 })
})

it('reads nothing in an object without events, and makes no table for them', async () => {
  playOrigin(() => new Response('x', { headers: { 'Content-Length': '1' } }))
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/orders', protect())
  const { statements, heal } = await watchStatements()
  await clientOf(app, '/orders')('no-events')
  heal()
  expect(statements.length).toBeGreaterThan(0)
  expect(statements.filter((statement) => /\bevent/.test(statement))).toEqual([])
  await runInDurableObject(await objectOf('no-events'), (_, { storage: { sql } }) => {
    const tables = sql.exec("SELECT name FROM sqlite_master WHERE name LIKE 'event%'")
    expect(tables.toArray()).toEqual([])
  })
})

/** Keeps the statements of all objects. */
async function watchStatements() {
  const prototype = await inObject(({ sql }) => Object.getPrototypeOf(sql) as SqlStorage)
  const { exec } = prototype
  const statements: string[] = []
  const spy = vi.spyOn(prototype, 'exec').mockImplementation(function (this: SqlStorage, ...given) {
    statements.push(given[0])
    return exec.apply(this, given)
  })
  return { statements, heal: () => spy.mockRestore() }
}

it('writes a row and its place in the index, and no more for those behind it', () =>
  inObject((storage) => {
    const { add, take, delivered, failed } = startOn(storage)
    add('other', `${BANK}/hooks`)
    for (const event of take()) delivered(event)
    const written = (work: () => void) => rowsOf(storage, work).written
    expect(written(() => add('one', `${SHOP}/hooks`))).toBe(2)
    expect(written(() => add('one', `${SHOP}/hooks`))).toBe(1)
    const [first] = take()
    expect(written(() => first && failed(first, NOW + 1))).toBe(2)
    const [again] = take(NOW + 1)
    expect(written(() => again && delivered(again))).toBe(2)
    const [second] = take(NOW + 1)
    expect(written(() => second && delivered(second))).toBe(1)
  }))

it('delivers to a receiver though thousands wait for another that is down', () =>
  inObject((storage) => {
    const { add, take, delivered, failed, left } = startOn(storage)
    storage.transactionSync(() => {
      for (let index = 0; index < 2_000; index++) add(newId(), `${SHOP}/${index}`)
    })
    const hanging = take()
    expect(hanging).toHaveLength(2)
    const texts = [add('one', `${BANK}/hooks`), add('one', `${BANK}/hooks`)]
    const sent: string[] = []
    for (let event = take()[0]; event !== undefined; event = take()[0]) {
      sent.push(textOf(event))
      delivered(event)
    }
    expect(sent).toEqual(texts)
    for (const event of hanging) failed(event, NOW + 60_000)
    const others = take()
    expect(others).toHaveLength(2)
    expect(others.map(textOf)).not.toEqual(expect.arrayContaining(hanging.map(textOf)))
    expect(left().isEmpty).toBe(false)
  }))

it('says when the next event is due, the first of its lane', () =>
  inObject((storage) => {
    const { add, take, delivered, failed, left } = startOn(storage)
    expect(left()).toEqual({ isEmpty: true, dueAt: Infinity })
    add('one', `${SHOP}/hooks`)
    add('one', `${SHOP}/hooks`)
    const [first] = take()
    if (first !== undefined) failed(first, NOW + 5_000)
    expect(left()).toEqual({ isEmpty: false, dueAt: NOW + 5_000 })
    add('two', `${BANK}/hooks`, NOW + 1_000)
    expect(left().dueAt).toBe(NOW + 1_000)
    expect(take()).toEqual([])
    for (const event of take(NOW + 5_000)) delivered(event)
    for (const event of take(NOW + 5_000)) delivered(event)
    expect(left()).toEqual({ isEmpty: true, dueAt: Infinity })
  }))

it('lets the next of a lane go to its receiver once the first is a dead letter', () =>
  inObject((storage) => {
    const { add, take, delivered, failed, events } = startOn(storage)
    add('one', `${SHOP}/hooks`)
    const second = add('one', `${SHOP}/hooks`)
    const [first] = take()
    if (first !== undefined) failed(first, NOW, { reason: 'gone', attempts: 1 })
    expect(events.listReceivers()).toEqual(['directory'])
    const [dead] = take()
    if (dead !== undefined) delivered(dead)
    expect(events.listReceivers()).toEqual([SHOP])
    expect(take().map(textOf)).toEqual([second])
    expect(events.count('one')).toBe(1)
  }))

/** The table of an earlier version. */
const EARLIER = `
  CREATE TABLE operation (id TEXT PRIMARY KEY, record TEXT NOT NULL, due_at INTEGER) STRICT, WITHOUT ROWID;
  CREATE TABLE event (
    sequence INTEGER PRIMARY KEY,
    operation_id TEXT NOT NULL,
    head TEXT NOT NULL,
    bytes BLOB NOT NULL,
    failures INTEGER NOT NULL,
    due_at INTEGER NOT NULL
  ) STRICT;`
const EARLIER_INDEX = `
  CREATE INDEX IF NOT EXISTS event_lane ON event (operation_id || json_extract(head, '$.recipient'))`

/** Adds an event as an earlier version does. */
function addAsBefore(sql: SqlStorage, operationId: string, url: string, text: string): void {
  sql.exec(
    `INSERT INTO event (operation_id, sequence, head, bytes, failures, due_at)
      VALUES (?, (SELECT coalesce(max(sequence), 0) + 1 FROM event), ?, ?, 0, ?)`,
    operationId,
    JSON.stringify({ recipient: { to: 'webhook', url }, retry: DELIVERY_RETRY }),
    new TextEncoder().encode(text),
    NOW,
  )
}

/** Delivers all that is there, one after the other. */
function deliverAll(object: ReturnType<typeof startOn>): string[] {
  const sent: string[] = []
  for (let taken = object.take(); taken.length > 0; taken = object.take()) {
    for (const event of taken) {
      sent.push(textOf(event))
      object.delivered(event)
    }
  }
  return sent
}

it.each([
  { which: 'without an index', index: '' },
  { which: 'with its index', index: EARLIER_INDEX },
])('delivers what an earlier version has stored $which, in its order', ({ index }) =>
  inObject((storage) => {
    storage.sql.exec(EARLIER + index)
    for (const text of ['a1', 'a2', 'a3']) addAsBefore(storage.sql, 'A', `${SHOP}/hooks`, text)
    for (const text of ['b1', 'b2']) addAsBefore(storage.sql, 'B', `${BANK}/hooks`, text)
    const object = startOn(storage)
    expect(object.events.count('A')).toBe(3)
    expect(deliverAll(object)).toEqual(['a1', 'b1', 'a2', 'b2', 'a3'])
    expect(object.left().isEmpty).toBe(true)
  }),
)

it('delivers what a rollback has left, in its order', () =>
  inObject((storage) => {
    const before = startOn(storage)
    const texts = [1, 2, 3].map(() => before.add('A', `${SHOP}/hooks`))
    // The earlier version delivers the first, and adds others behind them.
    storage.sql.exec(EARLIER_INDEX)
    storage.sql.exec('DELETE FROM event WHERE sequence = (SELECT min(sequence) FROM event)')
    addAsBefore(storage.sql, 'A', `${SHOP}/hooks`, 'a4')
    addAsBefore(storage.sql, 'B', `${BANK}/hooks`, 'b1')
    const sent = deliverAll(startOn(storage))
    expect(sent.filter((text) => text !== 'b1')).toEqual([...texts.slice(1), 'a4'])
    expect(sent).toContain('b1')
  }))

it('forgets the events of an operation, and no others of the same numbers', () =>
  inObject((storage) => {
    const { add, take, events, left } = startOn(storage)
    // The first characters choose the numbers.
    add('sharing-1', `${SHOP}/hooks`)
    const kept = add('sharing-2', `${SHOP}/hooks`)
    add('sharing-1', `${BANK}/hooks`)
    expect([events.count('sharing-1'), events.count('sharing-2')]).toEqual([2, 1])
    events.deleteAllOf('sharing-1')
    expect([events.count('sharing-1'), events.count('sharing-2')]).toEqual([0, 1])
    expect(take().map(textOf)).toEqual([kept])
    expect(left().isEmpty).toBe(false)
  }))
