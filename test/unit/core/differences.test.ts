import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  type ComparedRequest,
  type Differences,
  digestPlaces,
  findDifferences,
} from '../../../src/core/differences.ts'
import { createDigest } from '../../../src/core/digest.ts'
import { type FingerprintRules, readBody } from '../../../src/core/fingerprint/fingerprint.ts'
import { findValue } from '../../../src/core/json-spans.ts'

const DIGEST = createDigest()
const MIB = 1_048_576

interface Sent {
  readonly body: string
  readonly type?: string
  readonly method?: string
  readonly path?: string
  readonly search?: string
  readonly tag?: string
}

async function read(sent: Sent, rules: FingerprintRules): Promise<ComparedRequest> {
  const { body, type = 'application/json', method = 'POST', path = '/', search = '' } = sent
  const headers = new Headers({ 'Content-Type': type })
  if (sent.tag !== undefined) headers.set('X-Tag', sent.tag)
  const bytes = new TextEncoder().encode(body)
  const found = await readBody(bytes, headers, rules, MIB)
  if (!found.ok) throw new Error('The body must parse.')
  return { head: { method, path, search, headers }, body: found.value, rules }
}

async function differencesOf(
  first: Sent,
  second: Sent,
  over: Partial<FingerprintRules> = {},
): Promise<Differences> {
  const rules = { ignore: [], dates: [], headers: [], query: true, ...over }
  const known = await digestPlaces(await read(first, rules), DIGEST, 'key')
  return findDifferences(known, await read(second, rules), DIGEST, 'key')
}

const json = (body: string): Sent => ({ body })

const many = (count: number, over: Record<string, unknown> = {}) => {
  const members = Array.from({ length: count }, (_, index) => [`m${index}`, index])
  return JSON.stringify({ list: { ...Object.fromEntries(members), ...over }, other: 1 })
}

describe('findDifferences', () => {
  it.each([
    { name: 'a number', first: '{"a":1,"b":2}', second: '{"a":1,"b":3}', at: ['/b'] },
    {
      name: 'a member in depth',
      first: '{"a":{"b":[1]}}',
      second: '{"a":{"b":[2]}}',
      at: ['/a/b/0'],
    },
    { name: 'one that is new', first: '{"a":1}', second: '{"a":1,"b":0}', at: ['/b'] },
    { name: 'one that is gone', first: '{"a":1,"b":0}', second: '{"a":1}', at: ['/b'] },
    { name: 'a longer list', first: '[1]', second: '[1,2]', at: ['/1'] },
    { name: 'a name with ~ and /', first: '{"~/":1}', second: '{"~/":2}', at: ['/~0~1'] },
    { name: '__proto__', first: '{"__proto__":1}', second: '{"__proto__":2}', at: ['/__proto__'] },
    {
      name: 'digits that doubles lose',
      first: '{"a":9007199254740993}',
      second: '{"a":9007199254740992}',
      at: ['/a'],
    },
    { name: 'what was empty', first: '{}', second: '{"a":1}', at: ['/a'] },
  ])('points at $name', async ({ first, second, at }) => {
    const found = await differencesOf(json(first), json(second))
    expect(found).toEqual({ parts: ['body'], pointers: at, queryPointers: [] })
  })

  it('does not count what the rules leave out, nor another spelling', async () => {
    const rules = { ignore: ['/sent_at'], dates: ['/on'] }
    const first = '{"n":1,"sent_at":1,"on":"2026-01-01T00:00:00Z","x":1}'
    const second = '{"x":2,"on":"2026-01-01T01:00:00+01:00","sent_at":2,"n":1.0}'
    expect((await differencesOf(json(first), json(second), rules)).pointers).toEqual(['/x'])
  })

  it('points at fields of forms and multipart, and at the query', async () => {
    const form = { type: 'application/x-www-form-urlencoded' }
    const forms = await differencesOf(
      { ...form, body: 'a=1&b=2', search: '?page=1&size=5' },
      { ...form, body: 'b=3&a=1', search: '?page=2&size=5' },
    )
    expect(forms).toEqual({ parts: ['query', 'body'], pointers: ['/b'], queryPointers: ['/page'] })
    const part = (name: string, value: string) =>
      `--b\r\nContent-Disposition: form-data; filename="f"; name="${name}"\r\n\r\n${value}\r\n`
    const type = 'multipart/form-data; boundary=b'
    const parts = await differencesOf(
      { type, body: `${part('a', '1')}${part('b', '2')}--b--` },
      { type, body: `${part('a', '1')}${part('b', '3')}--b--` },
    )
    expect(parts.pointers).toEqual(['/b'])
  })

  it('names the parts that differ besides', async () => {
    const rules = { headers: ['X-Tag'] }
    const first = { body: 'x', type: 'text/plain', tag: 'one' }
    const second = { body: 'y', type: 'text/csv', tag: 'two', method: 'PUT', path: '/other' }
    const { parts } = await differencesOf(first, second, rules)
    expect(parts).toEqual(['method', 'path', 'media-type', 'headers', 'body'])
  })

  it('points at the branch where there are too many leaves, and at no other', async () => {
    const { pointers } = await differencesOf(json(many(200)), json(many(200, { m7: 'new' })))
    expect(pointers).toEqual(['/list'])
    expect((await differencesOf(json(many(63)), json(many(64)))).pointers).toEqual(['/list/m63'])
  })

  it('does not take a query for another that it would only keep otherwise', async () => {
    const pairs = Array.from({ length: 65 }, (_, index) => `p${index}=1`).join('&')
    const found = await differencesOf(
      { body: '1', search: `?${pairs}` },
      { body: '2', search: `?${pairs.split('&').toReversed().join('&')}` },
    )
    expect(found.parts).toEqual(['body'])
  })

  it('says that a large body differs, and not where', async () => {
    const text = (end: string) => json(JSON.stringify({ text: 'x'.repeat(70_000) + end }))
    const found = await differencesOf(text('a'), text('b'))
    expect(found).toEqual({ parts: ['body'], pointers: [], queryPointers: [] })
  })

  it('points only at what differs, in any two documents', async () => {
    const value = fc.object({
      maxDepth: 3,
      withBoxedValues: false,
      values: [fc.nat(3), fc.constant('s')],
    })
    await fc.assert(
      fc.asyncProperty(value, value, async (one, other) => {
        const [first, second] = [JSON.stringify(one), JSON.stringify(other)]
        const { pointers } = await differencesOf(json(first), json(second))
        expect(first === second && pointers.length > 0).toBe(false)
        for (const pointer of pointers) {
          const tokens = pointer
            .slice(1)
            .split('/')
            .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'))
          const [before, after] = [first, second].map((text) => {
            const span = findValue(text, tokens)
            return span === null ? undefined : text.slice(span.start, span.end)
          })
          expect(before).not.toBe(after)
        }
      }),
      { numRuns: 200 },
    )
  })
})
