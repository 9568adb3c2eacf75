import { readFileSync } from 'node:fs'
import path from 'node:path'

import { expect, it } from 'vitest'

import { D1_OUTBOX_SQL } from '../../../src/queue/d1-outbox-sql.ts'

const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/d1-outbox.md'), 'utf8')

it('docs/d1-outbox.md shows the migration as it is', () => {
  expect(page).toContain(`\`\`\`sql\n${D1_OUTBOX_SQL}\`\`\``)
})
