import type { HapaxEnv } from '../config/env.ts'

/** Where requests go: a function like `fetch`, and the URL of a path there. */
export interface OriginTarget {
  readonly fetch: typeof fetch
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
 * @throws {Error} When `ORIGIN_URL` is not an http or https URL.
 */
export function originOf(env: HapaxEnv): OriginTarget | null {
  const { ORIGIN: binding } = env
  if (binding !== undefined) {
    return { fetch: binding.fetch.bind(binding), urlOf: (path) => BOUND_ORIGIN + path }
  }
  if (!env.ORIGIN_URL) return null
  const base = readBase(env.ORIGIN_URL)
  return { fetch: (input, init) => fetch(input, init), urlOf: (path) => base + path }
}

function readBase(originUrl: string): string {
  const url = URL.parse(originUrl)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new Error('ORIGIN_URL must be an http or https URL, such as https://api.example.com')
  }
  return url.origin + url.pathname.replace(/\/$/, '')
}

/** What a deployer is told who protects a route without saying where its origin is. */
export const NO_ORIGIN =
  'There is no origin: set the variable ORIGIN_URL or a service binding named ORIGIN in wrangler.toml.'
