import type { Context, Handler, Next } from 'hono'
import { routePath } from 'hono/route'

import type { Policy } from '../config/policy.ts'
import {
  type Batch,
  type BatchItem,
  cutItem,
  keyOfOnlyItem,
  readBatch,
} from '../core/request/batch.ts'
import { BATCH_DEFAULTS, type KeySourceOptions, type SourceIn } from '../core/request/key-source.ts'
import {
  type AnsweredItem,
  summarize,
  toAnsweredItem,
  toAnswerTexts,
} from '../core/response/batch-answer.ts'
import type { Problem } from '../core/response/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { collectBody } from '../core/wire/body.ts'
import { isDigest } from '../core/wire/content-coding.ts'
import { toHeaders } from '../core/wire/headers.ts'
import { logFault } from '../metrics/log.ts'
import { fewAtOnce } from '../platform/few-at-once.ts'
import { IDENTITY, toAcceptedCoding } from './client-coding.ts'
import { conclude, respond } from './conclude.ts'
import { isOnlyObserved } from './enforcement.ts'
import { type Exchange, learn, openExchange } from './exchange.ts'
import { expose } from './expose.ts'
import type { GatewayEnv, Identity } from './gateway-env.ts'
import { executionCtxOf, keepAlive } from './keep-alive.ts'
import { createApp } from './normalized-url.ts'
import type { Payload } from './payload.ts'
import { shouldRetry } from './problem-response.ts'
import { inheritScope, scopeOf } from './request-scope.ts'
import { requireParts } from './requirements.ts'
import { isGuarded } from './route-policy.ts'
import type { BatchCode, Sourced } from './source-code.ts'
import { guardLost, misconfigured, rejected, tenantMissing, type Verdict } from './verdict.ts'

/** Characters of all bodies in one answer, which is assembled in memory. */
const MAX_BODIES = 8 * 1_048_576

/** Options of `batch`. */
export interface BatchOptions extends KeySourceOptions {
  /** Maximum number of items in a batch, up to 1000. Default 100. */
  readonly size?: number
  /** Items that are processed in parallel, up to 100. Default 6. */
  readonly concurrency?: number
}

/**
 * Reads a key for each item of a request. Each item is an operation of its own, and the response
 * contains the result of every item. It must be the route's only source.
 *
 * @param items JSON pointer (RFC 6901) to the array, or `''` if the body itself is the array.
 * @param key JSON pointer within an item to its key, a string, number or boolean, or `''` if the item
 *   itself is the key.
 * @param options `scope`: default `'operation'`.
 * @example app.post('/payments/batch', protect({ key: batch('/items', '/id') }))
 */
export function batch(items: string, key: string, options: BatchOptions = {}): SourceIn<'batch'> {
  return { in: 'batch', items, pointer: key, ...BATCH_DEFAULTS, ...options, code: CODE }
}

const CODE: BatchCode = { of: 'batch', perItem, readItems, readKey }

/**
 * Turns a handler of single requests into one of batches. Each item becomes a request with the same
 * method, URL and headers, and with this item as its body. One answer lists the answers of all items.
 */
function perItem(
  policy: Policy,
  source: SourceIn<'batch'>,
  handleOne: Handler<GatewayEnv>,
): Handler<GatewayEnv> {
  return async function batch(c, next) {
    if (!(await isSplit(c, policy))) return handleOne(c, next)
    const exchange = openExchange(c, policy)
    learn(exchange, { source: source.in })
    const admitted = await admitBatch(exchange, source).catch(toFault)
    if (!admitted.ok) return conclude(exchange, admitted.error)
    const send = createSender(c, handleOne, admitted.value.identity)
    const { concurrency } = source
    const work = sendAll(c, policy, admitted.value.items, { send, concurrency })
    // The other items are started even if the client disconnects.
    keepAlive(c, work)
    return work
  }
}

/** Whether the request is split into its items: one that is not guarded, or only observed, goes on whole. */
async function isSplit(c: Context<GatewayEnv>, policy: Policy): Promise<boolean> {
  return isGuarded(c, policy) && !(await isOnlyObserved(c, policy))
}

/** Reads the items of a request, and finds what is wrong with any of them. */
async function readItems(
  { payload, policy }: Exchange,
  source: SourceIn<'batch'>,
): Promise<Result<Batch, Problem>> {
  const text = await payload.readPlainJson('A batch')
  return text.ok ? readBatch(text.value, source, policy) : text
}

/** Reads the key of a batch with one item: the request was split before. */
async function readKey(payload: Payload, source: SourceIn<'batch'>): Promise<Sourced> {
  const read = await payload.read()
  return read.ok ? keyOfOnlyItem(new TextDecoder().decode(read.value.bytes), source) : read
}

/** A batch whose items may all be sent, and its sender. */
interface AdmittedBatch {
  readonly items: Batch
  readonly identity: Identity
}

async function admitBatch(
  exchange: Exchange,
  source: SourceIn<'batch'>,
): Promise<Result<AdmittedBatch, Verdict>> {
  requireParts(exchange, 'origin')
  const items = await readItems(exchange, source)
  if (!items.ok) return err(rejected(items.error))
  const identity = await exchange.identify(exchange.c)
  if (identity.kind !== 'known') return err(rejected(tenantMissing(identity)))
  return ok({ items: items.value, identity })
}

function toFault(error: unknown): Result<never, Verdict> {
  logFault('a batch failed before anything of it was recorded', error)
  return err(misconfigured(error))
}

/** Sends one request through the route. */
type Send = (request: Request) => Promise<Response>

/** Creates an app with this route only. Each item has its own context, and the tenant of the batch. */
function createSender(
  c: Context<GatewayEnv>,
  handleOne: Handler<GatewayEnv>,
  identity: Identity,
): Send {
  const app = createApp()
  app.on(c.req.method, routePath(c), inherit, handleOne)
  app.onError((error) => {
    throw error
  })
  return async (request) => app.fetch(request, c.env, executionCtxOf(c))

  async function inherit(item: Context<GatewayEnv>, next: Next): Promise<void> {
    for (const [name, value] of Object.entries(c.var)) item.set(name as never, value as never)
    inheritScope(c, item, async () => identity)
    await next()
  }
}

/** Sends the items, a few at once. One that fails does not affect the others. */
async function sendAll(
  c: Context<GatewayEnv>,
  policy: Policy,
  batch: Batch,
  { send, concurrency }: { readonly send: Send; readonly concurrency: number },
): Promise<Response> {
  const room: Room = { left: Math.min(policy.limits.response, MAX_BODIES) }
  const answered: AnsweredItem[] = []
  const answerOf = async (item: BatchItem): Promise<AnsweredItem> => {
    try {
      return await toAnswered(item, await send(requestOf(c, batch, item)), policy, room)
    } catch (error) {
      return toAnswered(item, lost(c, policy, error), policy, room)
    }
  }
  await fewAtOnce(batch.items.entries(), concurrency, async ([index, item]) => {
    answered[index] = await answerOf(item)
  })
  return respondToAll(c, answered)
}

/** The request that a client would send for this item alone. */
function requestOf({ req: { raw } }: Context<GatewayEnv>, batch: Batch, item: BatchItem): Request {
  const headers = new Headers(raw.headers)
  // These headers describe the bytes of the whole batch.
  for (const name of raw.headers.keys()) if (isDigest(name)) headers.delete(name)
  headers.delete('Content-Encoding')
  headers.delete('Content-Length')
  // Its answer becomes part of the batch's answer.
  headers.set('Accept-Encoding', IDENTITY)
  return new Request(raw.url, { method: raw.method, headers, body: cutItem(batch, item) })
}

/** How many characters still fit into the answer. */
interface Room {
  left: number
}

async function toAnswered(
  { keyText }: BatchItem,
  answer: Response,
  policy: Policy,
  room: Room,
): Promise<AnsweredItem> {
  const { status } = answer
  const fields = [...answer.headers]
  const readable = toAcceptedCoding({ status, headers: fields, body: answer.body }, IDENTITY)
  const body = await collect(new Response(readable.body).body, room.left)
  const headers = toHeaders(readable.headers)
  const write = (fitting: Uint8Array | null) =>
    toAnsweredItem(
      { keyText, status, headers, body: fitting },
      policy.unknown !== 'hold',
      Date.now(),
    )
  const whole = write(body)
  // As JSON it may be longer than its bytes.
  const item = whole.text.length <= room.left ? whole : write(null)
  room.left = Math.max(0, room.left - item.text.length)
  return item
}

/** @returns `null` if it does not fit. */
async function collect(
  body: ReadableStream<Uint8Array> | null,
  limitBytes: number,
): Promise<Uint8Array | null> {
  const collected = await collectBody(body, limitBytes)
  if (collected.kind === 'whole') return collected.bytes
  await collected.rest.cancel()
  return null
}

/** The answer of an item whose outcome only its own object knows. */
function lost(c: Context<GatewayEnv>, policy: Policy, error: unknown): Response {
  logFault('the answer of an item was lost', error)
  const verdict = guardLost()
  const response = respond(c, verdict, { preset: policy.preset, callId: null })
  response.headers.set('Idempotency-Status', verdict.status)
  return response
}

function respondToAll(c: Context<GatewayEnv>, items: readonly AnsweredItem[]): Response {
  const summary = summarize(items)
  const { word, isRetryable, retryAfterMs } = summary
  const headers = new Headers({
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
    'Idempotency-Status': word,
    'X-Correlation-Id': scopeOf(c).correlation.correlationId,
    ...shouldRetry(isRetryable),
  })
  if (retryAfterMs > 0) headers.set('Retry-After', String(Math.ceil(retryAfterMs / 1_000)))
  if (word === 'replayed') headers.set('Idempotent-Replayed', 'true')
  expose(c, headers)
  const body = toAnswerTexts(summary, items).join('')
  return new Response(body, { status: summary.status, headers })
}
