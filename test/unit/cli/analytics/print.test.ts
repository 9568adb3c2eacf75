import { describe, expect, it } from 'vitest'

import { format, toBar, toSparkline } from '../../../../cli/analytics/format.ts'
import { toCsv, toJson } from '../../../../cli/analytics/machine-readable.ts'
import { toSeries, toTable, VIEWS } from '../../../../cli/analytics/views.ts'
import { HOSTILE, RAW, UNSEEN } from '../../../fakes/unseen.ts'

const MINUTE = 60_000
const SPAN = { since: 30_000, until: 5 * MINUTE, bucketMs: MINUTE, name: '5m' }

describe('format', () => {
  it.each([
    { column: 'requests', value: 1_234_567, expected: '1,234,567' },
    { column: 'calls_per_request', value: 1.234, expected: '1.23' },
    { column: 'mismatch_share', value: 0.0123, expected: '1.2 %' },
    { column: 'total_ms', value: 999, expected: '999 ms' },
    { column: 'total_ms', value: 1_000, expected: '1.0 s' },
    { column: 'total_ms', value: 90_000, expected: '1.5 min' },
    { column: 'age_seconds', value: 86_400 * 12, expected: '12 d' },
    { column: 'first_seen_at', value: '2026-11-24T13:43:48Z', expected: '2026-11-24 13:43:48' },
    {
      column: 'route',
      value: 'a\u001B[31mb\u0007\u202Ec',
      expected: String.raw`a\u001b[31mb\u0007\u202ec`,
    },
    { column: 'bucket', value: '2026\u001B[2J', expected: String.raw`2026\u001b[2J` },
    { column: 'first_seen_at', value: '\u009B2J', expected: String.raw`\u009b2J` },
    { column: 'share', value: null, expected: '–' },
  ])('shows $value of $column as $expected', ({ column, value, expected }) => {
    expect(format(column, value)).toBe(expected)
  })
})

describe('toBar', () => {
  it.each([
    { part: 0, expected: '' },
    { part: 0.000_1, expected: '▏' },
    { part: 0.5, expected: '██' },
    { part: 0.53, expected: '██▏' },
    { part: 1, expected: '████' },
    { part: 7, expected: '████' },
  ])('draws $part of four letters', ({ part, expected }) => {
    expect(toBar(part, 4)).toBe(expected)
  })
})

describe('toSparkline', () => {
  it.each([
    { values: [], expected: '' },
    { values: [0, 0], expected: '  ' },
    { values: [1, 2, 4, 8], expected: '▁▂▄█' },
    { values: [0, 1, 1_000], expected: ' ▁█' },
  ])('draws $values', ({ values, expected }) => {
    expect(toSparkline(values)).toBe(expected)
  })
})

describe('toTable', () => {
  it('leaves out what no row says, and puts numbers to the right', () => {
    const rows = [
      { route: 'POST /a', total_ms: 5, problem: '', n: 10 },
      { route: 'b', total_ms: 1_500, problem: '', n: null },
    ]
    expect(toTable(rows, 'total_ms')).toBe(
      [
        'route    total   n',
        'POST /a   5 ms  10  ▏',
        'b        1.5 s   –  ████████████████',
        '',
      ].join('\n'),
    )
  })

  it('says that there is nothing', () => {
    expect(toTable([])).toBe('Nothing.\n')
  })
})

describe('toSeries', () => {
  const at = (minute: number, n: number, route = 'a') => {
    return { bucket: new Date(minute * MINUTE).toISOString(), route, n, never: 0 }
  }

  it('draws a line for each column that says something, with gaps where nothing happened', () => {
    expect(toSeries([at(0, 1), at(3, 8)], SPAN)).toBe('n │▁  █  │ 9\n   last 5m, 1.0 min each\n')
  })

  it('draws a line for each of several series', () => {
    expect(toSeries([at(0, 1), at(3, 8, 'b')], SPAN, 'route')).toBe(
      'a  n │█     │ 1\nb  n │   █  │ 8\n      last 5m, 1.0 min each\n',
    )
  })
})

describe('VIEWS.summary', () => {
  it.each([{ rows: [] }, { rows: [{ requests: 0 }] }])('says when there is nothing', ({ rows }) => {
    expect(VIEWS.summary.print(rows, SPAN)).toBe('No requests.\n')
  })
})

describe('toCsv', () => {
  it.each([
    { rows: [], expected: '' },
    { rows: [{ a: 1, b: 'x,"y"\n' }], expected: 'a,b\r\n1,"x,""y""\n"\r\n' },
    { rows: [{ a: null }], expected: 'a\r\n\r\n' },
  ])('writes $rows', ({ rows, expected }) => {
    expect(toCsv(rows)).toBe(expected)
  })

  it.each([
    {
      text: '=HYPERLINK("http://evil.test","x")',
      field: `"'=HYPERLINK(""http://evil.test"",""x"")"`,
    },
    { text: '=1+1', field: `"'=1+1"` },
    { text: '+1', field: `"'+1"` },
    { text: '-1', field: `"'-1"` },
    { text: '@SUM(A1)', field: `"'@SUM(A1)"` },
    { text: '\t=1', field: `"'\t=1"` },
    { text: '\r=1', field: `"'\r=1"` },
    { text: '\n=1', field: `"'\n=1"` },
    { text: '  =1', field: `"'  =1"` },
    { text: '＝1', field: `"'＝1"` },
    { text: '＋1', field: `"'＋1"` },
    { text: '－1', field: `"'－1"` },
    { text: '＠SUM(A1)', field: `"'＠SUM(A1)"` },
    { text: '-', field: `"'-"` },
  ])('makes no formula of $text', ({ text, field }) => {
    expect(toCsv([{ route: text }])).toBe(`route\r\n${field}\r\n`)
    expect(toCsv([{ [text]: 'x' }])).toBe(`${field}\r\nx\r\n`)
  })

  it.each([
    { value: -1.5, field: '-1.5' },
    { value: 0, field: '0' },
    { value: true, field: 'true' },
    { value: 'POST /a=b', field: 'POST /a=b' },
    { value: 'a-b@c', field: 'a-b@c' },
    { value: "'=1", field: "'=1" },
    { value: 'a;=1', field: '"a;=1"' },
    { value: 'a\t=1', field: '"a\t=1"' },
  ])('leaves $value what it is', ({ value, field }) => {
    expect(toCsv([{ a: value }])).toBe(`a\r\n${field}\r\n`)
  })
})

describe('toCsv of what is not seen', () => {
  it.each(UNSEEN.filter(({ text }) => !/[\t\r\n]/.test(text)))('shows $name', ({ text, shown }) => {
    expect(toCsv([{ [text]: text }])).toBe(`${shown}\r\n${shown}\r\n`)
  })

  it('keeps the ends of lines within the quotes of their cell', () => {
    expect(toCsv([{ a: 'x\r\ny\rz\n', b: 1 }])).toBe('a,b\r\n"x\r\ny\rz\n",1\r\n')
  })

  it('makes no formula of one that stands behind what is not seen', () => {
    expect(toCsv([{ a: '\u200B=1' }])).toBe(`a\r\n${String.raw`\u200b=1`}\r\n`)
  })
})

describe('toTable of what is not seen', () => {
  it('is as wide as what is shown, in its headings as well', () => {
    const [head, first, second] = toTable([
      { 'a\u001B': 'b\n', n: 1 },
      { 'a\u001B': 'c', n: 2 },
    ]).split('\n')
    expect([head, first, second]).toEqual([
      String.raw`a\u001b  n`,
      String.raw`b\u000a  1`,
      'c        2',
    ])
  })
})

describe('toJson', () => {
  it('holds nothing raw, and says the same', () => {
    const rows = [{ [HOSTILE]: HOSTILE }]
    expect(toJson(rows)).not.toMatch(RAW)
    expect(JSON.parse(toJson(rows))).toEqual(rows)
  })

  it.each([{ rows: [] }, { rows: [{ a: 1 }, { a: 'x' }] }])('writes $rows', ({ rows }) => {
    expect(JSON.parse(toJson(rows))).toEqual(rows)
  })
})
