import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  createWorker,
  credential,
  idempotent,
  mcp,
  type PolicyOptions,
  probe,
  protect,
} from '../../src/hapax.ts'
import { word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

const JSON_TYPE = { 'Content-Type': 'application/json' }
const EVENTS_TYPE = { 'Content-Type': 'text/event-stream' }

const result = (id: unknown, members: object = { content: [] }) => ({
  jsonrpc: '2.0',
  id,
  result: members,
})
const error = (id: unknown, code: number, more: object = {}) => ({
  jsonrpc: '2.0',
  id,
  error: { code, message: 'm', ...more },
})
const asJson = (message: unknown, status = 200) =>
  new Response(JSON.stringify(message), { status, headers: JSON_TYPE })
const event = (message: unknown) => `event: message\ndata: ${JSON.stringify(message)}\n\n`
const asEvents = (...messages: unknown[]) =>
  new Response(messages.map(event).join(''), { headers: EVENTS_TYPE })

const PROGRESS = { jsonrpc: '2.0', method: 'notifications/message', params: { data: 'soon' } }
const ASKED = {
  jsonrpc: '2.0',
  id: 's1',
  method: 'elicitation/create',
  params: { message: 'sure?' },
}
const STEP = { resultType: 'input_required', inputRequests: { sure: ASKED }, requestState: 'state' }

interface Call {
  readonly id?: number | string
  readonly key?: string | null
  readonly params?: object
  readonly headers?: Record<string, string>
}

let routes = 0

/** Sends calls of a tool to a gateway with one MCP route of its own. */
function callerOf(
  route: 'origin' | 'worker',
  policy: PolicyOptions = {},
  answer = () => new Response(),
) {
  routes += 1
  const app = createGateway({ tenant: credential('Authorization') })
  const path = `/mcp-${routes}`
  const options = { key: mcp(), required: false, ...policy }
  if (route === 'origin') app.post(path, protect(options))
  else app.post(path, idempotent(options), answer)
  const worker = createWorker(app)
  return async function call({ id = 1, key = 'k', params = {}, headers = {} }: Call = {}) {
    const ctx = createExecutionContext()
    const _meta = key === null ? {} : { idempotencyKey: key }
    const body = JSON.stringify({
      jsonrpc: '2.0',
      id,
      method: 'tools/call',
      params: { name: 'pay', arguments: {}, ...params, _meta },
    })
    const request = new Request<unknown, IncomingRequestCfProperties>(
      `https://gateway.test${path}`,
      {
        method: 'POST',
        body,
        headers: { Authorization: `Bearer mcp-${routes}`, ...JSON_TYPE, ...headers },
      },
    )
    const response = await worker.fetch?.(request, env, ctx)
    if (response === undefined) throw new Error('A worker of a gateway has a fetch handler.')
    return { response, done: () => waitOnExecutionContext(ctx) }
  }
}

/** An MCP route whose server answers its first call so, and every other with a result. */
function routeWith(first: () => Response | Promise<Response>, policy: PolicyOptions = {}) {
  const origin = playOrigin(async (request) => {
    if (origin.requests.length === 1) return first()
    const { id } = await request.json<{ id: unknown }>()
    return asJson(result(id, { content: [], nth: origin.requests.length }))
  })
  const send = callerOf('origin', policy)
  return {
    origin,
    /** Asks and reads the whole answer; the operation is settled by then. */
    async ask(call?: Call) {
      const { response, done } = await send(call)
      const text = await response.text().catch(() => 'broken')
      await done()
      return { response, text, word: word(response) }
    },
    send,
  }
}

const ANSWERS = [
  { name: 'a result', first: () => asJson(result(1)), next: 'replayed' },
  {
    name: 'a result that is alone',
    first: () => asJson({ id: 1, result: null }),
    next: 'replayed',
  },
  { name: 'a result under 500', first: () => asJson(result(1), 500), next: 'replayed' },
  {
    name: 'a tool that failed',
    first: () => asJson(result(1, { isError: true })),
    next: 'replayed',
  },
  { name: 'a task', first: () => asJson(result(1, { task: { taskId: 't' } })), next: 'replayed' },
  {
    name: 'a batch with the response',
    first: () => asJson([PROGRESS, result(1)]),
    next: 'replayed',
  },
  {
    name: 'an error of the tool’s own code',
    first: () => asJson(error(1, 1001)),
    next: 'replayed',
  },
  { name: 'the code -32602', first: () => asJson(error(1, -32_602)), next: 'executed' },
  {
    name: 'the code -32601 under 404',
    first: () => asJson(error(1, -32_601), 404),
    next: 'executed',
  },
  {
    name: 'a version that is not served',
    first: () => asJson(error(1, -32_022), 400),
    next: 'executed',
  },
  {
    name: 'a session that is gone',
    first: () => asJson(error(null, -32_001), 404),
    next: 'executed',
  },
  { name: '404 as a text', first: () => new Response('gone', { status: 404 }), next: 'executed' },
  {
    name: '400 as a text',
    first: () => new Response('version', { status: 400 }),
    next: 'executed',
  },
  {
    name: '405 without a body',
    first: () => new Response(null, { status: 405 }),
    next: 'executed',
  },
  { name: '422 with other JSON', first: () => asJson({ detail: 'm' }, 422), next: 'executed' },
  {
    name: 'a redirect',
    first: () => new Response(null, { status: 302, headers: { Location: 'https://login.test/' } }),
    next: 'executed',
  },
  { name: 'the code -32603', first: () => asJson(error(1, -32_603)), next: 'unknown' },
  { name: 'the code -32000', first: () => asJson(error(1, -32_000)), next: 'unknown' },
  { name: 'another id', first: () => asJson(result(2)), next: 'unknown' },
  { name: '202 without a body', first: () => new Response(null, { status: 202 }), next: 'unknown' },
  {
    name: 'an HTML page',
    first: () => new Response('<p>Hi', { headers: { 'Content-Type': 'text/html' } }),
    next: 'unknown',
  },
  { name: '500 as a text', first: () => new Response('oops', { status: 500 }), next: 'unknown' },
  {
    name: 'a stream with the response',
    first: () => asEvents(PROGRESS, result(1)),
    next: 'replayed',
  },
  {
    name: 'a stream with a failed tool',
    first: () => asEvents(result(1, { isError: true })),
    next: 'replayed',
  },
  {
    name: 'a stream with the code -32602',
    first: () => asEvents(PROGRESS, error(1, -32_602)),
    next: 'executed',
  },
  {
    name: 'a stream with the code -32603',
    first: () => asEvents(error(1, -32_603)),
    next: 'unknown',
  },
  { name: 'a stream with a notification alone', first: () => asEvents(PROGRESS), next: 'unknown' },
  { name: 'a stream with a question alone', first: () => asEvents(ASKED), next: 'unknown' },
  { name: 'a stream with another response', first: () => asEvents(result('1')), next: 'unknown' },
  {
    name: 'a stream that is to be resumed',
    first: () => new Response('id: ev1\nretry: 500\ndata: \n\n', { headers: EVENTS_TYPE }),
    next: 'unknown',
  },
  {
    name: 'a stream whose last event is cut off',
    first: () => new Response(event(result(1)).trimEnd(), { headers: EVENTS_TYPE }),
    next: 'unknown',
  },
  {
    name: 'an empty stream',
    first: () => new Response('', { headers: EVENTS_TYPE }),
    next: 'unknown',
  },
]

describe('the outcome of a call', () => {
  it.each(ANSWERS)('is told by $name', async ({ first, next }) => {
    const { origin, ask } = routeWith(first)
    const once = await ask()
    expect(once.text).toBe(await first().text())
    const again = await ask({ id: 2 })
    expect(again.word).toBe(next)
    expect(origin.requests).toHaveLength(next === 'executed' ? 2 : 1)
    // What was executed by now is not executed again.
    expect((await ask({ id: 3 })).word).toBe(next === 'executed' ? 'replayed' : next)
  })

  it('is told by what the body says when it is decoded', async () => {
    const gzipped = (
      message: unknown,
      type: Record<string, string>,
      text = JSON.stringify(message),
    ) => {
      const body = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'))
      return new Response(body, {
        headers: { ...type, 'Content-Encoding': 'gzip' },
        encodeBody: 'manual',
      })
    }
    const refused = routeWith(() => gzipped(error(1, -32_602), JSON_TYPE))
    expect((await refused.ask()).word).toBe('not-executed')
    const streamed = routeWith(() => gzipped(null, EVENTS_TYPE, event(error(1, -32_602))))
    await streamed.ask()
    expect((await streamed.ask({ id: 2 })).word).toBe('executed')
    const kept = routeWith(() => gzipped(null, EVENTS_TYPE, event(result(1))))
    await kept.ask()
    expect(await kept.ask({ id: 2 })).toMatchObject({
      word: 'replayed',
      text: expect.stringContaining('"id":2'),
    })
  })

  it('is that of its status where the body is over the limit', async () => {
    const { origin, ask } = routeWith(() => asJson(result(1, { text: 'x'.repeat(2_000) })), {
      limits: { response: 1_000 },
    })
    await ask()
    const again = await ask({ id: 2 })
    expect(again.response.headers.get('Hapax-Error')).toMatch(
      /^(snapshot-too-large|result-not-kept)$/,
    )
    expect(origin.requests).toHaveLength(1)
  })

  it('is what the origin says first, then what the route says', async () => {
    const said = () =>
      new Response(JSON.stringify(error(1, -32_603)), {
        headers: { ...JSON_TYPE, 'Idempotency-Outcome': 'not-executed' },
      })
    const byOrigin = routeWith(said)
    await byOrigin.ask()
    expect((await byOrigin.ask({ id: 2 })).word).toBe('executed')

    const outcomes = { '/result/isError': { true: 'not_executed' } } as const
    for (const failed of [asJson, asEvents]) {
      const byRoute = routeWith(() => failed(result(1, { isError: true })), { outcomes })
      await byRoute.ask()
      expect((await byRoute.ask({ id: 2 })).word).toBe('executed')
    }
  })

  it.each(ANSWERS)('of a handler in the Worker is told by $name', async ({ first, next }) => {
    let runs = 0
    const send = callerOf('worker', {}, () => {
      runs += 1
      return runs === 1 ? first() : asJson(result(1))
    })
    const once = await send()
    await once.response.text()
    await once.done()
    expect(word((await send()).response)).toBe(next)
    expect(runs).toBe(next === 'executed' ? 2 : 1)
  })

  it.each([
    { name: 'a session that is gone', first: () => asJson(error(null, -32_001), 404), calls: 1 },
    { name: 'arguments that do not fit', first: () => asJson(error(1, -32_602)), calls: 1 },
    { name: 'a server that is away', first: () => new Response('', { status: 503 }), calls: 2 },
    { name: 'too many requests', first: () => asJson(error(1, 429)), calls: 2 },
  ])('is sent again by the gateway only where that helps: $name', async ({ first, calls }) => {
    const { origin, ask } = routeWith(first, { retry: { attempts: 2, base: '1ms', cap: '1ms' } })
    await ask()
    expect(origin.requests).toHaveLength(calls)
  })

  it('is asked for again after a call in doubt, until an end comes', async () => {
    const answers = [
      () => asEvents(PROGRESS),
      () => asJson(error(1, -32_602)),
      () => asJson(error(null, -32_001), 404),
      () => asJson(result(1, STEP)),
      () => asJson(error(1, 409)),
      () => asJson(error(1, 1001), 409),
    ]
    const origin = playOrigin(() => answers.shift()?.() ?? asJson(result(1)))
    const send = callerOf('origin', { unknown: 'resend' })
    const words: (string | null)[] = []
    for (let nth = 0; nth < 8; nth += 1) {
      const { response, done } = await send()
      await response.text()
      await done()
      words.push(word(response))
    }
    const undecided = Array.from({ length: 5 }, () => 'unknown')
    expect(words).toEqual(['executed', ...undecided, 'executed', 'replayed'])
    expect(origin.requests).toHaveLength(7)
  })
})

/**
 * A handler that answers with events that the test writes. What the origin streams is recorded by the
 * same code, and tested against a real server: `test/e2e/mcp.test.ts`.
 */
function openEvents() {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const handler = vi.fn(() => new Response(readable, { headers: EVENTS_TYPE }))
  return {
    handler,
    send: callerOf('worker', {}, handler),
    write: (message: unknown) => writer.write(new TextEncoder().encode(event(message))),
    end: () => writer.close(),
    breakOff: () => writer.abort(new Error('the server is gone')),
  }
}

describe('a stream that breaks off', () => {
  it('has an outcome where the response had come, and is replayed with it', async () => {
    const events = openEvents()
    const { response, done } = await events.send()
    const text = response.text()
    await events.write(result(1, { content: [], paid: true }))
    await events.breakOff()
    await expect(text).rejects.toThrow(Error)
    await done()
    const again = await events.send({ id: 2 })
    expect(word(again.response)).toBe('replayed')
    expect(await again.response.text()).toContain('"id":2,"result":{"_meta":')
    expect(events.handler).toHaveBeenCalledTimes(1)
  })

  it('has none where it had not', async () => {
    const events = openEvents()
    const { response, done } = await events.send()
    const text = response.text()
    await events.write(PROGRESS)
    await events.breakOff()
    await expect(text).rejects.toThrow(Error)
    await done()
    expect(word((await events.send({ id: 2 })).response)).toBe('unknown')
    expect(events.handler).toHaveBeenCalledTimes(1)
  })
})

describe('a replay', () => {
  it('leaves its client in its own session', async () => {
    const headers = { ...JSON_TYPE, 'Mcp-Session-Id': 'first' }
    const { ask } = routeWith(() => new Response(JSON.stringify(result(1)), { headers }))
    const once = await ask()
    expect(once.response.headers.get('Mcp-Session-Id')).toBe('first')
    const again = await ask({ id: 2, headers: { 'Mcp-Session-Id': 'second' } })
    expect([again.word, again.response.headers.get('Mcp-Session-Id')]).toEqual(['replayed', null])
  })

  it('is marked in the result, and its error in the data', async () => {
    const { ask } = routeWith(() => asJson(result(1, { content: [], _meta: { own: 1 } })))
    await ask()
    const { text } = await ask({ id: 'two' })
    expect(JSON.parse(text)).toEqual({
      jsonrpc: '2.0',
      id: 'two',
      result: {
        content: [],
        _meta: { own: 1, 'hapax/replayed': { ageSeconds: expect.any(Number) } },
      },
    })
    const failed = routeWith(() => asEvents(error(1, 1001)))
    await failed.ask()
    const again = await failed.ask({ id: 2 })
    expect(again.text).toMatch(/"data":\{"hapax\/replayed":\{"ageSeconds":\d+\}\}/)
  })
})

const UNANSWERED = { code: 409, data: { retry: 'wait', error: { code: 'outcome-unknown' } } }

describe('a response', () => {
  it('that has not come with the answer is told to who has waited for it', async () => {
    const events = openEvents()
    const first = await events.send()
    const joined = await events.send({ id: 2 })
    expect(word(joined.response)).toBe('joined')
    const texts = [first.response.text(), joined.response.text()]
    await events.write(PROGRESS)
    await events.end()
    const [own, others = ''] = await Promise.all(texts)
    expect(own).toBe(event(PROGRESS))
    const [, told = ''] = others.split('\n\n')
    expect(JSON.parse(told.slice('data: '.length))).toMatchObject({ id: 2, error: UNANSWERED })
  })

  it.each([
    { name: 'nothing', answer: () => new Response(null, { status: 202 }) },
    { name: 'another response', answer: () => asJson({ detail: 'm' }) },
    { name: 'a page', answer: () => new Response('<p>oops', { status: 500 }) },
  ])('that is $name is told to who has waited for it', async ({ answer }) => {
    const released = Promise.withResolvers<void>()
    const { send } = routeWith(async () => {
      await released.promise
      return answer()
    })
    const first = send()
    const second = send({ id: 2 })
    await send({ id: 3, headers: { Prefer: 'wait=0' } })
    released.resolve()
    expect(await (await first).response.text()).toBe(await answer().text())
    const { response } = await second
    expect([response.status, word(response)]).toEqual([200, 'unknown'])
    expect(await response.json()).toMatchObject({ id: 2, error: UNANSWERED })
  })
})

describe('a step of a conversation', () => {
  it.each([
    { name: 'a result that asks for input', answer: () => asJson(result(1, STEP)) },
    { name: 'the same in a stream', answer: () => asEvents(PROGRESS, result(1, STEP)) },
    {
      name: 'a URL to visit',
      answer: () => asJson(error(1, -32_042, { data: { elicitations: [] } })),
    },
  ])('is not the result: $name', async ({ answer }) => {
    const { origin, ask } = routeWith(answer, { retry: { attempts: 3, base: '1ms', cap: '1ms' } })
    const asked = await ask()
    expect(asked.text).toBe(await answer().text())
    expect(origin.requests).toHaveLength(1)
    const params = { inputResponses: { sure: { action: 'accept' } }, requestState: 'state' }
    const leg = await ask({ id: 2, params })
    expect([leg.word, JSON.parse(leg.text).result.nth]).toEqual(['executed', 2])
    const words = [(await ask({ id: 3, params })).word, (await ask({ id: 4 })).word]
    expect(words).toEqual(['replayed', 'replayed'])
    expect(origin.requests).toHaveLength(2)
  })

  it('goes to the one client that can answer, and to nobody who waits', async () => {
    const released = Promise.withResolvers<void>()
    const { origin, send, ask } = routeWith(async () => {
      await released.promise
      return asJson(result(1, STEP))
    })
    const first = send()
    await until(() => origin.requests.length > 0)
    const second = send({ id: 2 })
    // This one does not wait: when it is answered, the second does, which came before it.
    const third = await send({ id: 3, headers: { Prefer: 'wait=0' } })
    expect(word(third.response)).toBe('in-progress')
    released.resolve()
    expect(await (await first).response.json()).toMatchObject({ result: STEP })
    const { response } = await second
    expect(word(response)).toBe('in-progress')
    expect(await response.json()).toMatchObject({
      id: 2,
      error: { code: 409, data: { retry: 'wait' } },
    })
    expect(origin.requests).toHaveLength(1)
    expect((await ask({ id: 4 })).word).toBe('executed')
  })

  it.each([
    { name: 'a session that is gone', answer: () => asJson(error(null, -32_001), 404) },
    { name: 'credentials that are refused', answer: () => new Response(null, { status: 401 }) },
    { name: 'a question', answer: () => asJson(ASKED) },
    { name: 'a question in a batch', answer: () => asJson([ASKED]) },
  ])('is told to none who waits, nor is $name', async ({ answer }) => {
    const released = Promise.withResolvers<void>()
    const { origin, send } = routeWith(async () => {
      await released.promise
      return answer()
    })
    const first = send()
    await until(() => origin.requests.length > 0)
    const second = send({ id: 2 })
    await send({ id: 3, headers: { Prefer: 'wait=0' } })
    released.resolve()
    expect(await (await first).response.text()).toBe(await answer().text())
    const { response } = await second
    expect(response.status).toBe(200)
    expect(await response.json()).toMatchObject({
      id: 2,
      error: { code: 409, data: { retry: 'wait', error: { code: 'in-progress' } } },
    })
    expect(origin.requests).toHaveLength(1)
  })

  it('and what the server asks stay with the first client of a stream', async () => {
    const events = openEvents()
    const first = await events.send()
    const firstText = first.response.text()
    await events.write(ASKED)
    const joined = await events.send({ id: 2 })
    expect(word(joined.response)).toBe('joined')
    const joinedText = joined.response.text()
    await events.write(PROGRESS)
    await events.write(result(1, STEP))
    await events.end()
    expect(await firstText).toBe([ASKED, PROGRESS, result(1, STEP)].map(event).join(''))
    const told = (await joinedText).split('\n\n').filter(Boolean)
    expect(told).toHaveLength(2)
    expect(`${told[0]}\n\n`).toBe(event(PROGRESS))
    expect(told[1]).toContain('"id":2,"error":{"code":409')
    expect(told[1]).not.toContain('inputRequests')
  })

  it('is marked as joined where a joined stream ends with the result', async () => {
    const events = openEvents()
    const first = await events.send()
    const joined = await events.send({ id: 2 })
    const texts = [first.response.text(), joined.response.text()]
    await events.write(result(1))
    await events.end()
    expect(await Promise.all(texts)).toEqual([
      event(result(1)),
      event(result(2, { _meta: { 'hapax/joined': {} }, content: [] })),
    ])
  })

  it('is not sent again by the alarm, and frees the key of an accepted call', async () => {
    const released = Promise.withResolvers<void>()
    const { origin, send, ask } = routeWith(
      async () => {
        await released.promise
        return asJson(result(1, STEP))
      },
      { durable: true },
    )
    const { response, done } = await send({ headers: { Prefer: 'respond-async' } })
    expect([response.status, word(response)]).toEqual([202, 'accepted'])
    released.resolve()
    await done()
    await until(async () => (await ask({ id: 2 })).word === 'executed')
    expect(origin.requests).toHaveLength(2)
  })
})

describe('a problem', () => {
  it('is a JSON-RPC error with the id of the call, and bears the same headers', async () => {
    const { ask } = routeWith(() => asJson(result(1)))
    await ask()
    const { response, text } = await ask({ id: 'x', params: { arguments: { amount: 2 } } })
    expect([response.status, response.headers.get('Content-Type')]).toEqual([
      200,
      'application/json',
    ])
    expect(response.headers.get('Hapax-Error')).toBe('key-reused')
    expect(response.headers.get('X-Should-Retry')).toBe('false')
    expect(word(response)).toBe('mismatch')
    expect(JSON.parse(text)).toMatchObject({
      jsonrpc: '2.0',
      id: 'x',
      error: {
        code: 409,
        message: expect.stringContaining('A new operation needs a new key.'),
        data: { status: 409, retry: 'new-key', pointers: ['/params/arguments'] },
      },
    })
  })

  it.each([
    { name: 'no key', call: { key: null }, code: 400, slug: 'key-missing' },
    { name: 'a key that is none', call: { key: 'é' }, code: 400, slug: 'key-invalid' },
  ])('is one for $name, whatever the client accepts', async ({ call, code, slug }) => {
    const { origin, ask } = routeWith(() => asJson(result(1)), { required: true })
    const headers = { Accept: 'text/markdown, text/event-stream' }
    const { response, text } = await ask({ ...call, id: 7, headers })
    expect([response.status, response.headers.get('Hapax-Error')]).toEqual([200, slug])
    expect(JSON.parse(text)).toMatchObject({
      id: 7,
      error: { code, data: { error: { code: slug } } },
    })
    expect(origin.requests).toHaveLength(0)
  })

  it('is one where the answer is lost, and says what to do', async () => {
    const lost = routeWith(() => Promise.reject(new Error('gone')))
    const { text } = await lost.ask({ id: 7 })
    expect(JSON.parse(text)).toMatchObject({
      id: 7,
      error: { code: 502, data: { retry: 'never', error: { code: 'outcome-unknown' } } },
    })
    const again = await lost.ask({ id: 8 })
    expect(JSON.parse(again.text)).toMatchObject({ id: 8, error: { code: 409 } })
  })

  it('stays 401 where the caller must authenticate', async () => {
    const { ask } = routeWith(() => asJson(result(1)))
    const { response } = await ask({ headers: { Authorization: '' } })
    expect([response.status, response.headers.get('Hapax-Error')]).toEqual([401, 'tenant-missing'])
    expect(response.headers.get('WWW-Authenticate')).toBe('Bearer')
  })
})

describe('the status resource of a call', () => {
  it.each([
    { name: 'a result', answer: () => asJson(result('status')), next: 'replayed' },
    { name: 'a result in a stream', answer: () => asEvents(result(1)), next: 'replayed' },
    {
      name: 'a tool that failed',
      answer: () => asJson(result(1, { isError: true })),
      next: 'replayed',
    },
    { name: 'what is no message', answer: () => asJson({ done: true }), next: 'replayed' },
    { name: 'the code -32603', answer: () => asJson(error(1, -32_603)), next: 'unknown' },
    { name: 'the code -32602', answer: () => asJson(error(1, -32_602)), next: 'unknown' },
    { name: 'a step', answer: () => asJson(result(1, STEP)), next: 'unknown' },
    { name: 'a question', answer: () => asJson(ASKED), next: 'unknown' },
    { name: 'a stream without a response', answer: () => asEvents(PROGRESS), next: 'unknown' },
    { name: 'not found', answer: () => asJson(error(null, -32_001), 404), next: 'executed' },
  ])('decides only with the end of it: $name', async ({ answer, next }) => {
    const origin = playOrigin(({ method }) => (method === 'GET' ? answer() : asEvents(PROGRESS)))
    const send = callerOf('origin', { unknown: probe('/status/{id}', { grace: '0s' }) })
    for (const expected of ['executed', next, next]) {
      const { response, done } = await send({ id: 2 })
      await response.text()
      await done()
      expect(word(response)).toBe(expected)
    }
    const calls = origin.requests.filter(({ method }) => method === 'POST')
    expect(calls).toHaveLength(next === 'executed' ? 3 : 1)
  })
})
