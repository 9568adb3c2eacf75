import fc from 'fast-check'

/** Surrogates, which are no characters. */
const GAP = { from: 0xd8_00, to: 0xe0_00 }
const GAP_LENGTH = GAP.to - GAP.from

const character = fc.integer({ min: 0, max: 0x10_ff_ff - GAP_LENGTH }).map(
  (n) => String.fromCodePoint(n < GAP.from ? n : n + GAP_LENGTH),
  (text) => {
    const codePoint = typeof text === 'string' ? text.codePointAt(0) : undefined
    if (codePoint === undefined || String.fromCodePoint(codePoint) !== text)
      throw new Error('This is not one character.')
    return codePoint < GAP.from ? codePoint : codePoint - GAP_LENGTH
  },
)

/**
 * Text of any characters. The same as fast-check's `unit: 'binary'`, which makes a table of all 1.1
 * million characters first: two seconds in every process.
 */
export const anyText = (constraints: fc.StringConstraints = {}): fc.Arbitrary<string> =>
  fc.string({ ...constraints, unit: character })
