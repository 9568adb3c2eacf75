import type { MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'

import { logFault } from '../metrics/log.ts'
import { inTime } from '../platform/in-time.ts'
import type { Identify, Identity } from './gateway-env.ts'
import { NOBODY } from './tenants.ts'

/** How long the verification is waited for, in milliseconds. */
const VERIFY_MS = 10_000

const UNVERIFIED: Identity = { kind: 'unverified' }

/**
 * Asks who the caller is only after that was verified. Whom the verification refuses is nobody. Where
 * it breaks, or does not end, as without the keys of the issuer, the credentials may be good: that is
 * no refusal.
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

/** Hono's `jwk` says 401 also where the keys did not come in time or are no JSON; the cause tells. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof HTTPException) || error.status >= 500) return false
  const { cause } = error
  if (cause instanceof DOMException) return !LATE.has(cause.name)
  return !BROKEN.some((kind) => cause instanceof kind)
}

/** What `fetch` and the reading of JSON throw. */
const BROKEN = [SyntaxError, TypeError]

/** The exceptions of `fetch`. Those of a key that is none for the algorithm of the token are of the token. */
const LATE: ReadonlySet<string> = new Set(['AbortError', 'NetworkError', 'TimeoutError'])
