import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type Answer, type DemoRequest, headerOf } from '../../demo/client.ts'
import { close, listen } from '../../dev/local-server.ts'
import { createDigest } from '../../src/core/digest.ts'
import { operationId } from '../../src/core/operation/operation.ts'
import { type Gateway, type Origin, type Respond, startGateway, startOrigin } from './server.ts'
import { recordIs } from './state.ts'

/**
 * A real server is led through everything that can become of an operation, with a mark in
 * everything that is nobody else's business; then the marks are looked for in what it has left
 * behind: its output, its points, the files of its objects, and the problems that it has told.
 *
 * A mark has characters that are escaped in URLs and forms.
 */
const markOf = (what: string) => `Mrk+${what}=9z7Q`

/** What stands in requests and answers, by where it stands. */
const MARKS = {
  key: markOf('key'),
  credential: markOf('credential'),
  query: markOf('query'),
  cookie: markOf('cookie'),
  header: markOf('header'),
  value: markOf('value'),
  changedValue: markOf('changed'),
  formValue: markOf('form'),
  changedFormValue: markOf('changed-form'),
  answer: markOf('answer'),
  answerHeader: markOf('answer-header'),
  answerCookie: markOf('answer-cookie'),
} as const

/** Names of members and fields: a mismatch tells them to whoever brings the key, and nothing else does. */
const NAMES = {
  member: markOf('member'),
  nested: markOf('nested'),
  formName: markOf('form-name'),
  queryName: markOf('query-name'),
} as const

/** In the path: problems name it in their `instance`. */
const PATH = markOf('path')

const SECRETS = {
  HAPAX_DIGEST_KEY: markOf('digest-secret').repeat(2),
  HAPAX_SEAL_KEY: markOf('seal-secret').repeat(2),
} as const

const HAPAX = path.resolve(import.meta.dirname, '../../src/hapax.ts')
const OPERATORS = path.resolve(import.meta.dirname, '../../src/operators.ts')

/** The routes. All but the one that is called so keep what they keep sealed, or nothing. */
const WORKER = `
import { body, createGateway, createWorker, credential, idempotent, mcp, protect } from '${HAPAX}'
import { operators } from '${OPERATORS}'
export { DirectoryObject, IdempotencyObject } from '${HAPAX}'
const app = createGateway({ tenant: credential('Authorization') })
app.route('/_hapax', operators(app))
const sealed = { snapshot: { seal: true, setCookie: true } }
const bounds = { limits: { request: 20_000 }, wait: 0, timeout: '500ms' }
app.post('/resend/:case', protect({ ...sealed, ...bounds, durable: true, unknown: 'resend', timeout: '5s' }))
app.post('/hold/:case', protect({ ...sealed, ...bounds, durable: true }))
app.post('/stripe/:case', protect({ ...sealed, ...bounds, preset: 'stripe' }))
app.post('/ietf/:case', protect({ ...sealed, ...bounds, preset: 'ietf' }))
app.post('/strict/:case', protect({ ...sealed, ...bounds, keyFormat: 'uuid' }))
app.post('/body/:case', protect({ ...sealed, ...bounds, key: body('/idempotency_key') }))
app.post('/mcp/:case', protect({ ...sealed, ...bounds, key: mcp() }))
app.post('/observe/:case', protect({ ...bounds, mode: 'observe', sunset: { at: '2027-03-01' } }))
app.post('/handler/:case', idempotent({ ...sealed, ...bounds }), async (c) => {
  const text = await c.req.text()
  if (c.req.param('case').startsWith('throws')) throw new TypeError(text)
  return c.text(text)
})
app.post('/unsealed/:case', protect(bounds))
export default createWorker(app)
`

const ANSWER: Respond = {
  kind: 'respond',
  status: 201,
  headers: {
    'Content-Type': 'application/json',
    'X-Answer': MARKS.answerHeader,
    'Set-Cookie': `session=${MARKS.answerCookie}`,
  },
  // Longer than a page of the database, with the mark in every place of it; an answer to a call as well.
  body: JSON.stringify({
    jsonrpc: '2.0',
    id: 7,
    result: Array.from({ length: 400 }, () => MARKS.answer),
  }),
}

const bodyOf = (value: string, more: object = {}) =>
  JSON.stringify({ [NAMES.member]: { [NAMES.nested]: value }, ...more })

const formOf = (value: string) => new URLSearchParams([[NAMES.formName, value]]).toString()

const callOf = (value: string, key: string) =>
  JSON.stringify({
    jsonrpc: '2.0',
    id: 7,
    method: 'tools/call',
    params: {
      name: 'pay',
      arguments: { [NAMES.member]: value },
      _meta: { idempotencyKey: key },
    },
  })

/** A request and another one under the same key, by the route that they are sent to. */
const REPEATED: readonly {
  readonly route: string
  readonly name?: string
  readonly bodies: readonly [string, string]
  readonly headers?: Readonly<Record<string, string>>
}[] = [
  ...['resend', 'hold', 'stripe', 'ietf', 'handler'].map((route) => ({
    route,
    bodies: [bodyOf(MARKS.value), bodyOf(MARKS.changedValue)] as const,
  })),
  {
    route: 'resend',
    name: 'form',
    bodies: [formOf(MARKS.formValue), formOf(MARKS.changedFormValue)],
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
  },
  {
    route: 'body',
    bodies: [
      bodyOf(MARKS.value, { idempotency_key: MARKS.key }),
      bodyOf(MARKS.changedValue, { idempotency_key: MARKS.key }),
    ],
  },
  {
    route: 'mcp',
    bodies: [
      callOf(MARKS.value, `${MARKS.key}call`),
      callOf(MARKS.changedValue, `${MARKS.key}call`),
    ],
  },
]

let origin: Origin
let collector: Awaited<ReturnType<typeof startCollector>>
let gateway: Gateway
let worker: string
let persistTo: string
/** What the servers have written that were killed. */
let written = ''
let lastCorrelationId = ''
const problems: Extract<Answer, { kind: 'answered' }>[] = []

const pathOf = (route: string, name: string) =>
  `/${route}/${name}${PATH}?${new URLSearchParams([[NAMES.queryName, MARKS.query]]).toString()}`

/** The path of a request as the origin gets it, without the query. */
const originPathOf = (route: string, name: string) =>
  new URL(pathOf(route, name), origin.url).pathname

/** Sends a request with marks everywhere, under a key of its own for every route and name. */
async function send(route: string, name: string, over: Partial<DemoRequest> = {}): Promise<Answer> {
  const { headers, ...rest } = over
  const answer = await gateway.send({
    path: pathOf(route, name),
    key: `${MARKS.key}${route}-${name}`,
    body: bodyOf(MARKS.value),
    ...rest,
    headers: {
      Authorization: `Bearer ${MARKS.credential}`,
      Cookie: `session=${MARKS.cookie}`,
      'X-Header': MARKS.header,
      ...headers,
    },
  })
  lastCorrelationId = headerOf(answer, 'X-Correlation-Id') ?? lastCorrelationId
  if (answer.kind === 'answered' && problemOf(answer) !== undefined) problems.push(answer)
  return answer
}

const wordOf = (answer: Answer) => headerOf(answer, 'Idempotency-Status')
const problemOf = (answer: Answer) => headerOf(answer, 'Hapax-Error')

/** Executed, replayed, and refused for another payload and for another path. */
async function repeat({ route, name = 'repeat', bodies, headers = {} }: (typeof REPEATED)[number]) {
  const [body, changed] = bodies
  origin.on(originPathOf(route, name), ANSWER)
  const first = await send(route, name, { body, headers })
  const again = await send(route, name, { body, headers })
  const others = [
    await send(route, name, { body: changed, headers }),
    await send(route, name, { body, headers, path: pathOf(route, 'elsewhere') }),
    await send(route, name, { body: changed, headers: { ...headers, Accept: 'text/markdown' } }),
  ]
  const words = [first, again, ...others].map((answer) => wordOf(answer))
  const expected = ['executed', 'replayed', 'mismatch', 'mismatch', 'mismatch']
  expect({ route, name, words }).toEqual({ route, name, words: expected })
}

/** Requests that are refused for what is wrong with them, in the forms of every preset. */
async function refuse(route: string): Promise<void> {
  const cases: readonly (Partial<DemoRequest> & { readonly expected: string })[] = [
    { expected: 'key-invalid', key: `${MARKS.key}, ${MARKS.key}` },
    { expected: 'key-invalid', key: `"${MARKS.key}"; ${MARKS.key}=1` },
    { expected: 'key-invalid', key: MARKS.key.repeat(30) },
    { expected: 'key-invalid', key: `"${MARKS.key}` },
    { expected: 'payload-invalid', body: `{"${NAMES.member}":"${MARKS.value}" ${MARKS.value}` },
    { expected: 'payload-invalid', body: `{"${NAMES.member}":1,"${NAMES.member}":2}` },
    { expected: 'payload-invalid', body: `{"${NAMES.member}":${MARKS.value}}` },
    { expected: 'payload-invalid', headers: { 'Content-Encoding': 'gzip' } },
    { expected: 'payload-invalid', headers: { 'Content-Type': 'multipart/form-data' } },
    { expected: 'payload-too-large', body: bodyOf(MARKS.value.repeat(2_000)) },
    { expected: 'tenant-missing', headers: { Authorization: '' } },
  ]
  for (const { expected, ...over } of cases) {
    const answer = await send(route, 'refused', over)
    expect({ route, over, word: problemOf(answer) }).toEqual({ route, over, word: expected })
  }
}

/** A key that is not of the route's format, and none at all. */
async function refuseKeys(): Promise<void> {
  expect(problemOf(await send('strict', 'format'))).toBe('key-invalid')
  expect(problemOf(await send('body', 'keyless'))).toBe('key-missing')
}

/** Operations whose answers are lost, in every way but the death of the gateway. */
async function lose(): Promise<void> {
  origin.on(originPathOf('hold', 'slow'), { kind: 'stall', when: 'after-headers' })
  expect(problemOf(await send('hold', 'slow'))).toBe('origin-timeout')
  expect(problemOf(await send('hold', 'slow'))).toBe('outcome-unknown')
  origin.on(originPathOf('hold', 'broken'), { kind: 'destroy', when: 'mid-body' })
  expect(problemOf(await send('hold', 'broken'))).toBe('outcome-unknown')
  origin.on(originPathOf('hold', 'error'), { ...ANSWER, status: 500 })
  expect(wordOf(await send('hold', 'error'))).toBe('unknown')
  origin.on(originPathOf('hold', 'refused'), { ...ANSWER, status: 503 })
  expect(wordOf(await send('hold', 'refused'))).toBe('not-executed')
  // As a deployed Worker gets it: a development server logs the message of the error.
  const headers = { 'CF-Ray': '8a1b2c3d4e5f6a7b-FRA' }
  expect(wordOf(await send('handler', 'throws', { headers }))).toBe('unknown')
}

/** Leaves a call under way, with its request stored. */
async function leaveRunning(): Promise<void> {
  origin.hold(originPathOf('resend', 'killed'))
  void send('resend', 'killed')
  await origin.received(originPathOf('resend', 'killed'))
  expect(problemOf(await send('resend', 'killed'))).toBe('in-progress')
}

/** Lets requests through on a route that only observes, with and without what it will ask for. */
async function observe(): Promise<void> {
  origin.on(originPathOf('observe', 'seen'), ANSWER)
  const warned = [
    await send('observe', 'seen'),
    await send('observe', 'seen', { body: bodyOf(MARKS.changedValue) }),
    await send('observe', 'seen', { key: `${MARKS.key}, ${MARKS.key}` }),
  ].map((answer) => headerOf(answer, 'Hapax-Warning'))
  expect(warned).toEqual([undefined, 'key-reused', 'key-invalid'])
}

/** Every file that a server has written. */
function readFiles(): ReadonlyMap<string, Buffer> {
  const names = readdirSync(persistTo, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
  return new Map(names.map((name) => [path.relative(persistTo, name), readFileSync(name)]))
}

/** All forms in which a mark could be found: as it is, escaped, in UTF-16, in hex and in base64. */
function formsOf(mark: string): readonly Buffer[] {
  const bytes = Buffer.from(mark)
  const escaped = encodeURIComponent(mark)
  const texts = [mark, escaped, encodeURIComponent(escaped), escaped.toLowerCase()]
  const encoded = ['base64', 'base64url'] as const
  return [
    ...[...texts, bytes.toString('hex')].map((text) => Buffer.from(text)),
    Buffer.from(mark, 'utf16le'),
    Buffer.from(mark, 'utf16le').swap16(),
    ...encoded.flatMap((encoding) => [0, 1, 2].map((offset) => toBase64(bytes, offset, encoding))),
  ]
}

/** What base64 has of these bytes whatever stands before and behind, so many bytes in. */
function toBase64(bytes: Buffer, offset: number, encoding: 'base64' | 'base64url'): Buffer {
  const text = Buffer.concat([Buffer.alloc(offset), bytes]).toString(encoding)
  const last = Math.floor(((offset + bytes.length) * 8) / 6)
  return Buffer.from(text.slice(Math.ceil((offset * 8) / 6), last))
}

type Marks = Readonly<Record<string, string>>

/** Names the marks that are found in what was left behind, and where. */
function findMarks(marks: Marks, places: ReadonlyMap<string, Buffer>): readonly string[] {
  return Object.entries(marks).flatMap(([name, mark]) => {
    const forms = formsOf(mark)
    const found = [...places].filter(([, bytes]) => forms.some((form) => bytes.includes(form)))
    return found.map(([place]) => `${name} in ${place}`)
  })
}

/** Waits for the line of the last request. */
const logIsWritten = () => gateway.written(lastCorrelationId)

/** Takes what `HAPAX_POINTS_URL` gets: the very points that Analytics Engine is given. */
async function startCollector() {
  const points: string[] = []
  const server = createServer((incoming, outgoing) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      points.push(`${JSON.stringify(incoming.headers)}\n${Buffer.concat(chunks).toString()}`)
      outgoing.writeHead(204).end()
    })
  })
  const url = await listen(server)
  return {
    url: `${url}/points`,
    points,
    close: () => close(server),
  }
}

const EVERYTHING: Marks = { ...MARKS, ...NAMES, path: PATH, ...SECRETS }

beforeAll(async () => {
  origin = await startOrigin()
  worker = mkdtempSync(path.join(tmpdir(), 'hapax-secrets-worker-'))
  persistTo = mkdtempSync(path.join(tmpdir(), 'hapax-secrets-'))
  const base = readFileSync(path.join(import.meta.dirname, 'gateway/wrangler.toml'), 'utf8')
  const config = path.join(worker, 'wrangler.toml')
  writeFileSync(config, base.replace(/^HAPAX_SEAL_KEY = .*$/m, ''))
  writeFileSync(path.join(worker, 'index.ts'), WORKER)
  // As the secrets that they are in a deployment, not as variables.
  collector = await startCollector()
  const variables = { ...SECRETS, HAPAX_POINTS_URL: collector.url }
  const secrets = Object.entries(variables).map(([name, value]) => `${name}="${value}"\n`)
  writeFileSync(path.join(worker, '.dev.vars'), secrets.join(''))
  gateway = await startGateway({ origin, config, persistTo })

  for (const repeated of REPEATED) await repeat(repeated)
  for (const route of ['resend', 'stripe', 'ietf', 'handler']) await refuse(route)
  await refuseKeys()
  await lose()
  await observe()

  await leaveRunning()
  await logIsWritten()
  written = gateway.log()
  await gateway.kill()
}, 120_000)

afterAll(async () => {
  await gateway.stop()
  await origin.close()
  await collector.close()
  for (const directory of [worker, persistTo]) rmSync(directory, { recursive: true, force: true })
})

describe('a deployment with HAPAX_DIGEST_KEY and HAPAX_SEAL_KEY', () => {
  it('has nothing on its disk, when it is killed, that only clients and origin should know', () => {
    const files = readFiles()
    expect([...files.keys()].filter((name) => name.endsWith('.sqlite')).length).toBeGreaterThan(10)
    expect([...files.keys()].some((name) => name.endsWith('-wal'))).toBe(true)
    expect(findMarks(EVERYTHING, files)).toEqual([])
  })

  it('has no digest on its disk that somebody without the secret could make to try out a guess', async () => {
    const digest = createDigest()
    const tenant = digest('credential', 'authorization', `Bearer ${MARKS.credential}`)
    const id = operationId(digest, tenant, `${MARKS.key}resend-repeat`)
    expect(findMarks({ tenant, id }, readFiles())).toEqual([])
  })

  it('has nothing on its disk after the restart either, when what was lost was sent again', async () => {
    origin.on(originPathOf('resend', 'killed'), ANSWER)
    await gateway.restart()
    const retry = await send('resend', 'killed', { headers: { Prefer: 'wait=30' } })
    expect(wordOf(retry)).toMatch(/^(?:executed|joined|replayed)$/)
    expect(origin.requestsTo(originPathOf('resend', 'killed'))).toHaveLength(2)
    await recordIs(persistTo, 'POST /resend/:case', ({ state }) => state === 'succeeded')
    expect(findMarks(EVERYTHING, readFiles())).toEqual([])
  })

  it('writes nothing of it into its log', async () => {
    await logIsWritten()
    const output = `${written}\n${gateway.log()}`
    expect(output.match(/"message":"request"/g)?.length).toBeGreaterThan(80)
    expect(findMarks(EVERYTHING, new Map([['the log', Buffer.from(output)]]))).toEqual([])
  })

  it('writes nothing of it into its points', () => {
    const { points } = collector
    expect(points.length).toBeGreaterThan(80)
    for (const word of ['replayed', 'mismatch', 'unprotected', 'unknown']) {
      expect(points.some((point) => point.includes(`"${word}"`))).toBe(true)
    }
    expect(
      findMarks(EVERYTHING, new Map([['the points', Buffer.from(points.join('\n'))]])),
    ).toEqual([])
  })

  it('tells nothing of it in a problem, but the path that was asked for and, of a mismatch, names', () => {
    const told = new Map(
      problems.map((answer, nth) => [
        `${nth} ${problemOf(answer)}`,
        Buffer.from(`${JSON.stringify(answer.headers)}\n${answer.body}`),
      ]),
    )
    const kinds = new Set(problems.map((answer) => problemOf(answer)))
    const expected = [
      'in-progress',
      'key-invalid',
      'key-missing',
      'key-reused',
      'origin-timeout',
      'outcome-unknown',
      'payload-invalid',
      'payload-too-large',
      'tenant-missing',
    ]
    expect(kinds).toEqual(new Set(expected))
    expect(findMarks({ ...MARKS, ...SECRETS }, told)).toEqual([])
    const named = findMarks(NAMES, told).map((found) => found.replace(/ in \d+ /, ' in '))
    expect(new Set(named)).toEqual(
      new Set(['member', 'nested', 'formName'].map((name) => `${name} in key-reused`)),
    )
  })

  it('tells nothing of it in its contract', async () => {
    const documents = await Promise.all(
      ['/.well-known/idempotency', '/_hapax/openapi.json'].map(async (where) => {
        const answer = await fetch(new URL(where, gateway.url))
        expect(answer.status).toBe(200)
        return [where, Buffer.from(await answer.text())] as const
      }),
    )
    expect(findMarks(EVERYTHING, new Map(documents))).toEqual([])
  })

  // Also shows that a mark would be found.
  it('keeps of an operation on a route without seal the answer in clear, and nothing else', async () => {
    origin.on(originPathOf('unsealed', 'repeat'), ANSWER)
    expect(wordOf(await send('unsealed', 'repeat'))).toBe('executed')
    expect(wordOf(await send('unsealed', 'repeat'))).toBe('replayed')
    const found = findMarks(EVERYTHING, readFiles()).map((where) => where.replace(/ in .*$/, ''))
    expect(new Set(found)).toEqual(new Set(['answer', 'answerHeader']))
  })
})
