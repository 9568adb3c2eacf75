import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import type { ComparedRequest } from '../core/fingerprint/fingerprint.ts'
import type { ClaimRequest } from '../core/operation/claim.ts'
import type { HeaderField } from '../core/operation/snapshot.ts'
import type { JsonRpcCall } from '../core/request/json-rpc.ts'
import type { KeySource } from '../core/request/key-source.ts'
import type { GatewayEnv, Identify } from './gateway-env.ts'
import { Payload } from './payload.ts'
import type { ProblemForm } from './problem-response.ts'
import { scopeOf } from './request-scope.ts'
import { operationOf } from './route-policy.ts'

/** One request on a protected route. All steps share it, and add what they learn. */
export interface Exchange {
  readonly c: Context<GatewayEnv>
  readonly policy: Policy
  readonly payload: Payload
  /** Resolves the tenant. */
  readonly identify: Identify
  /** What is known of the request so far, for problems, metrics and logs. */
  known: KnownRequest
}

/** The facts of a request for metrics, logs and problems, as far as they are known. */
export interface KnownRequest extends ProblemForm {
  readonly operation: string
  /** Where its key was found; `null` if that is unknown. */
  readonly source: KeySource['in'] | 'none' | null
  readonly tenant: string | null
  readonly operationId: string | null
  readonly requestBytes: number
  /** Milliseconds from asking the object to the verdict. */
  readonly guardMs: number
}

/** An operation that may be claimed, and the request that names it. */
export interface Admitted {
  readonly key: string
  /** Its JSON-RPC call, if the route is an MCP server. */
  readonly call: JsonRpcCall | null
  /** Whether the tenant was verified, or is only claimed by the request. */
  readonly isVerified: boolean
  readonly body: Uint8Array<ArrayBuffer>
  /** Its header fields. Reading them once more would take longer than all that is done with them. */
  readonly fields: readonly HeaderField[]
  /** The parts that are compared with another request of the same key; `null` if only the fingerprint is. */
  readonly compared: ComparedRequest | null
  /** The claim, without the fields that depend on the route. */
  readonly claim: Omit<ClaimRequest, 'leaseMs' | 'recovery' | 'isAccepted' | 'reauthorizePath'>
}

/** Starts an exchange, before anything of the request is read. */
export function openExchange(
  c: Context<GatewayEnv>,
  policy: Policy,
  { payload = new Payload(c, policy), identify = scopeOf(c).identify }: Partial<Exchange> = {},
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

/** Adds facts of a request. */
export function learn(exchange: Exchange, facts: Partial<KnownRequest>): void {
  exchange.known = { ...exchange.known, ...facts }
}
