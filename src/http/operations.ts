import { type Context, Hono } from 'hono'
import { streamSSE } from 'hono/streaming'

import { deployedPolicies } from '../config/deployed-policies.ts'
import { parsePolicy, type Policy } from '../config/policy.ts'
import type { Answer } from '../core/answer.ts'
import { toSnapshotHeaders } from '../core/headers.ts'
import type { IdempotencyStatus } from '../core/idempotency-status.ts'
import { parseKey } from '../core/key.ts'
import type { Caller, OperationQuestion } from '../core/operation-guard.ts'
import type { OperationView } from '../core/operation-view.ts'
import { isOperationId, possibleIds } from '../core/operation.ts'
import { readPreference } from '../core/prefer.ts'
import * as details from '../core/problem-details.ts'
import type { Problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { HeaderField } from '../core/snapshot.ts'
import { logFault } from '../metrics/log.ts'
import { askObject } from '../platform/ask-object.ts'
import { NO_CALLER, reauthorizePathOf, sealKeysOf } from './call-plan.ts'
import { respond } from './conclude.ts'
import { expose } from './expose.ts'
import type { GatewayEnv, Identity } from './gateway-env.ts'
import { originHeadersOf } from './origin-headers.ts'
import { problemResponse } from './problem-response.ts'
import { reauthorize } from './reauthorize.ts'
import { misconfigured, operationPath, tenantMissing, toVerdict } from './verdict.ts'

/** How long an event stream asks for a change before it sends a sign of life, in milliseconds. */
const EVENT_WAIT_MS = 20_000

/** How soon a client should ask again for an operation that runs, in seconds. */
const ASK_AGAIN_SECONDS = 1

/**
 * Where a client asks what became of its operation, by the id that a 202 has given it: the state
 * as JSON, its changes as server-sent events, or the stored response itself. Only its own tenant
 * sees an operation.
 */
export const operations = new Hono<GatewayEnv>()
  .use(async (c, next) => {
    await next()
    c.header('X-Correlation-Id', c.var.hapax.correlation.correlationId)
    expose(c, c.res.headers)
  })
  .get('/', async (c) => {
    const named = readNames(c)
    if (!named.ok) return problemResponse(c, named.error)
    const asked = await toQuestion(c)
    if ('kind' in asked) return problemResponse(c, tenantMissing(asked))
    const view = await inspectByKey(c, asked, named.value)
    if (view === null) return problemResponse(c, details.noSuchKey())
    c.header('Content-Location', operationPath(view.id))
    return sendView(c, { ...asked, operationId: view.id }, view)
  })
  .get('/:id', async (c) => {
    const asked = await toQuestion(c)
    if ('kind' in asked) return problemResponse(c, tenantMissing(asked))
    const view = await inspect(c, asked)
    return view === null ? notFound(c) : sendView(c, asked, view)
  })
  .get('/:id/result', async (c) => {
    const asked = await toQuestion(c)
    return 'kind' in asked ? problemResponse(c, tenantMissing(asked)) : sendResult(c, asked)
  })

operations.onError((error, c) => {
  logFault('an operation could not be looked up', error)
  return respond(c, misconfigured(error))
})

/** What a client knows of an operation whose id it does not have. */
interface Named {
  readonly key: string
  /** Name of the operation, which tells it apart where its key counts within it. */
  readonly operation: string
}

function readNames(c: Context<GatewayEnv>): Result<Named, Problem> {
  const keys = [c.req.header('Idempotency-Key') ?? [], c.req.queries('key') ?? []].flat()
  const [key, ...others] = keys
  // As for whoever tries paths of the gateway out.
  if (key === undefined) return err(details.lookUpWithoutKey())
  const parsed = others.length > 0 ? err('There is more than one key.') : parseKey(key)
  if (!parsed.ok) return err(details.keyInvalid(parsed.error))
  return ok({ key: parsed.value, operation: c.req.query('operation') ?? '' })
}

async function inspectByKey(
  c: Context<GatewayEnv>,
  asked: OperationQuestion,
  { key, operation }: Named,
): Promise<OperationView | null> {
  const ids = await possibleIds(c.var.hapax.digest, asked.tenant, key, { operation })
  for (const { id: operationId, bears } of ids) {
    // oxlint-disable-next-line no-await-in-loop -- the next is asked for only without this one
    const view = await inspect(c, { ...asked, operationId })
    if (view !== null && (bears === null || view.operation === bears)) return view
  }
  return null
}

async function toQuestion(
  c: Context<GatewayEnv>,
): Promise<OperationQuestion | Exclude<Identity, { kind: 'known' }>> {
  const identity = await c.var.hapax.identify(c)
  if (identity.kind !== 'known') return identity
  const { waitMs } = readPreference(c.req.raw.headers)
  return {
    operationId: c.req.param('id') ?? '',
    tenant: identity.tenant,
    waitMs: waitMs ?? 0,
    knownState: null,
  }
}

async function inspect(
  c: Context<GatewayEnv>,
  asked: OperationQuestion,
): Promise<OperationView | null> {
  if (!isOperationId(asked.operationId)) return null
  const view = await askObject(c, asked.operationId, (object) => object.inspect(asked))
  return view === null ? null : toShown(view)
}

/** Hides of a result what its route does not show by now, also where the record is older. */
function toShown(view: OperationView): OperationView {
  const { result, operation } = view
  if (result?.headers === undefined) return view
  const policies = deployedPolicies(operation)
  if (policies.some(({ reauthorize: path, snapshot }) => path !== undefined || snapshot.seal)) {
    return { ...view, result: {} }
  }
  const fields: readonly HeaderField[] = Object.entries(result.headers)
  const kept = policies.reduce((left, { snapshot }) => toSnapshotHeaders(left, snapshot), fields)
  return { ...view, result: { ...result, headers: Object.fromEntries(kept) } }
}

function notFound(c: Context<GatewayEnv>): Response {
  return problemResponse(c, details.noSuchOperation())
}

function sendView(
  c: Context<GatewayEnv>,
  asked: OperationQuestion,
  view: OperationView,
): Response | Promise<Response> {
  if (prefersEvents(c)) return sendEvents(c, asked, view)
  return prefersResult(c, view) ? sendResult(c, asked) : sendState(c, view)
}

function sendState(c: Context<GatewayEnv>, view: OperationView): Response {
  if (isUnderWay(view)) c.header('Retry-After', String(askAgainSeconds(view)))
  c.header('Cache-Control', 'no-store')
  c.header('Idempotency-Status', STATUSES[view.state])
  return c.json(toDocument(view))
}

/** Tells the state where there is no body, as on HEAD. */
const STATUSES: Readonly<Record<OperationView['state'], IdempotencyStatus>> = {
  in_progress: 'in-progress',
  succeeded: 'executed',
  failed: 'executed',
  unknown: 'unknown',
  expired: 'expired',
}

function toDocument(view: OperationView) {
  if (view.result === undefined) return view
  return { ...view, result: { ...view.result, url: `${operationPath(view.id)}/result` } }
}

/** Whether something may still become of it without another request. */
function isUnderWay({ state, nextAttemptAt }: OperationView): boolean {
  return state === 'in_progress' || nextAttemptAt !== undefined
}

function askAgainSeconds({ nextAttemptAt }: OperationView): number {
  if (nextAttemptAt === undefined) return ASK_AGAIN_SECONDS
  return Math.max(ASK_AGAIN_SECONDS, Math.ceil((Date.parse(nextAttemptAt) - Date.now()) / 1_000))
}

/** The stored response as a retry would get it, or the problem that says why there is none. */
async function sendResult(c: Context<GatewayEnv>, asked: OperationQuestion): Promise<Response> {
  if (!isOperationId(asked.operationId)) return notFound(c)
  const caller: Caller = {
    ...NO_CALLER,
    waitMs: asked.waitMs,
    corsOrigin: c.req.header('Origin') ?? null,
    sealKeys: await sealKeysOf(c, asked.operationId, clientKeyOf(c)),
  }
  const answer = await askObject(c, asked.operationId, (object) => object.result(asked, caller))
  if (answer === null) return notFound(c)
  const policy = policyOf(answer)
  const headers = originHeadersOf(c)
  const allowed = await reauthorize(c, answer, headers, reauthorizePathOf(policy, asked))
  return respond(c, toVerdict(allowed, policy))
}

/** The policy that the operation has by now, where it is still there; problems are told in its words. */
function policyOf(answer: Answer): Policy {
  const known = answer.kind === 'replayed' ? deployedPolicies(answer.operation) : []
  const asking = known.find(({ reauthorize: path }) => path !== undefined)
  return asking ?? known[0] ?? defaultPolicy()
}

/** The client's key, where it brings it: it opens a sealed response. */
function clientKeyOf(c: Context<GatewayEnv>): string {
  const key = parseKey(c.req.header('Idempotency-Key') ?? c.req.query('key') ?? '')
  return key.ok ? key.value : ''
}

/** Sends every change of state as an event, until there will be none without another request. */
function sendEvents(
  c: Context<GatewayEnv>,
  asked: OperationQuestion,
  first: OperationView,
): Response {
  return streamSSE(c, async (events) => {
    let view: OperationView | null = first
    let sent = ''
    while (view !== null && !events.aborted) {
      const data = JSON.stringify(toDocument(view))
      // oxlint-disable-next-line no-await-in-loop -- one event after the other
      await (data === sent
        ? events.write(': still running\n\n')
        : events.writeSSE({ event: 'state', data }))
      sent = data
      if (!isUnderWay(view)) return
      // oxlint-disable-next-line no-await-in-loop -- one event after the other
      view = await inspect(c, { ...asked, waitMs: EVENT_WAIT_MS, knownState: view.state })
    }
  })
}

function prefersEvents(c: Context<GatewayEnv>): boolean {
  return acceptedTypes(c).includes('text/event-stream')
}

/** Whether the client names the kind of the result and would not take JSON about it. */
function prefersResult(c: Context<GatewayEnv>, { result }: OperationView): boolean {
  const types = acceptedTypes(c)
  const [kind = ''] = (result?.headers?.['content-type'] ?? '').split(';')
  const takesState = types.some((type) =>
    ['application/json', 'application/*', '*/*'].includes(type),
  )
  // Where the state does not tell the kind, whoever takes no JSON is after the result.
  const isHidden = result !== undefined && result.headers === undefined
  return !takesState && (isHidden || (kind !== '' && types.includes(kind.trim().toLowerCase())))
}

function acceptedTypes(c: Context<GatewayEnv>): string[] {
  const ranges = (c.req.header('Accept') ?? '*/*').toLowerCase().split(',')
  return ranges.map((range) => range.split(';', 1)[0]?.trim() ?? '')
}

function defaultPolicy(): Policy {
  const parsed = parsePolicy({})
  if (!parsed.ok) throw new Error('The default policy is valid.')
  return parsed.value
}
