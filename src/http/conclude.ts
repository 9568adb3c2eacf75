import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { MessageFacts } from '../core/message-fate.ts'
import { hasNoBody, type HeaderField, type WireResponse } from '../core/operation/snapshot.ts'
import type { RequestFacts } from '../core/request-facts.ts'
import { traceIdOf } from '../core/request/correlation.ts'
import { mcpOf } from '../core/request/key-source.ts'
import type { IdempotencyStatus } from '../core/response/idempotency-status.ts'
import type { Problem } from '../core/response/problem.ts'
import { readRetryAfter } from '../core/retry/retry-after.ts'
import { toHeaders } from '../core/wire/headers.ts'
import { logFault } from '../metrics/log.ts'
import { recordRequest } from '../metrics/record-request.ts'
import { acceptedEncodings, toAcceptedCoding } from './client-coding.ts'
import type { Admitted, Exchange } from './exchange.ts'
import { expose } from './expose.ts'
import { type GatewayEnv, innerOf, messageOf } from './gateway-env.ts'
import { type ProblemForm, problemResponse } from './problem-response.ts'
import { scopeOf } from './request-scope.ts'
import { mcpCodeOf } from './source-code.ts'
import { guardLost, isOfAnother, isProblem, misconfigured, type Verdict } from './verdict.ts'

/** Answers a request on a protected route: adds the common headers, and writes one data point and one log line. */
export function conclude(exchange: Exchange, verdict: Verdict): Response {
  const { reply, ...judged } = verdict
  const response = respond(exchange.c, verdict, exchange.known)
  return mark(exchange, response, judged, isProblem(reply) ? reply : null)
}

/** Answers a request after its claim was granted or refused. */
export async function concludeOperation(
  exchange: Exchange,
  { call }: Admitted,
  verdict: Verdict,
): Promise<Response> {
  try {
    const mcp = mcpOf(exchange.policy.key)
    const isForCall = call !== null && mcp !== null
    const told = isForCall
      ? await mcpCodeOf(mcp).toCallersAnswer(exchange.c, call, verdict)
      : verdict
    return conclude(exchange, told)
  } catch (error) {
    // A record exists, so a retry gets the result.
    logFault('an answer could not be given out', error)
    return conclude(exchange, guardLost())
  }
}

/** Answers a request after a fault of the deployment or its code, before anything was recorded. */
export function concludeFault(exchange: Exchange, error: unknown): Response {
  logFault('a protected route failed before anything was recorded', error)
  return conclude(exchange, misconfigured(error))
}

/** The verdict after a failure of the object. @throws {ConfigurationFault} Which is not one. */
export function toGuardLost(error: unknown): Verdict {
  if (error instanceof ConfigurationFault) throw error
  logFault('the object of an operation could not be reached, or was reset', error)
  return guardLost()
}

/**
 * Whether the request goes on without protection, because the store failed and the route allows it.
 * An object that does not answer is never bypassed: another request with the same key may be running
 * there.
 */
export function isLetThrough({ c, policy }: Exchange, { isUnclaimed }: Verdict): boolean {
  return isUnclaimed === true && policy.onStoreError === 'open' && messageOf(c.env) === undefined
}

/** Makes the response of a verdict. */
export function respond(
  c: Context<GatewayEnv>,
  {
    reply,
    status,
    ageMs,
    rememberedMs,
  }: Pick<Verdict, 'reply' | 'status' | 'ageMs' | 'rememberedMs'>,
  form?: ProblemForm,
): Response {
  const response = isProblem(reply)
    ? problemResponse(c, reply, form)
    : toResponse(toReadable(c, reply, status))
  if (status === 'replayed') markReplay(response.headers, ageMs)
  if (rememberedMs !== undefined) {
    // Rounded up, while `Age` is rounded down, so that their sum is constant.
    const seconds = Math.ceil(Math.max(0, rememberedMs) / 1_000)
    response.headers.set('Idempotency-Expires', String(seconds))
  }
  return response
}

/** A verdict without its response. */
type Judged = Omit<Verdict, 'reply'>

/** Adds the common headers to a response, and counts and logs it. */
export function mark(
  exchange: Exchange,
  response: Response,
  judged: Judged,
  problem: Problem | null = null,
): Response {
  const { c, known } = exchange
  const { headers, status } = response
  headers.set('Idempotency-Status', judged.status)
  headers.set('X-Correlation-Id', scopeOf(c).correlation.correlationId)
  if (known.source === 'repeatability') markRepeatability(headers, judged.status)
  expose(c, headers)
  recordVerdict(exchange, judged, { status, headers, problem })
  return response
}

/** The response of a request, as far as it is counted. */
interface Answered {
  readonly status: number
  readonly headers: Iterable<HeaderField>
  readonly problem: Problem | null
  /** On a route that only observes: how the request would have ended. */
  readonly wouldBe?: IdempotencyStatus
}

/** Counts and logs a request. */
export function recordVerdict(exchange: Exchange, judged: Judged, answered: Answered): void {
  const { env } = exchange.c
  const inner = innerOf(env)
  const facts = toRequestFacts(exchange, judged, answered)
  if (inner === undefined) recordRequest(env, facts)
  else inner.conclude(toFacts(judged, answered), facts)
}

function toRequestFacts(
  { c, known, policy }: Exchange,
  { timing, work, status, outcome, fence, ageMs }: Judged,
  answered: Answered,
): RequestFacts {
  const { startedAt, correlation } = scopeOf(c)
  return {
    ...timing,
    operation: known.operation,
    method: c.req.method,
    status,
    httpStatus: answered.status,
    wouldBe: answered.wouldBe ?? null,
    keySource: known.source,
    problem: answered.problem?.slug ?? null,
    outcome,
    tenant: known.tenant,
    correlationId: correlation.correlationId,
    traceId: traceIdOf(correlation.traceparent),
    operationId: known.operationId,
    origin: policy.origin ?? null,
    fence,
    totalMs: Date.now() - startedAt,
    claimMs: Math.max(0, known.guardMs - timing.originMs - timing.waitedMs),
    ageMs,
    requestBytes: known.requestBytes,
    originCalls: work?.originCalls ?? 0,
    disposition: null,
    settle: work?.settle ?? null,
  }
}

function toFacts(
  { status, outcome, work, fence, isOther = false, carrier }: Judged,
  { headers, problem }: Answered,
): MessageFacts {
  const retryAfterMs = problem === null ? readRetryAfter([...headers], Date.now()) : null
  return {
    status,
    outcome,
    work,
    problem,
    fence,
    isOther,
    ...(retryAfterMs !== null && { retryAfterMs }),
    ...(carrier !== undefined && { carrier }),
  }
}

/** OASIS Repeatable Requests 1.0: whether the answer is the result of a single execution. */
function markRepeatability(headers: Headers, status: IdempotencyStatus): void {
  if (status === 'store-fault' || status === 'unprotected') return
  const isRejected = /^(?:rejected|mismatch|expired|not-executed)$/.test(status)
  headers.set('Repeatability-Result', isRejected ? 'rejected' : 'accepted')
}

function markReplay(headers: Headers, ageMs: number): void {
  headers.set('Idempotent-Replayed', 'true')
  headers.set('Age', String(Math.floor(ageMs / 1_000)))
}

/** Converts the response to another client's request to a coding that this client accepts. */
function toReadable(
  c: Context<GatewayEnv>,
  reply: WireResponse,
  status: IdempotencyStatus,
): WireResponse {
  const isEncoded = reply.headers.some(([name]) => name === 'content-encoding')
  if (!isEncoded || !isOfAnother(status)) return reply
  return toAcceptedCoding(reply, acceptedEncodings(c.req.raw))
}

function toResponse({ status, headers: fields, body, bodyBytes }: WireResponse): Response {
  const headers = toHeaders(fields)
  const isEmpty = hasNoBody(status) || (body instanceof Uint8Array && body.byteLength === 0)
  // The bytes are encoded already, as Content-Encoding says.
  const content = isEmpty ? null : withLength(body, bodyBytes ?? null)
  return new Response(content, { status, headers, encodeBody: 'manual' })
}

/** A stream whose length is known is sent with a Content-Length, not in chunks. */
function withLength(body: WireResponse['body'], bodyBytes: number | null): WireResponse['body'] {
  if (!(body instanceof ReadableStream) || bodyBytes === null) return body
  const { readable, writable } = new FixedLengthStream(bodyBytes)
  // The reader of the other end gets the error.
  body.pipeTo(writable).catch(() => {})
  return readable
}
