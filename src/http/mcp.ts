import { readCall } from '../core/request/json-rpc.ts'
import type { SourceIn } from '../core/request/key-source.ts'
import { callNotProtectable } from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { toCallersAnswer } from './callers-answer.ts'
import type { Payload } from './payload.ts'
import type { McpCode, McpMessage } from './source-code.ts'

/**
 * Reads the key of an MCP `tools/call` (JSON-RPC over Streamable HTTP) from a member of its
 * `params._meta`. All other messages go to the server unchanged.
 *
 * The `id` of a call, its `_meta` and the client's answers to the server are not part of the
 * fingerprint. A replay contains the `id` of the call that it answers.
 *
 * @param meta Name of the member.
 * @example app.post('/mcp', protect({ key: mcp() }))
 */
export function mcp(meta = 'idempotencyKey'): SourceIn<'mcp'> {
  return { in: 'mcp', meta, scope: 'tenant', code: CODE }
}

const CODE: McpCode = { of: 'mcp', readMessage, toCallersAnswer }

const MCP_METHOD = 'tools/call'

const refused = (problem: Problem) => ({ kind: 'refused', problem }) as const

/** Reads a message of MCP. Only a tool call is an operation, and it must not be in a batch. */
async function readMessage(payload: Payload): Promise<McpMessage> {
  const bytes = await payload.bytes()
  // The transport opens and ends streams and sessions without a body.
  if (bytes?.byteLength === 0) return { kind: 'no-operation' }
  // A lenient server could find a call in a message that is not plain JSON.
  const read = await payload.readPlainJson('A message of MCP')
  if (!read.ok) return refused(read.error)
  const call = readCall(read.value)
  if (call?.method === MCP_METHOD) return { kind: 'call', call }
  const messages = [JSON.parse(read.value)].flat() as readonly ({ method?: unknown } | null)[]
  if (!messages.some((message) => message?.method === MCP_METHOD)) return { kind: 'no-operation' }
  return refused(callNotProtectable(MCP_METHOD))
}
