import { type Context, Hono, type MiddlewareHandler } from 'hono'
import * as z from 'zod/mini'

import { operationId } from '../core/operation.ts'
import type { OperatorAction, OperatorView } from '../core/operator.ts'
import { directoryOf, type StuckEntry } from '../durable/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { askObject } from '../http/object.ts'
import { logFault } from '../metrics/log.ts'
import { audit } from './audit.ts'
import { authenticate, hasOperators } from './authenticate.ts'
import { openLetter, replayLetter } from './dead-letters.ts'
import { toAdminOpenApi } from './openapi.ts'
import { refusal } from './refusal.ts'

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
  admin.use(onlyOperators)
  admin.get('/openapi.json', (c) => c.json(toAdminOpenApi()))
  admin.post('/operations/lookup', lookUp)
  admin.get('/operations/:id', async (c) => {
    const view = await examine(c, c.req.param('id'))
    return view === null ? notFound(c) : c.json(view)
  })
  admin.post('/operations/:id/release', (c) => operate(c, { kind: 'release' }, 'released'))
  admin.post('/operations/:id/resolve', resolve)
  admin.delete('/operations/:id', (c) => operate(c, { kind: 'erase' }, 'erased'))
  admin.get('/stuck', listStuck)
  admin.get('/dead-letters', async (c) => {
    return c.json(await directoryOf(c.env).listLetters(pageOf(c)))
  })
  admin.get('/dead-letters/:id', async (c) => {
    const letter = await directoryOf(c.env).letter(c.req.param('id'))
    return letter === null ? notFound(c) : c.json(await openLetter(c.env, letter))
  })
  admin.post('/dead-letters/:id/replay', async (c) => {
    const letter = await directoryOf(c.env).letter(c.req.param('id'))
    if (letter === null) return notFound(c)
    const because = await replayLetter(c, app, letter)
    if (because !== null) return refusal(c, 409, because)
    await directoryOf(c.env).dropLetter(letter.id)
    audit(c, 'requeued', { ...letter, operation: letter.type, fence: letter.attempts })
    return c.body(null, 204)
  })
  admin.delete('/dead-letters/:id', async (c) => {
    const letter = await directoryOf(c.env).letter(c.req.param('id'))
    if (letter === null) return notFound(c)
    await directoryOf(c.env).dropLetter(letter.id)
    audit(c, 'dropped', { ...letter, operation: letter.type, fence: letter.attempts })
    return c.body(null, 204)
  })
  admin.notFound(notFound)
  return admin
}

const onlyOperators: MiddlewareHandler<GatewayEnv> = async (c, next) => {
  if (!hasOperators(c.env)) return c.text('Not found', 404)
  const actor = await authenticate(c)
  if (actor === null) {
    c.header('WWW-Authenticate', 'Bearer realm="hapax admin"')
    return refusal(
      c,
      401,
      'Send the admin token as a bearer token, or come through Cloudflare Access.',
    )
  }
  // A browser that Access lets in must not be used by another site.
  const isForeign = !['same-origin', 'none', undefined].includes(c.req.header('Sec-Fetch-Site'))
  if (isForeign && c.req.method !== 'GET')
    return refusal(c, 403, 'Changes come from no other site.')
  c.set('actor', actor)
  c.header('Cache-Control', 'no-store')
  return next()
}

const notFound = (c: Context) => refusal(c, 404, 'There is nothing of this name.')

const LookUpSchema = z.strictObject({ tenant: z.string(), key: z.string() })

/** Finds an operation by what its client knows; in a body, since a key has no place in a URL. */
async function lookUp(c: AdminContext): Promise<Response> {
  const asked = LookUpSchema.safeParse(await readJson(c))
  if (!asked.success) return refusal(c, 400, 'Send { "tenant": "…", "key": "…" } as JSON.')
  const { tenant, key } = asked.data
  const id = await operationId(c.var.hapax.digest, tenant, key)
  const view = await examine(c, id)
  return view === null ? notFound(c) : c.json(view)
}

function examine(c: AdminContext, id: string): Promise<OperatorView | null> {
  return askObject(c, id, (object) => object.examine(id))
}

async function operate(
  c: AdminContext,
  action: OperatorAction,
  name: 'released' | 'resolved' | 'erased',
): Promise<Response> {
  const id = c.req.param('id') ?? ''
  const result = await askObject(c, id, (object) => object.operate(id, action))
  switch (result.kind) {
    case 'not-found':
      return notFound(c)
    case 'refused':
      return refusal(c, 409, result.because)
    case 'done':
      audit(c, name, { ...result.subject, operationId: id })
      return result.view === null ? c.body(null, 204) : c.json(result.view)
  }
}

const ResolveSchema = z.union([
  z.strictObject({ outcome: z.literal('not_executed') }),
  z.strictObject({
    outcome: z.enum(['succeeded', 'failed']),
    response: z.strictObject({
      status: z.number().check(z.int(), z.minimum(200), z.maximum(599)),
      headers: z._default(z.record(z.string(), z.string()), {}),
      body: z._default(z.string(), ''),
    }),
  }),
])

const RESOLVE_ADVICE =
  'Send { "outcome": "not_executed" }, or { "outcome": "succeeded" or "failed", "response": { "status": 201, "headers": {}, "body": "" } } as JSON.'

async function resolve(c: AdminContext): Promise<Response> {
  const said = ResolveSchema.safeParse(await readJson(c))
  if (!said.success) return refusal(c, 400, RESOLVE_ADVICE)
  if (said.data.outcome === 'not_executed') {
    return operate(c, { kind: 'resolve', outcome: 'not_executed' }, 'resolved')
  }
  const { outcome, response } = said.data
  const headers = Object.entries(response.headers).map(([name, value]): [string, string] => {
    return [name.toLowerCase(), value]
  })
  if (!areFields(headers)) return refusal(c, 400, 'A header of the response is not one.')
  const body = new Uint8Array(new TextEncoder().encode(response.body))
  const action = { kind: 'resolve', outcome, status: response.status, headers, body } as const
  return operate(c, action, 'resolved')
}

function areFields(fields: [string, string][]): boolean {
  try {
    return [...new Headers(fields)].length === fields.length
  } catch {
    return false
  }
}

/** How many of a list are asked about at once. */
const PAGE = 50
const MAX_PAGE = 100

function pageOf(c: AdminContext) {
  const limit = Number(c.req.query('limit') ?? PAGE)
  const after = Number(c.req.query('after') ?? Number.NaN)
  return {
    limit: Number.isInteger(limit) && limit > 0 ? Math.min(limit, MAX_PAGE) : PAGE,
    after: Number.isInteger(after) ? after : null,
  }
}

/** The list, as far as it still holds: what was resolved meanwhile is struck off. */
async function listStuck(c: AdminContext): Promise<Response> {
  const page = await directoryOf(c.env).listStuck(pageOf(c))
  const looked = await Promise.all(
    page.entries.map(async (entry) => ({ entry, view: await examine(c, entry.operationId) })),
  )
  const resolved = looked.filter(({ view }) => view?.state !== 'unknown')
  if (resolved.length > 0) {
    await directoryOf(c.env).strike(resolved.map(({ entry }) => entry.operationId))
  }
  const entries = looked.flatMap(({ entry, view }) => {
    return view?.state === 'unknown' ? [toStuck(entry, view)] : []
  })
  return c.json({ entries, next: page.next })
}

function toStuck({ operationId: id, ...entry }: StuckEntry, view: OperatorView) {
  const ageSeconds = Math.floor((Date.now() - entry.since) / 1_000)
  const since = new Date(entry.since).toISOString()
  return { id, ...entry, since, ageSeconds, nextAttemptAt: view.nextAttemptAt ?? null }
}

async function readJson(c: AdminContext): Promise<unknown> {
  try {
    return await c.req.json()
  } catch {
    return null
  }
}
