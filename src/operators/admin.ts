import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { serveAdminDocument } from './admin-document.ts'
import { answerQuery, answerTimeline, findByCorrelation } from './analytics-api.ts'
import { NoAnswer } from './ask-objects.ts'
import { authenticate, hasOperators } from './authenticate.ts'
import { isFromOtherSite, isLikeForm } from './cross-site.ts'
import { drop, dropMany, listLetters, replay, replayMany, showLetter } from './dead-letter-api.ts'
import { erase, lookUp, release, resolve, resolveMany, showOperation } from './operation-api.ts'
import { notFound, refusal } from './refusal.ts'
import { MAX_BODY_BYTES } from './resolution.ts'
import { listStuck } from './stuck-api.ts'

type AdminContext = Context<GatewayEnv>

/**
 * Creates the admin API: operators look operations up, decide about stuck ones, and replay or drop
 * dead letters. Without configured operators every path is a 404. Every change is audited.
 *
 * @param app The gateway's app, whose consumers replay dead letters.
 */
export function createAdmin(app: object): Hono<GatewayEnv> {
  const admin = new Hono<GatewayEnv>()
  admin.onError((error, c) => {
    if (error instanceof NoAnswer) return later(c, error.message)
    logFault('an admin request failed', error)
    if (error instanceof ConfigurationFault) return refusal(c, 500, error.message)
    return refusal(c, 500, 'It failed. The log says why; nothing is known to have changed.')
  })
  admin.use(onlyOperators, onlySmall)
  admin.get('/openapi.json', serveAdminDocument)
  admin.post('/operations/lookup', lookUp)
  admin.post('/operations/resolve', resolveMany)
  admin.get('/operations', findByCorrelation)
  admin.get('/operations/:id', showOperation)
  admin.get('/timeline', answerTimeline)
  admin.get('/analytics/:query', answerQuery)
  admin.post('/operations/:id/release', release)
  admin.post('/operations/:id/resolve', resolve)
  admin.delete('/operations/:id', erase)
  admin.get('/stuck', listStuck)
  admin.get('/dead-letters', listLetters)
  admin.post('/dead-letters/replay', (c) => replayMany(c, app))
  admin.post('/dead-letters/drop', dropMany)
  admin.get('/dead-letters/:id', showLetter)
  admin.post('/dead-letters/:id/replay', (c) => replay(c, app))
  admin.delete('/dead-letters/:id', drop)
  admin.all('*', notFound)
  return admin
}

const onlyOperators: MiddlewareHandler<GatewayEnv> = async (c, next) => {
  if (!hasOperators(c.env)) return c.text('Not found', 404)
  c.header('Cache-Control', 'no-store')
  c.header('X-Content-Type-Options', 'nosniff')
  const sender = await authenticate(c)
  if (sender.kind !== 'operator') return turnAway(c, sender.kind)
  if (c.req.method !== 'GET' && c.req.method !== 'HEAD') {
    if (isFromOtherSite(c)) return refusal(c, 403, 'Changes come from no other site.')
    if (isLikeForm(c)) return refusal(c, 415, 'Send the body as application/json.')
  }
  c.set('actor', sender.actor)
  return next()
}

/** When a client should try again that was not answered, or could not be verified. */
const RETRY_AFTER_SECONDS = 5

function turnAway(c: AdminContext, kind: 'nobody' | 'unverified'): Response {
  if (kind === 'unverified') {
    return later(
      c,
      'The keys of Cloudflare Access could not be read, so nobody knows whether you are let in. Try again; if that goes on, look at the log and at HAPAX_ACCESS_TEAM, or use the admin token.',
    )
  }
  c.header('WWW-Authenticate', 'Bearer realm="hapax admin"')
  return refusal(
    c,
    401,
    'Send the admin token as a bearer token, or come through Cloudflare Access.',
  )
}

function later(c: AdminContext, because: string): Response {
  c.header('Retry-After', String(RETRY_AFTER_SECONDS))
  return refusal(c, 503, because)
}

const onlySmall = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: (c) => refusal(c, 413, `A request has at most ${MAX_BODY_BYTES} bytes.`),
})
