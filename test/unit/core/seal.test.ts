import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { deriveSealKey, seal, unseal } from '../../../src/core/seal.ts'

const FAILED = { name: 'OperationError' }

const BYTES = new TextEncoder().encode('{"card":"4242"}').slice()
const IV_AND_TAG_BYTES = 28

const keyOf = (over: { secret?: string; operationId?: string; clientKey?: string } = {}) => {
  const { secret = 'secret', operationId = 'operation-1', clientKey = 'key-1' } = over
  return deriveSealKey(secret, 'snapshot', operationId, clientKey)
}

describe('deriveSealKey', () => {
  it('makes the same 256 bits of the same names, every time', async () => {
    const key = keyOf()
    expect(key).toHaveLength(32)
    expect(keyOf()).toEqual(key)
  })

  it.each([
    { name: 'another secret', over: { secret: 'other' } },
    { name: 'another operation', over: { operationId: 'operation-2' } },
    { name: 'another client key', over: { clientKey: 'key-2' } },
    { name: 'no client key', over: { clientKey: '' } },
  ])('makes another key of $name', async ({ over }) => {
    expect(keyOf(over)).not.toEqual(keyOf())
  })

  it('makes another key for another purpose', async () => {
    const keys = [
      deriveSealKey('secret', 'snapshot', 'operation-1'),
      deriveSealKey('secret', 'stored request', 'operation-1'),
    ]
    expect(keys[0]).not.toEqual(keys[1])
  })

  it('makes another key of every client key, whatever stands in it', async () => {
    const name = fc.string({ unit: 'grapheme-ascii', maxLength: 20 })
    await fc.assert(
      fc.asyncProperty(name, name, async (one, other) => {
        fc.pre(one !== other)
        expect(keyOf({ clientKey: one })).not.toEqual(keyOf({ clientKey: other }))
      }),
      {
        numRuns: 30,
        examples: [
          ['', '"]'],
          ['a"', 'a\\"'],
        ],
      },
    )
  })
})

describe('unseal', () => {
  it('gives back what was sealed, of any length and in any context', async () => {
    const key = keyOf()
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.string(), async (array, context) => {
        const bytes = new Uint8Array(array)
        const sealed = seal(key, context, bytes)
        expect(sealed).toHaveLength(bytes.byteLength + IV_AND_TAG_BYTES)
        expect(await unseal(key, context, sealed)).toEqual(bytes)
      }),
      { numRuns: 30 },
    )
  })

  it.each([
    { name: 'another secret', over: { secret: 'other' } },
    { name: 'the key of another operation', over: { operationId: 'operation-2' } },
    { name: 'the key of another client', over: { clientKey: 'key-2' } },
  ])('opens nothing with $name', async ({ over }) => {
    const sealed = seal(keyOf(), 'operation-1:1:head', BYTES)
    const opened = unseal(keyOf(over), 'operation-1:1:head', sealed)
    await expect(opened).rejects.toMatchObject(FAILED)
  })

  it.each([
    { name: 'another attempt', context: 'operation-1:2:head' },
    { name: 'another piece', context: 'operation-1:1:0' },
    { name: 'nothing', context: '' },
  ])('opens nothing in the place of $name', async ({ context }) => {
    const key = keyOf()
    const sealed = seal(key, 'operation-1:1:head', BYTES)
    await expect(unseal(key, context, sealed)).rejects.toMatchObject(FAILED)
  })

  it('opens nothing of which a single byte was changed, wherever it is', async () => {
    const key = keyOf()
    const sealed = seal(key, 'context', BYTES)
    for (let at = 0; at < sealed.byteLength; at++) {
      const changed = sealed.map((byte, index) => (index === at ? byte ^ 1 : byte))
      await expect(unseal(key, 'context', changed)).rejects.toMatchObject(FAILED)
    }
  })

  it('opens nothing that was cut short', async () => {
    const key = keyOf()
    const sealed = seal(key, 'context', BYTES)
    await expect(unseal(key, 'context', sealed.slice(0, -1))).rejects.toMatchObject(FAILED)
    await expect(unseal(key, 'context', new Uint8Array())).rejects.toMatchObject(FAILED)
  })
})

describe('seal', () => {
  it('never writes the same twice, nor what it hides', async () => {
    const key = keyOf()
    const [one, other] = [seal(key, 'c', BYTES), seal(key, 'c', BYTES)]
    expect(one).not.toEqual(other)
    expect(new TextDecoder('latin1').decode(one)).not.toContain('4242')
  })
})
