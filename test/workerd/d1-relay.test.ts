import { reset } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { HapaxEnv } from '../../src/config/env.ts'
import { type Destination, queue } from '../../src/core/event/destination.ts'
import type { CloudEvent } from '../../src/core/event/event.ts'
import {
  createD1Outbox,
  D1_OUTBOX_SQL,
  type D1OutboxOptions,
  d1OutboxUpgradeSql,
} from '../../src/outbox/d1-outbox.ts'
import { until } from './until.ts'

const { DB: db } = env as unknown as { DB: D1Database }
const START = Date.parse('2026-11-24T12:00:00Z')

const migrate = (sql: string) =>
  db.batch(sql.split(/;\n/).flatMap((one) => (one.trim() === '' ? [] : db.prepare(one))))

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(START)
  await migrate(D1_OUTBOX_SQL)
})

afterEach(async () => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  await reset()
})

const pass = (ms: number) => vi.setSystemTime(Date.now() + ms)
const outboxWith = (options: D1OutboxOptions = {}, database = db) =>
  createD1Outbox(database, { random: () => 0.5, ...options })

interface Sent {
  readonly stream: string
  readonly n: number
  readonly id: string
}

/** A queue, and everything that was sent to it. */
function playQueue(answer: (sent: Sent) => unknown = () => undefined) {
  const sent: Sent[] = []
  const send = async ({ id, data }: CloudEvent) => {
    const one = { ...(data as { stream: string; n: number }), id }
    sent.push(one)
    await answer(one)
  }
  const hapax = { ...env, ORDERS: { send } } as unknown as HapaxEnv
  const ofStream = (stream: string) => sent.filter((one) => one.stream === stream)
  return { hapax, sent, numbersOf: (stream: string) => ofStream(stream).map(({ n }) => n) }
}

/** Commits events 1, 2, … of a stream. */
async function commit(stream: string, count: number, to: Destination = queue('ORDERS')) {
  const origin = { correlationId: 'c', tenant: 't', stream, operationId: stream }
  const events = Array.from({ length: count }, (_, at) => ({
    type: 'order.placed',
    data: { stream, n: at + 1 },
    to,
  }))
  await db.batch(outboxWith().insert(events, origin))
}

/** Writes a backlog straight into the table; `row` gives the columns of row `n`. */
async function fill(count: number, row: string): Promise<void> {
  await db
    .prepare(
      `INSERT INTO hapax_outbox (id, destination, event, created_at, stream, due_at, state, ended_at)
        WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?1)
        SELECT n, '{"to":"queue","binding":"ORDERS"}',
          json_object('id', n, 'type', 't', 'tenant', 't', 'data', json_object('n', n)), 0, ${row} FROM n`,
    )
    .bind(count)
    .run()
}

type Step = (sql: string, run: () => Promise<D1Result>) => Promise<D1Result>

/** The database with something between it and whoever uses it. */
function through(step: Step): D1Database {
  const wrap = (sql: string, statement: D1PreparedStatement): unknown => {
    const all = () => step(sql, () => statement.all())
    return {
      bind: (...values: unknown[]) => wrap(sql, statement.bind(...values)),
      all,
      run: all,
      first: async () => (await all()).results[0] ?? null,
    }
  }
  return { prepare: (sql: string) => wrap(sql, db.prepare(sql)) } as D1Database
}

function metered() {
  const seen = { rows: 0, claims: 0 }
  const database = through(async (sql, run) => {
    const result = await run()
    seen.rows += result.meta.rows_read
    if (sql.includes('RETURNING')) seen.claims++
    return result
  })
  return { seen, database }
}

/** First pending events of their streams, as the table has marked them and as they are. */
async function heads() {
  const list = async (where: string) => {
    const sql = `SELECT sequence FROM hapax_outbox WHERE ${where} ORDER BY sequence`
    return (await db.prepare(sql).all<{ sequence: number }>()).results.map((row) => row.sequence)
  }
  const first = `SELECT min(sequence) FROM hapax_outbox WHERE state = 'pending' GROUP BY stream, destination`
  return { marked: await list('is_head = 1'), real: await list(`sequence IN (${first})`) }
}

describe('what a relay reads', () => {
  const isDue = "0, 'pending', NULL"
  const backlogs = [
    { name: 'one stream', row: `'s', ${isDue}`, mostClaims: 1 },
    { name: 'ten streams', row: `n % 10, ${isDue}`, mostClaims: 1 },
    { name: 'a stream for each event', row: `n, ${isDue}`, mostClaims: 5 },
    {
      name: 'streams of which every other one is in backoff',
      row: `n, iif(n % 2, 0, ${START + 1_000}), 'pending', NULL`,
      mostClaims: 5,
    },
    {
      name: 'one stream, with dead events in between',
      row: `'s', 0, iif(n % 2, 'dead', 'pending'), iif(n % 2, 0, NULL)`,
      mostClaims: 1,
    },
  ]

  it.each(backlogs)('follows from what it delivers: $name', async ({ row, mostClaims }) => {
    const { hapax } = playQueue()
    const rows: number[] = []
    for (const count of [1_500, 3_000]) {
      await db.prepare('DELETE FROM hapax_outbox').run()
      await fill(count, row)
      const { seen, database } = metered()
      const counts = await outboxWith({}, database).relay(hapax, { limit: 100 })
      expect(counts).toEqual({ delivered: 100, failed: 0, dead: 0 })
      expect(seen.claims).toBeLessThanOrEqual(mostClaims)
      rows.push(seen.rows)
    }
    const [once = 0, twice = 0] = rows
    expect(once).toBeLessThanOrEqual(100 * 20)
    expect(twice).toBeLessThanOrEqual(once * 1.1)
  })

  it('is next to nothing where all streams are in backoff', async () => {
    await fill(3_000, `n, ${START + 1_000}, 'pending', NULL`)
    const { seen, database } = metered()
    await outboxWith({}, database).relay(playQueue().hapax)
    expect(seen.rows).toBeLessThan(20)
  })

  it('is next to nothing where one stream waits for its first event', async () => {
    await fill(3_000, `'s', iif(n = 1, ${START + 1_000}, 0), 'pending', NULL`)
    const { seen, database } = metered()
    expect(await outboxWith({}, database).relay(playQueue().hapax)).toMatchObject({ delivered: 0 })
    expect(seen.rows).toBeLessThan(20)
  })

  it('is a page of what is dead, and the age without a search', async () => {
    await fill(3_000, `'s', 0, iif(n % 2, 'dead', 'delivered'), 0`)
    const { seen, database } = metered()
    await outboxWith({}, database).listDead({ limit: 10 })
    expect(seen.rows).toBeLessThan(40)
    await outboxWith({}, database).replay('1')
    expect(seen.rows).toBeLessThan(60)
  })
})

describe('a long stream', () => {
  it('does not keep others waiting behind it', async () => {
    await commit('long', 200)
    for (let at = 0; at < 30; at++) await commit(`short-${at}`, 1)
    const { hapax, sent, numbersOf } = playQueue()
    await outboxWith().relay(hapax, { limit: 100 })
    expect(new Set(sent.map(({ stream }) => stream)).size).toBe(31)
    expect(numbersOf('long')).toEqual(Array.from({ length: 70 }, (_, at) => at + 1))
  })
})

describe('first events', () => {
  it('are marked whatever is done to the table', async () => {
    let seed = 7
    const below = (count: number) => (seed = (seed * 16_807) % 2_147_483_647) % count
    const any = (state: string) =>
      `sequence = (SELECT sequence FROM hapax_outbox WHERE state = '${state}' LIMIT 1 OFFSET ${below(4)})`
    const steps = [
      () =>
        `INSERT INTO hapax_outbox (id, stream, destination, event, created_at, due_at)
          VALUES (hex(randomblob(8)), ${below(3)}, '"${below(2)}"', '{}', 0, 0)`,
      () => `UPDATE hapax_outbox SET state = 'delivered' WHERE ${any('pending')}`,
      () => `UPDATE hapax_outbox SET state = 'dead' WHERE ${any('pending')}`,
      () => `UPDATE hapax_outbox SET state = 'pending' WHERE ${any('dead')}`,
      () => `UPDATE hapax_outbox SET state = 'pending' WHERE state = 'dead'`,
      () => `UPDATE hapax_outbox SET stream = ${below(3)} WHERE ${any('pending')}`,
      () => `UPDATE hapax_outbox SET destination = '"${below(2)}"' WHERE ${any('pending')}`,
      () => `UPDATE hapax_outbox SET stream = ${below(3)}, destination = '"${below(2)}"'`,
      () => `DELETE FROM hapax_outbox WHERE ${any('pending')}`,
      () => `DELETE FROM hapax_outbox WHERE state = 'delivered'`,
    ]
    for (let at = 0; at < 250; at++) {
      const step = steps[below(3) === 0 ? below(steps.length) : 0]
      await db.prepare(step?.() ?? '').run()
      const { marked, real } = await heads()
      expect(marked).toEqual(real)
    }
  })

  it('wait for the relay that is at their stream, where they are put in front, and come next', async () => {
    await commit('s', 3)
    const going = Promise.withResolvers<void>()
    const { hapax, numbersOf } = playQueue(({ n }) => (n === 2 ? going.promise : undefined))
    await db.prepare("UPDATE hapax_outbox SET state = 'dead', ended_at = 0 WHERE id = 's:1'").run()
    const first = outboxWith().relay(hapax)
    await until(() => numbersOf('s').length === 1)
    await outboxWith().replay('s:1')
    expect(await outboxWith().relay(hapax)).toEqual({ delivered: 0, failed: 0, dead: 0 })
    going.resolve()
    await first
    expect(numbersOf('s')).toEqual([2])
    await outboxWith().relay(hapax)
    expect(numbersOf('s')).toEqual([2, 1, 3])
  })
})

describe('a queue whose send outlasts the lease', () => {
  it.each([
    { name: 'never returns', isReturning: false },
    { name: 'returns after it', isReturning: true },
  ])('holds back its own stream alone, and no event is lost: it $name', async ({ isReturning }) => {
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] })
    const late = Promise.withResolvers<void>()
    let isHanging = true
    const { hapax, numbersOf } = playQueue(({ stream, n }) =>
      isHanging && stream === 'slow' && n === 1 ? late.promise : undefined,
    )
    await commit('slow', 2)
    await commit('other', 2)
    const outbox = outboxWith({ lease: '30s' })
    const first = outbox.relay(hapax)
    await until(() => numbersOf('slow').length === 1 && numbersOf('other').length === 2)
    // While the first may still send it, nobody sends what stands behind it.
    expect(await outboxWith({ lease: '30s' }).relay(hapax)).toMatchObject({ delivered: 0 })
    expect(numbersOf('slow')).toEqual([1])
    await vi.advanceTimersByTimeAsync(16_000)
    expect(await first).toEqual({ delivered: 2, failed: 1, dead: 0 })
    isHanging = false
    await vi.advanceTimersByTimeAsync(30_000)
    if (isReturning) late.resolve()
    expect(await outbox.relay(hapax)).toMatchObject({ delivered: 2 })
    expect(numbersOf('slow')).toEqual([1, 1, 2])
    expect(await outbox.stats()).toMatchObject({ pending: 0, dead: 0 })
  })
})

/** Every event of these streams, in order, whatever was sent more than once. */
function expectAll(numbersOf: (stream: string) => number[], expected: Record<string, number[]>) {
  for (const [stream, numbers] of Object.entries(expected)) {
    expect([...new Set(numbersOf(stream))]).toEqual(numbers)
  }
}

describe('a relay with a fault', () => {
  const faults: { name: string; step: (run: () => Promise<D1Result>) => Promise<D1Result> }[] = [
    { name: 'is not executed', step: () => Promise.reject(new Error('no database')) },
    {
      name: 'is executed and its answer lost',
      async step(run) {
        await run()
        throw new Error('connection lost')
      },
    },
    {
      name: 'never answers',
      step: () => new Promise(() => {}),
    },
  ]

  // Claim, and then what it writes and reads for each of its events.
  const cases = faults.flatMap((fault) =>
    Array.from({ length: 12 }, (_, at) => ({ ...fault, nth: at + 1 })),
  )

  it.each(cases)(
    'loses nothing and keeps the order: statement $nth $name, and it dies',
    async ({ step, nth }) => {
      vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] })
      let isFirst = true
      const { hapax, numbersOf } = playQueue(({ stream, n }) => {
        if (stream === 'fails' && n === 2 && isFirst) throw new Error('not now')
      })
      await commit('fails', 3)
      await commit('fine', 3)
      let count = 0
      const database = through((_, run) => {
        count++
        if (count > nth) throw new Error('dead')
        return count === nth ? step(run) : run()
      })
      const dying = outboxWith({ retry: { attempts: 2 } }, database).relay(hapax)
      const ended = dying.then(
        () => 'returned',
        () => 'threw',
      )
      await until(async () => {
        await vi.advanceTimersByTimeAsync(1_000)
        return Promise.race([ended, Promise.resolve('')])
      })
      isFirst = false
      pass(60_000)
      const outbox = outboxWith()
      await outbox.relay(hapax)
      expectAll(numbersOf, { fails: [1, 2, 3], fine: [1, 2, 3] })
      expect(await outbox.stats()).toMatchObject({ pending: 0, dead: 0 })
      const { marked, real } = await heads()
      expect(marked).toEqual(real)
    },
  )

  it('tells of one statement that fails, and goes on with the other streams', async () => {
    await commit('broken', 2)
    await commit('fine', 3)
    const { hapax, numbersOf } = playQueue()
    let hasFailed = false
    const database = through((sql, run) => {
      if (!sql.includes("'delivered', ended_at") || hasFailed) return run()
      hasFailed = true
      throw new Error('no database')
    })
    await expect(outboxWith({}, database).relay(hapax)).rejects.toThrow('may be made again')
    expect([numbersOf('broken'), numbersOf('fine')]).toEqual([[1], [1, 2, 3]])
    pass(60_000)
    await outboxWith().relay(hapax)
    expect(numbersOf('broken')).toEqual([1, 1, 2])
  })
})

describe('a relay whose clock is wrong', () => {
  it('leaves streams free after its death, however far ahead it was', async () => {
    await commit('s', 2)
    const { hapax, numbersOf } = playQueue()
    const ahead = { now: () => Date.now() + 365 * 86_400_000 }
    const dying = through((sql, run) => {
      if (sql.includes('RETURNING')) return run()
      throw new Error('dead')
    })
    await expect(outboxWith(ahead, dying).relay(hapax)).rejects.toThrow('may be made again')
    expect(await outboxWith().relay(hapax)).toMatchObject({ delivered: 2 })
    expect(numbersOf('s')).toEqual([1, 1, 2])
  })

  it.each([
    { name: 'ahead', skewMs: 3_600_000 },
    { name: 'behind', skewMs: -3_600_000 },
  ])('takes a stream that another is at, which then sends no more of it: $name', async (wrong) => {
    await commit('s', 4)
    pass(7_200_000)
    const going = Promise.withResolvers<void>()
    let turns = 0
    const { hapax, numbersOf } = playQueue(() => (turns++ === 0 ? going.promise : undefined))
    const right = outboxWith().relay(hapax)
    await until(() => numbersOf('s').length === 1)
    const other = outboxWith({ now: () => Date.now() + wrong.skewMs })
    expect(await other.relay(hapax, { limit: 2 })).toMatchObject({ delivered: 2 })
    going.resolve()
    await right
    expect(numbersOf('s').slice(0, 3)).toEqual([1, 1, 2])
    await outboxWith().relay(hapax)
    expect(numbersOf('s')).toEqual([1, 1, 2, 3, 4])
  })

  it('keeps to a lease by a clock that is a little behind', async () => {
    await commit('s', 1)
    const going = Promise.withResolvers<void>()
    const { hapax, sent } = playQueue(() => going.promise)
    const first = outboxWith().relay(hapax)
    await until(() => sent.length === 1)
    const other = outboxWith({ now: () => Date.now() - 59_000 })
    expect(await other.relay(hapax)).toEqual({ delivered: 0, failed: 0, dead: 0 })
    going.resolve()
    await first
    expect(sent).toHaveLength(1)
  })
})

/** As it was before there was `is_head`. */
const OLD_SQL = `CREATE TABLE hapax_outbox (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  stream TEXT NOT NULL,
  destination TEXT NOT NULL CHECK (json_valid(destination)),
  event TEXT NOT NULL CHECK (json_valid(event)),
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
  failures INTEGER NOT NULL DEFAULT 0,
  reason TEXT,
  created_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  ended_at INTEGER,
  lease TEXT,
  lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX hapax_outbox_due ON hapax_outbox (due_at) WHERE state = 'pending';
CREATE INDEX hapax_outbox_order ON hapax_outbox (stream, destination, sequence) WHERE state = 'pending';
CREATE INDEX hapax_outbox_delivered ON hapax_outbox (ended_at) WHERE state = 'delivered';
CREATE INDEX hapax_outbox_dead ON hapax_outbox (sequence) WHERE state = 'dead';
`

describe('d1OutboxUpgradeSql', () => {
  beforeEach(async () => {
    await db.prepare('DROP TABLE hapax_outbox').run()
    await migrate(OLD_SQL)
  })

  it('makes of a table with pending events one that a relay works with', async () => {
    await commit('a', 3)
    await commit('b', 3)
    await db.prepare("UPDATE hapax_outbox SET state = 'delivered' WHERE id = 'a:1'").run()
    await db.prepare("UPDATE hapax_outbox SET state = 'dead', ended_at = 0 WHERE id = 'b:2'").run()
    await migrate(d1OutboxUpgradeSql())
    const { marked, real } = await heads()
    expect(marked).toEqual(real)
    const { hapax, numbersOf } = playQueue()
    await commit('c', 1)
    expect(await outboxWith().relay(hapax)).toEqual({ delivered: 5, failed: 0, dead: 0 })
    await outboxWith().replay('b:2')
    await outboxWith().relay(hapax)
    expect([numbersOf('a'), numbersOf('b'), numbersOf('c')]).toEqual([[2, 3], [1, 3, 2], [1]])
  })

  it('leaves to a relay of the version before what that is at', async () => {
    await commit('a', 3)
    const lease = "lease = '7f0c', lease_until = ?1 WHERE id IN ('a:1', 'a:2')"
    await db
      .prepare(`UPDATE hapax_outbox SET ${lease}`)
      .bind(START + 60_000)
      .run()
    await migrate(d1OutboxUpgradeSql())
    const { hapax, numbersOf } = playQueue()
    expect(await outboxWith().relay(hapax)).toMatchObject({ delivered: 0 })
    const delivered =
      "state = 'delivered', ended_at = 0, reason = NULL, lease = NULL, lease_until = 0"
    await db.prepare(`UPDATE hapax_outbox SET ${delivered} WHERE id = 'a:1'`).run()
    expect(await outboxWith().relay(hapax)).toMatchObject({ delivered: 0 })
    pass(60_000)
    expect(await outboxWith().relay(hapax)).toMatchObject({ delivered: 2 })
    expect(numbersOf('a')).toEqual([2, 3])
  })
})
