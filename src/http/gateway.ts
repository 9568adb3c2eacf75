import { Hono } from 'hono'
import { getPathNoStrict } from 'hono/utils/url'

import { readCorrelation } from '../core/correlation.ts'
import { createDigest, type Digest } from '../core/digest.ts'
import type { GatewayEnv, TenantResolver } from './gateway-env.ts'
import { operations } from './operations.ts'
import { passThrough } from './pass-through.ts'
import { problemPages } from './problem-pages.ts'

/** What a gateway needs to be told. */
export interface GatewayOptions {
  /** Tells whose a request is. There is no default: a shared tenant would replay one party's answers to another. */
  readonly tenant: TenantResolver
}

/**
 * Creates a gateway: a Hono app whose routes may be protected with `protect` and `idempotent`,
 * and that hands everything else to the origin untouched.
 *
 * @throws {Error} When `tenant` is not a function.
 * @example const app = createGateway({ tenant: credential('Authorization') })
 */
export function createGateway(options: GatewayOptions): Hono<GatewayEnv> {
  if (typeof options?.tenant !== 'function') {
    throw new TypeError("createGateway needs a tenant, such as credential('Authorization').")
  }
  const { tenant } = options
  const digestOf = createDigests()
  // A path with a slash at its end, or with two of them in a row, is the same route for many
  // origins; it must not slip past its protection.
  const app = new Hono<GatewayEnv>({
    getPath: (request) => getPathNoStrict(request).replaceAll(/\/{2,}/g, '/'),
  })
  app.use(async function scope(c, next) {
    c.set('hapax', {
      startedAt: Date.now(),
      correlation: readCorrelation(c.req.raw.headers, () => crypto.randomUUID()),
      digest: digestOf(c.env.HAPAX_DIGEST_KEY),
      tenant,
    })
    await next()
  })
  app.route('/_hapax/problems', problemPages)
  app.route('/_hapax/operations', operations)
  // Nothing under these paths is the origin's.
  app.all('/_hapax/*', (c) => c.text('Not found', 404))
  app.all('/.well-known/idempotency', (c) => c.text('Not found', 404))
  app.notFound(passThrough)
  return app
}

/** One digest function for each secret that a deployment has had: importing the key costs time. */
function createDigests(): (secret: string | undefined) => Digest {
  const bySecret = new Map<string | undefined, Digest>()
  return (secret) => {
    const known = bySecret.get(secret) ?? createDigest(secret)
    bySecret.set(secret, known)
    return known
  }
}
