import { readFileSync } from 'node:fs'
import path from 'node:path'
import { runInThisContext } from 'node:vm'

import { describe, expect, it } from 'vitest'

import { parsePolicy, PolicySchema } from '../../../src/config/policy.ts'
import { BATCH_DEFAULTS, header } from '../../../src/core/request/key-source.ts'

const MIB = 1_048_576

const read = (page: string) =>
  readFileSync(path.resolve(import.meta.dirname, '../../../docs', page), 'utf8')

/** What a policy holds, whose options are partly written as the pages write them. */
function policyOf(options: object) {
  const parsed = parsePolicy(options)
  if (!parsed.ok) throw new Error(parsed.error.join('\n'))
  return parsed.value
}

/** The rows of the table whose second column is `default`, by what its first column is about. */
function tableOf(page: string, about: RegExp) {
  const tables = read(page).split(/\n\n+/)
  const table = tables.find((text) => {
    const [, first = '', second = ''] = text.split('|').map((cell) => cell.trim())
    return about.test(first) && second === 'default'
  })
  const rows = (table ?? '').split('\n').slice(2)
  return rows.flatMap((row) => {
    const [, names = '', written = ''] = row.split('|').map((cell) => cell.trim())
    const values = codesOf(written)
    return codesOf(names).map((field, index) => ({ field, written, value: values[index] ?? '' }))
  })
}

const codesOf = (cell: string) => Array.from(cell.matchAll(/`([^`]+)`/g), ([, code = '']) => code)

/** The value of an expression of the page, in which sizes may be in MiB. */
function valueOf(code: string): unknown {
  const expression = code.replaceAll(/(\d+) MiB/g, (_, count) => String(Number(count) * MIB))
  return runInThisContext(`(header) => (${expression})`)(header)
}

/** Fields whose default the page says in words: it is none, or depends on the route or on another field. */
const IN_WORDS: ReadonlySet<string> = new Set([
  'operation',
  'origin',
  'methods',
  'enforce',
  'sunset',
  'fingerprint',
  'outcomes',
  'reauthorize',
  'mismatchStatus',
  'events',
])

describe('docs/policy.md', () => {
  const rows = tableOf('policy.md', /^field$/)

  it('has a row for every field of a policy, and for no other', () => {
    const fields = Object.keys(PolicySchema.shape)
    expect(rows.map(({ field }) => field).toSorted()).toEqual(fields.toSorted())
  })

  it.each(rows.filter(({ field }) => !IN_WORDS.has(field)))(
    'says that the default of $field is $written',
    ({ field, value }) => {
      expect(policyOf({ [field]: valueOf(value) })).toEqual(policyOf({}))
    },
  )

  it.each([
    { part: 'retry', page: 'policy.md', about: /^field of `retry`$/, defaults: policyOf({}).retry },
    {
      part: 'fingerprint',
      page: 'fingerprint.md',
      about: /^field$/,
      defaults: policyOf({}).fingerprint,
    },
  ])('says the defaults of $part in docs/$page', ({ part, page, about, defaults }) => {
    const fields = tableOf(page, about)
    const written = fields.map(({ field, value }) => [field, valueOf(value)])
    expect(policyOf({ [part]: Object.fromEntries(written) })).toEqual(policyOf({}))
    expect(fields).toHaveLength(Object.keys(defaults).length)
  })

  it('says the default of limits.response in docs/snapshots.md', () => {
    const [, response = ''] =
      /`limits\.response` \(default (\d+ MiB)/.exec(read('snapshots.md')) ?? []
    expect(valueOf(response)).toBe(policyOf({}).limits.response)
  })
})

it('docs/batch.md says the defaults of batch()', () => {
  const { size, concurrency, scope } = BATCH_DEFAULTS
  const rows = read('batch.md').matchAll(/^\| `(size|concurrency|scope)` +\| `?'?(\w+)/gm)
  const written = Object.fromEntries(Array.from(rows, ([, option, value]) => [option, value]))
  expect(written).toEqual({ size: `${size}`, concurrency: `${concurrency}`, scope })
})
