import type { Context } from 'hono'

import type { Differences } from '../core/fingerprint/differences.ts'
import { preferredType } from '../core/request/accept.ts'
import { type Preset, toStripeError } from '../core/response/preset.ts'
import { type Problem, PROBLEMS, type ProblemSlug } from '../core/response/problem.ts'
import { WHAT_TO_DO } from '../core/response/retry-word.ts'
import { toEscape, toVisible } from '../core/visible.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { requestUrlOf } from './normalized-url.ts'
import { scopeOf } from './request-scope.ts'

const JSON_TYPE = 'application/problem+json'
const MARKDOWN_TYPE = 'text/markdown'

/** The form in which a client gets its problems. */
export interface ProblemForm {
  readonly preset: Preset
  /** JSON text of the id of the JSON-RPC call that is answered, or `null`. */
  readonly callId: string | null
}

/** Path of the page of a problem; its absolute URL is the problem's `type`. */
export const problemPath = (c: Context, slug: ProblemSlug): string =>
  `${scopeOf(c).base}/_hapax/problems/${slug}`

/** Headers that generated SDKs obey. */
export const shouldRetry = (isRetryable: boolean) => ({
  'X-Should-Retry': String(isRetryable),
  'Stripe-Should-Retry': String(isRetryable),
})

/**
 * Creates the response of a problem: RFC 9457 JSON, Markdown if the client prefers it, or an error
 * with the id of a JSON-RPC call.
 *
 * The member `error` repeats the problem for Stripe's SDKs, which would otherwise take it for a success.
 * `message` repeats it for SDKs whose errors would otherwise have no readable message (`docs/real-clients.md`).
 */
export function problemResponse(
  c: Context<GatewayEnv>,
  problem: Problem,
  { preset, callId }: ProblemForm = { preset: 'default', callId: null },
): Response {
  const document = toDocument(c, problem)
  // Authentication is demanded by HTTP itself (RFC 9728), also in MCP.
  const isCall = callId !== null && problem.status !== 401
  const { type, text } = isCall
    ? { type: 'application/json', text: toCallError(problem, document, callId) }
    : toContent(c, problem, document, preset)
  const headers = new Headers({
    'Content-Type': type,
    'Cache-Control': 'no-store',
    'Hapax-Error': problem.slug,
    ...shouldRetry(problem.retryable),
  })
  if (problem.retryAfterMs !== null) {
    headers.set('Retry-After', String(Math.max(1, Math.round(problem.retryAfterMs / 1_000))))
  }
  if (problem.status === 401) headers.set('WWW-Authenticate', 'Bearer')
  // draft-ietf-httpapi-idempotency-key-header-07 §2.7: a link to the rules of the resource.
  if (preset === 'ietf') {
    headers.set('Link', `<${document.type}>; rel="describedby"; type="text/html"`)
  }
  // MCP clients take any other status for a fault of the transport, and drop the session.
  return new Response(text, { status: isCall ? 200 : problem.status, headers })
}

/** Creates the error message of a JSON-RPC call. */
export function callError(c: Context<GatewayEnv>, problem: Problem, callId: string): string {
  return toCallError(problem, toDocument(c, problem), callId)
}

/** The id is written as the client wrote it. */
function toCallError({ status, retry }: Problem, data: ProblemDocument, callId: string): string {
  const message = `${data.detail} ${WHAT_TO_DO[retry]}`
  return `{"jsonrpc":"2.0","id":${callId},"error":${JSON.stringify({ code: status, message, data })}}`
}

function toContent(
  c: Context<GatewayEnv>,
  problem: Problem,
  document: ProblemDocument,
  preset: Preset,
): { readonly type: string; readonly text: string } {
  const types = [JSON_TYPE, 'application/json', MARKDOWN_TYPE]
  if (preferredType(c.req.header('Accept') ?? '', types) === MARKDOWN_TYPE) {
    return { type: `${MARKDOWN_TYPE}; charset=utf-8`, text: toMarkdown(document) }
  }
  return preset === 'stripe'
    ? { type: 'application/json', text: JSON.stringify(toStripe(c, problem)) }
    : { type: JSON_TYPE, text: JSON.stringify(document) }
}

interface ProblemDocument {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly message: string
  readonly instance: string
  readonly retryable: boolean
  readonly retry: string
  readonly correlationId: string
  /** On a mismatch: parts of the request that differ, and where in body and query. */
  readonly differs?: readonly string[]
  readonly pointers?: readonly string[]
  readonly queryPointers?: readonly string[]
  readonly error: { readonly type: string; readonly code: string; readonly message: string }
}

function toDocument(c: Context<GatewayEnv>, problem: Problem): ProblemDocument {
  const { slug, title, status, retryable, retry, differences } = problem
  const detail = toSentence(problem.detail)
  const { correlationId } = scopeOf(c).correlation
  const { origin, path } = requestUrlOf(c)
  return {
    type: origin + problemPath(c, slug),
    title,
    status,
    detail,
    message: detail,
    instance: `${path}#${correlationId}`,
    retryable,
    retry,
    correlationId,
    ...(differences === null ? {} : toMembers(differences)),
    error: { type: PROBLEMS[slug].errorType, code: slug, message: detail },
  }
}

function toMembers({ parts, pointers, queryPointers }: Differences) {
  return { differs: parts, pointers, queryPointers }
}

/** The body of Stripe's errors, whose only member is `error`. */
function toStripe(c: Context<GatewayEnv>, problem: Problem) {
  const { slug, status, detail } = problem
  const doc_url = requestUrlOf(c).origin + problemPath(c, slug)
  return { error: { ...toStripeError(slug, status), message: toSentence(detail), doc_url } }
}

/** Names from the client can be long. The lists of pointers contain them in full. */
const MAX_SENTENCE_LENGTH = 2_000

/** Escapes and shortens a text with names from the client, so that it stays one line. */
function toSentence(text: string): string {
  const line = toVisible(text)
  return line.length > MAX_SENTENCE_LENGTH ? `${line.slice(0, MAX_SENTENCE_LENGTH)}…` : line
}

function toMarkdown(document: ProblemDocument): string {
  return [
    `# ${document.title}`,
    '',
    escapeMarkdown(document.detail),
    '',
    `- status: ${document.status}`,
    `- type: ${document.type}`,
    `- retryable: ${document.retryable}`,
    `- retry: ${document.retry}`,
    `- code: ${document.error.code}`,
    `- instance: ${toCode(document.instance)}`,
    `- correlation id: ${document.correlationId}`,
    ...(document.pointers ?? []).map((pointer) => `- differs at: ${toCode(pointer)}`),
    ...(document.queryPointers ?? []).map((pointer) => `- differs at: query ${toCode(pointer)}`),
    '',
  ].join('\n')
}

/** Characters with a meaning in Markdown. An underscore between letters has none. */
const MARKUP = /[\\`*{}[\]<>#|~!&]|(?<!\w)_|_(?!\w)/g

const escapeMarkdown = (text: string) => text.replaceAll(MARKUP, String.raw`\$&`)

/** Writes a code span, in which only the backtick has a meaning. */
const toCode = (text: string) => `\`${toVisible(text).replaceAll('`', toEscape)}\``
