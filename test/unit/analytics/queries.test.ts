import { describe, expect, it } from 'vitest'

import { parseStatement } from '../../../dev/analytics-engine/dialect.ts'
import {
  QUERIES,
  type QueryName,
  toCorrelationSql,
  toOperationSql,
  toSql,
} from '../../../src/analytics/queries.ts'

const HOSTILE = "x' OR '1'='1\\"
const LITERAL = "'x'' OR ''1''=''1\\\\'"
const LONGEST_ROUTE = 'x'.repeat(1_000)

const names = Object.keys(QUERIES) as QueryName[]

describe('toSql', () => {
  it.each(names)('writes %s as the cloud accepts it, however long the names are', (name) => {
    const tenant = 't'.repeat(96)
    const sql = toSql(name, { since: 0, route: LONGEST_ROUTE, tenant })
    expect(parseStatement(sql)).toEqual({ ok: true, statement: { sql, format: 'JSON' } })
  })

  it.each(names)('filters %s by layout, time, route and tenant', (name) => {
    const sql = toSql(name, { since: 1_000, route: HOSTILE, tenant: HOSTILE, dataset: 'other' })
    expect(sql).toContain(
      `FROM other\nWHERE double1 = 1\n  AND timestamp >= toDateTime(1) AND blob1 = ${LITERAL} AND index1 = ${LITERAL}`,
    )
    // The name stands nowhere else.
    expect(sql.replaceAll(LITERAL, '')).not.toContain('1=1')
  })

  it.each(names)('counts nothing of %s without its sample interval', (name) => {
    const columns = Object.values<string>(QUERIES[name].columns).join(' ')
    expect(columns).not.toMatch(/\b(?:count|countIf|avg|avgIf|quantile)\(/)
  })
})

describe.each([
  { toPointsSql: toCorrelationSql, where: `(blob7 = ${LITERAL} OR blob13 = ${LITERAL})` },
  { toPointsSql: toOperationSql, where: `blob8 = ${LITERAL}` },
])('$toPointsSql.name', ({ toPointsSql, where }) => {
  it('reads all points of an id, in order', () => {
    const sql = toPointsSql(HOSTILE, { since: 0 })
    expect(sql).toContain(`AND ${where}\nORDER BY seen_at`)
    expect(parseStatement(sql).ok).toBe(true)
  })
})
