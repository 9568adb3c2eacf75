import type { KeyScope } from '../core/key-source.ts'
import type { Policy } from './policy.ts'

/** Policies of the deployment that runs, by operation; those of a route for every method stand under `ALL`. */
const deployed = new Map<string, Deployed[]>()

/** Who asks for an operation. */
type Asking = 'requests' | 'messages'

interface Deployed {
  readonly policy: Policy
  readonly asking: Asking
}

/** A route that is guarded. */
interface GuardedRoute {
  readonly method: string
  readonly path: string
  readonly policy: Policy
}

/** Makes policies known to the objects of this deployment. */
export function deployPolicies(routes: readonly GuardedRoute[], asking: Asking = 'requests'): void {
  for (const { method, path, policy } of routes) {
    const operation = policy.operation ?? `${method} ${path}`
    deployed.set(operation, [...(deployed.get(operation) ?? []), { policy, asking }])
  }
}

/**
 * The policies that an operation has by now. An object, and whoever asks for an operation by its
 * id, has only a record, which an earlier deployment may have made.
 *
 * @returns Several where a route and a consumer, or two routes, have one operation; none where no
 *   route has it any more.
 */
export function deployedPolicies(operation: string): readonly Policy[] {
  const known = namesOf(operation).map((name) => deployed.get(name))
  return known.find((found) => found !== undefined)?.map(({ policy }) => policy) ?? []
}

/**
 * Within what the keys count that the requests of an operation bring, as its route's first source says.
 *
 * @returns `undefined` where no route for requests is deployed.
 */
export function deployedScope(operation: string): KeyScope | undefined {
  const known = namesOf(operation).flatMap((name) => deployed.get(name) ?? [])
  const route = known.find(({ asking }) => asking === 'requests')
  // A business key is never that of a message which brings its own.
  return route?.policy.key.find((source) => source.in !== 'business')?.scope
}

/** A route for GET answers HEAD too, and one for every method whatever comes. */
function namesOf(operation: string): readonly string[] {
  return [operation, operation.replace(/^HEAD /, 'GET '), operation.replace(/^\S+/, 'ALL')]
}
