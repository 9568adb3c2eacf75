import { policyAt, policyNamed } from '../config/deployed-policies.ts'
import type { Policy } from '../config/policy.ts'
import type { Within } from '../core/operation/operation.ts'
import type { KeyScope, KeySource } from '../core/request/key-source.ts'
import type { Exchange } from './exchange.ts'
import { innerOf, messageOf } from './gateway-env.ts'
import { requestUrlOf } from './normalized-url.ts'

/** The scope in which a key must be unique. A business key contains its operation already. */
export function withinOf(
  exchange: Exchange,
  { source, scope }: { readonly source: KeySource['in']; readonly scope: KeyScope },
): Within {
  const message = messageOf(exchange.c.env)
  const consumer = innerOf(exchange.c.env)?.consumer ?? ''
  if (source === 'business') return { consumer }
  if (scope === 'operation') {
    // The id of an event or message: no request has it, and two paths of a route may get it.
    const isOwn = message !== undefined && source === 'header'
    return { consumer, operation: isOwn ? exchange.known.operation : placeOf(exchange) }
  }
  // A message's key has the scope of the requests with the same operations. Business keys are shared
  // by their values.
  const asked = policyOfRequests(exchange)?.key.find(({ in: at }) => at !== 'business')
  return asked?.scope === 'operation' ? { consumer, operation: placeOf(exchange) } : { consumer }
}

/**
 * The operation within which a key with scope `operation` is unique: the name in the policy, else
 * method and path. Two paths of one pattern are two operations, and an event may be sent to both.
 */
export function placeOf(exchange: Exchange): string {
  const { c, policy, known } = exchange
  const here = `${c.req.method} ${requestUrlOf(c).path}`
  // A message uses the same rule as the requests that share its operations.
  const asked = policyOfRequests(exchange)
  if (asked !== undefined) return asked.operation ?? here
  const isOfPath = messageOf(c.env)?.routeBy === 'path' || policy.operation === undefined
  return isOfPath ? here : known.operation
}

/** The policy of the HTTP route that shares the operations of a message, if any. */
function policyOfRequests({ c, known }: Exchange): Policy | undefined {
  const routeBy = messageOf(c.env)?.routeBy
  if (routeBy === 'path') return policyAt(c.req.method, requestUrlOf(c).path)
  return routeBy === 'name' ? policyNamed(known.operation) : undefined
}
