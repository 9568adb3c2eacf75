import { describe, expect, it } from 'vitest'
import * as z from 'zod'

import schema from '../../../docs/claims.schema.json' with { type: 'json' }
import { readClaimOrder, readRenewal, readSettle } from '../../../src/claims/claim-request.ts'
import type { Result } from '../../../src/core/result.ts'

const MANY = Array.from({ length: 33 }, (_, index) => `/${index}`)
const ID = 'a'.repeat(43)
const error = { name: 'CardDeclined', message: 'No money.', code: 'declined' }

/** Requests as they are, and as they are not. */
const REQUESTS: Readonly<
  Record<
    string,
    {
      readonly read: (document: unknown) => Result<unknown, readonly string[]>
      readonly right: readonly object[]
      readonly wrong: readonly unknown[]
    }
  >
> = {
  ClaimRequest: {
    // The value of `input` is cut out before.
    read: (document) =>
      readClaimOrder(
        Object.hasOwn(Object(document), 'input') ? { ...Object(document), input: null } : document,
      ),
    right: [
      { operation: 'refund', input: null },
      { operation: 'refund', input: { order: 'o_1' }, key: 'k', tenant: 'acme', outer: ID },
      { operation: 'refund', input: [], claim: '0b6d6ee4-6b3b-4b7e-9d5e-3f1f6f6f0a11' },
      { operation: 'refund', input: 1, key: { business: ['/order', '/a~1b'] } },
      { operation: 'refund', input: 1, key: { body: '/id' } },
      {
        operation: 'refund',
        input: 1,
        policy: {
          retention: '72h',
          tombstone: '1.5d',
          wait: 0,
          lease: 1_500,
          unknown: 'probe',
          fingerprint: { ignore: ['/trace'], dates: ['/at'] },
        },
      },
    ],
    wrong: [
      null,
      [],
      {},
      { operation: 'refund' },
      { operation: '', input: 1 },
      { operation: 'x'.repeat(129), input: 1 },
      { operation: 'refund', input: 1, tenant: '' },
      { operation: 'refund', input: 1, tenant: 'x'.repeat(257) },
      { operation: 'refund', input: 1, key: '' },
      { operation: 'refund', input: 1, key: 1 },
      { operation: 'refund', input: 1, key: { business: [] } },
      { operation: 'refund', input: 1, key: { business: ['order'] } },
      { operation: 'refund', input: 1, key: { business: MANY } },
      { operation: 'refund', input: 1, key: { body: '/a', business: ['/a'] } },
      { operation: 'refund', input: 1, outer: 'x' },
      { operation: 'refund', input: 1, claim: 'x' },
      { operation: 'refund', input: 1, extra: 1 },
      { operation: 'refund', input: 1, policy: { durable: true } },
      { operation: 'refund', input: 1, policy: { lease: 'long' } },
      { operation: 'refund', input: 1, policy: { unknown: 'guess' } },
      { operation: 'refund', input: 1, policy: { fingerprint: { headers: ['x'] } } },
      { operation: 'refund', input: 1, policy: { fingerprint: { ignore: ['x'] } } },
      { operation: 'refund', input: 1, policy: { fingerprint: { ignore: MANY } } },
      { operation: 'refund', input: 1, policy: { fingerprint: { dates: MANY } } },
    ],
  },
  RenewRequest: {
    read: readRenewal,
    right: [{ claim: 'x' }, { claim: 'x', tenant: 'acme' }],
    wrong: [{}, { claim: 1 }, { claim: 'x', tenant: '' }, { claim: 'x', leaseMs: 1 }],
  },
  SettleRequest: {
    read: (document) =>
      readSettle(
        Object.hasOwn(Object(document), 'result')
          ? { ...Object(document), result: null }
          : document,
      ),
    right: [
      { claim: 'x', outcome: 'succeeded' },
      { claim: 'x', outcome: 'succeeded', result: { id: 1 }, tenant: 'acme' },
      { claim: 'x', outcome: 'succeeded', omitted: true },
      { claim: 'x', outcome: 'failed', error },
      { claim: 'x', outcome: 'failed', error: { name: 'E', message: '', code: 7 } },
      { claim: 'x', outcome: 'not_executed' },
      { claim: 'x', outcome: 'unknown' },
    ],
    wrong: [
      { claim: 'x' },
      { outcome: 'succeeded' },
      { claim: 'x', outcome: 'done' },
      { claim: 'x', outcome: 'failed' },
      { claim: 'x', outcome: 'failed', error: 'x' },
      { claim: 'x', outcome: 'failed', error: { ...error, stack: 'x' } },
      { claim: 'x', outcome: 'failed', error, result: 1 },
      { claim: 'x', outcome: 'unknown', error },
      { claim: 'x', outcome: 'not_executed', result: 1 },
      { claim: 'x', outcome: 'not_executed', omitted: true },
    ],
  },
}

describe.each(Object.entries(REQUESTS))('docs/claims.schema.json: %s', (name, requests) => {
  const { read, right, wrong } = requests
  const described = z.fromJSONSchema({
    ...schema,
    $ref: `#/$defs/${name}`,
  } as z.core.JSONSchema.JSONSchema)

  it.each(right)('describes %j, which the gateway reads', (document) => {
    expect(read(document)).toMatchObject({ ok: true })
    expect(described.safeParse(document)).toMatchObject({ success: true })
  })

  it.each(wrong)('does not describe %j, which the gateway refuses', (document) => {
    expect(read(document)).toMatchObject({ ok: false })
    expect(described.safeParse(document)).toMatchObject({ success: false })
  })
})

it('a refused request is told every wrong field, once', () => {
  const read = readClaimOrder({ operation: 1, policy: { lease: 'x', unknown: 'y' }, extra: 1 })
  expect(read.ok).toBe(false)
  const fields = (read.ok ? [] : read.error).map((line) => line.split(': ', 1)[0])
  expect(new Set(fields)).toEqual(
    new Set(['input', 'operation', 'policy', 'policy.lease', 'policy.unknown']),
  )
})
