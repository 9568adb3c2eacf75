import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import * as z from 'zod/mini'

import { parseKey } from '../core/key.ts'
import { operationId } from '../core/operation.ts'
import type { OperatorView } from '../core/operator.ts'
import { type DeadLetter, directoryOf } from '../durable/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import type { AdminAction } from '../metrics/request-facts.ts'
import {
  answerQuery,
  answerTimeline,
  findByCorrelation,
  OFFSET_ADVICE,
  readOffset,
  withRequests,
} from './analytics.ts'
import { audit } from './audit.ts'
import { authenticate, hasOperators } from './authenticate.ts'
import { isFromOtherSite, isLikeForm } from './cross-site.ts'
import { openLetter, replayLetter } from './dead-letters.ts'
import { toAdminOpenApi } from './openapi.ts'
import { examine, operate } from './operate.ts'
import { PAGE_ADVICE, readPage } from './page.ts'
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
    logFault('an admin request failed', error)
    return refusal(c, 500, 'It failed. The log says why; nothing is known to have changed.')
  })
  admin.use(onlyOperators, onlySmall)
  admin.get('/openapi.json', (c) => c.json(toAdminOpenApi()))
  admin.post('/operations/lookup', lookUp)
  admin.get('/operations', findByCorrelation)
  admin.get('/operations/:id', async (c) => {
    const offset = readOffset(c)
    if (offset === null) return refusal(c, 400, OFFSET_ADVICE)
    const view = await examine(c, c.req.param('id'))
    return toAnswer(c, view && (await withRequests(c, view, offset)))
  })
  admin.get('/timeline', answerTimeline)
  admin.get('/analytics/:query', answerQuery)
  admin.post('/operations/:id/release', (c) => operate(c, { kind: 'release' }, 'released'))
  admin.post('/operations/:id/resolve', resolve)
  admin.delete('/operations/:id', (c) => operate(c, { kind: 'erase' }, 'erased'))
  admin.get('/stuck', listStuck)
  admin.get('/dead-letters', async (c) => {
    const page = readPage(c)
    if (page === null) return refusal(c, 400, PAGE_ADVICE)
    const directory = directoryOf(c.env)
    const [{ entries, next }, { letters: total }] = await Promise.all([
      directory.listLetters(page),
      directory.count(),
    ])
    return c.json({ entries: entries.map(withTime), next, total })
  })
  admin.get('/dead-letters/:id', (c) =>
    withLetter(c, async (letter) => c.json(withTime(await openLetter(c.env, letter)))),
  )
  admin.post('/dead-letters/:id/replay', (c) =>
    withLetter(c, async (letter) => {
      const because = await replayLetter(c, app, letter)
      return because === null ? dropLetter(c, letter, 'requeued') : refusal(c, 409, because)
    }),
  )
  admin.delete('/dead-letters/:id', (c) =>
    withLetter(c, (letter) => dropLetter(c, letter, 'dropped')),
  )
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

/** How soon who could not be verified should try again. */
const RETRY_AFTER_SECONDS = 5

function turnAway(c: AdminContext, kind: 'nobody' | 'unverified'): Response {
  if (kind === 'unverified') {
    c.header('Retry-After', String(RETRY_AFTER_SECONDS))
    return refusal(
      c,
      503,
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

const onlySmall = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: (c) => refusal(c, 413, `A request has at most ${MAX_BODY_BYTES} bytes.`),
})

const LookUpSchema = z.strictObject({ tenant: z.string(), key: z.string() })

/** Finds an operation by what its client knows; in a body, since a key has no place in a URL. */
async function lookUp(c: AdminContext): Promise<Response> {
  const asked = LookUpSchema.safeParse(await readJson(c))
  if (!asked.success) return refusal(c, 400, 'Send { "tenant": "…", "key": "…" } as JSON.')
  const { tenant, key } = asked.data
  // As the header has it, where quotes may stand around it, or as it stands in a body.
  const parsed = parseKey(key)
  const keys = parsed.ok ? new Set([parsed.value, key]) : [key]
  let view: OperatorView | null = null
  for (const one of keys) {
    // oxlint-disable-next-line no-await-in-loop -- the second is asked for only without the first
    view ??= await examine(c, await operationId(c.var.hapax.digest, tenant, one))
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

async function withLetter(
  c: AdminContext,
  work: (letter: DeadLetter) => Promise<Response>,
): Promise<Response> {
  const letter = await directoryOf(c.env).letter(c.req.param('id') ?? '')
  return letter === null ? notFound(c) : work(letter)
}

async function dropLetter(
  c: AdminContext,
  letter: DeadLetter,
  action: Extract<AdminAction, 'requeued' | 'dropped'>,
): Promise<Response> {
  // Before it is taken off: what was sent, or is lost, must not go unsaid where that fails.
  audit(c, action, {
    ...letter,
    operation: letter.type,
    fence: letter.attempts,
    letterId: letter.id,
  })
  await directoryOf(c.env).dropLetter(letter.id)
  return c.body(null, 204)
}

function withTime<entry extends { readonly at: number }>(entry: entry) {
  return { ...entry, at: new Date(entry.at).toISOString() }
}
