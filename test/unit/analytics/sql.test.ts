import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { quote, select, toBucketMs, toSource } from '../../../src/analytics/sql.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** Reads a literal up to the quote that ends it, and says what is left. */
function readLiteral(sql: string, escape: '\\' | null) {
  let text = ''
  for (let at = 1; at < sql.length; at++) {
    const letter = sql[at] ?? ''
    const next = sql[at + 1] ?? ''
    if (letter === escape || (letter === "'" && next === "'")) {
      text += next
      at++
    } else if (letter === "'") {
      return { text, rest: sql.slice(at + 1) }
    } else {
      text += letter
    }
  }
  return { text, rest: null }
}

describe('quote', () => {
  it.each([
    { name: 'plain text', text: 'POST /payments', expected: "'POST /payments'" },
    { name: 'a quote', text: "o'brien", expected: "'o''brien'" },
    { name: 'a backslash', text: '/:id{\\d+}', expected: "'/:id{\\\\d+}'" },
    { name: 'a backslash before a quote', text: "\\' OR 1=1 --", expected: "'\\\\'' OR 1=1 --'" },
    { name: 'nothing', text: '', expected: "''" },
  ])('writes $name as a literal', ({ text, expected }) => {
    expect(quote(text)).toBe(expected)
  })

  const texts = fc.string({ unit: fc.constantFrom("'", '\\', 'a', '\n', '"', '-', '\u00E9') })

  it('is read back as the same text by ClickHouse', () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(readLiteral(`${quote(text)} rest`, '\\')).toEqual({ text, rest: ' rest' })
      }),
    )
  })

  it('ends where it should for a reader that knows no backslash, too', () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(readLiteral(`${quote(text)} rest`, null).rest).toBe(' rest')
      }),
    )
  })
})

describe('toSource', () => {
  it('reads the whole dataset from a whole second on', () => {
    expect(toSource({ since: 1_700_000_000_999 })).toEqual({
      dataset: 'hapax',
      within: 'timestamp >= toDateTime(1700000000)',
      bucket: "toStartOfInterval(timestamp, INTERVAL '5' MINUTE)",
    })
  })

  it('reads one route of one tenant', () => {
    const { within } = toSource({ since: 0, route: "PUT /it's", tenant: 'a\\' })
    expect(within).toBe("timestamp >= toDateTime(0) AND blob1 = 'PUT /it''s' AND index1 = 'a\\\\'")
  })

  it.each([
    { bucketMs: 10_000, expected: "INTERVAL '10' SECOND" },
    { bucketMs: 90_000, expected: "INTERVAL '90' SECOND" },
    { bucketMs: HOUR, expected: "INTERVAL '60' MINUTE" },
    { bucketMs: 1, expected: "INTERVAL '1' SECOND" },
  ])('cuts time into buckets of $bucketMs ms as $expected', ({ bucketMs, expected }) => {
    expect(toSource({ since: 0, bucketMs }).bucket).toContain(expected)
  })

  it.each([
    { dataset: 'hapax_staging', expected: 'hapax_staging' },
    { dataset: 'hapax-staging', expected: '"hapax-staging"' },
    { dataset: '2hapax', expected: '"2hapax"' },
  ])('names the dataset $dataset', ({ dataset, expected }) => {
    expect(toSource({ since: 0, dataset }).dataset).toBe(expected)
  })

  it.each(['', 'a b', 'hapax; DROP TABLE hapax', 'a"b', 'system.tables'])(
    'refuses %j as a dataset',
    (dataset) => {
      expect(() => toSource({ since: 0, dataset })).toThrow(RangeError)
    },
  )
})

describe('select', () => {
  const source = { dataset: 'hapax', within: 'T', bucket: 'B' }

  it('reads only points of the layout that it knows', () => {
    expect(select({ columns: { n: 'count()' } }, source)).toBe(
      'SELECT\n  count() AS n\nFROM hapax\nWHERE double1 = 1\n  AND T',
    )
  })

  it('puts every clause in its place, and the bucket first', () => {
    const sql = select(
      {
        columns: { route: 'blob1' },
        where: 'W',
        by: ['bucket', 'route'],
        having: 'H',
        order: 'bucket',
        limit: 7,
        offset: 3,
      },
      source,
    )
    expect(sql.split('\n')).toEqual([
      'SELECT',
      '  B AS bucket,',
      '  blob1 AS route',
      'FROM hapax',
      'WHERE double1 = 1',
      '  AND T',
      '  AND W',
      'GROUP BY bucket, route',
      'HAVING H',
      'ORDER BY bucket',
      'LIMIT 7',
      'OFFSET 3',
    ])
  })
})

describe('toBucketMs', () => {
  it.each([
    { name: 'ten minutes', rangeMs: 10 * MINUTE, expected: 10_000 },
    { name: 'a little more', rangeMs: 10 * MINUTE + 1, expected: MINUTE },
    { name: 'a day', rangeMs: 24 * HOUR, expected: HOUR },
    { name: 'a week', rangeMs: 7 * 24 * HOUR, expected: 3 * HOUR },
    { name: 'three months', rangeMs: 90 * 24 * HOUR, expected: 24 * HOUR },
  ])('cuts $name', ({ rangeMs, expected }) => {
    expect(toBucketMs(rangeMs)).toBe(expected)
  })
})
