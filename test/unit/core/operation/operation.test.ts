import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { createDigest } from '../../../../src/core/digest.ts'
import { isOperationId, operationId } from '../../../../src/core/operation/operation.ts'

const digest = createDigest()

describe('operationId', () => {
  it('is the same for the same tenant and key, at any time', async () => {
    expect(operationId(digest, 'acme', 'k')).toBe(operationId(createDigest(), 'acme', 'k'))
  })

  it('is fit for a URL and holds neither tenant nor key', async () => {
    const id = operationId(digest, 'acme', 'order-42')
    expect(id).toMatch(/^[\w-]{43}$/)
    expect(id).not.toMatch(/acme|order-42/)
  })

  it.each([
    { name: 'the tenant takes letters of the key', one: ['acme', 'x1'], other: ['acmex', '1'] },
    { name: 'the key is empty', one: ['acmek', ''], other: ['acme', 'k'] },
    { name: 'tenant and key change places', one: ['a', 'b'], other: ['b', 'a'] },
    { name: 'the tenant forges a separator', one: ['a:b', 'c'], other: ['a', 'b:c'] },
    {
      name: 'the tenant forges the length of a key',
      one: ['a\0\0\0\u0001b', 'c'],
      other: ['a', 'b\0\0\0\u0001c'],
    },
  ])('names another operation when $name', async ({ one, other }) => {
    const idOf = ([tenant = '', key = '']: readonly string[]) => operationId(digest, tenant, key)
    expect(idOf(one)).not.toBe(idOf(other))
  })

  it('never lets a crafted pair name the operation of another pair', async () => {
    const text = fc.string({
      unit: fc.constantFrom('a', 'b', '\0', '\u0001', '\u0002'),
      maxLength: 6,
    })
    await fc.assert(
      fc.asyncProperty(text, fc.nat(6), fc.nat(6), async (joined, cut, otherCut) => {
        fc.pre(Math.min(cut, joined.length) !== Math.min(otherCut, joined.length))
        const idOf = (at: number) => operationId(digest, joined.slice(0, at), joined.slice(at))
        expect(idOf(cut)).not.toBe(idOf(otherCut))
      }),
      { numRuns: 500 },
    )
  })

  it('keeps the id of every operation that counts within its tenant', async () => {
    expect(operationId(digest, 'acme', 'k')).toBe(digest('operation', 'acme', 'k'))
    expect(operationId(digest, 'acme', 'k', { consumer: 'mails' })).toBe(
      digest('operation of a consumer', 'acme', 'k', 'mails'),
    )
  })

  it('tells one key apart within operations and consumers', async () => {
    const within = [
      {},
      { operation: 'POST /a' },
      { operation: 'POST /b' },
      { consumer: 'a' },
      { operation: 'POST /a', consumer: 'a' },
      { operation: 'a', consumer: 'POST /a' },
    ]
    const ids = within.map((of) => operationId(digest, 'acme', 'k', of))
    expect(new Set(ids).size).toBe(within.length)
  })

  it('never equals a digest that was made for another purpose', async () => {
    expect(operationId(digest, 'acme', 'k')).not.toBe(digest('fingerprint', 'acme', 'k'))
  })
})

describe('isOperationId', () => {
  it('knows what operationId makes', async () => {
    expect(isOperationId(operationId(digest, 'acme', 'k'))).toBe(true)
  })

  it.each([
    { name: 'too short', text: 'A'.repeat(42) },
    { name: 'too long', text: 'A'.repeat(44) },
    { name: 'empty', text: '' },
    { name: 'with a letter that base64url does not have', text: `${'A'.repeat(42)}+` },
    { name: 'with a line break behind it', text: `${'A'.repeat(43)}\n` },
  ])('knows what it never makes: $name', ({ text }) => {
    expect(isOperationId(text)).toBe(false)
  })
})
