import path from 'node:path'
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type RawAnswer, rawStatus, rawValue, rawValues, sendRaw } from './raw-client.ts'
import { type Gateway, type Origin, startGateway, startOrigin } from './server.ts'

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  const config = path.join(import.meta.dirname, 'gateway/wrangler.toml')
  gateway = await startGateway({ origin, config })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

/** What one delivery has of its own, and how its length is told. */
const OF_ONE_DELIVERY = new Set([
  'age',
  'cache-control',
  'content-length',
  'date',
  'idempotency-expires',
  'idempotency-status',
  'idempotent-replayed',
  'set-cookie',
  'transfer-encoding',
  'x-correlation-id',
])

/** The header lines that every delivery has, as they came. */
function linesOf({ headerLines }: RawAnswer): string[] {
  return headerLines.filter((line) => {
    const name = line.slice(0, line.indexOf(':')).toLowerCase()
    return !OF_ONE_DELIVERY.has(name)
  })
}

/** Writes an answer byte by byte; a character of the head is one byte. */
function message(lines: readonly string[], body: string | Uint8Array = ''): Buffer {
  const head = [...lines, 'Connection: close', '', ''].join('\r\n')
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)])
}

interface Asked {
  method?: string
  headers?: Readonly<Record<string, string>>
}

/** Lets the origin answer with these bytes, and sends one request twice. */
async function twice(name: string, bytes: Buffer, { method = 'POST', headers = {} }: Asked = {}) {
  const where = `/wire/${name}`
  origin.on(where, { kind: 'raw', bytes })
  const body = method === 'POST' ? { body: '{"amount":1}' } : {}
  const request = { method, path: where, key: name, headers, ...body }
  const first = await sendRaw(gateway.url, request)
  const replay = await sendRaw(gateway.url, request)
  expect(rawValue(first, 'Idempotency-Status')).toBe('executed')
  expect(rawValue(replay, 'Idempotency-Status')).toBe('replayed')
  expect(origin.requestsTo(where)).toHaveLength(1)
  expect([first.isWhole, replay.isWhole]).toEqual([true, true])
  expect(replay.statusLine).toBe(first.statusLine)
  expect(linesOf(replay)).toEqual(linesOf(first))
  expect(replay.body).toEqual(first.body)
  return { first, replay, both: [first, replay] }
}

const plain = Buffer.from(JSON.stringify({ text: 'once '.repeat(100) }))
const encoded = {
  gzip: gzipSync(plain),
  br: brotliCompressSync(plain),
  identity: plain,
} as const
const decode = {
  gzip: (bytes: Buffer) => gunzipSync(bytes),
  br: (bytes: Buffer) => brotliDecompressSync(bytes),
  identity: (bytes: Buffer) => bytes,
} as const
type Coding = keyof typeof encoded

function encodedMessage(coding: Coding): Buffer {
  const bytes = encoded[coding]
  const lines = ['HTTP/1.1 200 OK', 'Content-Type: application/json', 'Vary: Accept-Encoding']
  if (coding !== 'identity') lines.push(`Content-Encoding: ${coding}`)
  return message([...lines, `Content-Length: ${bytes.length}`], bytes)
}

/**
 * `wrangler dev` puts a Worker of its own in front, which translates every body into the first
 * coding that it knows of what the client accepts, whatever the gateway has sent; to a client that
 * names none it passes on what there is. So the very bytes are seen without Accept-Encoding, and
 * where the client accepts the coding of the origin alone; elsewhere only what they mean is.
 */
describe('the bytes of an answer', () => {
  it.each([
    { coding: 'gzip', accepted: null },
    { coding: 'gzip', accepted: 'gzip' },
    { coding: 'br', accepted: null },
    { coding: 'br', accepted: 'br' },
    { coding: 'identity', accepted: null },
    { coding: 'identity', accepted: 'identity' },
  ] as const)(
    'are those of the origin, first and replayed: $coding, accepted: $accepted',
    async ({ coding, accepted }) => {
      const headers = accepted === null ? {} : { 'Accept-Encoding': accepted }
      const name = `bytes-${coding}-${accepted}`
      const { both } = await twice(name, encodedMessage(coding), { headers })
      for (const answer of both) {
        expect(answer.body).toEqual(encoded[coding])
        expect(rawValue(answer, 'Content-Length')).toBe(String(encoded[coding].length))
        expect(rawValues(answer, 'Content-Encoding')).toEqual(coding === 'identity' ? [] : [coding])
        expect(rawValues(answer, 'Vary')).toEqual(['Accept-Encoding'])
      }
    },
  )

  it.each([
    { coding: 'gzip', accepted: 'br', sent: 'br' },
    { coding: 'gzip', accepted: 'identity', sent: 'identity' },
    { coding: 'br', accepted: 'gzip', sent: 'gzip' },
    { coding: 'br', accepted: 'identity', sent: 'identity' },
    { coding: 'br', accepted: 'gzip, deflate, br', sent: 'gzip' },
    { coding: 'identity', accepted: 'gzip', sent: 'gzip' },
    { coding: 'identity', accepted: 'br', sent: 'br' },
  ] as const)(
    'mean the same in whatever coding the server sends them: $coding, accepted: $accepted',
    async ({ coding, accepted, sent }) => {
      const headers = { 'Accept-Encoding': accepted }
      const name = `meant-${coding}-${accepted.replaceAll(/\W+/g, '-')}`
      const { both } = await twice(name, encodedMessage(coding), { headers })
      for (const answer of both) {
        expect(rawValue(answer, 'Content-Encoding') ?? 'identity').toBe(sent)
        expect(decode[sent](answer.body)).toEqual(plain)
      }
    },
  )

  it.each([
    { accepted: null, asked: 'identity' },
    { accepted: 'gzip;q=0.5, br', asked: 'gzip;q=0.5, br' },
  ])('are asked for as the client asks: $accepted', async ({ accepted, asked }) => {
    const headers = accepted === null ? {} : { 'Accept-Encoding': accepted }
    const name = accepted === null ? 'asked-nothing' : 'asked'
    await twice(name, encodedMessage('identity'), { headers })
    const [request] = origin.requestsTo(`/wire/${name}`)
    expect(request?.headers['accept-encoding']).toBe(asked)
  })

  it.each([
    {
      framing: 'length',
      lines: ['Content-Length: 4'],
      body: 'a\0\xFF\n',
      // Collected first, so its length is known.
      first: 'length',
    },
    {
      framing: 'chunked',
      lines: ['Transfer-Encoding: chunked'],
      body: '1;x=y\r\na\r\n03\r\n\0\xFF\n\r\n0\r\n\r\n',
      first: 'chunked',
    },
    { framing: 'close', lines: [], body: 'a\0\xFF\n', first: 'chunked' },
  ])('are kept under any framing: $framing', async ({ framing, lines, body, first: expected }) => {
    const head = ['HTTP/1.1 200 OK', 'Content-Type: application/octet-stream', ...lines]
    const bytes = message(head, Buffer.from(body, 'latin1'))
    const { first, replay } = await twice(`framing-${framing}`, bytes)
    expect(first.body).toEqual(Buffer.from('a\0\xFF\n', 'latin1'))
    expect([first.framing, replay.framing]).toEqual([expected, 'length'])
  })

  it.each([
    { name: 'of length 0', lines: ['HTTP/1.1 200 OK', 'Content-Length: 0'], body: '' },
    {
      name: 'without a chunk',
      lines: ['HTTP/1.1 200 OK', 'Transfer-Encoding: chunked'],
      body: '0\r\n\r\n',
    },
    { name: '204', lines: ['HTTP/1.1 204 No Content'], body: '' },
    { name: '304', lines: ['HTTP/1.1 304 Not Modified', 'ETag: "v1"'], body: '' },
  ])('are none where there are none: $name', async ({ name, lines, body }) => {
    const key = `none-${name.replaceAll(' ', '-')}`
    const { first, both } = await twice(key, message(lines, body))
    expect(first.statusLine).toBe(lines[0])
    expect(both.map((answer) => answer.body.length)).toEqual([0, 0])
  })

  it('are those of a redirect, which nobody follows', async () => {
    const lines = ['HTTP/1.1 303 See Other', 'Location: /wire/elsewhere', 'Content-Length: 2']
    const { both } = await twice('redirect', message(lines, 'go'))
    for (const answer of both) {
      expect([rawStatus(answer), rawValue(answer, 'Location')]).toEqual([303, '/wire/elsewhere'])
      expect(answer.body.toString()).toBe('go')
    }
    expect(origin.requestsTo('/wire/elsewhere')).toHaveLength(0)
  })
})

describe('the head of an answer', () => {
  it('differs between first and replay in what one delivery has of its own, and in nothing else', async () => {
    const lines = [
      'HTTP/1.1 201 Created',
      'Date: Tue, 15 Nov 1994 08:12:31 GMT',
      'Age: 5',
      'Cache-Control: max-age=60',
      'Set-Cookie: a=1; Path=/',
      'Set-Cookie: b=2, c',
      'X-Correlation-Id: of-the-origin',
      'Idempotency-Status: of-the-origin',
      'RateLimit-Remaining: 3',
      'ETag: "v1"',
      'Content-Length: 2',
    ]
    const headers = { 'X-Correlation-Id': 'of-the-client' }
    const where = '/wire/differs'
    origin.on(where, { kind: 'raw', bytes: message(lines, 'ok') })
    const request = { path: where, key: 'differs', body: '{}', headers }
    const first = await sendRaw(gateway.url, request)
    const replay = await sendRaw(gateway.url, request)
    expect(first.headerLines.toSorted()).toEqual([
      'Age: 5',
      'Cache-Control: max-age=60',
      'Connection: close',
      'Content-Length: 2',
      'Date: Tue, 15 Nov 1994 08:12:31 GMT',
      'ETag: "v1"',
      'Idempotency-Expires: 86400',
      'Idempotency-Status: executed',
      'Set-Cookie: a=1; Path=/',
      'Set-Cookie: b=2, c',
      'X-Correlation-Id: of-the-client',
      'ratelimit-remaining: 3',
    ])
    expect(replay.headerLines.toSorted()).toEqual([
      'Age: 0',
      'Cache-Control: no-store',
      'Connection: close',
      'Content-Length: 2',
      'ETag: "v1"',
      'Idempotency-Expires: 86400',
      'Idempotency-Status: replayed',
      'Idempotent-Replayed: true',
      'X-Correlation-Id: of-the-client',
    ])
  })

  it('answers HEAD without a body, on a route for all methods', async () => {
    const lines = ['HTTP/1.1 200 OK', 'Content-Type: text/plain', 'ETag: "v1"', 'Content-Length: 5']
    const { both } = await twice('head', message(lines), { method: 'HEAD' })
    for (const answer of both) {
      expect(linesOf(answer).toSorted()).toEqual([
        'Connection: close',
        'Content-Type: text/plain',
        'ETag: "v1"',
      ])
    }
    expect(origin.requestsTo('/wire/head').map(({ method }) => method)).toEqual(['HEAD'])
  })

  it('answers HEAD where the body would have to be streamed', async () => {
    const { first } = await twice(
      'large-head',
      message(['HTTP/1.1 200 OK', 'ETag: "v1"', `Content-Length: ${64 * 1_048_576}`]),
      { method: 'HEAD' },
    )
    expect(linesOf(first)).toContain('ETag: "v1"')
  })

  it.each([
    { name: '103', interim: ['HTTP/1.1 103 Early Hints', 'Link: </a.css>; rel=preload', ''] },
    {
      name: '102 and 103',
      interim: ['HTTP/1.1 102 Processing', '', 'HTTP/1.1 103 Early Hints', ''],
    },
  ])('is that of the answer itself, not of $name before it', async ({ name, interim }) => {
    const lines = [...interim, 'HTTP/1.1 200 OK', 'X-Final: yes', 'Content-Length: 2']
    const { both } = await twice(`after-${name.replaceAll(' ', '-')}`, message(lines, 'ok'))
    for (const answer of both) {
      expect(answer.interim).toEqual([])
      expect([rawStatus(answer), answer.body.toString()]).toEqual([200, 'ok'])
      expect(linesOf(answer)).toEqual(
        expect.arrayContaining([expect.stringMatching(/^x-final: yes$/i)]),
      )
      expect(rawValues(answer, 'Link')).toEqual([])
    }
  })

  it('has no trailers, nor the promise of any', async () => {
    const lines = ['HTTP/1.1 200 OK', 'Trailer: X-Sum', 'Transfer-Encoding: chunked']
    const { both } = await twice('trailers', message(lines, '2\r\nok\r\n0\r\nX-Sum: 9\r\n\r\n'))
    for (const answer of both) {
      expect(answer.body.toString()).toBe('ok')
      expect(answer.trailerLines).toEqual([])
      expect([...rawValues(answer, 'Trailer'), ...rawValues(answer, 'X-Sum')]).toEqual([])
    }
  })

  it('has nothing that belongs to the connection to the origin', async () => {
    const { first } = await twice(
      'hops',
      message(
        [
          'HTTP/1.1 200 OK',
          'Keep-Alive: timeout=5',
          'X-Hop: 1',
          'Connection: X-Hop',
          'Content-Length: 2',
        ],
        'ok',
      ),
    )
    expect(linesOf(first)).toEqual(['Connection: close'])
  })

  it.each([
    { name: 'in odd case', line: 'x-ODD-cAsE: KePt', expected: 'KePt' },
    { name: 'without a value', line: 'X-Empty:', expected: '' },
    { name: 'with space in and around it', line: 'X-Space: \t a  b \t ', expected: 'a  b' },
    { name: 'with a comma and quotes', line: 'X-List: "a, b", c', expected: '"a, b", c' },
    { name: 'in UTF-8', line: 'X-Name: caf\u00C3\u00A9', expected: 'caf\u00C3\u00A9' },
    // A header is text to a Worker, read as UTF-8: the platform has lost the byte before we see it.
    { name: 'in Latin-1', line: 'X-Name: caf\u00E9', expected: 'caf\u00EF\u00BF\u00BD' },
  ])('keeps a field $name', async ({ name, line, expected }) => {
    const lines = ['HTTP/1.1 200 OK', line, 'Content-Length: 2']
    const { both } = await twice(`field-${name.replaceAll(' ', '-')}`, message(lines, 'ok'))
    const field = line.slice(0, line.indexOf(':'))
    for (const answer of both) expect(rawValues(answer, field)).toEqual([expected])
  })

  it('keeps the order of what is said twice, and joins it', async () => {
    const lines = ['HTTP/1.1 200 OK', 'X-Twice: 2', 'Link: </a>', 'x-twice: 1', 'Link: </b>']
    const { both } = await twice('twice', message([...lines, 'Content-Length: 2'], 'ok'))
    for (const answer of both) {
      expect(rawValues(answer, 'X-Twice')).toEqual(['2, 1'])
      expect(rawValues(answer, 'Link')).toEqual(['</a>, </b>'])
    }
  })

  it.each([
    { name: '100 fields', count: 100, valueBytes: 10 },
    { name: '60 KB', count: 60, valueBytes: 1_000 },
    { name: '60 KB in one field', count: 1, valueBytes: 60_000 },
  ])('keeps $name', async ({ count, valueBytes }) => {
    const values = Array.from({ length: count }, (_, nth) => `${nth}`.padEnd(valueBytes, 'v'))
    const lines = values.map((value, nth) => `X-Field-${nth}: ${value}`)
    const bytes = message(['HTTP/1.1 200 OK', ...lines, 'Content-Length: 2'], 'ok')
    const { both } = await twice(`fields-${count}-${valueBytes}`, bytes)
    for (const answer of both) {
      expect(values.map((_, nth) => rawValue(answer, `X-Field-${nth}`))).toEqual(values)
      expect(linesOf(answer)).toHaveLength(count + 1)
    }
  })
})

describe('limits.rate', () => {
  it('lets two new operations of a tenant pass and refuses the third, by the platform’s own counter', async () => {
    const statusOf = async (key: string) => {
      const answer = await gateway.send({ path: '/limited', key, body: '{}' })
      return answer.kind === 'answered' ? answer.status : answer.kind
    }
    expect(await statusOf('one')).toBe(201)
    expect(await statusOf('two')).toBe(201)
    expect(await statusOf('three')).toBe(429)
    expect(await statusOf('one')).toBe(201)
    expect(origin.requestsTo('/limited')).toHaveLength(2)
  })
})
