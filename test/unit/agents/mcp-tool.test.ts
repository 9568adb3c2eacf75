import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { McpServer, type ToolCallback } from '@modelcontextprotocol/sdk/server/mcp.js'
import { McpError, UrlElicitationRequiredError } from '@modelcontextprotocol/sdk/types.js'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

import { idempotentMcpTool } from '../../../src/agents.ts'
import { answer } from '../client/played-server.ts'
import { made, payBy, playApi, repeated } from './played-tool.ts'

const inputSchema = { order: z.string() }
const order = { order: 'o17' }

/** A client of a server with one tool. */
async function connect(
  pay: ToolCallback<typeof inputSchema>,
  config: { outputSchema?: typeof inputSchema } = {},
  sessionId?: string,
) {
  const server = new McpServer({ name: 'payments', version: '1.0.0' })
  server.registerTool('pay', { inputSchema, ...config }, pay)
  const [clientEnd, serverEnd] = InMemoryTransport.createLinkedPair()
  if (sessionId !== undefined) serverEnd.sessionId = sessionId
  const client = new Client({ name: 'agent', version: '1.0.0' })
  await Promise.all([server.connect(serverEnd), client.connect(clientEnd)])
  return () => client.callTool({ name: 'pay', arguments: order })
}

const text = (...words: readonly (string | RegExp)[]) =>
  words.map((word) => ({ type: 'text', text: expect.stringMatching(word) }))

describe('idempotentMcpTool', () => {
  it('adds the note to the content of the result, and leaves the structured one', async () => {
    const api = playApi(made(), repeated())
    const call = await connect(
      idempotentMcpTool(
        'pay',
        async (input, { fetch, requestId }) => {
          const said = await payBy({ fetch }, input)
          const content = [{ type: 'text', text: `${said} in ${typeof requestId}` }] as const
          return { content: [...content], structuredContent: { order: said } }
        },
        api.options,
      ),
      { outputSchema: inputSchema },
    )
    const structuredContent = { order: 'paid' }
    expect(await call()).toEqual({
      content: text('^paid in number$', /^About this call: It was executed now/),
      structuredContent,
    })
    expect(await call()).toEqual({
      content: text('^paid in number$', /^About this call: This is the earlier result/),
      structuredContent,
    })
    const [key] = api.keys()
    expect(api.keys()).toEqual([key, key])
  })

  it('returns an error as a result that says what to do', async () => {
    const api = playApi(answer(502), repeated())
    const call = await connect(
      idempotentMcpTool(
        'pay',
        async (input, { fetch }) => {
          const said = await payBy({ fetch }, input)
          if (said !== 'paid') throw new Error(said)
          return { content: [{ type: 'text', text: said }] }
        },
        api.options,
      ),
    )
    expect(await call()).toEqual({
      content: text(/^status 502\n\nAbout this call: .* call the same tool|Call the same tool/),
      isError: true,
    })
    expect(await call()).toEqual({ content: text('^paid$', 'executed 2 minutes ago') })
  })

  it('adds the note to a result that has no content, and to none that is no end', async () => {
    const resultOf = (result: object) =>
      idempotentMcpTool<object, object, object>(
        'pay',
        async (_, { fetch }) => {
          await payBy({ fetch }, order)
          return result
        },
        playApi(made()).options,
      )({}, {})
    const structuredContent = { order: 'o17' }
    expect(await resultOf({ structuredContent })).toEqual({
      content: text('It was executed now'),
      structuredContent,
    })
    expect(await resultOf({ task: { taskId: 't' } })).toEqual({ task: { taskId: 't' } })
  })

  it('takes the session for the run, unless the option says which', async () => {
    const keyOf = async (sessionId?: string, options = {}) => {
      const tell = idempotentMcpTool(
        'pay',
        async (_: typeof order, { key }) => ({ content: [{ type: 'text' as const, text: key }] }),
        options,
      )
      const call = await connect(tell, {}, sessionId)
      const { content } = await call()
      return (content as { readonly text: string }[])[0]?.text
    }
    const key = await keyOf('run-1')
    expect(await keyOf('run-1')).toBe(key)
    expect(await keyOf('run-2')).not.toBe(key)
    expect(await keyOf('run-2', { runId: 'run-1' })).toBe(key)
    const runId = ({ sessionId }: { readonly sessionId?: string }) => sessionId?.slice(1)
    expect(await keyOf('-run-1', { runId })).toBe(key)
    expect(await keyOf()).toContain(`The tool "pay" needs the id of the agent's run.`)
  })

  it('throws what is a step of the call and not its end', async () => {
    const asked = { mode: 'url', elicitationId: 'e', url: 'https://bank.test', message: 'Confirm.' }
    const call = await connect(
      idempotentMcpTool(
        'pay',
        () => Promise.reject(new UrlElicitationRequiredError([asked] as never)),
        {
          runId: 'run-1',
        },
      ),
    )
    await expect(call()).rejects.toBeInstanceOf(McpError)
  })

  it('asks for a schema, where the server passes no arguments', async () => {
    const pay = idempotentMcpTool('pay', async () => ({ content: [] }), { runId: 'run-1' })
    await expect(pay({}, undefined)).rejects.toThrow('The tool "pay" needs an inputSchema.')
  })
})
