import { readFileSync } from 'node:fs'
import path from 'node:path'

import { expect, it } from 'vitest'
import { unstable_splitSqlQuery as split } from 'wrangler'

import { D1_OUTBOX_SQL, d1OutboxUpgradeSql } from '../../../src/outbox/d1-outbox-sql.ts'

const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/d1-outbox.md'), 'utf8')

const MIGRATIONS = [
  { name: 'the migration', sql: D1_OUTBOX_SQL, statements: 11 },
  { name: 'the migration of an older table', sql: d1OutboxUpgradeSql(), statements: 10 },
]

it.each(MIGRATIONS)('docs/d1-outbox.md shows $name as it is', ({ sql }) => {
  expect(page).toContain(`\`\`\`sql\n${sql}\`\`\``)
})

it.each(MIGRATIONS)('wrangler takes $name apart at its statements', ({ sql, statements }) => {
  expect(split(sql)).toHaveLength(statements)
})
