import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import * as z from 'zod/mini'

import { createDigests } from '../core/digest.ts'
import { parseKey } from '../core/key.ts'
import { possibleIds } from '../core/operation.ts'
import type { OperatorView } from '../core/operator-view.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import ADMIN_OPENAPI from './admin-openapi.json' with { type: 'json' }
import {
  answerQuery,
  answerTimeline,
  findByCorrelation,
  OFFSET_ADVICE,
  readOffset,
  withRequests,
} from './analytics.ts'
import { NoAnswer, readObject } from './ask.ts'
import { auditUnconfirmed } from './audit.ts'
import { authenticate, hasOperators } from './authenticate.ts'
import { isFromOtherSite, isLikeForm } from './cross-site.ts'
import { drop, dropMany, listLetters, replay, replayMany, showLetter } from './letters.ts'
import { changeMany, IDS_ADVICE, readIds } from './many.ts'
import { examine, operate, operateOn } from './operate.ts'
import { readJson } from './read-json.ts'
import { notFound, refusal } from './refusal.ts'
import { MAX_BODY_BYTES, parseResolution } from './resolution.ts'
import { listStuck } from './stuck.ts'

type AdminContext = Context<GatewayEnv>

/**
 * What operators do: look operations up, decide about those that are stuck, and see to dead letters.
 * Without configured operators nothing of it exists; every change is audited.
 *
 * @param app The gateway's app, whose consumers redo dead letters.
 */
export function createAdmin(app: object): Hono<GatewayEnv> {
  const admin = new Hono<GatewayEnv>()
  admin.onError((error, c) => {
    if (error instanceof NoAnswer) return later(c, error.message)
    logFault('an admin request failed', error)
    return refusal(c, 500, 'It failed. The log says why; nothing is known to have changed.')
  })
  admin.use(onlyOperators, onlySmall)
  admin.get('/openapi.json', (c) => c.json(ADMIN_OPENAPI))
  admin.post('/operations/lookup', lookUp)
  admin.post('/operations/resolve', resolveMany)
  admin.get('/operations', findByCorrelation)
  admin.get('/operations/:id', async (c) => {
    const offset = readOffset(c)
    if (offset === null) return refusal(c, 400, OFFSET_ADVICE)
    const view = await readObject(() => examine(c, c.req.param('id')))
    return toAnswer(c, view && (await withRequests(c, view, offset)))
  })
  admin.get('/timeline', answerTimeline)
  admin.get('/analytics/:query', answerQuery)
  admin.post('/operations/:id/release', (c) => operate(c, { kind: 'release' }, 'released'))
  admin.post('/operations/:id/resolve', resolve)
  admin.delete('/operations/:id', (c) => operate(c, { kind: 'erase' }, 'erased'))
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

/** How soon who could not be answered, or not be verified, should try again. */
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

const digestOf = createDigests()

const LookUpSchema = z.strictObject({
  tenant: z.string(),
  key: z.string(),
  /** Whose operation it is alone, where it is one of a consumer of a queue. */
  consumer: z.optional(z.string()),
  /** Its name, which tells it apart where its key counts within the operation. */
  operation: z.optional(z.string()),
})

/** Finds an operation by what its client knows; in a body, since a key has no place in a URL. */
async function lookUp(c: AdminContext): Promise<Response> {
  const asked = LookUpSchema.safeParse(await readJson(c))
  if (!asked.success) return refusal(c, 400, 'Send { "tenant": "…", "key": "…" } as JSON.')
  const { tenant, key, consumer = '', operation = '' } = asked.data
  // As the header has it, where quotes may stand around it, or as it stands in a body.
  const parsed = parseKey(key)
  const keys = parsed.ok ? new Set([parsed.value, key]) : [key]
  const digest = digestOf(c.env.HAPAX_DIGEST_KEY)
  const within = { consumer, operation }
  const ids = await Promise.all(Array.from(keys, (one) => possibleIds(digest, tenant, one, within)))
  let view: OperatorView | null = null
  for (const { id, bears } of ids.flat()) {
    // oxlint-disable-next-line no-await-in-loop -- the next is asked for only without this one
    view = await readObject(() => examine(c, id))
    if (view !== null && (bears === null || view.operation === bears)) break
    view = null
  }
  return toAnswer(c, view && (await withRequests(c, view)))
}

function toAnswer(c: AdminContext, view: OperatorView | null): Response {
  return view === null ? notFound(c) : c.json(view)
}

async function resolve(c: AdminContext): Promise<Response> {
  const resolution = parseResolution(await readJson(c))
  if (!resolution.ok) return refusal(c, 400, resolution.error)
  return operate(c, resolution.value, 'resolved')
}

/** Says the same of many operations. */
async function resolveMany(c: AdminContext): Promise<Response> {
  const read = readIds(await readJson(c))
  if (read === null) return refusal(c, 400, IDS_ADVICE)
  const resolution = parseResolution(read.rest)
  if (!resolution.ok) return refusal(c, 400, resolution.error)
  return changeMany(
    c,
    read.ids,
    (id) => operateOn(c, id, resolution.value, 'resolved'),
    (id) => auditUnconfirmed(c, 'resolved', { operationId: id }),
  )
}
