import { secretsOf } from '../core/destination.ts'
import type { Policy } from './policy.ts'

/** Policies of the deployment that runs, by operation; those of a route for every method stand under `ALL`. */
const deployed = new Map<string, Policy[]>()

/** A route that is guarded. */
interface GuardedRoute {
  readonly method: string
  readonly path: string
  readonly policy: Policy
}

/** Makes policies known to the objects of this deployment. */
export function deployPolicies(routes: readonly GuardedRoute[]): void {
  for (const { method, path, policy } of routes) {
    const operation = policy.operation ?? `${method} ${path}`
    deployed.set(operation, [...(deployed.get(operation) ?? []), policy])
  }
}

/** Names of the secrets that the deployed routes sign their webhooks with. */
export function deployedSigners(): ReadonlySet<string> {
  const rules = [...deployed.values()].flat().flatMap(({ events }) => events)
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
  // A route for GET answers HEAD too, and one for every method whatever comes.
  const names = [operation, operation.replace(/^HEAD /, 'GET '), operation.replace(/^\S+/, 'ALL')]
  return names.map((name) => deployed.get(name)).find((found) => found !== undefined) ?? []
}
