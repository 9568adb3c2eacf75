import { env } from 'cloudflare:workers'
import { type ErrorHandler, type Handler, Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  type ErrorFacts,
  type ErrorHook,
  type GatewayEnv,
  hapax,
  idempotent,
  NotExecuted,
  type NotExecutedOptions,
  type PolicyOptions,
} from '../../src/hapax.ts'
import { askerOf } from './ask.ts'
import { idOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { until } from './until.ts'

const SECRET = 'sk_live_MARKED'

afterEach(() => vi.restoreAllMocks())

interface Options {
  readonly policy?: PolicyOptions
  readonly onError?: ErrorHook
  /** The app's own error handler. */
  readonly answer?: ErrorHandler<GatewayEnv>
}

/** A gateway with one handler, and everything that its hook and the log are told. */
function gatewayWith(handler: Handler<GatewayEnv>, { policy, onError, answer }: Options = {}) {
  const log = vi.spyOn(console, 'error').mockImplementation(() => {})
  const hook = vi.fn<ErrorHook>(onError)
  const app = createGateway({ tenant: credential('Authorization'), onError: hook })
  if (answer !== undefined) app.onError(answer)
  app.post('/grants', idempotent(policy), handler)
  app.post('/open/:id', handler)
  const lines = () => log.mock.calls.map(([line]) => String(line))
  const told = () => hook.mock.calls.map(([error, facts]) => [error, facts] as const)
  return { app, send: clientOf(app, '/grants'), told, lines }
}

const fail = (error: unknown) => (): never => {
  throw error
}

/** Facts of an operation on `POST /grants`. */
const factsOf = async (key: string): Promise<Partial<ErrorFacts>> => ({
  operation: 'POST /grants',
  operationId: await idOf(key),
  attempt: 1,
  correlationId: 'of-the-request',
})

const headers = { 'X-Correlation-Id': 'of-the-request' }

describe('onError', () => {
  it.each([
    { key: 'told', name: 'an error', error: new TypeError(SECRET) },
    { key: 'told-text', name: 'another value', error: SECRET },
  ])('is told once about $name that a protected handler throws', async ({ key, error }) => {
    const { send, told } = gatewayWith(fail(error))
    const answer = await send(key, { headers })
    expect([answer.status, word(answer)]).toEqual([500, 'unknown'])
    expect(told()).toEqual([[error, expect.objectContaining(await factsOf(key))]])
    const [[, facts] = []] = told()
    expect(Object.keys(facts ?? {})).toEqual([
      'operation',
      'operationId',
      'attempt',
      'tenant',
      'correlationId',
    ])
    expect(facts?.tenant).toEqual(expect.any(String))
  })

  it('is told although the app answers errors itself, and does not change that answer', async () => {
    const error = new Error(SECRET)
    const { send, told } = gatewayWith(fail(error), { answer: (_, c) => c.text('sorry', 418) })
    const answer = await send('own-answer')
    expect([answer.status, await answer.text(), word(answer)]).toEqual([418, 'sorry', 'unknown'])
    expect(told()).toHaveLength(1)
  })

  it('is told about a handler of a route that is not protected', async () => {
    const error = new Error(SECRET)
    const { app, told } = gatewayWith(fail(error))
    const answer = await askerOf(app)('/open/1', { headers })
    expect([answer.status, await answer.text()]).toEqual([500, 'Internal Server Error'])
    const facts = { operation: 'POST /open/:id', operationId: null, attempt: 1, tenant: null }
    expect(told()).toEqual([[error, { ...facts, correlationId: 'of-the-request' }]])
  })

  it('is told about the protected handlers of an app of your own, and about no others', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const onError = vi.fn<ErrorHook>()
    const app = new Hono<GatewayEnv>()
    app.use(hapax({ tenant: credential('Authorization'), onError }))
    app.onError((_, c) => c.text('own', 418))
    const [ours, theirs] = [new Error('ours'), new Error('theirs')]
    app.post('/protected', idempotent(), fail(ours)).post('/theirs', fail(theirs))
    expect((await clientOf(app, '/theirs')('theirs')).status).toBe(418)
    expect((await clientOf(app, '/protected')('ours')).status).toBe(418)
    const facts = { operation: 'POST /protected', operationId: expect.any(String) }
    expect(onError.mock.calls).toEqual([[ours, expect.objectContaining(facts)]])
  })

  it.each<{ name: string; policy: PolicyOptions; isKeyless?: true }>([
    { name: 'without a key', policy: { required: false }, isKeyless: true },
    { name: 'while the route observes', policy: { mode: 'observe' } },
    { name: 'while the route is off', policy: { mode: 'off' } },
  ])('is told about a handler that runs $name', async ({ policy, ...options }) => {
    const error = new Error(SECRET)
    const { send, told } = gatewayWith(fail(error), { policy })
    expect((await send('unprotected', options)).status).toBe(500)
    const facts = { operation: 'POST /grants', operationId: null, attempt: 1 }
    expect(told()).toEqual([[error, expect.objectContaining(facts)]])
  })

  it.each([
    { name: 'a stream', key: 'stream', type: 'text/event-stream', bytes: 3 },
    { name: 'a small body', key: 'small', type: 'text/plain', bytes: 3 },
    { name: 'a large body', key: 'large', type: 'text/plain', bytes: 2_000_000 },
  ])('is told about $name that breaks off', async ({ key, type, bytes }) => {
    const error = new Error(SECRET)
    let pulls = 0
    const body = () =>
      new ReadableStream({
        pull(controller) {
          if (pulls++ > 0) throw error
          controller.enqueue(new Uint8Array(bytes))
        },
      })
    const { send, told } = gatewayWith((c) => c.body(body(), 200, { 'Content-Type': type }))
    await send(key, { headers }).then((answer) => answer.text().catch(() => {}))
    await until(() => told().length === 1)
    expect(told()).toEqual([[error, expect.objectContaining(await factsOf(key))]])
  })

  it.each([
    { name: 'throws', onError: fail(new RangeError(SECRET)) },
    { name: 'rejects', onError: async () => fail(new RangeError(SECRET))() },
  ])('that $name itself changes nothing, and is logged by its name', async ({ name, onError }) => {
    const { send, lines } = gatewayWith(fail(new Error('half done')), { onError })
    expect((await send(name)).status).toBe(500)
    expect(lines()).toContain('{"message":"onError failed","reason":"RangeError"}')
    expect(lines().join('\n')).not.toContain(SECRET)
  })

  it('may go on after the answer', async () => {
    const sent = vi.fn()
    const onError = async () => {
      await scheduler.wait(20)
      sent()
    }
    // The client waits for what is kept alive.
    await gatewayWith(fail(new Error('half done')), { onError }).send('async')
    expect(sent).toHaveBeenCalledTimes(1)
  })

  it.each([
    { error: new HTTPException(422), isTold: false },
    { error: new HTTPException(422, { cause: new Error(SECRET) }), isTold: false },
    { error: new HTTPException(500, { message: 'down' }), isTold: false },
    { error: new HTTPException(500, { cause: new Error(SECRET) }), isTold: true },
    { error: new NotExecuted('busy', { cause: new Error(SECRET) }), isTold: false },
  ])('is told about an answer only if it hides a bug: case %#', async ({ error, isTold }) => {
    const { send, told, lines } = gatewayWith(fail(error))
    expect((await send(crypto.randomUUID())).status).toBe(error.status)
    expect(told().map(([one]) => one)).toEqual(isTold ? [error] : [])
    expect(lines()).toHaveLength(isTold ? 1 : 0)
  })
})

describe('the log line of an error', () => {
  const cause = new RangeError('the cause')
  const error = new TypeError(SECRET, { cause })

  /** Sends one request for this URL, as a server gets it, and gives what was logged. */
  async function logged(
    url: string,
    given: Record<string, string> = {},
    vars = {},
    cf: CfProperties | null = {},
  ) {
    const { app, lines } = gatewayWith(fail(error))
    const init = { method: 'POST', headers: { ...headers, ...given } }
    await app.fetch(new Request(url, cf === null ? init : { ...init, cf }), { ...env, ...vars })
    return lines()
  }

  const url = 'http://localhost:8787/open/1'
  const line = {
    message: 'a handler threw',
    reason: 'TypeError',
    operation: 'POST /open/:id',
    operationId: null,
    attempt: 1,
    tenant: null,
    correlationId: 'of-the-request',
  }

  it('has message, stack and cause on a development server', async () => {
    const [text = ''] = await logged(url)
    const [first = '', ...rest] = text.split('\n')
    expect(JSON.parse(first)).toEqual(line)
    expect(rest[0]).toBe(`  TypeError: ${SECRET}`)
    expect(rest.join('\n')).toMatch(/\n {6}at [^]*\n {2}Caused by:\n {2}RangeError: the cause\n/)
    expect(rest.every((one) => one.startsWith('  '))).toBe(true)
  })

  it.each([
    { name: 'a deployed Worker', url, given: { 'CF-Ray': '8a1b-FRA' } },
    { name: 'a server behind a proxy', url, given: { 'X-Forwarded-For': '192.0.2.1' } },
    { name: 'a server behind another', url, given: { Forwarded: 'for=192.0.2.1' } },
    { name: 'a server behind a third', url, given: { Via: '1.1 proxy' } },
    { name: 'another host', url: 'https://gateway.test/open/1', given: {} },
  ])('has the name alone on $name', async ({ url: to, given }) => {
    expect((await logged(to, given)).map((text) => JSON.parse(text))).toEqual([line])
  })

  it('has the name alone for a request that another Worker has made for its service binding', async () => {
    expect((await logged(url, {}, {}, null)).map((text) => JSON.parse(text))).toEqual([line])
  })

  it.each([
    { value: 'true', isShown: true },
    { value: 'false', isShown: false },
    { value: '1', isShown: false },
  ])('has them with HAPAX_LOG_ERRORS=$value: $isShown', async ({ value, isShown }) => {
    const given = { 'CF-Ray': '8a1b-FRA' }
    const [text] = await logged(url, given, { HAPAX_LOG_ERRORS: value })
    expect(text?.includes(SECRET)).toBe(isShown)
  })
})

describe('NotExecuted', () => {
  it.each<{ options: NotExecutedOptions; status: number; retryAfter: string | null }>([
    { options: {}, status: 503, retryAfter: null },
    { options: { status: 429, retryAfter: '90s' }, status: 429, retryAfter: '90' },
    { options: { retryAfter: 1 }, status: 503, retryAfter: '1' },
    { options: { status: 200, retryAfter: Number.NaN }, status: 503, retryAfter: null },
  ])('frees the key and is the answer: $options', async ({ options, status, retryAfter }) => {
    let runs = 0
    const key = crypto.randomUUID()
    const { send } = gatewayWith((c) => {
      if (runs++ === 0) throw new NotExecuted('The provider is down.', options)
      return c.text('done', 201)
    })
    const first = await send(key)
    expect([first.status, word(first), await first.text()]).toEqual([
      status,
      'not-executed',
      'The provider is down.',
    ])
    expect(first.headers.get('Retry-After')).toBe(retryAfter)
    const again = await send(key, { body: '{"another":"payload"}' })
    expect([again.status, word(again)]).toEqual([201, 'executed'])
  })

  it.each([200, 422, 500])('frees the key though the app answers %i', async (status) => {
    const answer: ErrorHandler<GatewayEnv> = () =>
      new Response('own', { status, headers: { 'Idempotency-Outcome': 'executed' } })
    const { send } = gatewayWith(fail(new NotExecuted()), { answer })
    for (const body of ['{"nth":1}', '{"nth":2}']) {
      const answered = await send(`freed-${status}`, { body })
      expect([answered.status, word(answered)]).toEqual([status, 'not-executed'])
    }
  })

  it('says nothing about an earlier run that may have been executed', async () => {
    let runs = 0
    const { send } = gatewayWith(
      (c) => {
        runs += 1
        if (runs === 1) throw new Error('half done')
        if (runs === 2) throw new NotExecuted()
        return c.text('done')
      },
      { policy: { unknown: 'resend' } },
    )
    expect(word(await send('in-doubt'))).toBe('unknown')
    expect(word(await send('in-doubt'))).toBe('unknown')
    expect((await send('in-doubt', { body: '{"other":1}' })).headers.get('Hapax-Error')).toBe(
      'key-reused',
    )
    expect(word(await send('in-doubt'))).toBe('executed')
  })

  it('answers on a route of any Hono app', async () => {
    const app = new Hono().get('/', fail(new NotExecuted('closed', { status: 423 })))
    const answer = await app.request('/')
    expect([answer.status, await answer.text()]).toEqual([423, 'closed'])
  })
})

describe('a thrown HTTPException', () => {
  const ROUTE = { '402': 'not_executed', '503': 'failed' } as const

  it.each([
    { thrown: 503, answered: 200, again: [200, 'not-executed'] },
    { thrown: 422, answered: 503, again: [503, 'replayed'] },
    { thrown: 500, answered: 400, again: [409, 'unknown'] },
    { thrown: 402, answered: 500, outcomes: ROUTE, again: [500, 'not-executed'] },
    { thrown: 503, answered: 500, outcomes: ROUTE, again: [500, 'replayed'] },
    { thrown: 409, answered: 200, outcomes: () => 'not_executed', again: [200, 'not-executed'] },
  ] as const)(
    'of $thrown decides though the app answers $answered: $again',
    async ({ thrown, answered, again, ...policy }) => {
      const { send } = gatewayWith(fail(new HTTPException(thrown)), {
        policy,
        answer: (_, c) => c.text('own', answered),
      })
      const key = `own-${thrown}-${answered}`
      expect((await send(key)).status).toBe(answered)
      const answer = await send(key)
      expect([answer.status, word(answer)]).toEqual(again)
    },
  )
})
