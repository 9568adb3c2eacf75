import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { FingerprintFunction, Policy } from '../config/policy.ts'
import type { ClaimRequest } from '../core/claim.ts'
import { type ComparedRequest, digestPlaces } from '../core/differences.ts'
import { errorName } from '../core/error-name.ts'
import {
  fingerprint,
  fingerprintOfAny,
  fingerprintOfValue,
  type RequestHead,
} from '../core/fingerprint/fingerprint.ts'
import { toCanonicalValue } from '../core/fingerprint/value.ts'
import type { JsonRpcCall } from '../core/json-rpc.ts'
import type { KeySource } from '../core/key-source.ts'
import { operationId, type Within } from '../core/operation.ts'
import type { Problem } from '../core/problem.ts'
import { ok, type Result } from '../core/result.ts'
import { sealPlaces } from './compare.ts'
import { eventsOf } from './events.ts'
import type { FoundKey } from './find-key.ts'
import { type GatewayEnv, MESSAGE } from './gateway-env.ts'
import type { Payload } from './payload.ts'
import { placeOf, scopeOf } from './place.ts'
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
  /** The request, as it is compared with another of the same key; `null` where its parts are not. */
  readonly compared: ComparedRequest | null
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
  const whole = await payload.whole()
  if (!whole.ok) return whole
  const named = await nameRequest(c, policy, operation, payload)
  if (!named.ok) return named
  const { digest, correlation } = c.var.hapax
  const { key, source, call } = found
  const { compared, fingerprint } = named.value
  const id = await operationId(digest, tenant, key, withinOf(c, policy, operation, found))
  const claim = {
    operationId: id,
    operation,
    tenant,
    fingerprint,
    // Without parts that could be told there is nothing to keep of them.
    places:
      compared === null
        ? ''
        : await sealPlaces(c, id, key, await digestPlaces(compared, digest, key)),
    claimId: crypto.randomUUID(),
    correlationId: correlation.correlationId,
    traceparent: correlation.traceparent,
    events: eventsOf(c, policy),
    retentionMs: policy.retention,
    tombstoneMs: policy.tombstone,
    mustBeKnown: c.env[MESSAGE]?.mayExecute === false,
    ...carrierOf(c),
  }
  return ok({ key, source, call, isVerified, body: whole.value, compared, claim })
}

/** Another message may be left to the one that this is. */
function carrierOf(c: Context<GatewayEnv>): Pick<ClaimRequest, 'carrier'> {
  const scope = c.env[MESSAGE]
  if (scope === undefined) return {}
  const { queue, id } = scope.message
  return { carrier: { queue, id, isNearEnd: scope.isNearEnd } }
}

/** Within what a key counts; a business key has in itself what it counts within. */
function withinOf(
  c: Context<GatewayEnv>,
  policy: Policy,
  operation: string,
  { source, scope }: Introduced['found'],
): Within {
  const message = c.env[MESSAGE]
  const consumer = message?.consumer ?? ''
  if (source === 'business') return { consumer }
  // The id of an event, or of a message: no request brings it, and two paths of a route may get it.
  const isOwn = message !== undefined && scope === 'operation' && source === 'header'
  if (isOwn) return { consumer, operation }
  const isNarrow = scopeOf(c, operation, scope) === 'operation'
  return isNarrow ? { consumer, operation: placeOf(c, policy) } : { consumer }
}

/** What tells a request from another of the same key. */
interface Named extends Pick<Admitted, 'compared'> {
  readonly fingerprint: string
}

/** @throws {ConfigurationFault} When the route's own function makes nothing of it that can be compared. */
async function nameRequest(
  c: Context<GatewayEnv>,
  { fingerprint: rules }: Policy,
  operation: string,
  payload: Payload,
): Promise<Result<Named, Problem>> {
  const { digest } = c.var.hapax
  if (rules === false) {
    return ok({ fingerprint: await fingerprintOfAny(operation, digest), compared: null })
  }
  const head = headOf(c)
  if (typeof rules === 'function') {
    await payload.restoreTaken()
    const value = toCanonicalValue(await callFunction(c, rules))
    if (value === null) throw new ConfigurationFault(NOT_COMPARABLE)
    return ok({ fingerprint: await fingerprintOfValue(head, value, digest), compared: null })
  }
  const read = await payload.read()
  if (!read.ok) return read
  const compared = { head, body: read.value, rules }
  return ok({ fingerprint: await fingerprint(head, read.value, rules, digest), compared })
}

async function callFunction(c: Context<GatewayEnv>, rules: FingerprintFunction): Promise<unknown> {
  try {
    return await rules(c)
  } catch (error) {
    // Its message may hold what must not be logged.
    throw new ConfigurationFault(`The fingerprint function of a route threw: ${errorName(error)}.`)
  }
}

const NOT_COMPARABLE =
  'The fingerprint function of a route must return a string, a number, a boolean, null, or an array or plain object of those.'

function headOf(c: Context<GatewayEnv>): RequestHead {
  const { method, headers } = c.req.raw
  const { path, search } = requestUrlOf(c)
  return { method, path, search, headers }
}
