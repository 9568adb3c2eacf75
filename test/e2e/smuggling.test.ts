import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type DevServer, startDevServer } from '../../demo/dev-server.ts'
import { type BareGateway, startBareGateway } from './bare.ts'
import { bytesOf, type Outcome, sendBytes as sendBytesTo } from './send-bytes.ts'
import { type Origin, startOrigin } from './server.ts'

const persistTo = mkdtempSync(join(tmpdir(), 'hapax-smuggling-'))
let origin: Origin
let gateway: DevServer
/** The routes of this project, with nothing in front. */
let bare: BareGateway

beforeAll(async () => {
  origin = await startOrigin()
  const config = 'wrangler.toml'
  const vars = { ORIGIN_URL: origin.url }
  ;[gateway, bare] = await Promise.all([
    startDevServer({ config, persistTo, vars }),
    startBareGateway({ origin, config }),
  ])
}, 120_000)

afterAll(async () => {
  await gateway.kill()
  await bare.stop()
  await origin.close()
  rmSync(persistTo, { recursive: true, force: true })
})

const BODY = '{"amount":1}'

const sendBytes = (bytes: string) => sendBytesTo({ gateway, origin }, bytes)

const keyed = (key: string, ...lines: string[]) => [`Idempotency-Key: ${key}`, ...lines]
const framed = (body: string) => [`Content-Length: ${body.length}`]

/** A request that nobody has sent, if what lies before it is read as one message. */
const hidden = () =>
  bytesOf({ line: 'POST /hidden HTTP/1.1', lines: ['Content-Length: 0'], rest: '' })

describe('a message whose end could be read in two ways', () => {
  it.each([
    {
      name: 'two Content-Lengths',
      lines: ['Content-Length: 2', 'Content-Length: 200'],
      rest: () => `{}${hidden()}`,
    },
    {
      name: 'two Content-Lengths, the other way round',
      lines: ['Content-Length: 200', 'Content-Length: 2'],
      rest: () => `{}${hidden()}`,
    },
    {
      name: 'a list of Content-Lengths',
      lines: ['Content-Length: 2, 200'],
      rest: () => `{}${hidden()}`,
    },
    ...['+2', '-2', '0x2', '2x', '2_0', '', '2 2', '99999999999999999999', '1e1'].map((length) => ({
      name: `Content-Length "${length}"`,
      lines: [`Content-Length: ${length}`],
      rest: () => `{}${hidden()}`,
    })),
    ...[
      'chunked, identity',
      'identity',
      'xchunked',
      'chunkedx',
      '"chunked"',
      'chunked;q=1',
      'chunked,',
      '\u000Bchunked',
      'gzip',
    ].map((coding) => ({
      name: `Transfer-Encoding ${JSON.stringify(coding)}`,
      lines: [`Transfer-Encoding: ${coding}`],
      rest: () => `2\r\n{}\r\n0\r\n\r\n${hidden()}`,
    })),
    {
      name: 'a Transfer-Encoding that is folded',
      lines: ['Transfer-Encoding:\r\n chunked'],
      rest: () => `2\r\n{}\r\n0\r\n\r\n${hidden()}`,
    },
    {
      name: 'a field that is folded',
      lines: ['Content-Length: 2', 'X-Fold: a\r\n b'],
      rest: () => `{}${hidden()}`,
    },
    {
      name: 'a space before the colon of Transfer-Encoding',
      lines: ['Content-Length: 2', 'Transfer-Encoding : chunked'],
      rest: () => `2\r\n{}\r\n0\r\n\r\n${hidden()}`,
    },
    {
      name: 'a space before the colon of Content-Length',
      lines: ['Content-Length : 2'],
      rest: () => `{}${hidden()}`,
    },
    {
      name: 'a line without a colon',
      lines: ['Content-Length: 2', 'Transfer-Encoding chunked'],
      rest: () => `{}${hidden()}`,
    },
    {
      name: 'a bare CR for a line end',
      lines: ['X-A: a\rTransfer-Encoding: chunked', 'Content-Length: 2'],
      rest: () => `{}${hidden()}`,
    },
    {
      name: 'a NUL in a field',
      lines: ['X-A: a\0', 'Content-Length: 2'],
      rest: () => `{}${hidden()}`,
    },
    ...[
      'FFFFFFFFFFFFFFFF',
      '10000000000000002',
      '100000002',
      '0x2',
      '-2',
      '+2',
      ' 2',
      '2x',
      '',
      '2\n',
    ].map((size) => ({
      name: `a chunk of size ${JSON.stringify(size)}`,
      lines: ['Transfer-Encoding: chunked'],
      rest: () => `${size}\r\n{}\r\n0\r\n\r\n${hidden()}`,
    })),
    {
      name: 'a chunk that is longer than its size',
      lines: ['Transfer-Encoding: chunked'],
      rest: () => `2\r\n{}${hidden()}\r\n0\r\n\r\n`,
    },
    {
      name: 'a body that is cut off',
      lines: ['Content-Length: 100'],
      rest: () => '{}',
    },
    {
      name: 'chunks that are cut off',
      lines: ['Transfer-Encoding: chunked'],
      rest: () => '2\r\n{}\r\n',
    },
    {
      name: 'two Hosts',
      lines: ['Host: elsewhere.test', 'Content-Length: 2'],
      rest: () => `{}${hidden()}`,
    },
  ])('is not executed, nor what is hidden in it: $name', async ({ name, lines, rest }) => {
    const { statuses, effects } = await sendBytes(
      bytesOf({ lines: keyed(`framing-${name.replaceAll(/\W+/g, '-')}`, ...lines), rest: rest() }),
    )
    expect(effects).toEqual([])
    // One refusal, and the connection is over; or nothing at all.
    expect(statuses.filter((status) => status < 400)).toEqual([])
    expect(statuses.length).toBeLessThanOrEqual(1)
  })
})

describe('a message with both Content-Length and Transfer-Encoding', () => {
  // RFC 9112 §6.3: Transfer-Encoding rules, and the connection ends with the answer.
  it.each([
    {
      name: 'chunked, in a short length',
      lines: ['Content-Length: 5', 'Transfer-Encoding: chunked'],
    },
    {
      name: 'chunked, in a long length',
      lines: ['Transfer-Encoding: chunked', 'Content-Length: 900'],
    },
  ])('ends with its last chunk, and nothing behind that is executed: $name', async (sent) => {
    const lines = keyed(sent.name.replaceAll(/\W+/g, '-'), ...sent.lines)
    const { statuses, effects } = await sendBytes(
      bytesOf({ lines, rest: `2\r\n{}\r\n0\r\n\r\n${hidden()}` }),
    )
    expect([statuses, effects]).toEqual([[201], ['POST /payments']])
    expect(origin.requests.at(-1)?.body.toString()).toBe('{}')
  })
})

describe('a request in the body of another', () => {
  it.each([
    {
      name: 'of a known length',
      bodyOf: (body: string) => ({ lines: framed(body), rest: body }),
    },
    {
      name: 'in chunks',
      bodyOf: (body: string) => ({
        lines: ['Transfer-Encoding: chunked'],
        rest: `${body.length.toString(16)};x=1\r\n${body}\r\n0\r\n\r\n`,
      }),
    },
    {
      name: 'in chunks, whose size begins with zeros',
      bodyOf: (body: string) => ({
        lines: ['Transfer-Encoding: CHUNKED'],
        rest: `00${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
      }),
    },
    {
      name: 'of a length that is said twice',
      bodyOf: (body: string) => ({ lines: [...framed(body), ...framed(body)], rest: body }),
    },
    {
      name: 'behind lines that end with a bare LF',
      bodyOf: (body: string) => ({ lines: [`X-A: a\nContent-Length: ${body.length}`], rest: body }),
    },
  ])('$name stays a body', async ({ name, bodyOf }) => {
    const body = hidden()
    const { lines, rest } = bodyOf(body)
    const sent = bytesOf({ lines: keyed(`body-${name.replaceAll(/\W+/g, '-')}`, ...lines), rest })
    const { statuses, words, effects } = await sendBytes(sent)
    expect([statuses, words, effects]).toEqual([[201], ['executed'], ['POST /payments']])
    expect(origin.requests.at(-1)?.body.toString()).toBe(body)
  })

  it('of a GET that is passed through stays a body', async () => {
    const body = hidden()
    const line = 'GET /anything HTTP/1.1'
    const { statuses, effects } = await sendBytes(
      bytesOf({ line, lines: framed(body), rest: body }),
    )
    expect([statuses, effects]).toEqual([[201], ['GET /anything']])
  })

  it('that comes behind it on the connection has one effect with it, where it is its twin', async () => {
    const twin = bytesOf({ lines: keyed('pipelined', ...framed(BODY)), rest: BODY })
    const { statuses, words, effects } = await sendBytes(twin + twin)
    expect([statuses, words, effects]).toEqual([
      [201, 201],
      ['executed', 'replayed'],
      ['POST /payments'],
    ])
  })
})

const REFUSED = { statuses: [400], words: ['rejected'], effects: [] }

/** How an origin may read a path: `nginx` merges slashes, and so do many frameworks. */
const merged = (path: string) => path.replaceAll(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '')

describe.each([
  { front: 'wrangler dev', frontedOf: () => gateway },
  { front: 'bare workerd', frontedOf: () => bare },
])('another spelling of a protected path, through $front', ({ frontedOf }) => {
  let fronted: { readonly url: string }
  beforeAll(() => {
    fronted = frontedOf()
  })

  /** Sends a payment without a key, which its route refuses. */
  function payWithoutKey(line: string, host = new URL(fronted.url).host): Promise<Outcome> {
    const bytes = bytesOf({ line, host, lines: framed(BODY), rest: BODY })
    return sendBytesTo({ gateway: fronted, origin }, bytes)
  }

  it.each([
    '/payments/',
    '//payments',
    '///payments/',
    '/%70ayments',
    '/%70%61%79%6d%65%6e%74%73/',
    '//%70ayments',
    '/./payments',
    '/.//payments',
    '/x/../payments',
    '/x/..//payments',
    '/%2e/payments',
    '/x/%2E%2e/payments',
    '/payments/.',
    '/payments/x/..',
    '/payments/%FF/..',
    String.raw`/\payments`,
    '/payments\\',
    '/payments?',
    '/payments/?x=1',
    '/payments#x',
    '/payments/#/x',
    'http://elsewhere.test/payments',
    'http://elsewhere.test//payments/',
    'HTTP://user:password@elsewhere.test:99/%70ayments',
    'https://elsewhere.test/payments',
    '/orders/1/finalize/',
    '/orders/1//finalize',
    '/orders/1/%66inalize',
    '/orders/%FF/%66inalize',
    '/orders/a%2Fb/finalize',
  ])('is protected as well: %s', async (target) => {
    expect(await payWithoutKey(`POST ${target} HTTP/1.1`)).toMatchObject(REFUSED)
  })

  it.each([
    '/payments//',
    '/payments///',
    '//payments//',
    '/%70ayments//',
    '/payments//.',
    'http://elsewhere.test/payments//',
    '/orders/1/finalize//',
  ])('is protected as well: %s', async (target) => {
    expect(await payWithoutKey(`POST ${target} HTTP/1.1`)).toMatchObject(REFUSED)
  })

  it.each([
    { host: String.raw`x\payments`, target: '/' },
    { host: 'x/payments', target: '/' },
    { host: 'x/payments?', target: '/' },
    { host: 'x#', target: '/payments' },
    { host: 'x?', target: '/payments' },
    { host: 'x@y', target: '/payments' },
    { host: 'x y', target: '/payments' },
  ])('does not come in with Host $host and $target', async ({ host, target }) => {
    const { effects } = await payWithoutKey(`POST ${target} HTTP/1.1`, host)
    expect(effects.filter((effect) => merged(effect) === 'POST /payments')).toEqual([])
  })

  it.each(['/PAYMENTS', '/payments%00', '/payments;a=1', '/payments%3F', '/%2570ayments'])(
    'is not this one, which names another resource: %s',
    async (target) => {
      const { statuses, words, effects } = await payWithoutKey(`POST ${target} HTTP/1.1`)
      expect([statuses, words, effects]).toEqual([[201], [], [`POST ${target}`]])
    },
  )

  it('is the same request under the same key: it is executed once, and replayed', async () => {
    const spellings = ['/payments', '/%70ayments', '//payments', '/payments/', '/payments/.']
    const more = ['/./payments', '/x/../payments', String.raw`/\payments`, '/payments#x']
    const outcomes: Outcome[] = []
    for (const target of [...spellings, ...more]) {
      const line = `POST ${target} HTTP/1.1`
      const lines = keyed(`spelling-${new URL(fronted.url).port}`, ...framed(BODY))
      outcomes.push(
        await sendBytesTo({ gateway: fronted, origin }, bytesOf({ line, lines, rest: BODY })),
      )
    }
    expect(outcomes.flatMap(({ effects }) => effects)).toEqual(['POST /payments'])
    const words = outcomes.flatMap((outcome) => outcome.words)
    expect(words).toEqual(['executed', ...outcomes.slice(1).map(() => 'replayed')])
  })

  it.each(['post /payments HTTP/1.1', 'Post /payments HTTP/1.1', 'POST payments HTTP/1.1'])(
    'is not executed as a payment: %s',
    async (line) => {
      const { effects } = await payWithoutKey(line)
      expect(effects.filter((effect) => /^POST \/payments$/i.test(merged(effect)))).toEqual([])
    },
  )
})

describe('two fields for one', () => {
  it.each([
    { name: 'two keys', lines: ['Idempotency-Key: a', 'Idempotency-Key: b'] },
    { name: 'one key twice', lines: ['Idempotency-Key: a', 'idempotency-key: a'] },
    { name: 'two keys in quotes', lines: ['Idempotency-Key: "a"', 'Idempotency-Key: "b"'] },
    { name: 'a key and nothing', lines: ['Idempotency-Key: a', 'Idempotency-Key:'] },
    { name: 'nothing and a key', lines: ['Idempotency-Key:', 'Idempotency-Key: a'] },
    { name: 'a key with an underscore', lines: ['Idempotency_Key: a'] },
  ])('are refused: $name', async ({ lines }) => {
    const sent = bytesOf({ lines: [...lines, ...framed(BODY)], rest: BODY })
    expect(await sendBytes(sent)).toMatchObject(REFUSED)
  })

  it.each([
    { name: 'a key that is folded', lines: ['Idempotency-Key: a\r\n b'] },
    { name: 'a space before its colon', lines: ['Idempotency-Key : a'] },
    { name: 'a bare CR before it', lines: ['X-A: a\rIdempotency-Key: a'] },
  ])('are no HTTP: $name', async ({ lines }) => {
    const sent = bytesOf({ lines: [...lines, ...framed(BODY)], rest: BODY })
    expect(await sendBytes(sent)).toMatchObject({ statuses: [400], words: [], effects: [] })
  })
})

describe('a line break that is written in another way', () => {
  const EVIL = 'X-Evil: 1'

  it.each([
    { name: 'in a key', lines: keyed(`break-1%0d%0a${EVIL.replace(' ', '')}`) },
    { name: 'in a key, escaped', lines: keyed(String.raw`break-2\r\n${EVIL.replace(' ', '')}`) },
    {
      name: 'in a correlation id',
      lines: keyed('break-3', `X-Correlation-Id: a%0d%0a${EVIL}`),
    },
    {
      name: 'in a traceparent',
      lines: keyed(
        'break-4',
        `traceparent: 00-${'a'.repeat(32)}-${'b'.repeat(16)}-01-%0d%0a${EVIL}`,
      ),
    },
    {
      name: 'in UTF-8, whose low bytes are CR and LF',
      lines: keyed('break-5', `X-Correlation-Id: \u00E5\u0098\u008D\u00E5\u0098\u008A${EVIL}`),
    },
    {
      name: 'in a query',
      line: `POST /payments?a=%0d%0a${EVIL.replace(' ', '%20')} HTTP/1.1`,
      lines: keyed('break-6'),
    },
  ])('makes no header, neither here nor at the origin: $name', async ({ line, lines }) => {
    const sent = bytesOf({
      lines: [...lines, ...framed(BODY)],
      rest: BODY,
      ...(line === undefined ? {} : { line }),
    })
    const { statuses, effects, text } = await sendBytes(sent)
    expect([statuses, effects.length]).toEqual([[201], 1])
    expect(text).not.toMatch(/^x-evil/im)
    expect(origin.requests.at(-1)?.headers).not.toHaveProperty('x-evil')
  })

  it('is refused in a key in UTF-8, whose low bytes are CR and LF', async () => {
    const lines = [...keyed(`a\u00E5\u0098\u008D\u00E5\u0098\u008AX`), ...framed(BODY)]
    expect(await sendBytes(bytesOf({ lines, rest: BODY }))).toMatchObject(REFUSED)
  })
})
