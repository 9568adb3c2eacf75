import { readFileSync } from 'node:fs'
import path from 'node:path'
import { runInNewContext } from 'node:vm'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parse } from 'yaml'

import { AnalyticsEngine } from '../../dev/analytics-engine.ts'
import { toAlerts } from '../../ops/grafana/alerts.ts'
import { toDashboard } from '../../ops/grafana/dashboard.ts'
import {
  type AnalyticsClient,
  createAnalyticsClient,
  toApiUrl,
} from '../../src/analytics/client.ts'
import { BUCKET, MIX, type MixedPoint, pointOf, SINCE, write } from './analytics-mix.ts'

const MINUTE = 60_000
const ops = path.resolve(import.meta.dirname, '../../ops')
const read = (name: string) => readFileSync(path.join(ops, name), 'utf8')

let engine: AnalyticsEngine
let client: AnalyticsClient
beforeAll(async () => {
  engine = await AnalyticsEngine.start()
  client = createAnalyticsClient({
    url: toApiUrl(engine.accountId, engine.url),
    token: engine.token,
  })
  await write(engine, MIX)
})
afterAll(() => engine.close())

interface Choice {
  readonly from?: number
  readonly to?: number
  readonly route?: string
  readonly dataset?: string
}

/** What the data source makes of a query, as its README says. */
function expand(
  sql: string,
  { from = SINCE, to = Date.now(), route, dataset }: Choice = {},
): string {
  const [start, end] = [Math.floor(from / 1_000), Math.floor(to / 1_000)]
  const filter = `timestamp >= toDateTime(${start}) AND timestamp <= toDateTime(${end})`
  const expanded = sql
    .replaceAll(
      /\$conditionalTest\((AND .*?\)), \$(\w+)\)/g,
      (_, predicate: string, name: string) =>
        name === 'route' && route !== undefined ? predicate.replace('$route', `'${route}'`) : '',
    )
    .replaceAll('$timeFilterByColumn(timestamp)', filter)
    .replaceAll('$timeFilter', filter)
    .replaceAll('$timeSeries', '(intDiv(toUInt32(timestamp), 300) * 300) * 1000')
    .replaceAll('$to', String(end))
    .replaceAll('FROM hapax', `FROM ${dataset ?? 'hapax'}`)
  expect(expanded).not.toContain('$')
  return expanded
}

describe('the dashboard', () => {
  const dashboard = toDashboard()
  const panels = dashboard.panels.map(({ title, targets }) => ({
    title,
    sql: targets[0]?.query ?? '',
    format: targets[0]?.format,
  }))

  it('is the one that is shipped', () => {
    expect(JSON.parse(read('grafana-dashboard.json'))).toEqual(dashboard)
  })

  it('has no panel that stands on another', () => {
    const cells = dashboard.panels.flatMap(({ gridPos: { x, y, w, h } }) =>
      Array.from({ length: w * h }, (_, cell) => `${x + (cell % w)}:${y + Math.floor(cell / w)}`),
    )
    expect(new Set(cells).size).toBe(cells.length)
    expect(dashboard.panels.every(({ gridPos: { x, w } }) => x + w <= 24)).toBe(true)
  })

  it.each(panels)('finds rows for $title', async ({ sql, format }) => {
    const rows = await client.query(expand(sql))
    expect(rows).not.toEqual([])
    // Of a series, the first column is the time in milliseconds.
    const [first] = Object.entries(rows[0] ?? {})
    const expected = format === 'time_series' ? ['t', BUCKET] : first
    expect(first?.[0]).toBe(expected?.[0])
    expect(Number(first?.[1]) % 300_000 === 0 || format === 'table').toBe(true)
  })

  it.each(panels)('finds rows of one route for $title', async ({ sql }) => {
    const rows = await client.query(expand(sql, { route: 'POST /tickets' }))
    expect(rows.every(({ route = 'POST /tickets' }) => route === 'POST /tickets')).toBe(true)
  })

  it.each(dashboard.templating.list)('offers every $name', async ({ name, query }) => {
    const rows = await client.query(expand(query))
    const offered = rows.map(({ value }) => value)
    expect(offered).toEqual(
      name === 'tenant'
        ? ['acme', 'beta']
        : ['POST /payments', 'POST /tickets', 'PUT /shadow', 'paid', 'paid.v1'],
    )
  })
})

describe('the alert rules', () => {
  const rules = toAlerts().groups.flatMap((group) => group.rules)
  const now = BUCKET + 25 * MINUTE

  it('are the ones that are shipped', () => {
    expect(parse(read('alerts.yaml'))).toEqual(toAlerts())
  })

  /** Evaluates a rule as Grafana does: the sum of each series, then the expression. */
  async function fires(uid: string, dataset: string): Promise<boolean> {
    const data = (rules.find((rule) => rule.uid === uid)?.data ?? []) as readonly Entry[]
    const sums: Record<string, number> = {}
    for (const { refId, relativeTimeRange, model } of data.filter(isQuery)) {
      const from = now - relativeTimeRange.from * 1_000
      const rows = await client.query(expand(model.query, { from, to: now, dataset }))
      for (const row of rows) expect(Number.isInteger(Number(row['t']) / MINUTE)).toBe(true)
      const values = rows.map((row) => Number(row['requests'] ?? row['operations']))
      sums[`Sum${refId}`] = values.reduce((sum, value) => sum + value, 0)
    }
    const { expression = '' } = data.at(-1)?.model ?? {}
    return runInNewContext(expression.replaceAll('$', ''), sums) as boolean
  }

  const at = (minutesAgo: number, stands = 1) => ({
    stands,
    after: 25 * MINUTE - minutesAgo * MINUTE,
  })
  const lost = { status: 'unknown', settle: 'taken', operationId: 'lost' } as const
  const quiet = [pointOf({}, at(1, 1_000))]

  it.each<{ when: string; uid: string; points: MixedPoint[]; expected: boolean }>([
    {
      when: 'a request without a key was refused',
      uid: 'hapax-keyless',
      points: [pointOf({ status: 'rejected', keySource: 'none' }, at(10))],
      expected: true,
    },
    {
      when: 'that was long ago',
      uid: 'hapax-keyless',
      points: [pointOf({ status: 'rejected', keySource: 'none' }, at(16))],
      expected: false,
    },
    {
      when: 'the route does not need one',
      uid: 'hapax-keyless',
      points: [pointOf({ status: 'unprotected', keySource: 'none' }, at(10))],
      expected: false,
    },
    {
      when: 'one percent are mismatches',
      uid: 'hapax-mismatch',
      points: [pointOf({}, at(5, 99)), pointOf({ status: 'mismatch' }, at(5))],
      expected: false,
    },
    {
      when: 'two percent are mismatches',
      uid: 'hapax-mismatch',
      points: [pointOf({}, at(5, 98)), pointOf({ status: 'mismatch' }, at(5, 2))],
      expected: true,
    },
    {
      when: 'there are few requests at all',
      uid: 'hapax-mismatch',
      points: [pointOf({ status: 'mismatch' }, at(5, 99))],
      expected: false,
    },
    {
      when: 'an outcome has been unknown for a quarter of an hour',
      uid: 'hapax-unknown',
      points: [pointOf(lost, at(16)), pointOf({ ...lost, settle: null }, at(1))],
      expected: true,
    },
    {
      when: 'it has been held for weeks, and nobody has asked for it since',
      uid: 'hapax-unknown',
      points: [pointOf(lost, at(40 * 24 * 60))],
      expected: true,
    },
    {
      when: 'a duplicate had waited for it',
      uid: 'hapax-unknown',
      points: [
        pointOf(lost, at(16)),
        pointOf({ ...lost, status: 'joined', outcome: 'unknown', settle: null }, at(16)),
      ],
      expected: true,
    },
    {
      when: 'its key was executed and forgotten long before',
      uid: 'hapax-unknown',
      points: [pointOf({ operationId: 'lost' }, at(120)), pointOf(lost, at(1))],
      expected: false,
    },
    {
      when: 'it has not been for so long',
      uid: 'hapax-unknown',
      points: [pointOf(lost, at(14))],
      expected: false,
    },
    {
      when: 'it is known meanwhile',
      uid: 'hapax-unknown',
      points: [
        pointOf(lost, at(16)),
        pointOf({ ...lost, method: 'ALARM', status: 'recovered' }, at(1)),
      ],
      expected: false,
    },
    {
      when: 'the store failed',
      uid: 'hapax-store',
      points: [pointOf({ status: 'store-fault' }, at(4))],
      expected: true,
    },
    {
      when: 'a request was let through for that',
      uid: 'hapax-store',
      points: [pointOf({ status: 'unprotected' }, at(4))],
      expected: true,
    },
    { when: 'nothing of the kind happened', uid: 'hapax-store', points: [], expected: false },
    { when: 'nothing of the kind happened', uid: 'hapax-unknown', points: [], expected: false },
    { when: 'nothing of the kind happened', uid: 'hapax-keyless', points: [], expected: false },
    { when: 'nothing of the kind happened', uid: 'hapax-mismatch', points: [], expected: false },
  ])('let $uid fire: $expected, when $when', async ({ when, uid, points, expected }) => {
    const dataset = `alert_${[uid, when].join('_').replaceAll(/\W+/g, '_')}`
    const others = uid === 'hapax-mismatch' && points.length > 0 ? [] : quiet
    await write(engine, [...others, ...points], dataset)
    expect(await fires(uid, dataset)).toBe(expected)
  })
})

interface Entry {
  readonly refId: string
  readonly model: { readonly query?: string; readonly expression?: string }
}

interface Queried extends Entry {
  readonly relativeTimeRange: { readonly from: number }
  readonly model: { readonly query: string }
}

function isQuery(entry: Entry): entry is Queried {
  return 'relativeTimeRange' in entry
}
