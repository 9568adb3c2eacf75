import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { parseRequestUrl, type RequestUrl } from '../../../../src/core/request/request-url.ts'

const HOST = 'gateway.test'

/** What is read of a target as a client writes it. */
function read(target: string): RequestUrl {
  const parsed = parseRequestUrl(`http://${HOST}${target}`, HOST)
  if (!parsed.ok) throw new Error(`${target} was refused: ${parsed.error.because}`)
  return parsed.value
}

const isRefused = (target: string) => !parseRequestUrl(`http://${HOST}${target}`, HOST).ok

describe('parseRequestUrl', () => {
  it.each([
    { name: 'a plain path', target: '/a/b', path: '/a/b' },
    { name: 'the root', target: '/', path: '/' },
    { name: 'dot segments', target: '/./a/x/../b/.', path: '/a/b' },
    { name: 'dot segments in escapes', target: '/%2e/a/x/%2E%2e/b/%2E', path: '/a/b' },
    { name: 'more of them than there is to leave', target: '/../../a', path: '/a' },
    { name: 'backslashes', target: String.raw`\a\x\..\b` + '\\', path: '/a/b' },
    { name: 'tabs', target: '/a\t/.\t./b', path: '/b' },
    { name: 'slashes in a row and at the end', target: '//a///b//', path: '/a/b' },
    { name: 'nothing but slashes', target: '///', path: '/' },
    { name: 'letters in escapes', target: '/%61%2D%5f%7E%41', path: '/a-_~A' },
    { name: 'escapes in small letters', target: '/a%2fb%c3%a9', path: '/a%2Fb%C3%A9' },
    { name: 'escapes of an escape', target: '/%2561', path: '/%2561' },
    { name: 'percent signs of their own', target: '/100%/%zz/%%32e', path: '/100%25/%25zz/%252e' },
    { name: 'letters beyond ASCII', target: '/caf\u00E9', path: '/caf%C3%A9' },
    { name: 'a fragment', target: '/a#/../b', path: '/a' },
    { name: 'parameters', target: '/a;b=1/c', path: '/a;b=1/c' },
    { name: 'three dots', target: '/.../..a/b..', path: '/.../..a/b..' },
  ])('normalises a path with $name', ({ target, path }) => {
    expect(read(target)).toMatchObject({ path, forwarded: expect.stringContaining(path) as string })
  })

  it.each([
    { target: '/a', forwarded: '/a', untouched: '/a' },
    { target: '/a/', forwarded: '/a/', untouched: '/a/' },
    { target: '//a//b//', forwarded: '/a/b/', untouched: '//a//b//' },
    { target: '/', forwarded: '/', untouched: '/' },
    { target: '//', forwarded: '/', untouched: '//' },
    { target: '/a/.', forwarded: '/a', untouched: '/a/' },
    { target: '/a\\', forwarded: '/a', untouched: '/a/' },
    { target: '/a/..', forwarded: '/', untouched: '/' },
    { target: '/x/..//%61?b=/../c', forwarded: '/a?b=/../c', untouched: '//a?b=/../c' },
    { target: '/a?', forwarded: '/a?', untouched: '/a?' },
    { target: '/a/?b#c?d', forwarded: '/a/?b', untouched: '/a/?b' },
    { target: '/a?%61=%zz', forwarded: '/a?%61=%zz', untouched: '/a?%61=%zz' },
  ])('keeps of $target the slashes that an origin may want', ({ target, ...expected }) => {
    expect(read(target)).toMatchObject(expected)
  })

  it.each([
    { target: '/a', expected: false },
    { target: '/a/../b', expected: false },
    { target: '/a/./../../b', expected: true },
    { target: '/../a', expected: true },
    { target: '/%2E./a', expected: true },
    { target: String.raw`/a\..\..\b`, expected: true },
    // An origin that takes two slashes for one would leave its root.
    { target: '//../a', expected: true },
    { target: '/...', expected: false },
  ])('says $expected of whether $target climbs above its root', ({ target, expected }) => {
    expect(read(target).isAboveRoot).toBe(expected)
  })

  it.each([
    '/x/..%2Fa',
    '/x%2f..%2fa',
    '/..%5Ca',
    '/..%5c',
    '/..;/a',
    '/..;x=1/a',
    '/x/..%3Bx/a',
    '/.;/a',
    '/x/.%00./a',
    '/..%20/a',
    '/%2e%2e%2fa',
    '/%2e%2e;a',
    '/a%2F.',
  ])('refuses a path in which a dot segment is hidden: %s', (target) => {
    expect(isRefused(target)).toBe(true)
  })

  it.each([
    '/a%00',
    '/a;b=1',
    '/a%3F',
    '/%2561',
    '/a%2Fb',
    '/%FF/a',
    '/..%252Fa',
    '/a..;b',
    '/..a;',
  ])('takes a path that only looks like one: %s', (target) => {
    expect(read(target).path).toBe(target)
  })

  it.each([
    { host: 'gw.test', origin: 'http://gw.test' },
    { host: 'GW.test:80', origin: 'http://gw.test' },
    { host: 'gw:', origin: 'http://gw' },
    { host: 'gw:8787', origin: 'http://gw:8787' },
    { host: 'gw:65535', origin: 'http://gw:65535' },
    { host: '127.1', origin: 'http://127.0.0.1' },
    { host: '127.0.0.1.evil.test', origin: 'http://127.0.0.1.evil.test' },
    { host: '[::1]:8787', origin: 'http://[::1]:8787' },
    { host: 'a_b.test', origin: 'http://a_b.test' },
  ])('takes the Host $host', ({ host, origin }) => {
    const parsed = parseRequestUrl(`http://${host}//x/../a`, host)
    expect(parsed).toMatchObject({ ok: true, value: { origin, path: '/a' } })
  })

  it.each([
    'aaaa@127.0.0.1:9292',
    'a:b@c',
    '@c',
    'x y',
    'x\ty',
    'x/payments',
    String.raw`x\payments`,
    'x?y',
    'x#y',
    'gw:x',
    'gw:65536',
    'gw:-1',
    'gw: 80',
    'gw:80:80',
    '[::1',
    '::1',
    '[::z]',
    '1.2.3.4.5',
    'x%2Fy',
    'x%',
    'x"y',
    '<x>',
    'a, b',
    'b\u00FCcher.test',
    '',
  ])('refuses the Host %j, and tells nothing of it', (host) => {
    const parsed = parseRequestUrl(`http://${host}/a`, host)
    expect(parsed).toEqual({
      ok: false,
      error: { origin: '', because: expect.stringMatching(/^The (?:Host|URL) of the request /) },
    })
  })

  it.each([
    'http://gateway.test*',
    'http://gateway.test',
    'ftp://gateway.test/a',
    'http:/a',
    '/a',
    '',
  ])('refuses a URL that is none for a request: %s', (url) => {
    expect(parseRequestUrl(url, HOST).ok).toBe(false)
  })

  it('goes without a Host field, as a request of another Worker does', () => {
    expect(parseRequestUrl('https://inside.test/a/', null)).toMatchObject({ ok: true })
  })

  const pieces =
    '/ // \\ . .. %2e %2E % %3 2 e %61 %2F %5c %25 ; ;x a B %00 %ff \u00E9 %20 ? # |'.split(' ')
  const part = fc.constantFrom(...pieces, ' ', '\t')
  const target = fc.array(part, { maxLength: 12 }).map((parts) => `/${parts.join('')}`)

  const plainPiece = fc.constantFrom(...'/ . .. a B9 ~ - _ a.b %61 ; : + ?'.split(' '))
  const authority = fc.constantFrom(
    'api.test',
    'API.test:80',
    '127.1',
    '[::1]:8080',
    'x@y',
    '1.2.3.256',
  )

  it('reads a URL without anything to normalise as it reads every other', () => {
    fc.assert(
      fc.property(authority, fc.array(plainPiece, { maxLength: 8 }), (host, written) => {
        const url = `http://${host}/${written.join('')}`
        // A fragment is never sent, and is never plain.
        expect(parseRequestUrl(url, null)).toEqual(parseRequestUrl(`${url}#`, null))
      }),
      { numRuns: 2_000 },
    )
  })

  it('reads what it has made as the same again', () => {
    fc.assert(
      fc.property(target, (spelled) => {
        fc.pre(!isRefused(spelled))
        const { forwarded, untouched, path, search } = read(spelled)
        for (const again of [forwarded, untouched]) {
          expect(read(again)).toMatchObject({ path, search, isAboveRoot: false })
        }
        expect(read(forwarded).forwarded).toBe(forwarded)
        expect(read(untouched).untouched).toBe(untouched)
      }),
      { numRuns: 5_000 },
    )
  })

  it('makes nothing that another reader takes for another path', () => {
    fc.assert(
      fc.property(target, (spelled) => {
        fc.pre(!isRefused(spelled))
        const { forwarded, untouched, path } = read(spelled)
        expect(path).toMatch(/^\/(?:[^/\\?#]+(?:\/[^/\\?#]+)*)?$/)
        for (const sent of [forwarded, untouched]) {
          const { pathname } = new URL(`http://origin.test${sent}`)
          expect(sent.startsWith(pathname)).toBe(true)
          const decoded = pathname.replaceAll(/%[\da-f]{2}/gi, (escape) => unescape(escape))
          expect(decoded.split(/[/\\]/)).not.toContain('..')
        }
      }),
      { numRuns: 5_000 },
    )
  })
})
