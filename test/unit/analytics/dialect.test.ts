import { describe, expect, it } from 'vitest'

import { parseStatement } from '../../../dev/analytics-engine/dialect.ts'

const LONGEST = `SELECT '${'x'.repeat(10_000 - 9)}'`

describe('parseStatement', () => {
  it.each([
    { sql: 'SELECT 1', statement: 'SELECT 1', format: 'JSON' },
    { sql: 'SELECT 1;', statement: 'SELECT 1', format: 'JSON' },
    { sql: 'select 1 format jsoneachrow', statement: 'select 1 ', format: 'JSONEachRow' },
    { sql: 'SELECT 1 FORMAT TabSeparated ;', statement: 'SELECT 1 ', format: 'TabSeparated' },
    { sql: 'SHOW TABLES', statement: 'SHOW TABLES', format: 'JSON' },
    { sql: "SELECT ' JOIN concat(; FORMAT XML'", format: 'JSON' },
    { sql: "SELECT 'it''s \\' UNION'", format: 'JSON' },
    { sql: 'SELECT 1 -- JOIN', statement: 'SELECT 1' },
    { sql: LONGEST, format: 'JSON' },
    { sql: "SELECT position('a' IN blob1) AS p, extract(SECOND from timestamp) AS s FROM hapax" },
    { sql: 'SELECT n FROM (SELECT blob1, count() AS n FROM hapax GROUP BY blob1) WHERE n > 1' },
  ])('takes $sql', ({ sql, statement = sql, format = 'JSON' }) => {
    expect(parseStatement(sql)).toEqual({ ok: true, statement: { sql: statement, format } })
  })

  it.each([
    { sql: 'DROP TABLE hapax', reason: 'only SELECT' },
    { sql: 'INSERT INTO hapax VALUES (1)', reason: 'only SELECT' },
    { sql: 'SELECT 1; DROP TABLE hapax', reason: 'only one statement' },
    { sql: 'SELECT 1 FROM a JOIN b ON a.x = b.x', reason: 'JOIN' },
    { sql: 'SELECT 1 UNION ALL SELECT 2', reason: 'UNION' },
    { sql: 'SELECT CASE WHEN 1 THEN 2 END', reason: 'CASE' },
    { sql: 'SELECT 1 SETTINGS max_threads = 1', reason: 'SETTINGS' },
    { sql: "SELECT * FROM file('/etc/passwd')", reason: 'unknown function call: file' },
    { sql: "SELECT concat('a', 'b')", reason: 'unknown function call: concat' },
    { sql: 'SELECT quantile(0.5)(double1) FROM hapax', reason: 'function call: quantile' },
    { sql: 'SELECT 1 FROM hapax GROUP BY lower(blob1) ORDER BY 1', reason: 'only provide column' },
    { sql: 'SELECT max(blob1) FROM hapax', reason: 'String type as argument 1 in max()' },
    { sql: 'SELECT 1 FORMAT XML', reason: 'unsupported format: XML' },
    { sql: `${LONGEST} `, reason: 'exceeded maximum length: 10000' },
  ])('refuses $sql', ({ sql, reason }) => {
    const parsed = parseStatement(sql)
    expect(parsed).toEqual({ ok: false, reason: expect.stringContaining(reason) as string })
  })
})
