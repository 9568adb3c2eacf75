import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { toVisible, toVisibleLines } from '../../../src/core/visible.ts'
import { anyText } from '../../fakes/any-text.ts'
import { HOSTILE, RAW, UNSEEN } from '../../fakes/unseen.ts'

describe('toVisible', () => {
  it.each(UNSEEN)('shows $name', ({ text, shown }) => {
    expect(toVisible(text)).toBe(shown)
  })

  it.each(['', 'POST /payments', 'Größe 价格 😀 مرحبا', String.raw`C:\u001b`, 'a\u00A0b'])(
    'leaves %j as it is',
    (text) => {
      expect(toVisible(text)).toBe(text)
      expect(toVisibleLines(text)).toBe(text)
    },
  )

  it('leaves nothing that is obeyed, and is the same when it is done again', () => {
    fc.assert(
      fc.property(anyText(), (text) => {
        const shown = toVisible(text)
        expect(shown).not.toMatch(/[\t\r\n]/)
        expect(shown).not.toMatch(RAW)
        expect(toVisible(shown)).toBe(shown)
        expect(shown.isWellFormed()).toBe(true)
      }),
    )
  })
})

describe('toVisibleLines', () => {
  it('keeps tabs and the ends of lines, and no carriage return by itself', () => {
    const text = 'a\tb\r\nc\nd\re\u001B'
    expect(toVisibleLines(text)).toBe(`a\tb\r\nc\nd${String.raw`\u000de\u001b`}`)
  })

  it.each([undefined, 2])('leaves JSON what it says (indented by %j)', (indent) => {
    const json = JSON.stringify({ [HOSTILE]: [HOSTILE, '\\u001b'] }, null, indent)
    const shown = toVisibleLines(json)
    expect(shown).not.toMatch(RAW)
    expect(JSON.parse(shown)).toEqual(JSON.parse(json))
  })
})
