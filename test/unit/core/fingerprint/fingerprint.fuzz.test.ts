import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { createDigest } from '../../../../src/core/digest.ts'
import {
  fingerprint,
  type FingerprintRules,
  readBody,
  toComparedRequest,
} from '../../../../src/core/fingerprint/fingerprint.ts'
import { ok } from '../../../../src/core/result.ts'
import { contentEncoding, fieldLike, pairs, payload, SECRET } from '../../../fakes/hostile.ts'

const RUNS = { numRuns: 2_000 }
const DIGEST = createDigest()
/** What is wrong, and what to do. */
const TWO_SENTENCES = expect.stringMatching(/^[A-Z][ -~]*\. [A-Z][ -~]*\.$/)

const rules = fc.constantFrom<FingerprintRules>(
  { ignore: [], dates: [], headers: [], query: true },
  { ignore: ['/a', '/b/0'], dates: ['/d'], headers: ['X-Tag', 'x-tag', 'Prefer'], query: true },
  { ignore: ['/~1', '/'], dates: ['/a/a'], headers: ['Content-Type'], query: false },
)

const request = fc.record({
  search: pairs.map((text) => (text === '' ? '' : `?${text}`)),
  headers: fc.record(
    {
      'Content-Encoding': contentEncoding,
      'X-Tag': fieldLike('a', ''),
    },
    { requiredKeys: [] },
  ),
  payload,
})
/** What decompresses to more than the one, and what does not. */
const maxDecodedBytes = fc.constantFrom(4, 1_048_576)

type Request = (typeof request extends fc.Arbitrary<infer value> ? value : never) & object

async function fingerprintOf(sent: Request, by: FingerprintRules, limit: number) {
  // Spread, since a record of fast-check has no prototype.
  const headers = new Headers({ 'Content-Type': sent.payload.type, ...sent.headers })
  const head = { method: 'POST', path: '/payments', search: sent.search, headers }
  const read = await readBody(new Uint8Array(sent.payload.body), headers, by, limit)
  return read.ok ? ok(fingerprint(toComparedRequest(head, read.value, by), DIGEST)) : read
}

describe('fingerprint, of anything', () => {
  it('is a fingerprint, or a fault that says what to do', async () => {
    await fc.assert(
      fc.asyncProperty(request, rules, maxDecodedBytes, async (sent, by, limit) => {
        const result = await fingerprintOf(sent, by, limit)
        expect(result).toBeOneOf([
          { ok: true, value: expect.stringMatching(/^v1:[\w-]{43}$/) },
          { ok: false, error: { kind: 'payload-too-large', limitBytes: limit } },
          { ok: false, error: { kind: 'payload-invalid', reason: TWO_SENTENCES } },
        ])
      }),
      RUNS,
    )
  })

  it('is the same for the same request', async () => {
    await fc.assert(
      fc.asyncProperty(request, rules, maxDecodedBytes, async (sent, by, limit) => {
        expect(await fingerprintOf(sent, by, limit)).toEqual(await fingerprintOf(sent, by, limit))
      }),
      RUNS,
    )
  })

  it('never repeats in a fault what was sent', async () => {
    await fc.assert(
      fc.asyncProperty(request, rules, maxDecodedBytes, async (sent, by, limit) => {
        const result = await fingerprintOf(sent, by, limit)
        fc.pre(!result.ok && result.error.kind === 'payload-invalid')
        const { reason } = result.ok || result.error.kind !== 'payload-invalid' ? {} : result.error
        expect(reason).not.toContain(SECRET)
        const text = new TextDecoder().decode(sent.payload.body)
        expect(text.length > 9 && reason?.includes(text)).toBe(false)
      }),
      RUNS,
    )
  })

  it('is another one where a byte of a body without a format is another', async () => {
    await fc.assert(
      fc.asyncProperty(request, fc.nat(), fc.integer({ min: 1, max: 255 }), async (sent, at, x) => {
        const { body } = sent.payload
        fc.pre(body.length > 0)
        const bodies = [
          body,
          body.map((byte, index) => (index === at % body.length ? byte ^ x : byte)),
        ]
        const by: FingerprintRules = { ignore: ['/a'], dates: [], headers: [], query: true }
        const [one, other] = await Promise.all(
          bodies.map((content) =>
            fingerprintOf(
              { ...sent, headers: {}, payload: { type: 'text/plain', body: content } },
              by,
              4,
            ),
          ),
        )
        expect([one?.ok, other?.ok]).toEqual([true, true])
        expect(one).not.toEqual(other)
      }),
      RUNS,
    )
  })
})
