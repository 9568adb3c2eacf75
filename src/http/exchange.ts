import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import type { ClaimRequest } from '../core/claim.ts'
import type { ComparedRequest } from '../core/differences.ts'
import type { JsonRpcCall } from '../core/json-rpc.ts'
import type { KeySource } from '../core/key-source.ts'
import type { GatewayEnv, Identify } from './gateway-env.ts'
import { Payload } from './payload.ts'
import type { ProblemForm } from './problem-response.ts'
import { operationOf } from './route-policy.ts'

/** One request at a protected route: every step takes it, and adds what it has learned. */
export interface Exchange {
  readonly c: Context<GatewayEnv>
  readonly policy: Policy
  readonly payload: Payload
  /** Tells whose the request is. */
  readonly identify: Identify
  /** What is known of the request so far, for problems, metrics and logs. */
  known: KnownRequest
}

/** What metrics, logs and problems say of a request, as far as it was read. */
export interface KnownRequest extends ProblemForm {
  readonly operation: string
  /** Where its key was found; `null` where that is not known. */
  readonly source: KeySource['in'] | 'none' | null
  readonly tenant: string | null
  readonly operationId: string | null
  readonly requestBytes: number
  /** Milliseconds that the way to the verdict took, the object's own time included. */
  readonly guardMs: number
}

/** An operation that may be claimed, and the request that names it. */
export interface Admitted {
  readonly key: string
  /** The JSON-RPC call that it makes, where the route is an MCP server. */
  readonly call: JsonRpcCall | null
  /** Whether somebody has verified whose it is, or only the request says so. */
  readonly isVerified: boolean
  readonly body: Uint8Array<ArrayBuffer>
  /** The request, as it is compared with another of the same key; `null` where its parts are not. */
  readonly compared: ComparedRequest | null
  /** What every claim of it holds; the route adds how it is driven and recovered. */
  readonly claim: Omit<ClaimRequest, 'leaseMs' | 'recovery' | 'isAccepted' | 'reauthorizePath'>
}

/** Begins an exchange: nothing of the request was read yet. */
export function openExchange(
  c: Context<GatewayEnv>,
  policy: Policy,
  { payload = new Payload(c, policy), identify = c.var.hapax.identify }: Partial<Exchange> = {},
): Exchange {
  const known: KnownRequest = {
    operation: operationOf(c, policy),
    preset: policy.preset,
    callId: null,
    source: null,
    tenant: null,
    operationId: null,
    requestBytes: 0,
    guardMs: 0,
  }
  return { c, policy, payload, identify, known }
}

/** Adds to what is known of a request. */
export function learn(exchange: Exchange, facts: Partial<KnownRequest>): void {
  exchange.known = { ...exchange.known, ...facts }
}
