import type { Context } from 'hono'

import { toHeaders } from '../core/headers.ts'
import { hasNoBody, type WireResponse } from '../core/snapshot.ts'
import { recordRequest } from '../metrics/record-request.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { problemResponse } from './problem-response.ts'
import { isProblem, type Verdict } from './verdict.ts'

/** What the edge knows of the request that a verdict answers. */
export interface Subject {
  readonly operation: string
  readonly tenant: string | null
  readonly operationId: string | null
  readonly requestBytes: number
  /** Milliseconds that the way to the verdict took, the object's own time included. */
  readonly guardMs: number
}

/** Answers a request on a protected route: the headers that every answer bears, one point, one line. */
export function conclude(c: Context<GatewayEnv>, subject: Subject, verdict: Verdict): Response {
  return mark(c, respond(c, verdict), subject, verdict)
}

/** Makes the response of a verdict. */
export function respond(
  c: Context<GatewayEnv>,
  { reply, status, ageMs }: Pick<Verdict, 'reply' | 'status' | 'ageMs'>,
): Response {
  const response = isProblem(reply) ? problemResponse(c, reply) : toResponse(reply)
  if (status === 'replayed') markReplay(response.headers, ageMs)
  return response
}

/** Marks, counts and logs a response that is already made. */
export function mark(
  c: Context<GatewayEnv>,
  response: Response,
  subject: Subject,
  verdict: Omit<Verdict, 'reply'> & { readonly reply?: Verdict['reply'] },
): Response {
  const { reply } = verdict
  response.headers.set('Idempotency-Status', verdict.status)
  response.headers.set('X-Correlation-Id', c.var.hapax.correlation.correlationId)
  recordRequest(c.env, {
    ...verdict.timing,
    operation: subject.operation,
    method: c.req.method,
    status: verdict.status,
    httpStatus: response.status,
    problem: reply !== undefined && isProblem(reply) ? reply.slug : null,
    outcome: verdict.outcome,
    tenant: subject.tenant,
    correlationId: c.var.hapax.correlation.correlationId,
    operationId: subject.operationId,
    fence: verdict.fence,
    totalMs: Date.now() - c.var.hapax.startedAt,
    claimMs: Math.max(0, subject.guardMs - verdict.timing.originMs - verdict.timing.waitedMs),
    ageMs: verdict.ageMs,
    requestBytes: subject.requestBytes,
    originCalls: verdict.work?.originCalls ?? 0,
    settle: verdict.work?.settle ?? null,
  })
  return response
}

/** A replay says so, and is for this client alone. */
function markReplay(headers: Headers, ageMs: number): void {
  headers.set('Idempotent-Replayed', 'true')
  headers.set('Age', String(Math.floor(ageMs / 1_000)))
  const caching = headers.get('Cache-Control')
  if (caching === null) headers.set('Cache-Control', 'no-store')
  else if (!/\b(?:private|no-store)\b/i.test(caching)) headers.append('Cache-Control', 'private')
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
