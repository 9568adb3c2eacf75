import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { HapaxEnv } from '../config/env.ts'

/** Where requests go: a function like `fetch`, and the URL of a path there. */
export interface OriginTarget {
  /** Names it among others: its base URL. */
  readonly base: string
  readonly fetch: typeof fetch
  /** Whether it is another Worker: then a request keeps the `Host` that it has. */
  readonly isBound: boolean
  /** @param path Path and query, beginning with `/`. */
  readonly urlOf: (path: string) => string
}

/** Host of the URLs that a service binding gets; no name is looked up for it. */
const BOUND_ORIGIN = 'https://origin.internal'

/**
 * Finds the origin of a deployment: the service binding `ORIGIN`, else the URL in `ORIGIN_URL`,
 * whose path, where it has one, comes before every request's path.
 *
 * @returns `null` when neither is configured.
 * @throws {ConfigurationFault} When `ORIGIN` is no service binding, or `ORIGIN_URL` no http or https URL.
 */
export function originOf(env: HapaxEnv): OriginTarget | null {
  const { ORIGIN: binding } = env
  if (binding !== undefined) {
    if (typeof binding.fetch !== 'function') throw new ConfigurationFault(NO_SERVICE)
    const urlOf = (path: string) => BOUND_ORIGIN + path
    return { base: BOUND_ORIGIN, fetch: binding.fetch.bind(binding), isBound: true, urlOf }
  }
  if (!env.ORIGIN_URL) return null
  const target = targets.get(env.ORIGIN_URL) ?? toTarget(env.ORIGIN_URL)
  targets.set(env.ORIGIN_URL, target)
  return target
}

/** Origins by their `ORIGIN_URL`, which every request would parse again. */
const targets = new Map<string, OriginTarget>()

function toTarget(originUrl: string): OriginTarget {
  const base = readBase(originUrl)
  return {
    base,
    fetch: (input, init) => fetch(input, init),
    isBound: false,
    urlOf: (path) => base + path,
  }
}

/** Whether requests go below a path at the origin, out of which none may lead. */
export function hasBasePath({ ORIGIN, ORIGIN_URL }: HapaxEnv): boolean {
  if (ORIGIN !== undefined || !ORIGIN_URL) return false
  const url = URL.parse(ORIGIN_URL)
  return url !== null && withoutSlash(url.pathname) !== ''
}

const NO_SERVICE = 'ORIGIN must be a service binding. For a URL there is the variable ORIGIN_URL.'

function readBase(originUrl: string): string {
  const url = URL.parse(originUrl)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new ConfigurationFault(
      'ORIGIN_URL must be an http or https URL, such as https://api.example.com',
    )
  }
  return url.origin + withoutSlash(url.pathname)
}

const withoutSlash = (path: string) => path.replace(/\/+$/, '')

/** Message for a protected route without an origin. */
const NO_ORIGIN =
  'There is no origin: set the variable ORIGIN_URL or a service binding named ORIGIN in wrangler.toml.'

/**
 * Finds the origin where there must be one.
 *
 * @throws {ConfigurationFault} When there is none.
 */
export function requireOrigin(env: HapaxEnv): OriginTarget {
  const origin = originOf(env)
  if (origin === null) throw new ConfigurationFault(NO_ORIGIN)
  return origin
}
