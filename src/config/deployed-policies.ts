import { secretsOf } from '../core/event/destination.ts'
import type { Policy } from './policy.ts'

/** Policies of the deployment that runs, by operation; those of a route for every method stand under `ALL`. */
const deployed = new Map<string, Deployed[]>()

/** Who asks for an operation. */
type Asking = 'requests' | 'messages'

interface Deployed {
  readonly policy: Policy
  readonly asking: Asking
}

/** A route that is guarded, and its policy. */
export interface DeployedRoute {
  readonly method: string
  readonly path: string
  readonly policy: Policy
}

/** Finds the guarded route that a request would come to. */
type FindRoute = (method: string, path: string) => DeployedRoute | undefined

/** Of each Worker, in the order of their making. */
const finders: FindRoute[] = []

/** Makes known where requests come to. */
export function deployRoutes(find: FindRoute): void {
  finders.push(find)
}

/** Makes policies known to the objects of this deployment. */
export function deployPolicies(
  routes: readonly DeployedRoute[],
  asking: Asking = 'requests',
): void {
  for (const { method, path, policy } of routes) {
    const operation = policy.operation ?? `${method} ${path}`
    deployed.set(operation, [...(deployed.get(operation) ?? []), { policy, asking }])
  }
}

/** Policies of messages, with the names of their operations. */
export function deployedMessages(): (readonly [operation: string, policy: Policy])[] {
  return [...deployed].flatMap(([operation, all]) =>
    all.flatMap(({ policy, asking }) =>
      asking === 'messages' ? [[operation, policy] as const] : [],
    ),
  )
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

/** The policy that requests for an operation meet. @returns `undefined` where no route has that name. */
export function policyNamed(operation: string): Policy | undefined {
  const routes = namesOf(operation).map((name) =>
    deployed.get(name)?.findLast(({ asking }) => asking === 'requests'),
  )
  return routes.find((route) => route !== undefined)?.policy
}

/** The policy that a request to a path meets. @returns `undefined` where no guarded route takes it. */
export function policyAt(method: string, path: string): Policy | undefined {
  const routes = finders.toReversed().map((find) => find(method, path))
  return routes.find((route) => route !== undefined)?.policy
}

/** A route for GET answers HEAD too, and one for every method whatever comes. */
function namesOf(operation: string): readonly string[] {
  return [operation, operation.replace(/^HEAD /, 'GET '), operation.replace(/^\S+/, 'ALL')]
}
