import { policyAt, policyNamed } from '../config/deployed-policies.ts'
import type { Policy } from '../config/policy.ts'
import type { KeyScope, KeySource } from '../core/key-source.ts'
import type { Within } from '../core/operation.ts'
import type { Exchange } from './exchange.ts'
import { MESSAGE } from './gateway-env.ts'
import { requestUrlOf } from './normalized-url.ts'

/** Within what a key counts; a business key has in itself what it counts within. */
export function withinOf(
  exchange: Exchange,
  { source, scope }: { readonly source: KeySource['in']; readonly scope: KeyScope },
): Within {
  const message = exchange.c.env[MESSAGE]
  const consumer = message?.consumer ?? ''
  if (source === 'business') return { consumer }
  if (scope === 'operation') {
    // The id of an event, or of a message: no request brings it, and two paths of a route may get it.
    const isOwn = message !== undefined && source === 'header'
    return { consumer, operation: isOwn ? exchange.known.operation : placeOf(exchange) }
  }
  // A key that a message brings counts as those of the requests that ask for the same, but for
  // business keys, which messages share by bringing the same values.
  const asked = policyOfRequests(exchange)?.key.find(({ in: at }) => at !== 'business')
  return asked?.scope === 'operation' ? { consumer, operation: placeOf(exchange) } : { consumer }
}

/**
 * What a key counts within that counts within its operation: the name that the policy has, else method
 * and path. Two paths of one pattern are two places, and an event may be sent to both.
 */
export function placeOf(exchange: Exchange): string {
  const { c, policy, known } = exchange
  const here = `${c.req.method} ${requestUrlOf(c).path}`
  // What is asked for by requests as well counts for a message as it does for them.
  const asked = policyOfRequests(exchange)
  if (asked !== undefined) return asked.operation ?? here
  const isOfPath = c.env[MESSAGE]?.routeBy === 'path' || policy.operation === undefined
  return isOfPath ? here : known.operation
}

/** The policy of the route whose operations a message shares, if any. */
function policyOfRequests({ c, known }: Exchange): Policy | undefined {
  const routeBy = c.env[MESSAGE]?.routeBy
  if (routeBy === 'path') return policyAt(c.req.method, requestUrlOf(c).path)
  return routeBy === 'name' ? policyNamed(known.operation) : undefined
}
