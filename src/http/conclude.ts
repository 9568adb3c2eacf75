import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import { traceIdOf } from '../core/correlation.ts'
import type { VerdictFacts } from '../core/disposition.ts'
import { toHeaders } from '../core/headers.ts'
import type { IdempotencyStatus } from '../core/idempotency-status.ts'
import type { KeySource } from '../core/key-source.ts'
import type { RequestFacts } from '../core/request-facts.ts'
import { readRetryAfter } from '../core/retry-after.ts'
import { hasNoBody, type WireResponse } from '../core/snapshot.ts'
import { recordRequest } from '../metrics/record-request.ts'
import { acceptedEncodings, toAcceptedCoding } from './client-coding.ts'
import { type GatewayEnv, MESSAGE } from './gateway-env.ts'
import { type ProblemForm, problemResponse } from './problem-response.ts'
import { operationOf } from './route-policy.ts'
import { isOfAnother, isProblem, type Verdict } from './verdict.ts'

/** What the edge knows of the request that a verdict answers. */
export interface Subject extends ProblemForm {
  readonly operation: string
  /** Where its key was found; `null` where that is not known. */
  readonly source: KeySource['in'] | 'none' | null
  readonly tenant: string | null
  readonly operationId: string | null
  readonly requestBytes: number
  /** Milliseconds that the way to the verdict took, the object's own time included. */
  readonly guardMs: number
}

/** What is known of a request before anything of it was read. */
export function subjectOf(c: Context<GatewayEnv>, policy: Policy): Subject {
  return {
    operation: operationOf(c, policy),
    preset: policy.preset,
    callId: null,
    source: null,
    tenant: null,
    operationId: null,
    requestBytes: 0,
    guardMs: 0,
  }
}

/** Answers a request on a protected route: the headers that every answer bears, one point, one line. */
export function conclude(c: Context<GatewayEnv>, subject: Subject, verdict: Verdict): Response {
  return mark(c, respond(c, verdict, subject), subject, verdict)
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
    // Rounded as `Age` is not, so that the two always make up the same time.
    const seconds = Math.ceil(Math.max(0, rememberedMs) / 1_000)
    response.headers.set('Idempotency-Expires', String(seconds))
  }
  return response
}

/** Marks, counts and logs a response that is already made. */
export function mark(
  c: Context<GatewayEnv>,
  response: Response,
  subject: Subject,
  verdict: Marked,
): Response {
  const { headers } = response
  headers.set('Idempotency-Status', verdict.status)
  headers.set('X-Correlation-Id', c.var.hapax.correlation.correlationId)
  if (subject.source === 'repeatability') markRepeatability(headers, verdict.status)
  expose(c, headers)
  recordVerdict(c, subject, verdict, { status: response.status, wouldBe: null })
  return response
}

/** A verdict whose response may be made already. */
type Marked = Omit<Verdict, 'reply'> & { readonly reply?: Verdict['reply'] | undefined }

/** Counts and logs a request. */
export function recordVerdict(
  c: Context<GatewayEnv>,
  subject: Subject,
  verdict: Marked,
  answered: { readonly status: number; readonly wouldBe: IdempotencyStatus | null },
): void {
  const message = c.env[MESSAGE]
  const facts = toRequestFacts(c, subject, verdict, answered)
  if (message === undefined) return recordRequest(c.env, facts)
  const disposition = message.conclude(toFacts(facts, verdict))
  const recorded = message.toRecord({ ...facts, method: 'QUEUE', disposition })
  if (recorded !== null) recordRequest(c.env, recorded)
}

function toRequestFacts(
  c: Context<GatewayEnv>,
  { operation, source, tenant, operationId, requestBytes, guardMs }: Subject,
  { reply, timing, work, status, outcome, fence, ageMs }: Marked,
  answered: { readonly status: number; readonly wouldBe: IdempotencyStatus | null },
): RequestFacts {
  const { startedAt, correlation } = c.var.hapax
  return {
    ...timing,
    operation,
    method: c.req.method,
    status,
    httpStatus: answered.status,
    wouldBe: answered.wouldBe,
    keySource: source,
    problem: reply !== undefined && isProblem(reply) ? reply.slug : null,
    outcome,
    tenant,
    correlationId: correlation.correlationId,
    traceId: traceIdOf(correlation.traceparent),
    operationId,
    fence,
    totalMs: Date.now() - startedAt,
    claimMs: Math.max(0, guardMs - timing.originMs - timing.waitedMs),
    ageMs,
    requestBytes,
    originCalls: work?.originCalls ?? 0,
    disposition: null,
    settle: work?.settle ?? null,
  }
}

function toFacts(
  { operationId, correlationId, fence }: RequestFacts,
  { status, outcome, work, reply, isOther = false, carrier }: Marked,
): VerdictFacts {
  const problem = reply !== undefined && isProblem(reply) ? reply : null
  const retryAfterMs = reply === undefined || isProblem(reply) ? null : askedOf(reply)
  const known = { status, outcome, work, problem, operationId, correlationId, fence, isOther }
  return {
    ...known,
    ...(retryAfterMs !== null && { retryAfterMs }),
    ...(carrier !== undefined && { carrier }),
  }
}

const askedOf = ({ headers }: WireResponse) => readRetryAfter(headers, Date.now())

/**
 * Lets a script of another origin read what stands here, where it may read the answer at all. A
 * middleware that says itself what is exposed has the last word.
 */
export function expose(c: Context<GatewayEnv>, headers: Headers): void {
  // Asking `c.res` makes one, which changes what becomes of the answer: only where it may matter.
  if (c.req.header('Origin') === undefined) return
  const isShared = headers.has(ALLOW_ORIGIN) || c.res.headers.has(ALLOW_ORIGIN)
  if (!isShared || c.res.headers.has(EXPOSE_HEADERS)) return
  headers.append(EXPOSE_HEADERS, EXPOSED_HEADERS.join(', '))
}

const ALLOW_ORIGIN = 'Access-Control-Allow-Origin'
const EXPOSE_HEADERS = 'Access-Control-Expose-Headers'

/** What of an answer browsers must be allowed to read. */
const EXPOSED_HEADERS: readonly string[] = [
  'Idempotency-Status',
  'Idempotent-Replayed',
  'Idempotency-Expires',
  'Age',
  'X-Correlation-Id',
  'Hapax-Error',
  'Retry-After',
  'X-Should-Retry',
  'Location',
  'Preference-Applied',
  'Repeatability-Result',
  'Hapax-Warning',
  'Deprecation',
  'Sunset',
  'Link',
]

/** OASIS Repeatable Requests 1.0: whether the answer is that of a single execution. */
function markRepeatability(headers: Headers, status: IdempotencyStatus): void {
  if (status === 'store-fault' || status === 'unprotected') return
  const isRejected = /^(?:rejected|mismatch|expired|not-executed)$/.test(status)
  headers.set('Repeatability-Result', isRejected ? 'rejected' : 'accepted')
}

/** A replay says so. */
function markReplay(headers: Headers, ageMs: number): void {
  headers.set('Idempotent-Replayed', 'true')
  headers.set('Age', String(Math.floor(ageMs / 1_000)))
}

/** What another client's request has made comes in a coding that this client reads. */
function toReadable(
  c: Context<GatewayEnv>,
  reply: WireResponse,
  status: IdempotencyStatus,
): WireResponse {
  return isOfAnother(status) ? toAcceptedCoding(reply, acceptedEncodings(c.req.raw)) : reply
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
  // A body that breaks off does so for the reader, who is told.
  body.pipeTo(writable).catch(() => {})
  return readable
}
