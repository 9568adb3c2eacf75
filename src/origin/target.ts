import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { HapaxEnv } from '../config/env.ts'

/** Where requests go: a function like `fetch`, and the URL of a path there. */
export interface OriginTarget {
  /** Names it among others. */
  readonly id: string
  readonly fetch: typeof fetch
  /** Whether a request of the platform can be sent on as it is: `fetch` sets the `Host`, and nothing else changes. */
  readonly isPlain: boolean
  /** Path and query there for those of a request. Only a named origin removes a prefix. */
  readonly pathOf: (path: string) => string
  /** @param path Path and query, beginning with `/`. */
  readonly urlOf: (path: string) => string
}

/** Host of the URLs that a service binding gets; no name is looked up for it. */
export const BOUND_ORIGIN = 'https://origin.internal'

/**
 * Finds the own origin of a deployment: the service binding `ORIGIN`, else the URL in `ORIGIN_URL`,
 * whose path, where it has one, comes before every request's path.
 *
 * @returns `null` when neither is configured.
 * @throws {ConfigurationFault} When `ORIGIN` is no service binding, or `ORIGIN_URL` no http or https URL.
 */
export function ownOrigin(env: HapaxEnv): OriginTarget | null {
  const { ORIGIN: binding } = env
  if (binding !== undefined) {
    if (typeof binding.fetch !== 'function') throw new ConfigurationFault(NO_SERVICE)
    const bound = boundTargets.get(binding) ?? toBoundTarget(binding)
    boundTargets.set(binding, bound)
    return bound
  }
  if (!env.ORIGIN_URL) return null
  const target = targets.get(env.ORIGIN_URL) ?? toTarget(env.ORIGIN_URL)
  targets.set(env.ORIGIN_URL, target)
  return target
}

/** Each step of a request finds its origin. */
const boundTargets = new WeakMap<Fetcher, OriginTarget>()

function toBoundTarget(binding: Fetcher): OriginTarget {
  return {
    id: BOUND_ORIGIN,
    fetch: (input, init) => binding.fetch(input, init),
    isPlain: false,
    pathOf: unchanged,
    urlOf: (path) => BOUND_ORIGIN + path,
  }
}

/** Origins by their `ORIGIN_URL`, which every request would parse again. */
const targets = new Map<string, OriginTarget>()

function toTarget(originUrl: string): OriginTarget {
  const base = readBase(originUrl)
  return {
    id: base,
    fetch: (input, init) => fetch(input, init),
    isPlain: true,
    pathOf: unchanged,
    urlOf: (path) => base + path,
  }
}

/** Whether the deployment's own origin has a base path. */
export function ownHasBasePath({ ORIGIN, ORIGIN_URL }: HapaxEnv): boolean {
  if (ORIGIN !== undefined || !ORIGIN_URL) return false
  const url = URL.parse(ORIGIN_URL)
  return url !== null && toBase(url) !== url.origin
}

const NO_SERVICE = 'ORIGIN must be a service binding. For a URL there is the variable ORIGIN_URL.'

function readBase(originUrl: string): string {
  const url = URL.parse(originUrl)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new ConfigurationFault(
      'ORIGIN_URL must be an http or https URL, such as https://api.example.com',
    )
  }
  return toBase(url)
}

/** What comes before the path of a request in the URL of an origin: no slash at its end. */
export function toBase({ origin, pathname }: URL): string {
  return origin + pathname.replace(/\/+$/, '')
}

const unchanged = (path: string) => path
