import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { AnalyticsEngine } from '../../dev/analytics-engine.ts'
import {
  type AnalyticsClient,
  createAnalyticsClient,
  type Row,
  toApiUrl,
} from '../../src/analytics/client.ts'
import {
  cut,
  QUERIES,
  type QueryName,
  toCorrelationSql,
  toOperationIdsSql,
  toOperationSql,
  toSql,
} from '../../src/analytics/queries.ts'
import { BUCKET, MIX, type MixedPoint, pointOf, SINCE, write } from './analytics-mix.ts'

const MINUTE = 60_000

const clientOf = ({ accountId, token, url }: AnalyticsEngine): AnalyticsClient =>
  createAnalyticsClient({ url: toApiUrl(accountId, url), token })

const toTime = (after: number) => new Date(BUCKET + after).toISOString().replace('.000', '')

let engine: AnalyticsEngine
let client: AnalyticsClient
beforeAll(async () => {
  engine = await AnalyticsEngine.start()
  client = clientOf(engine)
  await write(engine, MIX)
})

afterAll(async () => {
  await engine.close()
})

const PAYMENTS = { route: 'POST /payments' } as const
const TICKETS = { route: 'POST /tickets' } as const
const SHADOW = { route: 'PUT /shadow' } as const
const PAID = { route: 'paid' } as const

/** What each query finds in the mix, added up by hand. */
const EXPECTED: Readonly<Record<QueryName, readonly object[]>> = {
  summary: [
    {
      requests: 63,
      executed: 17,
      replayed: 4,
      joined: 1,
      blocked: 14,
      mismatches: 6,
      mismatch_share: 6 / 63,
      keyless: 12,
      keyless_share: 12 / 63,
      unknown: 5,
      rejected: 8,
      store_errors: 3,
      recoveries: 1,
      late_refused: 1,
      observed: 10,
    },
  ],
  reuse: [
    {
      ...PAYMENTS,
      requests: 35,
      reused: 16,
      reused_share: 16 / 35,
      replayed: 2,
      joined: 1,
      in_progress: 4,
      mismatches: 5,
      held: 2,
      retried: 0,
      unreadable: 2,
      observed: 0,
    },
    {
      ...SHADOW,
      requests: 10,
      reused: 4,
      reused_share: 0.4,
      replayed: 3,
      joined: 0,
      in_progress: 0,
      mismatches: 1,
      held: 0,
      retried: 0,
      unreadable: 0,
      observed: 4,
    },
    {
      ...PAID,
      requests: 5,
      reused: 3,
      reused_share: 0.6,
      replayed: 2,
      joined: 0,
      in_progress: 1,
      mismatches: 0,
      held: 0,
      retried: 0,
      unreadable: 0,
      observed: 0,
    },
    {
      ...TICKETS,
      requests: 13,
      reused: 1,
      reused_share: 1 / 13,
      replayed: 0,
      joined: 0,
      in_progress: 0,
      mismatches: 1,
      held: 0,
      retried: 0,
      unreadable: 0,
      observed: 0,
    },
  ],
  conflicts: [
    {
      ...PAYMENTS,
      tenant: 'acme',
      mismatches: 5,
      observed: 0,
      requests: 35,
      mismatch_share: 5 / 35,
    },
    {
      ...TICKETS,
      tenant: 'beta',
      mismatches: 1,
      observed: 0,
      requests: 13,
      mismatch_share: 1 / 13,
    },
    { ...SHADOW, tenant: 'beta', mismatches: 0, observed: 1, requests: 6, mismatch_share: 0 },
  ],
  duplicates: [
    {
      ...PAYMENTS,
      blocked: 11,
      replayed: 2,
      joined: 1,
      in_progress: 4,
      held: 2,
      unreadable: 2,
      observed: 0,
    },
    {
      ...PAID,
      blocked: 3,
      replayed: 2,
      joined: 0,
      in_progress: 1,
      held: 0,
      unreadable: 0,
      observed: 0,
    },
    {
      ...SHADOW,
      blocked: 0,
      replayed: 0,
      joined: 0,
      in_progress: 0,
      held: 0,
      unreadable: 0,
      observed: 3,
    },
  ],
  latency: [
    {
      ...PAYMENTS,
      attempts: 9,
      in_progress_p50_ms: 100,
      in_progress_p95_ms: 40_000,
      in_progress_p99_ms: 40_000,
      claim_p50_ms: 10,
      claim_p95_ms: 50,
      claim_p99_ms: 50,
    },
    {
      ...TICKETS,
      attempts: 11,
      in_progress_p50_ms: 5,
      in_progress_p95_ms: 5,
      in_progress_p99_ms: 5,
      claim_p50_ms: 5,
      claim_p95_ms: 5,
      claim_p99_ms: 5,
    },
    {
      ...PAID,
      attempts: 1,
      in_progress_p50_ms: 0,
      in_progress_p95_ms: 0,
      in_progress_p99_ms: 0,
      claim_p50_ms: 0,
      claim_p95_ms: 0,
      claim_p99_ms: 0,
    },
  ],
  stores: [{ bucket: toTime(5 * MINUTE), ...PAYMENTS, store_errors: 3, let_through: 2 }],
  keyless: [
    { ...PAYMENTS, requests: 35, keyless: 7, keyless_share: 0.2, rejected: 7, observed: 0 },
    { ...SHADOW, requests: 10, keyless: 4, keyless_share: 0.4, rejected: 4, observed: 4 },
    { ...TICKETS, requests: 13, keyless: 1, keyless_share: 1 / 13, rejected: 0, observed: 0 },
    { ...PAID, requests: 5, keyless: 0, keyless_share: 0, rejected: 0, observed: 0 },
  ],
  unknown: [
    {
      operation_id: 'op-3',
      ...PAYMENTS,
      tenant: 'acme',
      attempts: 1,
      first_seen_at: toTime(2 * MINUTE),
      last_seen_at: toTime(4 * MINUTE),
      age_seconds: expect.any(Number),
    },
  ],
  recoveries: [
    {
      ...PAYMENTS,
      recovered: 1,
      undecided: 3,
      succeeded: 1,
      failed: 0,
      not_executed: 0,
      age_p50_ms: 2 * MINUTE,
      age_p95_ms: 2 * MINUTE,
      age_p99_ms: 2 * MINUTE,
    },
  ],
  late: [
    { ...PAYMENTS, settles: 9, late_taken: 1, late_refused: 1, late_share: 2 / 9 },
    { ...TICKETS, settles: 11, late_taken: 0, late_refused: 0, late_share: 0 },
    { ...PAID, settles: 1, late_taken: 0, late_refused: 0, late_share: 0 },
  ],
  waiting: [
    {
      ...PAYMENTS,
      waiters: 4,
      joined: 1,
      gave_up: 3,
      waited_average_ms: 170,
      waited_p50_ms: 200,
      waited_p95_ms: 200,
      waited_p99_ms: 200,
    },
  ],
  amplification: [
    {
      ...PAYMENTS,
      origin_calls: 14,
      operations: 7,
      requests: 33,
      calls_per_operation: 2,
      calls_per_request: 14 / 33,
    },
    {
      ...TICKETS,
      origin_calls: 13,
      operations: 10,
      requests: 12,
      calls_per_operation: 1.3,
      calls_per_request: 13 / 12,
    },
    {
      ...PAID,
      origin_calls: 1,
      operations: 1,
      requests: 5,
      calls_per_operation: 1,
      calls_per_request: 0.2,
    },
  ],
  traffic: [
    {
      bucket: toTime(0),
      requests: 48,
      executed: 17,
      replayed: 4,
      joined: 1,
      blocked: 14,
      mismatches: 1,
      unknown: 5,
      rejected: 1,
      unprotected: 11,
      store_errors: 0,
    },
    {
      bucket: toTime(5 * MINUTE),
      requests: 15,
      executed: 0,
      replayed: 0,
      joined: 0,
      blocked: 0,
      mismatches: 5,
      unknown: 0,
      rejected: 7,
      unprotected: 2,
      store_errors: 3,
    },
  ],
  messages: [{ ...PAID, messages: 5, acked: 3, retried: 1, dead_lettered: 1 }],
  deliveries: [
    {
      event: 'paid.v1',
      deliveries: 5,
      delivered: 3,
      retried: 1,
      dead: 1,
      age_p50_ms: 20,
      age_p95_ms: 90,
      age_p99_ms: 90,
    },
  ],
}

const names = Object.keys(QUERIES) as QueryName[]

describe('toSql', () => {
  it.each(names)(
    'finds by %s what the points say, each as often as it stands for',
    async (name) => {
      expect(await client.query(toSql(name, { since: SINCE }))).toEqual(EXPECTED[name])
    },
  )

  it('tells how long ago an operation was first seen', async () => {
    const [row] = await client.query(toSql('unknown', { since: SINCE }))
    const age = (Date.now() - BUCKET) / 1_000 - 120
    expect(Math.abs(Number(row?.['age_seconds']) - age)).toBeLessThan(5)
  })

  it.each([
    { name: 'a route', scope: { route: 'POST /tickets' }, requests: 13 },
    { name: 'a tenant', scope: { tenant: 'acme' }, requests: 40 },
    { name: 'both', scope: { route: 'PUT /shadow', tenant: 'beta' }, requests: 6 },
    { name: 'what there is not', scope: { route: 'PUT /nothing' }, requests: 0 },
    { name: 'a later time', scope: { since: BUCKET + 6 * MINUTE }, requests: 15 },
  ])('counts only $name', async ({ scope, requests }) => {
    const [row] = await client.query(toSql('summary', { since: SINCE, ...scope }))
    expect(row).toMatchObject({ requests })
  })

  it.each(names)('finds nothing by %s where there is nothing', async (name) => {
    const rows = await client.query(toSql(name, { since: Date.now() + MINUTE }))
    expect(rows.flatMap((row) => Object.values(row)).filter((value) => value !== 0)).toEqual([])
  })

  it.each(["GET /o'brien", 'GET /:id{\\d+}', "\\' OR 1=1 --", 'GET /a\nb', "''", 'é"`'])(
    'counts the route %j, and no other',
    async (route) => {
      await write(engine, [pointOf({ operation: route, tenant: route })], 'hostile')
      await write(engine, [pointOf({ operation: 'another' })], 'hostile')
      const scope = { since: SINCE, route, tenant: route, dataset: 'hostile' }
      expect(await client.query(toSql('reuse', scope))).toMatchObject([{ route, requests: 1 }])
    },
  )
})

describe('the query of unknown outcomes', () => {
  const now = Date.now()
  const ago = (seconds: number) => ({ after: now - seconds * 1_000 - BUCKET })
  const executed = { status: 'executed', outcome: 'succeeded', settle: 'taken' } as const
  const unknown = { status: 'unknown', outcome: 'unknown', settle: 'taken' } as const
  const joined = { status: 'joined', waitedMs: 100 } as const
  const held = { status: 'unknown', outcome: 'unknown' } as const
  const late = { ...unknown, settle: 'refused', totalMs: 600_000 } as const

  it.each<{ name: string; points: MixedPoint[]; age: number | null }>([
    {
      name: 'a duplicate had waited for it, and learned no more',
      points: [pointOf(unknown, ago(60)), pointOf({ ...joined, outcome: 'unknown' }, ago(59))],
      age: 59,
    },
    {
      name: 'only a duplicate had waited',
      points: [pointOf({ ...joined, outcome: 'unknown' }, ago(59))],
      age: 59,
    },
    {
      name: 'a duplicate learned the outcome',
      points: [pointOf(unknown, ago(60)), pointOf({ ...joined, outcome: 'failed' }, ago(59))],
      age: null,
    },
    {
      name: 'what retention has left of it says how it ended',
      points: [
        pointOf(unknown, ago(60)),
        pointOf({ status: 'expired', outcome: 'succeeded' }, ago(9)),
      ],
      age: null,
    },
    {
      name: 'what retention has left of it does not say so',
      points: [pointOf(unknown, ago(60)), pointOf({ status: 'expired' }, ago(9))],
      age: 60,
    },
    {
      name: 'its key was executed long ago, and forgotten',
      points: [pointOf({ ...executed, fence: 3 }, ago(7_200)), pointOf(unknown, ago(60))],
      age: 60,
    },
    {
      name: 'its key was unknown long ago, and resolved',
      points: [
        pointOf({ ...unknown, fence: 3 }, ago(7_200)),
        pointOf({ method: 'ADMIN', status: 'resolved' }, ago(7_000)),
        pointOf(unknown, ago(60)),
      ],
      age: 60,
    },
    {
      name: 'a repeat that was held says how long it has been so',
      points: [pointOf(unknown, ago(900)), pointOf({ ...held, ageMs: 890_000 }, ago(10))],
      age: 900,
    },
    {
      name: 'a repeat of an earlier version does not say it',
      points: [pointOf(unknown, ago(900)), pointOf(held, ago(10))],
      age: 900,
    },
    {
      name: 'it was sent again and again in vain',
      points: [
        pointOf(unknown, ago(900)),
        pointOf({ ...unknown, fence: 2, ageMs: 600_000 }, ago(300)),
      ],
      age: 900,
    },
    {
      name: 'a late owner does not know, and another call does',
      points: [pointOf({ ...executed, fence: 2 }, ago(60)), pointOf(late, ago(9))],
      age: null,
    },
    {
      name: 'a late owner does not know, and nobody else has ended',
      points: [pointOf(late, ago(9))],
      age: 609,
    },
    {
      name: 'a late owner knows what another call has left unknown',
      points: [
        pointOf({ ...unknown, fence: 2 }, ago(60)),
        pointOf({ ...executed, settle: 'refused', totalMs: 600_000 }, ago(9)),
      ],
      age: 60,
    },
  ])('has an age of $age s where $name', async ({ name, points, age }) => {
    const dataset = `unknown_${name.replaceAll(/\W+/g, '_')}`
    await write(engine, points, dataset)
    const rows = await client.query(toSql('unknown', { since: now - 86_400_000, dataset }))
    expect(rows).toHaveLength(age === null ? 0 : 1)
    if (age === null) return
    const since = Date.parse(String(rows[0]?.['first_seen_at']))
    expect(Math.abs(since - (now - age * 1_000))).toBeLessThanOrEqual(1_000)
    expect(Number(rows[0]?.['age_seconds'])).toBeGreaterThanOrEqual(age - 1)
    expect(Number(rows[0]?.['age_seconds'])).toBeLessThan(age + 120)
    expect(rows[0]?.['attempts']).toBeLessThan(3)
  })

  it('takes an attempt whose settle could not be stored for no repeat', async () => {
    const unstored = { ...unknown, settle: null, originCalls: 1, originMs: 20 }
    await write(engine, [pointOf(unstored), pointOf(held)], 'unstored')
    const scope = { since: SINCE, dataset: 'unstored' }
    expect(await client.query(toSql('duplicates', scope))).toMatchObject([{ blocked: 1, held: 1 }])
    expect(await client.query(toSql('latency', scope))).toMatchObject([{ attempts: 1 }])
  })
})

describe('toCorrelationSql', () => {
  it('finds what bears a correlation id, in order, with its delivery', async () => {
    const rows = await client.query(toCorrelationSql('correlation-4', { since: SINCE }))
    expect(rows).toMatchObject([
      { method: 'POST', status: 'unknown', seen_at: toTime(MINUTE), origin_calls: 1 },
      { method: 'ALARM', status: 'recovered', outcome: 'succeeded' },
      { method: 'EVENT', status: 'delivered', sample_interval: 3 },
    ])
  })
})

describe('toOperationSql', () => {
  it('finds what was done about an operation, in order', async () => {
    const rows = await client.query(toOperationSql('op-3', { since: SINCE }))
    expect(rows.map(({ method, status, settle }) => [method, status, settle])).toEqual([
      ['POST', 'unknown', 'taken'],
      ['POST', 'unknown', ''],
      ['ALARM', 'unknown', ''],
    ])
  })
})

describe('a timeline of many points', () => {
  it('comes in pages, none twice, though all are of one second', async () => {
    const many = Array.from({ length: 2_500 }, (_, nth) =>
      pointOf({ correlationId: 'busy', operationId: `op-${nth % 7}`, totalMs: nth }),
    )
    await write(engine, many, 'many')
    const scope = { since: SINCE, dataset: 'many' }
    const pages = await Promise.all(
      [0, 1_000, 2_000].map((offset) => client.query(toCorrelationSql('busy', scope, offset))),
    )
    const cuts = pages.map((page) => cut('timeline', page))
    expect(cuts.map(({ isCut }) => isCut)).toEqual([true, true, false])
    const seen = cuts.flatMap(({ rows }) => rows).map((row) => row['total_ms'])
    expect(new Set(seen).size).toBe(2_500)
  })

  it('names its operations, page by page', async () => {
    const scope = { since: SINCE, dataset: 'many' }
    const page = (after: string) =>
      client.query(toOperationIdsSql('busy', scope, { after, limit: 4 }))
    const ids = (rows: readonly Row[]) => rows.map((row) => row['operation_id'])
    expect(ids(await page(''))).toEqual(['op-0', 'op-1', 'op-2', 'op-3', 'op-4'])
    expect(ids(await page('op-3'))).toEqual(['op-4', 'op-5', 'op-6'])
  })
})

describe('AnalyticsEngine', () => {
  const ask = (sql: string, headers: Record<string, string> = bearer(engine.token)) =>
    fetch(toApiUrl(engine.accountId, engine.url), { method: 'POST', body: sql, headers })
  const bearer = (token: string) => ({ Authorization: `Bearer ${token}` })

  it('answers with a table: whole numbers as strings, times in UTC', async () => {
    const sql = `SELECT sum(_sample_interval) AS n, toDateTime(0) AS t, 1.5 AS x FROM hapax WHERE blob1 = 'paid'`
    const response = await ask(sql)
    expect(response.headers.get('Content-Type')).toBe('application/json')
    expect(await response.json()).toEqual({
      meta: [
        { name: 'n', type: 'UInt64' },
        { name: 't', type: 'DateTime' },
        { name: 'x', type: 'Float64' },
      ],
      data: [{ n: '5', t: '1970-01-01 00:00:00', x: 1.5 }],
      rows: 1,
    })
  })

  it.each([
    { format: 'JSONEachRow', expected: '{"a":"x\\ty","b":"1"}\n' },
    { format: 'TabSeparated', expected: 'x\\ty\t1\n' },
  ])('answers in $format where it is asked to', async ({ format, expected }) => {
    const response = await ask(
      `SELECT 'x\ty' AS a, toUInt32(1) + toUInt32(0) AS b FORMAT ${format}`,
    )
    expect(await response.text()).toBe(expected)
  })

  it('has the columns of the cloud', async () => {
    const rows = await client.query(`SELECT * FROM hapax LIMIT 1`)
    const numbered = (name: string) =>
      Array.from({ length: 20 }, (_, index) => `${name}${index + 1}`)
    expect(Object.keys(rows[0] ?? {})).toEqual([
      'dataset',
      'timestamp',
      '_sample_interval',
      'index1',
      ...numbered('blob'),
      ...numbered('double'),
    ])
    expect(rows[0]).toMatchObject({ dataset: 'hapax' })
  })

  it.each([
    { name: 'no token', headers: {}, status: 400, code: 9106 },
    { name: 'no bearer', headers: { Authorization: 'Basic eDp5' }, status: 400, code: 6003 },
    { name: 'another token', headers: bearer('another'), status: 401, code: 10_000 },
  ])('turns $name away with $status', async ({ headers, status, code }) => {
    const response = await ask('SELECT 1', headers)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ success: false, errors: [{ code }] })
  })

  it.each([
    { name: 'an account that is none', account: 'mine', status: 404, code: 7003 },
    { name: "another's account", account: 'a'.repeat(32), status: 403, code: 10_000 },
  ])('turns $name away with $status', async ({ account, status, code }) => {
    const response = await fetch(toApiUrl(account, engine.url), {
      method: 'POST',
      body: 'SELECT 1',
      headers: bearer(engine.token),
    })
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ errors: [{ code }] })
  })

  it.each([
    { sql: 'SELECT 1 FROM hapax JOIN hapax ON 1', reason: 'unsupported: JOIN' },
    { sql: 'SELECT nope FROM hapax', reason: 'unable to find type of column: nope' },
    { sql: 'SELECT 1 FROM nowhere', reason: 'unable to find type of column: "timestamp"' },
    { sql: 'SELECT ( FROM hapax', reason: 'sql parser error: failed at position' },
    { sql: 'SELECT blob1 + 1 AS x FROM hapax', reason: 'Illegal types' },
  ])('refuses $sql in plain text', async ({ sql, reason }) => {
    const response = await ask(sql)
    expect(response.status).toBe(422)
    expect(response.headers.get('Content-Type')).toMatch(/^text\/plain/)
    expect(await response.text()).toMatch(`Input was invalid: ${reason}`)
  })

  it.each([
    { name: 'no JSON', body: '[', status: 400 },
    { name: 'no array', body: '{}', status: 400 },
    { name: 'two indexes', body: '[{"indexes":["a","b"],"blobs":[],"doubles":[]}]', status: 400 },
    {
      name: 'a double that is none',
      body: '[{"indexes":[],"blobs":[],"doubles":["1"]}]',
      status: 400,
    },
    { name: '97 bytes of index', body: pointOfIndex('é'.repeat(48) + 'a'), status: 400 },
    { name: '96 bytes of index', body: pointOfIndex('é'.repeat(48)), status: 202 },
    { name: '21 blobs', body: pointOfBlobs(Array(21).fill('')), status: 400 },
    { name: '20 blobs', body: pointOfBlobs(Array(20).fill('')), status: 202 },
    {
      name: '16385 bytes of blobs',
      body: pointOfBlobs(['a'.repeat(16_000), 'b'.repeat(385)]),
      status: 400,
    },
    {
      name: '16384 bytes of blobs',
      body: pointOfBlobs(['a'.repeat(16_000), 'b'.repeat(384)]),
      status: 202,
    },
  ])('answers $status to $name as points', async ({ body, status }) => {
    const response = await fetch(`${engine.url}/points?dataset=bounds`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body,
    })
    expect(response.status).toBe(status)
  })

  it('takes no points from a form of a page', async () => {
    const response = await fetch(`${engine.url}/points`, { method: 'POST', body: '[]' })
    expect(response.status).toBe(415)
  })

  it('answers many at once, and points that have been taken are there', async () => {
    const writes = Array.from({ length: 20 }, () => write(engine, [pointOf({})], 'busy'))
    await Promise.all(writes)
    const sql = 'SELECT sum(_sample_interval) AS n FROM busy'
    const rows = await Promise.all(Array.from({ length: 20 }, () => client.query(sql)))
    expect(rows.flat()).toEqual(Array.from({ length: 20 }, () => ({ n: 20 })))
  })
})

function pointOfIndex(index: string): string {
  return JSON.stringify([{ indexes: [index], blobs: [], doubles: [] }])
}

function pointOfBlobs(blobs: readonly string[]): string {
  return JSON.stringify([{ indexes: [], blobs, doubles: [] }])
}
