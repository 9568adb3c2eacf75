/**
 * An agent calls a tool of an MCP server, gets a 502 from it and calls it again. The payment is made
 * once.
 *
 *     npm start                             in another terminal
 *     npx node examples/agents/mcp.ts
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { z } from 'zod'

import { idempotentMcpTool } from '../../src/agents.ts'
import { loseFirstAnswer, play } from './demo.ts'

/** Runs the agent. @returns What the model is told about each call. */
export async function runAgent(gatewayUrl: string, runId: string): Promise<string[]> {
  const [clientEnd, serverEnd] = InMemoryTransport.createLinkedPair()
  const server = createServer(gatewayUrl, runId)
  const client = new Client({ name: 'agent', version: '1.0.0' })
  await Promise.all([server.connect(serverEnd), client.connect(clientEnd)])
  const call = { name: 'pay', arguments: { order: 'o17', amount: 500, currency: 'EUR' } }
  const results = [await client.callTool(call), await client.callTool(call)]
  await client.close()
  return results.map(({ content }) => {
    return (content as { readonly text: string }[]).map(({ text }) => text).join('\n\n')
  })
}

function createServer(gatewayUrl: string, runId: string): McpServer {
  const server = new McpServer({ name: 'payments', version: '1.0.0' })
  server.registerTool(
    'pay',
    {
      description: 'Pays an order.',
      inputSchema: { order: z.string(), amount: z.int(), currency: z.string() },
      outputSchema: { id: z.string() },
    },
    idempotentMcpTool(
      'pay',
      async (input, { fetch }) => {
        const response = await fetch(`${gatewayUrl}/payments`, {
          method: 'POST',
          headers: { Authorization: 'Bearer demo', 'Content-Type': 'application/json' },
          body: JSON.stringify(input),
        })
        if (!response.ok) throw new Error(`The payment API answered with ${response.status}.`)
        const { id } = (await response.json()) as { readonly id: string }
        return { content: [{ type: 'text', text: `Paid as ${id}.` }], structuredContent: { id } }
      },
      // With more attempts, the tool itself tries again, and the model never sees the 502. Over HTTP,
      // the session is the run, unless you name one.
      { runId, retry: { attempts: 1 }, fetch: loseFirstAnswer() },
    ),
  )
  return server
}

if (import.meta.main) await play(runAgent)
