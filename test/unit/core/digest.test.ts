import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { createDigest } from '../../../src/core/digest.ts'

const bytes = (text: string) => new TextEncoder().encode(text)

describe('createDigest', () => {
  it('hashes every part behind its length, as SHA-256 in base64url', async () => {
    // printf '\0\0\0\1a\0\0\0\2bc' | openssl dgst -sha256 -binary | base64
    const digest = createDigest()
    expect(digest('a', 'bc')).toBe('tTTOFqycizaCPzmjlc6ODjx62WBbgrVETxjK2s0hel0')
  })

  it('signs the same bytes with the secret, where there is one', async () => {
    // printf '\0\0\0\1a\0\0\0\2bc' | openssl dgst -sha256 -hmac s -binary | base64
    const digest = createDigest('s')
    expect(digest('a', 'bc')).toBe('_fOq06v_UCZeCZN1Sym2ZY4KsQ4PQD6uTEYEDRJlMxA')
  })

  it('takes an empty secret for none', async () => {
    expect(createDigest('')('a')).toBe(createDigest()('a'))
  })

  it('gives other digests for another secret', async () => {
    const digests = [undefined, 's', 't'].map((secret) => createDigest(secret)('a'))
    expect(new Set(digests).size).toBe(3)
  })

  it('takes text for its UTF-8 bytes', async () => {
    const digest = createDigest()
    expect(digest('é', 'ß')).toBe(digest('é', bytes('ß')))
  })

  it.each([
    { name: 'where one part ends', one: ['ab', 'c'], other: ['a', 'bc'] },
    { name: 'how many parts there are', one: ['a', ''], other: ['a'] },
    { name: 'the order of parts', one: ['a', 'b'], other: ['b', 'a'] },
    { name: 'a part that looks like a length', one: ['a\0\0\0\u0001b'], other: ['a', 'b'] },
  ])('tells $name', async ({ one, other }) => {
    const digest = createDigest()
    expect(digest('test', ...one)).not.toBe(digest('test', ...other))
  })

  it('gives two lists of parts one digest only when they are the same list', async () => {
    const digest = createDigest()
    const parts = fc.array(
      fc.string({ unit: fc.constantFrom('a', '\0', '\u0001', 'é'), maxLength: 4 }),
      {
        maxLength: 3,
      },
    )
    await fc.assert(
      fc.asyncProperty(parts, parts, async (one, other) => {
        const isSame = JSON.stringify(one) === JSON.stringify(other)
        expect(digest('test', ...one) === digest('test', ...other)).toBe(isSame)
      }),
      { numRuns: 500 },
    )
  })
})
