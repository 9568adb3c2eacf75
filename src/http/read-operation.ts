import type { ClaimRequest } from '../core/operation/claim.ts'
import { operationId } from '../core/operation/operation.ts'
import * as details from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { ok, type Result } from '../core/result.ts'
import { eventsOf } from './call-plan.ts'
import { type Admitted, type Exchange, learn } from './exchange.ts'
import { findKey, type FoundKey } from './find-key.ts'
import { fingerprintRequest } from './fingerprint-request.ts'
import { type Identity, messageOf } from './gateway-env.ts'
import { withinOf } from './key-scope.ts'
import { whyRefused } from './refuse-url.ts'
import { scopeOf } from './request-scope.ts'
import { tenantMissing } from './verdict.ts'

/** The result of reading a request. Until then, nothing is stored or sent. */
export type Reading =
  /** It contains nothing that could be executed twice. */
  | { readonly kind: 'no-operation' }
  | { readonly kind: 'refused'; readonly problem: Problem }
  /** It has no key, and the route allows that without protection. */
  | { readonly kind: 'keyless' }
  | { readonly kind: 'admitted'; readonly admitted: Admitted }

/**
 * Reads the operation of a request: key, tenant, payload and fingerprint.
 *
 * @throws {ConfigurationFault} If the deployment lacks something, or a function of the policy fails.
 */
export async function readOperation(exchange: Exchange): Promise<Reading> {
  const { c, policy } = exchange
  // The app may not be a gateway, which refuses such a URL for every route.
  const because = whyRefused(c)
  if (because !== null) return refused(details.requestInvalid(because))
  const found = await findKey(exchange)
  if (found.kind === 'key') return readKeyed(exchange, found)
  if (found.kind !== 'none') return found
  // A message without a key would be executed again with every delivery.
  const isRequired = policy.required || messageOf(c.env) !== undefined
  return isRequired ? refused(details.keyMissing(policy.key)) : { kind: 'keyless' }
}

async function readKeyed(exchange: Exchange, found: Keyed): Promise<Reading> {
  const identity = await exchange.identify(exchange.c)
  if (identity.kind !== 'known') return refused(tenantMissing(identity))
  const admission = await admit(exchange, found, identity)
  learn(exchange, { tenant: identity.tenant })
  if (!admission.ok) return refused(admission.error)
  const { claim, body } = admission.value
  learn(exchange, { operationId: claim.operationId, requestBytes: body.byteLength })
  return { kind: 'admitted', admitted: admission.value }
}

const refused = (problem: Problem): Reading => ({ kind: 'refused', problem })

type Keyed = Extract<FoundKey, { kind: 'key' }>

/** Reads the payload, and computes the fingerprint. */
async function admit(
  exchange: Exchange,
  found: Keyed,
  { tenant, isVerified }: Extract<Identity, { kind: 'known' }>,
): Promise<Result<Admitted, Problem>> {
  const { c, policy, payload, known } = exchange
  const { operation } = known
  const { digest, correlation } = scopeOf(c)
  const { key, call } = found
  const whole = await payload.whole()
  if (!whole.ok) return whole
  const named = await fingerprintRequest(exchange)
  if (!named.ok) return named
  const { compared, fields, fingerprint } = named.value
  const id = operationId(digest, tenant, key, withinOf(exchange, found))
  const claim = {
    operationId: id,
    operation,
    tenant,
    fingerprint,
    // The object adds them, if the request begins the operation.
    places: '',
    claimId: crypto.randomUUID(),
    correlationId: correlation.correlationId,
    traceparent: correlation.traceparent,
    events: eventsOf(exchange),
    retentionMs: policy.retention,
    tombstoneMs: policy.tombstone,
    ...(policy.origin !== undefined && { origin: policy.origin }),
    mustBeKnown: messageOf(c.env)?.mayExecute === false,
    ...carrierOf(exchange),
  }
  return ok({ key, call, isVerified, body: whole.value, fields, compared, claim })
}

/** Names the message in the claim, so that another delivery can recognize it. */
function carrierOf({ c }: Exchange): Pick<ClaimRequest, 'carrier'> {
  const scope = messageOf(c.env)
  if (scope === undefined) return {}
  const { queue, id } = scope.message
  return { carrier: { queue, id, isNearEnd: scope.isNearEnd } }
}
