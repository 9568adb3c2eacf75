import { globSync, readFileSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, it } from 'vitest'

import { STATUSES } from '../../../src/analytics/conditions.ts'
import { column, LAYOUT, TENANT_INDEX } from '../../../src/core/metric-columns.ts'
import { OUTCOMES } from '../../../src/core/outcome/outcome.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const read = (page: string) => readFileSync(path.join(root, page), 'utf8')
const page = read('docs/metrics.md')
const columns: readonly string[] = [TENANT_INDEX, ...Object.values(column)]

/** Words in backticks. */
const wordsOf = (text: string) => Array.from(text.matchAll(/`([\w-]+)`/g), ([, word = '']) => word)

/** The row of a table that begins with a word. */
const rowOf = (word: string) => page.split('\n').find((line) => line.startsWith(`| \`${word}\` `))

describe('docs/metrics.md', () => {
  it('has a row for every column, in their order', () => {
    const [layout = ''] = page.split(/^## /m)
    const rows = Array.from(layout.matchAll(/^\| `(\w+)`/gm), ([, name]) => name)
    expect(rows).toEqual(columns)
  })

  it.each(Object.entries(column).filter(([name]) => name !== 'layout'))(
    'says that the log has %s, which is %s',
    (name, number) => {
      expect(rowOf(number)?.split('|')[2]?.trim()).toBe(`\`${name}\``)
    },
  )

  it('says which layout and which outcomes there are', () => {
    expect(rowOf(column.layout)).toContain(`: ${LAYOUT} `)
    expect(wordsOf(rowOf(column.outcome) ?? '')).toEqual([column.outcome, 'outcome', ...OUTCOMES])
  })

  it('explains every status, and no other', () => {
    const [, section = ''] = page.split('## Idempotency-Status')
    const [first = ''] = section.split(/^## /m)
    const ofRequests = Array.from(first.matchAll(/^\| `([a-z-]+)`/gm), ([, word = '']) => word)
    const cellOf = (method: string) => rowOf(method)?.split('|')[3] ?? ''
    const others = ['EVENT', 'ADMIN'].flatMap((method) => wordsOf(cellOf(method)))
    const statuses = [...ofRequests, ...others].filter((word) => !columns.includes(word))
    expect(statuses).toEqual(Object.keys(STATUSES))
  })
})

it.each(['README.md', ...globSync('docs/**/*.md', { cwd: root })])(
  '%s names only columns that there are',
  (name) => {
    const named = read(name).match(/\b(?:blob|double|index)\d+\b/g) ?? []
    expect(columns).toEqual(expect.arrayContaining(named))
  },
)
