import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { Webhook } from 'standardwebhooks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { HapaxEnv } from '../../src/config/env.ts'
import { queue, webhook } from '../../src/core/event/destination.ts'
import type { CloudEvent, EmittedEvent } from '../../src/core/event/event.ts'
import { secret } from '../../src/core/event/secret.ts'
import {
  createD1Outbox,
  D1_OUTBOX_SQL,
  type D1OutboxOptions,
  d1OutboxSql,
  type OutboxOrigin,
} from '../../src/outbox/d1-outbox.ts'
import { playOrigin } from './origin.ts'
import { until } from './until.ts'

const { DB: db } = env as unknown as { DB: D1Database }
const SECRET = `whsec_${btoa('a secret of at least 24 bytes')}`
const HAPAX: HapaxEnv = { ...env, HAPAX_WEBHOOK_SECRET: SECRET }
const START = Date.parse('2026-11-24T12:00:00Z')
const HOOK = 'https://shop.test/hooks'

const ORIGIN: OutboxOrigin = {
  correlationId: 'correlation-1',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  tenant: 'tenant-a',
}

/** Runs a migration as `wrangler d1 migrations apply` does: one statement after the other. */
const migrate = (sql: string) =>
  db.batch(sql.split(/;\n/).flatMap((one) => (one.trim() === '' ? [] : db.prepare(one))))

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(START)
  await migrate(`${D1_OUTBOX_SQL}CREATE TABLE orders (id TEXT PRIMARY KEY);\n`)
})

afterEach(async () => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  await reset()
})

const pass = (ms: number) => vi.setSystemTime(Date.now() + ms)
const placed = (n: number, url = HOOK): EmittedEvent => ({
  type: 'order.placed',
  data: { n },
  to: webhook(url),
})
const order = (id: string) => db.prepare('INSERT INTO orders (id) VALUES (?)').bind(id)
const outboxWith = (options: D1OutboxOptions = {}) =>
  createD1Outbox(db, { random: () => 0.5, ...options })

async function count(table: 'orders' | 'hapax_outbox'): Promise<number> {
  return (await db.prepare(`SELECT count(*) AS n FROM ${table}`).first<number>('n')) ?? 0
}

/** A receiver that keeps what it takes; `answer` says by event whether it does. */
function playReceiver(answer: (event: CloudEvent, url: string) => number | Response = () => 204) {
  const sent: CloudEvent[] = []
  const taken: CloudEvent[] = []
  playOrigin(async (request) => {
    const event = await request.json<CloudEvent>()
    sent.push(event)
    const told = answer(event, request.url)
    const response = told instanceof Response ? told : new Response(null, { status: told })
    if (response.ok) taken.push(event)
    return response
  })
  const numbers = (events: CloudEvent[]) => events.map(({ data }) => (data as { n: number }).n)
  return { sent, taken, numbersSent: () => numbers(sent), numbersTaken: () => numbers(taken) }
}

describe('insert', () => {
  it('commits an event together with the row that it tells of', async () => {
    const receiver = playReceiver()
    const outbox = outboxWith()
    await db.batch([order('o1'), ...outbox.insert(placed(1), ORIGIN)])
    expect(await outbox.relay(HAPAX)).toEqual({ delivered: 1, failed: 0, dead: 0 })
    expect(receiver.sent).toEqual([
      {
        specversion: '1.0',
        id: expect.stringMatching(/^[\da-f-]{36}$/) as string,
        source: '/hapax',
        type: 'order.placed',
        time: '2026-11-24T12:00:00.000Z',
        datacontenttype: 'application/json',
        data: { n: 1 },
        correlationid: 'correlation-1',
        traceparent: ORIGIN.traceparent,
        tenant: 'tenant-a',
      },
    ])
  })

  it.each([
    {
      when: 'a business row is refused',
      rows: (events: D1PreparedStatement[]) => [...events, order('o1'), order('o1')],
    },
    {
      when: 'an event is refused by the table',
      rows: (events: D1PreparedStatement[]) => [
        order('o1'),
        ...events,
        db.prepare(
          "INSERT INTO hapax_outbox (id, stream, destination, event, created_at, due_at) VALUES ('x', 's', '{}', 'no JSON', 0, 0)",
        ),
      ],
    },
  ])('leaves neither event nor row when $when', async ({ rows }) => {
    const outbox = outboxWith()
    await expect(db.batch(rows(outbox.insert(placed(1), ORIGIN)))).rejects.toThrow(/constraint/i)
    expect(await count('orders')).toBe(0)
    expect(await count('hapax_outbox')).toBe(0)
  })

  it('adds the events of a repeated operation once, delivered or not', async () => {
    const receiver = playReceiver()
    const outbox = outboxWith()
    const origin = { ...ORIGIN, operationId: 'op-1' }
    const write = () => db.batch(outbox.insert([placed(1), placed(2)], origin))
    await write()
    await write()
    await outbox.relay(HAPAX)
    await write()
    await outbox.relay(HAPAX)
    expect(receiver.sent.map(({ id }) => id)).toEqual(['op-1:1', 'op-1:2'])
  })

  it('adds the events of two operations without an id twice', async () => {
    const outbox = outboxWith()
    await db.batch(outbox.insert(placed(1), ORIGIN))
    await db.batch(outbox.insert(placed(1), ORIGIN))
    expect(await count('hapax_outbox')).toBe(2)
  })

  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  it.each([
    { what: 'a BigInt', data: { amount: 1n }, says: /must be JSON/ },
    { what: 'a number that is none', data: [Number.NaN], says: /must be JSON/ },
    { what: 'a function', data: () => 1, says: /must be JSON/ },
    { what: 'a Map', data: { rows: new Map([[1, 2]]) }, says: /must be JSON/ },
    { what: 'an Error', data: new Error('no'), says: /must be JSON/ },
    { what: 'undefined in a list', data: [undefined], says: /must be JSON/ },
    { what: 'a Request', data: new Request('https://a.test'), says: /must be JSON/ },
    { what: 'Headers', data: new Headers(), says: /must be JSON/ },
    { what: 'a Blob', data: [new Blob([])], says: /must be JSON/ },
    { what: 'FormData', data: new FormData(), says: /must be JSON/ },
    { what: 'a ReadableStream', data: new ReadableStream(), says: /must be JSON/ },
    { what: 'a cycle', data: cycle, says: /circular/i },
  ])('refuses $what as data', ({ data, says }) => {
    const insert = () => outboxWith().insert({ ...placed(1), data }, ORIGIN)
    expect(insert).toThrow(TypeError)
    expect(insert).toThrow(says)
  })

  it('takes an event of 122880 bytes and refuses one of a byte more', async () => {
    const outbox = outboxWith()
    const origin = { ...ORIGIN, operationId: 'op' }
    const insert = (length: number) =>
      outbox.insert({ ...placed(1), data: 'ä'.padEnd(length, '-') }, origin)
    // What is counted is the event as it was emitted: the id and the rest have room left.
    const frame = JSON.stringify({ ...placed(1), data: '' }).length + 1
    await db.batch(insert(122_880 - frame))
    expect(() => insert(122_881 - frame)).toThrow('at most 122880 bytes')
  })

  it.each([
    { what: 'without a type', event: { ...placed(1), type: '' } },
    { what: 'with an empty subject', event: { ...placed(1), subject: '' } },
    { what: 'without a destination', event: { type: 'order.placed' } as EmittedEvent },
    { what: 'to a queue without a name', event: { ...placed(1), to: queue('') } },
    { what: 'to no URL', event: { ...placed(1), to: webhook('shop.test') } },
    { what: 'to a file', event: { ...placed(1), to: webhook('file:///etc/passwd') } },
  ])('refuses an event $what', ({ event }) => {
    expect(() => outboxWith().insert(event, ORIGIN)).toThrow(TypeError)
  })

  it.each([
    { operationId: '' },
    { operationId: 'o'.repeat(201) },
    // It would let its author move the end of the id in what is signed.
    { operationId: 'op.1795521600.{}' },
    { operationId: 'größe' },
    { stream: '' },
  ])('refuses a name that is none: %o', (names) => {
    expect(() => outboxWith().insert(placed(1), { ...ORIGIN, ...names })).toThrow(TypeError)
  })
})

describe('relay', () => {
  it('delivers to a queue', async () => {
    const send = vi.fn<(body: unknown) => Promise<void>>(async () => {})
    const outbox = outboxWith()
    await db.batch(outbox.insert({ ...placed(1), to: queue('ORDERS') }, ORIGIN))
    const withQueue = { ...HAPAX, ORDERS: { send } }
    expect(await outbox.relay(withQueue)).toMatchObject({ delivered: 1 })
    expect(send.mock.calls[0]?.[0]).toMatchObject({ type: 'order.placed', data: { n: 1 } })
  })

  it.each([
    { what: 'the present one is', present: 'hush', previous: SECRET },
    { what: 'the one before is', present: SECRET, previous: 'hush' },
    { what: 'there is none at present', present: '', previous: SECRET },
  ])('signs with the good secret where the other is malformed: $what', async (secrets) => {
    const requests: { text: string; headers: Record<string, string> }[] = []
    playOrigin(async (request) => {
      requests.push({ text: await request.text(), headers: Object.fromEntries(request.headers) })
      return new Response(null, { status: 204 })
    })
    const outbox = outboxWith()
    await db.batch(outbox.insert(placed(1), ORIGIN))
    const hapax = {
      ...HAPAX,
      HAPAX_WEBHOOK_SECRET: secrets.present,
      HAPAX_WEBHOOK_SECRET_PREVIOUS: secrets.previous,
    }
    expect(await outbox.relay(hapax)).toMatchObject({ delivered: 1 })
    const [{ text, headers } = { text: '', headers: {} }] = requests
    expect(new Webhook(SECRET).verify(text, headers)).toMatchObject({ type: 'order.placed' })
    expect(headers['webhook-signature']?.split(' ')).toHaveLength(1)
  })

  it('signs for a receiver with its own secret, of which the table holds the name', async () => {
    const requests: { text: string; headers: Record<string, string> }[] = []
    playOrigin(async (request) => {
      requests.push({ text: await request.text(), headers: Object.fromEntries(request.headers) })
      return new Response(null, { status: 204 })
    })
    const CRM_SECRET = `whsec_${btoa('a secret that the CRM alone knows')}`
    const headers = { Authorization: secret('CRM_TOKEN') }
    const to = webhook('https://crm.test/hooks', { secret: 'CRM_SECRET', headers })
    const outbox = outboxWith()
    await db.batch(outbox.insert({ ...placed(1), to }, ORIGIN))
    const rows = await db.prepare('SELECT * FROM hapax_outbox').all()
    expect(JSON.stringify(rows.results)).toContain('CRM_SECRET')
    const settings = { ...HAPAX, CRM_SECRET, CRM_TOKEN: 'marked' }
    expect(await outbox.relay(settings)).toMatchObject({ delivered: 1 })
    const [sent = { text: '', headers: {} }] = requests
    expect(new Webhook(CRM_SECRET).verify(sent.text, sent.headers)).toEqual(JSON.parse(sent.text))
    expect(sent.headers).toMatchObject({ authorization: 'marked' })
  })

  it('delivers the events of a stream in the order of their commits', async () => {
    const receiver = playReceiver()
    const outbox = outboxWith()
    const numbers = Array.from({ length: 23 }, (_, n) => n)
    for (const n of numbers) {
      // The clock of the Worker that commits goes back each time: it decides nothing.
      vi.setSystemTime(START - n)
      await db.batch(outbox.insert(placed(n), { ...ORIGIN, stream: 'customer-1' }))
    }
    vi.setSystemTime(START)
    expect(await outbox.relay(HAPAX)).toEqual({ delivered: 23, failed: 0, dead: 0 })
    expect(receiver.numbersTaken()).toEqual(numbers)
  })

  it('lets a failed event hold back its own stream and destination only', async () => {
    let isUp = false
    const other = 'https://other.test/hooks'
    const receiver = playReceiver((_, url) => (isUp || url === other ? 204 : 503))
    const outbox = outboxWith()
    const inOne = { ...ORIGIN, stream: 'one' }
    await db.batch(outbox.insert([placed(1), placed(2), placed(3, other)], inOne))
    await db.batch(outbox.insert(placed(4, other), { ...ORIGIN, stream: 'two' }))
    expect(await outbox.relay(HAPAX)).toEqual({ delivered: 2, failed: 1, dead: 0 })
    expect(new Set(receiver.numbersSent())).toEqual(new Set([1, 3, 4]))
    // Committed after it, and due before it.
    await db.batch(outbox.insert(placed(5), inOne))
    pass(1)
    expect(await outbox.relay(HAPAX)).toEqual({ delivered: 0, failed: 0, dead: 0 })
    isUp = true
    pass(10_000)
    await outbox.relay(HAPAX)
    expect(receiver.numbersTaken().slice(2)).toEqual([1, 2, 5])
  })

  it('takes up nothing for the limit that waits behind a failed event', async () => {
    const other = 'https://other.test/hooks'
    playReceiver((_, url) => (url === other ? 204 : 503))
    const outbox = outboxWith()
    await db.batch(outbox.insert([placed(1), placed(2), placed(3)], ORIGIN))
    await outbox.relay(HAPAX)
    pass(1)
    await db.batch(outbox.insert(placed(4, other), ORIGIN))
    expect(await outbox.relay(HAPAX, { limit: 1 })).toEqual({ delivered: 1, failed: 0, dead: 0 })
  })

  it('waits ever longer between two tries, up to the cap', async () => {
    playReceiver(() => 503)
    const retry = { attempts: 6, base: '1s', cap: '5s' } as const
    const outbox = outboxWith({ retry })
    await db.batch(outbox.insert(placed(1), ORIGIN))
    expect(await outbox.relay(HAPAX)).toMatchObject({ failed: 1 })
    // Half of each bound, by the given chance.
    for (const delayMs of [500, 1_000, 2_000, 2_500]) {
      pass(delayMs - 1)
      expect(await outbox.relay(HAPAX)).toMatchObject({ failed: 0 })
      pass(1)
      expect(await outbox.relay(HAPAX)).toMatchObject({ failed: 1 })
    }
  })

  it('tries an event once in a relay, even where chance gives no delay', async () => {
    const receiver = playReceiver(() => 503)
    const outbox = outboxWith({ random: () => 0 })
    await db.batch(outbox.insert(placed(1), ORIGIN))
    expect(await outbox.relay(HAPAX)).toEqual({ delivered: 0, failed: 1, dead: 0 })
    expect(receiver.sent).toHaveLength(1)
  })

  it.each([
    { asked: '60', waitsMs: 60_000 },
    { asked: '999999999', waitsMs: 86_400_000 },
  ])('waits as long as a receiver asks, at most a day: $asked', async ({ asked, waitsMs }) => {
    const receiver = playReceiver(
      () => new Response(null, { status: 429, headers: { 'Retry-After': asked } }),
    )
    const outbox = outboxWith()
    await db.batch(outbox.insert(placed(1), ORIGIN))
    await outbox.relay(HAPAX)
    pass(waitsMs - 1)
    await outbox.relay(HAPAX)
    expect(receiver.sent).toHaveLength(1)
    pass(1)
    await outbox.relay(HAPAX)
    expect(receiver.sent).toHaveLength(2)
  })

  it('delivers each event once when two relays run at once', async () => {
    const receiver = playReceiver()
    const outbox = outboxWith()
    for (let n = 0; n < 30; n++) {
      const origin = { ...ORIGIN, stream: `customer-${n % 7}` }
      await db.batch(outbox.insert(placed(n), origin))
    }
    const counts = await Promise.all([outbox.relay(HAPAX), outboxWith().relay(HAPAX)])
    expect(counts[0].delivered + counts[1].delivered).toBe(30)
    expect(new Set(receiver.numbersSent()).size).toBe(30)
    expect(receiver.sent).toHaveLength(30)
    for (const customer of Array.from({ length: 7 }, (_, n) => n)) {
      const ofCustomer = receiver.numbersTaken().filter((n) => n % 7 === customer)
      expect(ofCustomer).toEqual(ofCustomer.toSorted((one, other) => one - other))
    }
  })

  it('keeps a stream to one relay, also for what is committed while that is at it', async () => {
    const going = Promise.withResolvers<void>()
    const sent: number[] = []
    playOrigin(async (request) => {
      const { data } = await request.json<{ data: { n: number } }>()
      sent.push(data.n)
      if (data.n === 1) await going.promise
      return new Response(null, { status: 204 })
    })
    const outbox = outboxWith()
    const inOne = { ...ORIGIN, stream: 'one' }
    await db.batch(outbox.insert(placed(1), inOne))
    const first = outbox.relay(HAPAX)
    await until(() => sent.length === 1)
    await db.batch(outbox.insert(placed(2), inOne))
    expect(await outboxWith().relay(HAPAX)).toMatchObject({ delivered: 0 })
    expect(sent).toEqual([1])
    going.resolve()
    await first
    await outbox.relay(HAPAX)
    expect(sent).toEqual([1, 2])
  })

  it('sends again, with the same id, what a dead relay has sent and not marked', async () => {
    const receiver = playReceiver()
    const outbox = outboxWith({ lease: '60s' })
    await db.batch(outbox.insert([placed(1), placed(2)], ORIGIN))
    // The relay dies between the receiver's answer and its own note.
    await expect(createD1Outbox(withoutUpdatesOf(db, 'delivered')).relay(HAPAX)).rejects.toThrow(
      'may be made again',
    )
    pass(59_999)
    expect(await outbox.relay(HAPAX)).toMatchObject({ delivered: 0 })
    pass(1)
    expect(await outbox.relay(HAPAX)).toMatchObject({ delivered: 2 })
    expect(receiver.numbersSent()).toEqual([1, 1, 2])
    expect(receiver.sent[0]?.id).toBe(receiver.sent[1]?.id)
  })

  it('begins no delivery that its lease could end under', async () => {
    const receiver = playReceiver(() => {
      pass(15_000)
      return 204
    })
    const outbox = outboxWith({ lease: '30s' })
    await db.batch(outbox.insert([placed(1), placed(2)], ORIGIN))
    const claims = vi.spyOn(db, 'prepare')
    expect(await outbox.relay(HAPAX)).toMatchObject({ delivered: 2 })
    expect(receiver.numbersSent()).toEqual([1, 2])
    // One for each event, and one that finds none.
    expect(claims.mock.calls.filter(([sql]) => sql.includes('RETURNING'))).toHaveLength(3)
  })

  it.each([
    { what: 'it gives up what a later one has delivered', slowly: 410, later: 204 },
    { what: 'it has delivered what a later one gave up', slowly: 204, later: 410 },
  ])('holds an event delivered that arrived once, when after its lease $what', async (answers) => {
    const going = Promise.withResolvers<void>()
    let sent = 0
    playOrigin(async () => {
      if (++sent > 1) return new Response(null, { status: answers.later })
      await going.promise
      return new Response(null, { status: answers.slowly })
    })
    const outbox = outboxWith()
    await db.batch(outbox.insert(placed(1), ORIGIN))
    const slow = outbox.relay(HAPAX)
    await until(() => sent === 1)
    pass(60_000)
    await outboxWith().relay(HAPAX)
    going.resolve()
    await slow
    expect(sent).toBe(2)
    expect(await outbox.stats()).toMatchObject({ pending: 0, dead: 0 })
  })

  it('counts no failure against an event that a later relay is at', async () => {
    const going = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let sent = 0
    playOrigin(async () => {
      const turn = going[sent++]
      await turn?.promise
      return new Response(null, { status: turn === going[0] ? 503 : 204 })
    })
    const outbox = outboxWith()
    await db.batch(outbox.insert(placed(1), ORIGIN))
    const slow = outbox.relay(HAPAX)
    await until(() => sent === 1)
    pass(60_000)
    const later = outbox.relay(HAPAX)
    await until(() => sent === 2)
    going[0]?.resolve()
    await slow
    pass(10_000)
    expect(await outbox.relay(HAPAX)).toMatchObject({ delivered: 0 })
    going[1]?.resolve()
    expect(await later).toMatchObject({ delivered: 1 })
    expect(sent).toBe(2)
  })

  it('takes up as many events as it may', async () => {
    const receiver = playReceiver()
    const outbox = outboxWith()
    for (let n = 0; n < 5; n++) await db.batch(outbox.insert([placed(n), placed(n)], ORIGIN))
    expect(await outbox.relay(HAPAX, { limit: 7 })).toMatchObject({ delivered: 7 })
    expect(receiver.sent).toHaveLength(7)
    await expect(outbox.relay(HAPAX, { limit: 0 })).rejects.toThrow('limit')
  })
})

describe('dead events', () => {
  it('are given up after all attempts, with the reason, and hold back nothing any more', async () => {
    const receiver = playReceiver(({ data }) => ((data as { n: number }).n === 1 ? 500 : 204))
    const outbox = outboxWith({ retry: { attempts: 2 } })
    await db.batch(outbox.insert([placed(1), placed(2)], { ...ORIGIN, operationId: 'op' }))
    await outbox.relay(HAPAX)
    expect(receiver.numbersSent()).toEqual([1])
    pass(1_000)
    expect(await outbox.relay(HAPAX)).toEqual({ delivered: 1, failed: 0, dead: 1 })
    expect(receiver.numbersSent()).toEqual([1, 1, 2])
    expect(await outbox.listDead({ limit: 10 })).toEqual([
      {
        sequence: 1,
        id: 'op:1',
        stream: 'op',
        to: webhook(HOOK),
        event: receiver.sent[0],
        reason: 'the receiver answered 500',
        attempts: 2,
        createdAt: START,
        deadAt: START + 1_000,
      },
    ])
  })

  it('are those at once that the receiver wants no more of', async () => {
    playReceiver(() => 410)
    const outbox = outboxWith()
    await db.batch(outbox.insert(placed(1), ORIGIN))
    expect(await outbox.relay(HAPAX)).toEqual({ delivered: 0, failed: 0, dead: 1 })
    const [dead] = await outbox.listDead({ limit: 1 })
    expect(dead).toMatchObject({ reason: 'the receiver answered 410', attempts: 1 })
  })

  it('are delivered after a replay, with the same id and all their attempts', async () => {
    let status = 410
    const receiver = playReceiver(() => status)
    const outbox = outboxWith({ retry: { attempts: 2 } })
    await db.batch(outbox.insert(placed(1), { ...ORIGIN, operationId: 'op' }))
    await outbox.relay(HAPAX)
    expect(await outbox.replay('op:1')).toBe(true)
    expect(await outbox.replay('op:1')).toBe(false)
    expect(await outbox.listDead({ limit: 1 })).toEqual([])
    status = 503
    expect(await outbox.relay(HAPAX)).toMatchObject({ failed: 1 })
    status = 204
    pass(1_000)
    expect(await outbox.relay(HAPAX)).toMatchObject({ delivered: 1 })
    expect(new Set(receiver.sent.map(({ id }) => id))).toEqual(new Set(['op:1']))
    expect(await outbox.replay('op:1')).toBe(false)
    expect(await outbox.replay('nobody')).toBe(false)
  })

  it('are delivered before what still waits in their stream, which keeps its time', async () => {
    let status: number | null = null
    const receiver = playReceiver(
      ({ data }) => status ?? ((data as { n: number }).n === 1 ? 410 : 503),
    )
    const outbox = outboxWith()
    await db.batch(outbox.insert([placed(1), placed(2)], { ...ORIGIN, operationId: 'op' }))
    expect(await outbox.relay(HAPAX)).toEqual({ delivered: 0, failed: 1, dead: 1 })
    status = 204
    await outbox.replay('op:1')
    expect(await outbox.relay(HAPAX)).toMatchObject({ delivered: 1 })
    pass(500)
    expect(await outbox.relay(HAPAX)).toMatchObject({ delivered: 1 })
    expect(receiver.numbersTaken()).toEqual([1, 2])
  })

  it('are listed page by page, the last ones first', async () => {
    playReceiver(() => 410)
    const outbox = outboxWith()
    const events = [placed(1), placed(2), placed(3)]
    await db.batch(outbox.insert(events, { ...ORIGIN, operationId: 'op' }))
    await outbox.relay(HAPAX)
    const page = await outbox.listDead({ limit: 2 })
    expect(page.map(({ id }) => id)).toEqual(['op:3', 'op:2'])
    const rest = await outbox.listDead({ limit: 2, before: page[1]?.sequence ?? 0 })
    expect(rest.map(({ id }) => id)).toEqual(['op:1'])
  })
})

describe('cleanup', () => {
  it('deletes what was delivered longer ago, and nothing else', async () => {
    playReceiver(({ data }) => ((data as { n: number }).n === 0 ? 410 : 204))
    const outbox = outboxWith()
    await db.batch(outbox.insert([placed(0), placed(1)], ORIGIN))
    await outbox.relay(HAPAX)
    await db.batch(outbox.insert(placed(2), ORIGIN))
    pass(86_400_000)
    expect(await outbox.cleanup({ olderThan: '1d' })).toBe(0)
    pass(1)
    expect(await outbox.cleanup({ olderThan: '1d' })).toBe(1)
    expect(await outbox.stats()).toEqual({ pending: 1, dead: 1, oldestMs: 86_400_001 })
  })

  it('goes on until nothing is left', async () => {
    await db
      .prepare(
        `INSERT INTO hapax_outbox (id, stream, destination, event, state, created_at, due_at, ended_at)
          WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2001)
          SELECT n, 's', '{}', '{}', 'delivered', 0, 0, 0 FROM n`,
      )
      .run()
    expect(await outboxWith().cleanup({ olderThan: '7d' })).toBe(2_001)
    expect(await count('hapax_outbox')).toBe(0)
  })

  it('refuses what is no duration', async () => {
    const olderThan = '1 week' as '1d'
    await expect(outboxWith().cleanup({ olderThan })).rejects.toThrow('olderThan')
  })
})

describe('createD1Outbox', () => {
  it('keeps its events in a table of another name', async () => {
    playReceiver()
    await migrate(d1OutboxSql('shop_events'))
    const outbox = outboxWith({ table: 'shop_events' })
    await db.batch(outbox.insert(placed(1), ORIGIN))
    expect(await count('hapax_outbox')).toBe(0)
    expect(await outbox.relay(HAPAX)).toMatchObject({ delivered: 1 })
  })

  it.each([
    '',
    'orders; DROP TABLE orders; --',
    'orders"',
    'main.orders',
    '1st',
    'sqlite_master',
    '_cf_KV',
    'a'.repeat(61),
  ])('refuses %s as the name of a table', (table) => {
    expect(() => outboxWith({ table })).toThrow(TypeError)
    expect(() => d1OutboxSql(table)).toThrow(TypeError)
  })

  it.each<{ what: string; options: D1OutboxOptions }>([
    { what: 'no attempts', options: { retry: { attempts: 0 } } },
    { what: 'half an attempt', options: { retry: { attempts: 1.5 } } },
    { what: 'a delay that is none', options: { retry: { base: 'soon' as '1s' } } },
    { what: 'a lease shorter than a delivery', options: { lease: '29s' } },
  ])('refuses $what', ({ options }) => {
    expect(() => outboxWith(options)).toThrow(TypeError)
  })

  it('finds what is due by its indexes, however much was delivered', async () => {
    const { results } = await db
      .prepare(`EXPLAIN QUERY PLAN ${await claimStatement()}`)
      .bind('lease', 0, 0, 0, 1, 0)
      .all<{ detail: string }>()
    const scans = results
      .map(({ detail }) => detail)
      .filter((detail) => /^SCAN (?!head|\()/.test(detail))
    expect(scans).toEqual([])
  })
})

/** The database as a relay sees it that is killed before it can note this state. */
function withoutUpdatesOf(database: D1Database, state: string): D1Database {
  const prepare = (sql: string) => {
    if (sql.includes(`SET state = '${state}'`)) throw new Error('killed')
    return database.prepare(sql)
  }
  return { prepare } as D1Database
}

async function claimStatement(): Promise<string> {
  const prepare = vi.spyOn(db, 'prepare')
  await outboxWith().relay(HAPAX)
  const [sql = ''] = prepare.mock.calls[0] ?? []
  return sql
}
