import type { Context } from 'hono'

import { deployedScope } from '../config/deployed-policies.ts'
import type { Policy } from '../config/policy.ts'
import type { ClaimRequest } from '../core/claim.ts'
import { type ComparedRequest, digestPlaces } from '../core/differences.ts'
import { fingerprint, type RequestHead } from '../core/fingerprint/fingerprint.ts'
import type { JsonRpcCall } from '../core/json-rpc.ts'
import type { KeySource } from '../core/key-source.ts'
import { operationId, type Within } from '../core/operation.ts'
import type { Problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { sealPlaces } from './compare.ts'
import { eventsOf } from './events.ts'
import type { FoundKey } from './find-key.ts'
import { type GatewayEnv, MESSAGE } from './gateway-env.ts'
import type { Payload } from './payload.ts'
import { requestUrlOf } from './request-url.ts'

/** A request that may be claimed. */
export interface Admitted {
  readonly key: string
  readonly source: KeySource['in']
  /** The JSON-RPC call that it makes, where the route is an MCP server. */
  readonly call: JsonRpcCall | null
  /** Whether somebody has verified whose it is, or only the request says so. */
  readonly isVerified: boolean
  readonly body: Uint8Array<ArrayBuffer>
  /** The request, as it is compared with another of the same key. */
  readonly compared: ComparedRequest
  /** What every claim of it holds; the route adds how it is driven and recovered. */
  readonly claim: Omit<ClaimRequest, 'leaseMs' | 'recovery' | 'isAccepted' | 'reauthorizePath'>
}

/** What is known of a request before its body counts. */
export interface Introduced {
  readonly operation: string
  readonly tenant: string
  readonly isVerified: boolean
  readonly found: Extract<FoundKey, { kind: 'key' }>
}

/**
 * Reads what a claim needs of a request beyond key and tenant: body, fingerprint, and digests of
 * what it is made of. Nothing is stored for a request that has a fault.
 */
export async function admit(
  c: Context<GatewayEnv>,
  policy: Policy,
  { operation, tenant, isVerified, found }: Introduced,
  payload: Payload,
): Promise<Result<Admitted, Problem>> {
  const read = await payload.read()
  if (!read.ok) return err(read.error)
  const body = await payload.bytes()
  if (body === null) throw new Error('A body that was read is there.')

  const { digest, correlation } = c.var.hapax
  const { key, source, call } = found
  const compared = { head: headOf(c), body: read.value, rules: policy.fingerprint }
  const id = await operationId(digest, tenant, key, withinOf(c, operation, found))
  const claim = {
    operationId: id,
    operation,
    tenant,
    fingerprint: await fingerprint(compared.head, compared.body, compared.rules, digest),
    places: await sealPlaces(c, id, key, await digestPlaces(compared, digest, key)),
    claimId: crypto.randomUUID(),
    correlationId: correlation.correlationId,
    traceparent: correlation.traceparent,
    events: eventsOf(c, policy),
    retentionMs: policy.retention,
    tombstoneMs: policy.tombstone,
    mustBeKnown: c.env[MESSAGE]?.mayExecute === false,
    ...carrierOf(c),
  }
  return ok({ key, source, call, isVerified, body, compared, claim })
}

/** Another message may be left to the one that this is. */
function carrierOf(c: Context<GatewayEnv>): Pick<ClaimRequest, 'carrier'> {
  const scope = c.env[MESSAGE]
  if (scope === undefined) return {}
  const { queue, id } = scope.message
  return { carrier: { queue, id, isLast: scope.isLast } }
}

/** Within what a key counts; a business key has the name of its operation in itself. */
function withinOf(
  c: Context<GatewayEnv>,
  operation: string,
  { source, scope }: Introduced['found'],
): Within {
  const message = c.env[MESSAGE]
  const consumer = message?.consumer ?? ''
  if (source === 'business') return { consumer }
  // What is asked for by requests as well counts for a message as it does for them.
  const isNamed =
    scope === 'operation' ||
    (message?.isOfRoute === true && deployedScope(operation) === 'operation')
  return isNamed ? { consumer, operation } : { consumer }
}

function headOf(c: Context<GatewayEnv>): RequestHead {
  const { method, headers } = c.req.raw
  const { path, search } = requestUrlOf(c)
  return { method, path, search, headers }
}
