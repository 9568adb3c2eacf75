import type { Context, Env, MiddlewareHandler } from 'hono'
import { routePath } from 'hono/route'

import type { Any, GatewayEnv, HapaxVariables } from './gateway-env.ts'
import { type HapaxOptions, readOptions } from './gateway-options.ts'
import { isAtOrBelow, mountPathOf } from './mount-path.ts'
import { matchAsWritten } from './normalized-url.ts'
import { unprotectedContext } from './operation-context.ts'
import { answerOwn, isOwn } from './own-routes.ts'
import { keepBody } from './payload.ts'
import { openScope, pathBelowBase } from './request-scope.ts'
import { isApart } from './reserved-paths.ts'
import { markEntry } from './well-known.ts'

/**
 * Prepares a Hono app of your own for `protect` and `idempotent`. Add it before the protected routes.
 * It also serves `/_hapax/problems`, `/_hapax/operations`, `/.well-known/idempotency` and, if the
 * deployment takes them, `/_hapax/claims`, below the path that it is added for. It changes nothing for other routes.
 *
 * @throws {TypeError} When `tenant` is not a function, or another option is invalid.
 * @example app.use(hapax({ tenant: credential('Authorization') }))
 */
export function hapax<E extends Env = Any>(
  options: HapaxOptions<E>,
): MiddlewareHandler<HapaxVariables> {
  const given = readOptions('hapax', options)
  const enter: MiddlewareHandler<GatewayEnv> = async function hapax(c, next) {
    openScope(c, given, baseOf(c))
    c.set('hapax', unprotectedContext(c))
    keepBody(c)
    matchAsWritten(c)
    if (isApart(c)) return c.text('Not found', 404)
    return isOwn(pathBelowBase(c)) ? answerOwn(c) : next()
  }
  return markEntry(enter) as MiddlewareHandler
}

/** The path that the middleware was added for. A parameter in it stands for a segment of the request. */
function baseOf(c: Context): string {
  const base = mountPathOf(routePath(c))
  if (base === '' || isAtOrBelow(c.req.path, base)) return base
  return c.req.path.split('/').slice(0, base.split('/').length).join('/')
}
