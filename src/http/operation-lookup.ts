import { type Context, Hono } from 'hono'

import { deployedPolicies } from '../config/deployed-policies.ts'
import { parsePolicy, type Policy } from '../config/policy.ts'
import type { Answer } from '../core/operation/answer.ts'
import type { Caller, OperationQuestion } from '../core/operation/operation-guard.ts'
import type { OperationView } from '../core/operation/operation-view.ts'
import { isOperationId, possibleIds } from '../core/operation/operation.ts'
import type { HeaderField } from '../core/operation/snapshot.ts'
import { parseKey } from '../core/request/key.ts'
import { readPreference } from '../core/request/prefer.ts'
import type { IdempotencyStatus } from '../core/response/idempotency-status.ts'
import * as details from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { toSnapshotHeaders } from '../core/wire/headers.ts'
import { logFault } from '../metrics/log.ts'
import { askObject } from '../platform/ask-object.ts'
import { NO_CALLER, reauthorizePathOf, sealKeysOf } from './call-plan.ts'
import { respond } from './conclude.ts'
import { expose } from './expose.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { originHeadersOf } from './origin-headers.ts'
import { problemResponse } from './problem-response.ts'
import { reauthorize } from './reauthorize.ts'
import { scopeOf } from './request-scope.ts'
import { misconfigured, operationPath, tenantMissing, toVerdict } from './verdict.ts'

/** How long an event stream asks for a change before it sends a sign of life, in milliseconds. */
const EVENT_WAIT_MS = 20_000

/** How soon a client should ask again for an operation that runs, in seconds. */
const ASK_AGAIN_SECONDS = 1

/**
 * Tells a client the state of its operation, by the id from a 202 or by its key: as JSON, as
 * server-sent events, or the stored response itself. An operation is visible only to its own tenant.
 */
export const operationLookup = new Hono<GatewayEnv>()
  .use(async (c, next) => {
    await next()
    c.header('X-Correlation-Id', scopeOf(c).correlation.correlationId)
    expose(c, c.res.headers)
  })
  .get('/', async (c) => {
    const named = readNames(c)
    if (!named.ok) return problemResponse(c, named.error)
    const asked = await toQuestion(c)
    if (!asked.ok) return problemResponse(c, asked.error)
    const view = await inspectByKey(c, asked.value, named.value)
    if (view === null) return problemResponse(c, details.noSuchKey())
    c.header('Content-Location', pathOf(c, view))
    return sendView(c, { ...asked.value, operationId: view.id }, view)
  })
  .get('/:id', async (c) => {
    const asked = await toQuestion(c)
    if (!asked.ok) return problemResponse(c, asked.error)
    const view = await inspect(c, asked.value)
    return view === null ? notFound(c) : sendView(c, asked.value, view)
  })
  .get('/:id/result', async (c) => {
    const asked = await toQuestion(c)
    return asked.ok ? sendResult(c, asked.value) : problemResponse(c, asked.error)
  })

operationLookup.onError((error, c) => {
  logFault('an operation could not be looked up', error)
  return respond(c, misconfigured(error))
})

/** How a client names an operation whose id it does not have. */
interface Named {
  readonly key: string
  /** Name of the operation, needed if its key is unique only within it. */
  readonly operation: string
}

function readNames(c: Context<GatewayEnv>): Result<Named, Problem> {
  const keys = [c.req.header('Idempotency-Key') ?? [], c.req.queries('key') ?? []].flat()
  const [key, ...others] = keys
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
  const ids = possibleIds(scopeOf(c).digest, asked.tenant, key, { operation })
  for (const { id: operationId, bears } of ids) {
    // oxlint-disable-next-line no-await-in-loop -- the next is asked for only without this one
    const view = await inspect(c, { ...asked, operationId })
    if (view !== null && (bears === null || view.operation === bears)) return view
  }
  return null
}

async function toQuestion(c: Context<GatewayEnv>): Promise<Result<OperationQuestion, Problem>> {
  const identity = await scopeOf(c).identify(c)
  if (identity.kind !== 'known') return err(tenantMissing(identity))
  const waitMs = readPreference(c.req.raw.headers).waitMs ?? 0
  const operationId = c.req.param('id') ?? ''
  return ok({ operationId, tenant: identity.tenant, waitMs, knownState: null })
}

async function inspect(
  c: Context<GatewayEnv>,
  asked: OperationQuestion,
): Promise<OperationView | null> {
  if (!isOperationId(asked.operationId)) return null
  const view = await askObject(c, asked.operationId, (object) => object.inspect(asked))
  return view === null ? null : toShown(view)
}

/** Hides the parts of a result that its route no longer shows, even if the record is older. */
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
  return c.json(toDocument(c, view))
}

/** Tells the state where there is no body, as on HEAD. */
const STATUSES: Readonly<Record<OperationView['state'], IdempotencyStatus>> = {
  in_progress: 'in-progress',
  succeeded: 'executed',
  failed: 'executed',
  unknown: 'unknown',
  expired: 'expired',
}

const pathOf = (c: Context, { id }: OperationView) => scopeOf(c).base + operationPath(id)

function toDocument(c: Context, view: OperationView) {
  if (view.result === undefined) return view
  return { ...view, result: { ...view.result, url: `${pathOf(c, view)}/result` } }
}

/** Whether its state may still change without another request. */
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
    sealKeys: sealKeysOf(c, asked.operationId, clientKeyOf(c)),
  }
  const answer = await askObject(c, asked.operationId, (object) => object.result(asked, caller))
  if (answer === null) return notFound(c)
  const policy = policyOf(answer)
  const headers = originHeadersOf(c)
  const route = { path: reauthorizePathOf(policy, asked), origin: policy.origin }
  const allowed = await reauthorize(c, answer, headers, route)
  return respond(c, toVerdict(allowed, policy))
}

/** The current policy of the operation, if the deployment still has it. It decides how problems are worded. */
function policyOf(answer: Answer): Policy {
  const known = answer.kind === 'replayed' ? deployedPolicies(answer.operation) : []
  const asking = known.find(({ reauthorize: path }) => path !== undefined)
  return asking ?? known[0] ?? defaultPolicy()
}

/** The client's key, if it sends one: it opens a sealed response. */
function clientKeyOf(c: Context<GatewayEnv>): string {
  const key = parseKey(c.req.header('Idempotency-Key') ?? c.req.query('key') ?? '')
  return key.ok ? key.value : ''
}

/** Sends each change of state as an event, until the state can change only by another request. */
function sendEvents(
  c: Context<GatewayEnv>,
  asked: OperationQuestion,
  first: OperationView,
): Response {
  c.header('Content-Type', 'text/event-stream')
  c.header('Cache-Control', 'no-cache')
  const events = eventsOf(c, asked, first)
  const stream = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await events.next()
      return done === true ? controller.close() : controller.enqueue(value)
    },
    async cancel() {
      await events.return(undefined)
    },
  })
  return c.body(stream)
}

async function* eventsOf(
  c: Context<GatewayEnv>,
  asked: OperationQuestion,
  first: OperationView,
): AsyncGenerator<Uint8Array> {
  let view: OperationView | null = first
  let sent = ''
  while (view !== null) {
    const data = JSON.stringify(toDocument(c, view))
    const event = data === sent ? ': still running\n\n' : `event: state\ndata: ${data}\n\n`
    yield new TextEncoder().encode(event)
    sent = data
    if (!isUnderWay(view)) return
    // oxlint-disable-next-line no-await-in-loop -- one event after the other
    view = await nextView(c, { ...asked, waitMs: EVENT_WAIT_MS, knownState: view.state })
  }
}

/** The events end if their operation cannot be looked up any more. The client will ask again. */
async function nextView(
  c: Context<GatewayEnv>,
  asked: OperationQuestion,
): Promise<OperationView | null> {
  try {
    return await inspect(c, asked)
  } catch (error) {
    logFault('the events of an operation broke off', error)
    return null
  }
}

function prefersEvents(c: Context<GatewayEnv>): boolean {
  return acceptedTypes(c).includes('text/event-stream')
}

/** Whether the client accepts the media type of the result, and not JSON. */
function prefersResult(c: Context<GatewayEnv>, { result }: OperationView): boolean {
  const types = acceptedTypes(c)
  const [kind = ''] = (result?.headers?.['content-type'] ?? '').split(';')
  const takesState = types.some((type) =>
    ['application/json', 'application/*', '*/*'].includes(type),
  )
  // If the media type is hidden, a client that does not accept JSON wants the result.
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
