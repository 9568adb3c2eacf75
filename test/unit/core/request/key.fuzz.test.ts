import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { parseKey } from '../../../../src/core/request/key.ts'
import { anyText } from '../../../fakes/any-text.ts'
import { key, nearly, SECRET } from '../../../fakes/hostile.ts'

const RUNS = { numRuns: 10_000 }
/** What stands around a bare value does not belong to it. */
const trimmed = (text: string) => text.replaceAll(/^[\t ]+|[\t ]+$/g, '')

const anything = fc.oneof(
  key,
  nearly(key),
  anyText({ maxLength: 300 }),
  anyText({ maxLength: 300 }).map((text) => `"${text}"`),
)

describe('parseKey, of anything', () => {
  it('gives a key of 1 to 255 characters of printable ASCII, or a rule', () => {
    fc.assert(
      fc.property(anything, (text) => {
        const parsed = parseKey(text)
        expect(parsed.ok ? parsed.value : parsed.error).toMatch(
          parsed.ok ? /^[ -~]{1,255}$/ : /^[A-Z][^\n]*\.$/,
        )
      }),
      RUNS,
    )
  })

  it('takes spaces, commas and double quotes in a String only', () => {
    fc.assert(
      fc.property(anything, (text) => {
        const parsed = parseKey(text)
        fc.pre(parsed.ok)
        const isString = /^[\t ]*"/.test(text)
        expect(isString || /^[!#-+\--~]+$/.test(parsed.value)).toBe(true)
        expect(isString || parsed.value === trimmed(text)).toBe(true)
      }),
      RUNS,
    )
  })

  it('gives a key that, sent again as a String, is the same key', () => {
    fc.assert(
      fc.property(anything, (text) => {
        const parsed = parseKey(text)
        fc.pre(parsed.ok)
        const again = `"${parsed.value.replaceAll(/["\\]/g, String.raw`\$&`)}"`
        expect(parseKey(again)).toEqual(parsed)
      }),
      RUNS,
    )
  })

  it('gives the same for the same', () => {
    fc.assert(
      fc.property(anything, (text) => {
        expect(parseKey(text)).toEqual(parseKey(text))
      }),
      RUNS,
    )
  })

  it('never repeats in a rule what was sent', () => {
    fc.assert(
      fc.property(anything, (text) => {
        const parsed = parseKey(`${text} ${SECRET},`)
        expect(parsed.ok ? '' : parsed.error).not.toContain(SECRET)
      }),
      RUNS,
    )
  })
})
