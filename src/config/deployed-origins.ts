import { checkOrigins, type Origin, type OriginsOptions } from './origins.ts'
import { parsePolicy, type Policy, type PolicyOptions } from './policy.ts'

/** By their names, as the gateways of the deployment that runs say. */
const deployed = new Map<string, Origin>()

/**
 * Makes the origins of a gateway known to all of this Worker, and to its objects.
 *
 * @throws {TypeError} When one is invalid, or another gateway of this Worker has another one of that name.
 */
export function deployOrigins(options: OriginsOptions): void {
  checkOrigins(options)
  for (const [name, origin] of Object.entries(options.origins ?? {})) {
    const before = deployed.get(name) ?? origin
    if (JSON.stringify(before) !== JSON.stringify(origin)) {
      throw new TypeError(`All gateways of a Worker have the same origin ${name}.`)
    }
    deployed.set(name, before)
  }
}

/** All origins of this deployment beside its own. */
export function deployedOrigins(): ReadonlyMap<string, Origin> {
  return deployed
}

/** Names of the variables that have the URLs of origins. */
export function originVariables(): string[] {
  const places = [...deployed.values()].map(({ place }) => place)
  return places.flatMap((place) => (place.kind === 'variable' ? [place.name] : []))
}

/** Says that no origin has this name, and which ones there are. */
export function noSuchOrigin(name: string): string {
  const known = [...deployed.keys()].join(', ') || 'none'
  return `there is no ${name} in origins, which has ${known}`
}

/**
 * The policy of a route, with the defaults of its origin as soon as that is deployed: a module of routes
 * may be loaded before the gateway is created.
 */
export function policyWithDefaults(options: PolicyOptions, policy: Policy): () => Policy {
  let found: Policy | null = null
  return () => (found ??= withOriginDefaults(options, policy)) ?? policy
}

/** @returns `null` if the origin of the policy is not deployed. */
function withOriginDefaults(options: PolicyOptions, policy: Policy): Policy | null {
  const origin = deployed.get(policy.origin ?? '')
  if (origin === undefined) return null
  const { timeout, retry } = origin.defaults
  const parsed = parsePolicy({
    ...options,
    ...(options.timeout === undefined && timeout !== undefined && { timeout }),
    retry: { ...retry, ...options.retry },
  })
  return parsed.ok ? parsed.value : policy
}
