import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'

import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'

import { verify } from '../../../cli/verify.ts'
import type { Step } from '../../../cli/verify/step.ts'
import { close, listen } from '../../../dev/local-server.ts'
import type { Contract } from '../../../src/core/response/contract.ts'
import { contractOf, keyOf } from '../../fakes/contract.ts'

const TOKEN = 'a-token-that-nobody-may-see'

/** What the deployment answers, by what is asked. A test makes one of them wrong. */
interface Answers {
  contract: Contract | null
  page: Answer
  keyless: Answer
  lookup: Answer
  first: Answer
  second: Answer
  third: Answer
}

interface Answer {
  readonly status: number
  readonly error?: string
  readonly word?: string
  readonly body?: string
}

const good = (): Answers => ({
  contract: contractOf({ 'POST /orders/:id': {}, 'POST /payments': {} }),
  page: { status: 200, body: 'A key is missing.' },
  keyless: { status: 400, error: 'key-missing' },
  lookup: { status: 401, error: 'tenant-missing' },
  first: { status: 201, word: 'executed', body: '{"n":1}' },
  second: { status: 201, word: 'replayed', body: '{"n":1}' },
  third: { status: 409, error: 'key-reused', word: 'mismatch' },
})

interface Received {
  readonly asked: string
  readonly key: string | undefined
  readonly authorization: string | undefined
  readonly type: string | undefined
  readonly requestId: string | undefined
  readonly body: string
}

let answers = good()
let received: Received[] = []
let server: Server
let url = ''

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = '', url: path = '', headers } = request
  const body = await text(request)
  received.push({
    asked: `${method} ${path}`,
    key: headers['idempotency-key']?.toString(),
    authorization: headers.authorization,
    type: headers['content-type'],
    requestId: headers['x-request-id']?.toString(),
    body,
  })
  if (path.endsWith('/.well-known/idempotency')) {
    response.writeHead(answers.contract === null ? 404 : 200).end(JSON.stringify(answers.contract))
    return
  }
  const { status, error, word, body: answered = '' } = answerTo(path, headers)
  response.writeHead(status, {
    ...(error !== undefined && { 'Hapax-Error': error }),
    ...(word !== undefined && { 'Idempotency-Status': word }),
  })
  response.end(answered)
}

function answerTo(path: string, headers: IncomingMessage['headers']): Answer {
  if (path.includes('/_hapax/problems')) return answers.page
  if (path.includes('/_hapax/operations')) return answers.lookup
  if (headers['idempotency-key'] === undefined) return answers.keyless
  const nth = received.filter(({ key }) => key !== undefined).length
  return [answers.first, answers.second, answers.third][nth - 1] ?? { status: 500 }
}

beforeAll(async () => {
  server = createServer((request, response) => void serve(request, response))
  url = await listen(server)
})
afterAll(() => close(server))
afterEach(() => {
  answers = good()
  received = []
  vi.unstubAllEnvs()
})

/** Runs the command. @returns What it prints, and its exit code. */
async function run(...args: readonly string[]): Promise<{ out: string; code: number }> {
  const written: string[] = []
  const spy = vi
    .spyOn(process.stdout, 'write')
    .mockImplementation((one) => written.push(String(one)) > 0)
  const before = process.exitCode
  try {
    await verify(['--smoke', '--url', url, ...args])
    return { out: written.join(''), code: Number(process.exitCode ?? 0) }
  } finally {
    process.exitCode = before
    spy.mockRestore()
  }
}

async function stepsOf(...args: readonly string[]): Promise<Record<string, Step['result']>> {
  const { out } = await run('--json', ...args)
  const { steps } = JSON.parse(out) as { steps: Step[] }
  return Object.fromEntries(steps.map(({ step, result }) => [step, result]))
}

const EFFECT = ['--path', '/payments', '--data', '{"amount":1}']
const HEALTHY = {
  contract: 'passed',
  'problem page': 'passed',
  'key missing': 'passed',
  'tenant missing': 'passed',
}

describe('verify --smoke', () => {
  it('executes nothing unless a route is named', async () => {
    expect(await stepsOf()).toEqual({ ...HEALTHY, executed: 'skipped' })
    const posts = received.filter(({ asked }) => !asked.startsWith('GET'))
    expect(posts).toEqual([
      {
        asked: 'POST /orders/hapax-smoke',
        key: undefined,
        authorization: undefined,
        type: undefined,
        requestId: undefined,
        body: '',
      },
    ])
  })

  it('asks for the pages of Hapax below the path of the URL, and for routes by their whole path', async () => {
    answers.contract = contractOf({ 'POST /api/payments': {} })
    const results = await stepsOf('--url', `${url}/api/`, '--path', '/api/payments')
    expect(results).toMatchObject({ ...HEALTHY, executed: 'passed', replayed: 'passed' })
    expect([...new Set(received.map(({ asked }) => asked))].toSorted()).toEqual([
      'GET /api/.well-known/idempotency',
      `GET /api/_hapax/operations/${'0'.repeat(32)}`,
      'GET /api/_hapax/problems/key-missing',
      'POST /api/payments',
    ])
  })

  it('sends one request twice with one key, and another body with this key', async () => {
    vi.stubEnv('TOKEN', TOKEN)
    const header = ['--header', 'Authorization: Bearer ${TOKEN}']
    expect(await stepsOf(...EFFECT, ...header)).toEqual({
      ...HEALTHY,
      executed: 'passed',
      replayed: 'passed',
      mismatch: 'passed',
    })
    const sent = received.filter(({ key }) => key !== undefined)
    expect(new Set(sent.map(({ key }) => key)).size).toBe(1)
    expect(sent.map(({ body }) => body)).toEqual([
      '{"amount":1}',
      '{"amount":1}',
      '{"amount":1,"hapaxSmoke":true}',
    ])
    expect(new Set(sent.map(({ authorization }) => authorization))).toEqual(
      new Set([`Bearer ${TOKEN}`]),
    )
    expect(new Set(sent.map(({ type }) => type))).toEqual(new Set(['application/json']))
  })

  it('takes a key from one run to no other', async () => {
    await run(...EFFECT)
    const first = received.find(({ key }) => key !== undefined)
    received = []
    await run(...EFFECT)
    const second = received.find(({ key }) => key !== undefined)
    expect(second?.key).not.toBe(first?.key)
  })

  it('sends the key and the type that the route and the user name', async () => {
    const key = keyOf({ sources: [{ in: 'header', name: 'X-Request-Id' }] })
    answers.contract = contractOf({ 'PUT /files/:name': { key } })
    await run(
      '--path',
      '/files/a',
      '--method',
      'put',
      '--data',
      'a',
      '--header',
      'content-type: text/plain',
    )
    expect(received.findLast(({ asked }) => asked === 'PUT /files/a')).toMatchObject({
      key: undefined,
      requestId: expect.stringMatching(/^[\da-f-]{36}$/),
      type: 'text/plain',
    })
  })

  it.each<{ when: string; wrong: Partial<Answers>; step: string }>([
    { when: 'there is no contract', wrong: { contract: null }, step: 'contract' },
    { when: 'there is no problem page', wrong: { page: { status: 404 } }, step: 'problem page' },
    {
      when: 'a request without a key reaches the origin',
      wrong: { keyless: { status: 201 } },
      step: 'key missing',
    },
    {
      when: 'the origin rejects a request without a key',
      wrong: { keyless: { status: 400 } },
      step: 'key missing',
    },
    {
      when: 'callers without credentials are not rejected',
      wrong: { lookup: { status: 200 } },
      step: 'tenant missing',
    },
    {
      when: 'the origin fails',
      wrong: { first: { status: 502, error: 'outcome-unknown' } },
      step: 'executed',
    },
    {
      when: 'the origin answers 500',
      wrong: { first: { status: 500, word: 'executed' } },
      step: 'executed',
    },
    {
      when: 'the route is not protected',
      wrong: { contract: contractOf({ 'POST /other': {} }) },
      step: 'executed',
    },
    {
      when: 'the second request is executed again',
      wrong: { second: { status: 201, word: 'executed', body: '{"n":2}' } },
      step: 'replayed',
    },
    {
      when: 'the replay is another response',
      wrong: { second: { status: 201, word: 'replayed', body: '{"n":2}' } },
      step: 'replayed',
    },
    {
      when: 'another body is replayed too',
      wrong: { third: { status: 201, word: 'replayed', body: '{"n":1}' } },
      step: 'mismatch',
    },
  ])('fails when $when', async ({ wrong, step }) => {
    answers = { ...answers, ...wrong }
    expect((await run(...EFFECT)).code).toBe(1)
    received = []
    expect(await stepsOf(...EFFECT)).toMatchObject({ [step]: 'failed' })
  })

  it('does not take callers without credentials for a failure where they are allowed', async () => {
    answers.lookup = { status: 404, error: 'operation-not-found' }
    expect(await stepsOf()).toMatchObject({ 'tenant missing': 'skipped' })
  })

  it.each([
    { what: 'only observes', over: { mode: 'observe' as const } },
    { what: 'needs no key', over: { key: keyOf({ required: false }) } },
    {
      what: 'reads the key elsewhere',
      over: { key: keyOf({ sources: [{ in: 'body', pointer: '/id' }] }) },
    },
  ])('sends no request without a key to a route that $what', async ({ over }) => {
    answers.contract = contractOf({ 'POST /payments': over })
    expect(await stepsOf()).toMatchObject({ 'key missing': 'skipped' })
    expect(received.map(({ asked }) => asked)).not.toContain('POST /payments')
  })

  it('prints a line for each step, and exits with 0', async () => {
    const { out, code } = await run(...EFFECT)
    expect(code).toBe(0)
    expect(out).toContain('passed  contract          2 protected routes\n')
    expect(out).toContain('passed  executed          first request: 201 executed\n')
    expect(out).toMatch(/\nNo step failed.\n$/)
  })

  it('says that there is no response', async () => {
    const other = createServer()
    const down = await listen(other)
    await close(other)
    const { out, code } = await run('--url', down)
    expect(code).toBe(1)
    expect(out).toContain('could not be reached: connect ECONNREFUSED')
  })

  it.each([
    { args: ['--nonsense'] },
    { args: ['--url', 'nowhere'] },
    { args: ['--url', 'http://api.example.com'] },
    { args: ['--path', 'payments'] },
    { args: ['--data', '{}'] },
    { args: ['--path', '/a', '--header', TOKEN] },
    { args: ['--path', '/a', '--header', 'A: ${UNSET}'] },
    { args: ['--path', '/a', '--header', `A: ${TOKEN}\n`] },
  ])('takes $args for wrong usage, and shows no header', async ({ args }) => {
    const failure = (await run(...args).catch((error: unknown) => error)) as Error
    expect(failure).toMatchObject({ name: 'Failure', exitCode: 2 })
    expect(failure.message).not.toContain(TOKEN)
  })

  it('needs --smoke', async () => {
    await expect(verify(['--url', url])).rejects.toMatchObject({ exitCode: 2 })
  })
})
