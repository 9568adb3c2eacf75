import type { Context, Handler } from 'hono'

import type { Policy } from '../config/policy.ts'
import type { Batch } from '../core/request/batch.ts'
import type { JsonRpcCall } from '../core/request/json-rpc.ts'
import type { SourceCode, SourceIn } from '../core/request/key-source.ts'
import type { Problem } from '../core/response/problem.ts'
import type { Result } from '../core/result.ts'
import type { Exchange } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import type { Payload } from './payload.ts'
import type { Verdict } from './verdict.ts'

/** A key, what is wrong with it, or `null` where the source has none. */
export type Sourced = Result<string, string | Problem> | null

/** The code of `batch()`. */
export interface BatchCode extends SourceCode {
  readonly of: 'batch'
  readonly perItem: (
    policy: Policy,
    source: SourceIn<'batch'>,
    handleOne: Handler<GatewayEnv>,
  ) => Handler<GatewayEnv>
  readonly readItems: (
    exchange: Exchange,
    source: SourceIn<'batch'>,
  ) => Promise<Result<Batch, Problem>>
  readonly readKey: (payload: Payload, source: SourceIn<'batch'>) => Promise<Sourced>
}

/** A message of MCP: only a tool call is an operation. */
export type McpMessage =
  | { readonly kind: 'call'; readonly call: JsonRpcCall }
  | { readonly kind: 'refused'; readonly problem: Problem }
  | { readonly kind: 'no-operation' }

/** The code of `mcp()`. */
export interface McpCode extends SourceCode {
  readonly of: 'mcp'
  readonly readMessage: (payload: Payload) => Promise<McpMessage>
  readonly toCallersAnswer: (
    c: Context<GatewayEnv>,
    call: JsonRpcCall,
    verdict: Verdict,
  ) => Promise<Verdict>
}

/** The code that `batch()` has put into its source. */
export const batchCodeOf = ({ code }: SourceIn<'batch'>) => code as BatchCode

/** The code that `mcp()` has put into its source. */
export const mcpCodeOf = ({ code }: SourceIn<'mcp'>) => code as McpCode
