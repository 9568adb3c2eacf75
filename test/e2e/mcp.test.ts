import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import path from 'node:path'

import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { McpError, type Progress } from '@modelcontextprotocol/sdk/types.js'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import * as z from 'zod'

import { close, listen } from '../../dev/local-server.ts'
import { type Gateway, startGateway } from './server.ts'

/** How the server answers: with one JSON document, or with server-sent events. */
type Answers = 'json' | 'events'

/** More than a number of JavaScript can tell from its neighbour. */
const EXACT = '9007199254740993'

let server: Awaited<ReturnType<typeof startMcpServer>>
let gateway: Gateway
let open: { readonly client: Client; readonly calls: readonly Exchange[] }[] = []

beforeAll(async () => {
  server = await startMcpServer()
  const config = path.join(import.meta.dirname, 'gateway/wrangler.toml')
  gateway = await startGateway({ origin: server, config })
})

afterEach(async () => {
  // Every answer has an end. A client that is closed before it would break it off.
  await Promise.all(open.flatMap(({ calls }) => calls.map(({ body }) => body)))
  await Promise.all(open.map(({ client }) => client.close()))
  open = []
})

afterAll(async () => {
  await gateway.stop()
  await server.close()
})

/** A session that the server does not know any more. */
const GONE = 'gone'

/** As the SDK's own transport answers then. */
function sessionNotFound(outgoing: ServerResponse): void {
  const error = { code: -32_001, message: 'Session not found' }
  outgoing.writeHead(404, { 'Content-Type': 'application/json' })
  outgoing.end(JSON.stringify({ jsonrpc: '2.0', error, id: null }))
}

/** A real MCP server without sessions, each request with a server of its own. */
async function startMcpServer() {
  const runs: string[] = []
  const gates = new Map<string, Promise<void>>()
  const http = createServer((incoming, outgoing) => {
    answer(incoming, outgoing).catch(() => outgoing.destroy())
  })

  /** Counts a run, and waits where the test says so. */
  const run = async (name: string) => {
    runs.push(name)
    http.emit('run')
    await gates.get(name)
    return runsOf(name)
  }
  const runsOf = (name: string) => runs.filter((one) => one === name).length

  async function answer(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    // Without sessions there is nothing to listen to or to delete.
    if (incoming.method !== 'POST') return void outgoing.writeHead(405).end()
    if (incoming.headers['mcp-session-id'] === GONE) return sessionNotFound(outgoing)
    const { searchParams } = new URL(incoming.url ?? '', 'http://mcp')
    const mcp = createTools(run)
    const transport = new StreamableHTTPServerTransport({
      enableJsonResponse: searchParams.get('answers') === 'json',
    })
    outgoing.once('close', () => void mcp.close())
    await mcp.connect(transport)
    await transport.handleRequest(incoming, writeExactly(outgoing))
  }

  const url = await listen(http)
  return {
    url,
    runsOf,
    /** Lets no run of this name end until the function is called that it gives. */
    hold(name: string): () => void {
      const { promise, resolve } = Promise.withResolvers<void>()
      gates.set(name, promise)
      return resolve
    },
    /** Resolves when a run of this name has begun, which may have been before. */
    async running(name: string): Promise<void> {
      while (runsOf(name) === 0) await once(http, 'run')
    },
    close: () => close(http),
  }
}

function createTools(run: (name: string) => Promise<number>): McpServer {
  const mcp = new McpServer({ name: 'till', version: '1.0.0' })
  const inputSchema = { name: z.string(), amount: z.number() }
  mcp.registerTool('pay', { description: 'Pays.', inputSchema }, async ({ name, amount }) => {
    const nth = await run(name)
    const structuredContent = { nth, amount, total: EXACT }
    return { content: [{ type: 'text', text: `paid, run ${nth}` }], structuredContent }
  })
  mcp.registerTool(
    'ship',
    { inputSchema },
    async ({ name, amount }, { _meta, sendNotification }) => {
      const report = async (progress: number) => {
        const progressToken = _meta?.progressToken
        if (progressToken === undefined) return
        const params = { progressToken, progress, total: amount, message: 'on its way' }
        await sendNotification({ method: 'notifications/progress', params })
      }
      await report(1)
      const nth = await run(name)
      await report(2)
      return { content: [{ type: 'text', text: `shipped, run ${nth}` }] }
    },
  )
  return mcp
}

/** Writes a text that is `EXACT` as the number, which no number of JavaScript is; as many bytes. */
function writeExactly(outgoing: ServerResponse): ServerResponse {
  const exactly = (chunk: unknown) =>
    typeof chunk === 'string' || chunk instanceof Uint8Array
      ? Buffer.from(Buffer.from(chunk).toString().replaceAll(`"${EXACT}"`, ` ${EXACT} `))
      : chunk
  const { write, end } = outgoing
  outgoing.write = (chunk: unknown, ...more: unknown[]) =>
    Reflect.apply(write, outgoing, [exactly(chunk), ...more]) as boolean
  outgoing.end = (chunk?: unknown, ...more: unknown[]) =>
    Reflect.apply(end, outgoing, [exactly(chunk), ...more]) as ServerResponse
  return outgoing
}

/** What came back for one message of a client. */
interface Exchange {
  readonly id: unknown
  readonly status: number
  readonly word: string | null
  readonly body: Promise<string>
}

interface Call {
  readonly name: string
  /** Else the request has no key. */
  readonly key?: string
  readonly amount?: number
  readonly tool?: string
  readonly onprogress?: (progress: Progress) => void
}

const AUTHORIZATION = { Authorization: 'Bearer mcp' }

/** A real client that is connected, and the exchanges of its tool calls as they were on the wire. */
async function connect(answers: Answers, route = '/mcp', { skip = 0, session = '' } = {}) {
  const calls: Exchange[] = []
  const answered = Promise.withResolvers<void>()
  const transport = new StreamableHTTPClientTransport(
    new URL(`${route}?answers=${answers}`, gateway.url),
    {
      requestInit: { headers: AUTHORIZATION },
      async fetch(input, init) {
        const message = typeof init?.body === 'string' ? JSON.parse(init.body) : {}
        const asked = new Headers(init?.headers)
        if (session !== '' && message.method === 'tools/call') asked.set('Mcp-Session-Id', session)
        const response = await fetch(input, { ...init, headers: asked })
        if (message.method !== 'tools/call') return response
        const { status, headers } = response
        const word = headers.get('Idempotency-Status')
        calls.push({ id: message.id, status, word, body: response.clone().text() })
        answered.resolve()
        return response
      },
    },
  )
  const client = new Client({ name: 'agent', version: '1.0.0' })
  await client.connect(transport)
  open.push({ client, calls })
  // Ids count up: so two clients call the same tool under different ones.
  for (let at = 0; at < skip; at += 1) {
    await client.ping()
  }
  const call = ({ name, key, amount = 2, tool = 'pay', onprogress }: Call) =>
    client.callTool(
      {
        name: tool,
        arguments: { name, amount },
        ...(key !== undefined && { _meta: { idempotencyKey: key } }),
      },
      undefined,
      onprogress && { onprogress },
    )
  /** Resolves when the head of an answer to a call is here. */
  return { client, calls, call, answered: answered.promise }
}

/** The JSON-RPC messages of an answer, as text. */
async function messagesOf({ body }: Exchange): Promise<string[]> {
  const text = await body
  if (text.startsWith('{')) return [text]
  return [...text.matchAll(/^data: ?(.+)$/gm)].map(([, data = '']) => data).filter(Boolean)
}

/** Ids of the responses that an answer holds. */
async function idsOf(exchange: Exchange | undefined): Promise<unknown[]> {
  if (exchange === undefined) throw new Error('There was no call.')
  const messages = (await messagesOf(exchange)).map((text) => JSON.parse(text))
  return messages.filter(({ method }) => method === undefined).map(({ id }) => id)
}

const paid = (nth: number) => ({ content: [{ type: 'text', text: `paid, run ${nth}` }] })

describe.each<Answers>(['json', 'events'])('an MCP server that answers with %s', (answers) => {
  const nameOf = (name: string) => `${answers}-${name}`

  it('is found by its client as without the gateway', async () => {
    const { client } = await connect(answers)
    expect(client.getServerVersion()).toEqual({ name: 'till', version: '1.0.0' })
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toEqual(['pay', 'ship'])
  })

  it('runs a tool once for two clients with one key, and each gets the result under its own id', async () => {
    const name = nameOf('once')
    const first = await connect(answers)
    const second = await connect(answers, '/mcp', { skip: 3 })
    expect(await first.call({ name, key: name })).toMatchObject(paid(1))
    expect(await second.call({ name, key: name })).toMatchObject(paid(1))
    expect(server.runsOf(name)).toBe(1)
    const [executed, replayed] = [first.calls[0], second.calls[0]]
    expect([executed?.word, replayed?.word]).toEqual(['executed', 'replayed'])
    expect(executed?.id).not.toEqual(replayed?.id)
    expect(await idsOf(executed)).toEqual([executed?.id])
    expect(await idsOf(replayed)).toEqual([replayed?.id])
  })

  it('keeps every digit of a number in the result, in the replay too', async () => {
    const name = nameOf('exact')
    const first = await connect(answers)
    const second = await connect(answers, '/mcp', { skip: 1 })
    await first.call({ name, key: name })
    await second.call({ name, key: name })
    for (const { calls } of [first, second]) {
      const [result] = calls[0] === undefined ? [] : await messagesOf(calls[0])
      expect(result).toContain(`"amount":2,"total": ${EXACT} }`)
    }
  })

  it('runs a tool once for calls at the same time', async () => {
    const name = nameOf('joined')
    const release = server.hold(name)
    const clients = [await connect(answers), await connect(answers, '/mcp', { skip: 2 })] as const
    const first = clients[0].call({ name, key: name })
    await server.running(name)
    const second = clients[1].call({ name, key: name })
    // Events begin before the tool has ended; a document comes all at once.
    if (answers === 'events') await clients[1].answered
    release()
    expect(await Promise.all([first, second])).toMatchObject([paid(1), paid(1)])
    expect(server.runsOf(name)).toBe(1)
    const [executed, joined] = [clients[0].calls[0], clients[1].calls[0]]
    expect(executed?.word).toBe('executed')
    expect(answers === 'events' ? ['joined'] : ['joined', 'replayed']).toContain(joined?.word)
    expect(await idsOf(joined)).toEqual([joined?.id])
  })

  it('refuses the key with other arguments, and does not run the tool', async () => {
    const name = nameOf('mismatch')
    const { call, calls } = await connect(answers)
    await call({ name, key: name })
    const other = call({ name, key: name, amount: 3 })
    await expect(other).rejects.toThrow(McpError)
    await expect(other).rejects.toMatchObject({
      code: 409,
      message: /A new operation needs a new key/,
      data: { retry: 'new-key', pointers: ['/params/arguments/amount'] },
    })
    expect(calls.map(({ word, status }) => [word, status])).toEqual([
      ['executed', 200],
      ['mismatch', 200],
    ])
    expect(server.runsOf(name)).toBe(1)
    expect(await call({ name, key: name })).toMatchObject(paid(1))
  })

  it('runs a tool in a new session when the call came in one that was gone', async () => {
    const name = nameOf('session')
    const lost = await connect(answers, '/mcp', { session: GONE })
    await expect(lost.call({ name, key: name })).rejects.toMatchObject({ code: 404 })
    expect(lost.calls.map(({ word, status }) => [word, status])).toEqual([['not-executed', 404]])
    const renewed = await connect(answers)
    expect(await renewed.call({ name, key: name })).toMatchObject(paid(1))
    const again = await connect(answers)
    expect(await again.call({ name, key: name })).toMatchObject({
      ...paid(1),
      _meta: { 'hapax/replayed': { ageSeconds: expect.any(Number) } },
    })
    expect(server.runsOf(name)).toBe(1)
  })

  it('runs a tool each time without a key, where none is required', async () => {
    const name = nameOf('keyless')
    const { call, calls } = await connect(answers)
    expect(await call({ name })).toMatchObject(paid(1))
    expect(await call({ name })).toMatchObject(paid(2))
    expect(calls.map(({ word }) => word)).toEqual(['unprotected', 'unprotected'])
  })

  it('refuses a call without a key where one is required, and nothing else', async () => {
    const name = nameOf('keyed')
    const { client, call, calls } = await connect(answers, '/mcp/keyed')
    await expect(call({ name })).rejects.toMatchObject({
      code: 400,
      data: { error: { code: 'key-missing' } },
    })
    expect(server.runsOf(name)).toBe(0)
    expect((await client.listTools()).tools).toHaveLength(2)
    expect(await call({ name, key: name })).toMatchObject(paid(1))
    expect(calls.map(({ word }) => word)).toEqual(['rejected', 'executed'])
  })

  it.each(['/mcp', '/mcp/keyed'])('is sent no batch with a call by %s', async (route) => {
    const name = nameOf(`batch-${route}`)
    const callOf = (id: number) => ({
      jsonrpc: '2.0',
      id,
      method: 'tools/call',
      params: {
        name: 'pay',
        arguments: { name, amount: 2 },
        _meta: { idempotencyKey: `${name}-${id}` },
      },
    })
    const batch = [{ jsonrpc: '2.0', id: 1, method: 'tools/list' }, callOf(2), callOf(3)]
    const answer = await fetch(`${gateway.url}${route}?answers=${answers}`, {
      method: 'POST',
      headers: {
        ...AUTHORIZATION,
        'Content-Type': 'application/json',
        Accept: 'application/json, text/event-stream',
      },
      body: JSON.stringify(batch),
    })
    expect([answer.status, answer.headers.get('Hapax-Error')]).toEqual([400, 'payload-invalid'])
    expect(await answer.json()).toMatchObject({ detail: expect.stringContaining('not in a batch') })
    expect(server.runsOf(name)).toBe(0)
  })
})

describe('a call that only some take for JSON', () => {
  const post = (url: string, name: string, headers: Record<string, string>) =>
    fetch(url, {
      method: 'POST',
      headers: { ...AUTHORIZATION, Accept: 'application/json, text/event-stream', ...headers },
      body: JSON.stringify({
        jsonrpc: '2.0',
        id: 1,
        method: 'tools/call',
        params: { name: 'pay', arguments: { name, amount: 2 } },
      }),
    })

  it.each([
    { name: 'charset', headers: { 'Content-Type': 'application/json; charset' } },
    { name: 'semicolons', headers: { 'Content-Type': 'application/json;;=' } },
    {
      name: 'foo',
      headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'foo' },
    },
    {
      name: 'zstd',
      headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'zstd' },
    },
  ])('is not slipped past the gateway to a server that does: $name', async ({ name, headers }) => {
    for (const route of ['/mcp', '/mcp/keyed']) {
      const refused = await post(`${gateway.url}${route}?answers=json`, name, headers)
      expect([refused.status, refused.headers.get('Hapax-Error')]).toEqual([400, 'payload-invalid'])
    }
    expect(server.runsOf(name)).toBe(0)
    // Else the test would show nothing.
    const direct = await post(`${server.url}/mcp?answers=json`, name, headers)
    expect([direct.status, server.runsOf(name)]).toEqual([200, 1])
  })
})

describe('progress of a tool behind the gateway', () => {
  const SHIPPED = { content: [{ type: 'text', text: 'shipped, run 1' }] }

  /** A call that notes its progress, and the first of it as it comes. */
  const shipping = async (name: string, skip: number) => {
    const connection = await connect('events', '/mcp', { skip })
    const seen: number[] = []
    const begun = Promise.withResolvers<void>()
    const ship = () =>
      connection.call({
        name,
        key: name,
        tool: 'ship',
        onprogress({ progress }) {
          seen.push(progress)
          begun.resolve()
        },
      })
    return { ...connection, seen, ship, begun: begun.promise }
  }

  const tokensOf = async (exchange: Exchange | undefined) => {
    if (exchange === undefined) throw new Error('There was no call.')
    const messages = (await messagesOf(exchange)).map((text) => JSON.parse(text))
    return messages
      .filter(({ method }) => method === 'notifications/progress')
      .map(({ params }) => params.progressToken)
  }

  it('comes to the first while the tool runs, and to a duplicate and a replay under their own tokens', async () => {
    const release = server.hold('ship')
    const [first, joined, replay] = [
      await shipping('ship', 0),
      await shipping('ship', 2),
      await shipping('ship', 4),
    ]
    const shipped = first.ship()
    await first.begun
    expect(first.seen).toEqual([1])
    const again = joined.ship()
    await joined.begun
    expect(joined.seen).toEqual([1])
    release()
    expect(await Promise.all([shipped, again])).toMatchObject([SHIPPED, SHIPPED])
    expect(await replay.ship()).toMatchObject(SHIPPED)
    const all = [first, joined, replay]
    expect(all.map(({ seen }) => seen)).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ])
    expect(all.map(({ calls }) => calls[0]?.word)).toEqual(['executed', 'joined', 'replayed'])
    const tokens = await Promise.all(all.map(({ calls }) => tokensOf(calls[0])))
    // The SDK takes the id of the call for its token.
    expect(tokens).toEqual(all.map(({ calls }) => [calls[0]?.id, calls[0]?.id]))
    expect(new Set(tokens.flat()).size).toBe(3)
    expect(server.runsOf('ship')).toBe(1)
  })

  it('is not told to a replay that did not ask for it', async () => {
    const first = await shipping('quiet', 0)
    await first.ship()
    const replay = await connect('events', '/mcp', { skip: 2 })
    expect(await replay.call({ name: 'quiet', key: 'quiet', tool: 'ship' })).toMatchObject(SHIPPED)
    expect(first.seen).toEqual([1, 2])
    expect(await tokensOf(replay.calls[0])).toEqual([])
    expect(replay.calls[0]?.word).toBe('replayed')
  })
})
