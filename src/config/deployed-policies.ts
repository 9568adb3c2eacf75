import { secretsOf } from '../core/destination.ts'
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

/** Names of the secrets that the deployed routes sign their webhooks with. */
export function deployedSigners(): ReadonlySet<string> {
  const rules = [...deployed.values()].flat().flatMap(({ policy }) => policy.events)
  return new Set(rules.flatMap(({ to }) => (to.to === 'webhook' ? secretsOf(to).slice(0, 1) : [])))
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
 * The scope of the keys that requests for an operation bring, as the first source of its route has
 * it.
 *
 * @returns `undefined` where no route for requests is deployed.
 */
export function deployedScope(operation: string): KeyScope | undefined {
  const routes = namesOf(operation).map((name) =>
    deployed.get(name)?.findLast(({ asking }) => asking === 'requests'),
  )
  const keys = routes.find((route) => route !== undefined)?.policy.key
  // But for business keys, which messages share by bringing the same values.
  return keys?.find((source) => source.in !== 'business')?.scope
}

/** A route for GET answers HEAD too, and one for every method whatever comes. */
function namesOf(operation: string): readonly string[] {
  return [operation, operation.replace(/^HEAD /, 'GET '), operation.replace(/^\S+/, 'ALL')]
}
