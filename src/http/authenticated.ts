import type { MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'

import { logFault } from '../metrics/log.ts'
import { inTime } from '../platform/in-time.ts'
import type { Identify, Identity } from './gateway-env.ts'
import { NOBODY } from './tenants.ts'

/** How long the verification may take, in milliseconds. */
const VERIFY_MS = 10_000

const UNVERIFIED: Identity = { kind: 'unverified' }

/**
 * Verifies the caller before its tenant is resolved. A rejected caller has no tenant. If the
 * verification itself fails or does not end, for example without the keys of the issuer, the
 * credentials may be valid, so the caller is `unverified`.
 */
export function authenticated(
  authenticate: MiddlewareHandler | undefined,
  identify: Identify,
): Identify {
  if (authenticate === undefined) return identify
  return async function authenticated(c) {
    let isLetIn = false
    try {
      const verification = authenticate(c, async () => {
        isLetIn = true
      })
      const answer = await inTime(Promise.resolve(verification), VERIFY_MS)
      if (answer instanceof Response && answer.status >= 500) return UNVERIFIED
      if (answer instanceof Response) return NOBODY
    } catch (error) {
      if (isRefusal(error)) return NOBODY
      logFault(
        'a caller could not be verified',
        error instanceof HTTPException ? (error.cause ?? error) : error,
      )
      return UNVERIFIED
    }
    if (!isLetIn) return NOBODY
    const identity = await identify(c)
    return identity.kind === 'known' ? { ...identity, isVerified: true } : identity
  }
}

/** Hono's `jwk` also throws 401 if the keys are late or not JSON. Only the cause tells the difference. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof HTTPException) || error.status >= 500) return false
  const { cause } = error
  if (cause instanceof DOMException) return !LATE.has(cause.name)
  return !BROKEN.some((kind) => cause instanceof kind)
}

/** Errors of `fetch` and of parsing JSON. */
const BROKEN = [SyntaxError, TypeError]

/** Exceptions of `fetch`. Other ones are caused by the token, such as a key for another algorithm. */
const LATE: ReadonlySet<string> = new Set(['AbortError', 'NetworkError', 'TimeoutError'])
