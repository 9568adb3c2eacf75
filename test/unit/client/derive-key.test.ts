import { describe, expect, it } from 'vitest'

import { deriveKey } from '../../../src/client/derive-key.ts'
import { createDigest } from '../../../src/core/digest.ts'

describe('deriveKey', () => {
  it.each([
    { name: 'no part', parts: [] },
    { name: 'an empty part', parts: [''] },
    { name: 'characters of several bytes', parts: ['ä', '日本', '😀'] },
    { name: 'a long part', parts: ['a'.repeat(20_000), 'b'] },
  ])('is the digest of the gateway without a secret: $name', async ({ parts }) => {
    expect(await deriveKey('purpose', ...parts)).toBe(createDigest()('purpose', ...parts))
  })
})
