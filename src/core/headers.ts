import type { HeaderField } from './snapshot.ts'

/** Fields of one connection, not of the message (RFC 9110 §7.6.1), and what `fetch` writes itself. */
const HOP_BY_HOP = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Fields that only the gateway writes; from outside they would be believed by the origin. */
const GATEWAY_REQUEST = new Set([
  'idempotency-attempt',
  'idempotency-expires',
  'idempotency-key',
  'idempotency-outcome',
  'idempotency-result-status',
  'idempotency-status',
  'idempotency-store',
  'idempotent-replayed',
  'stripe-should-retry',
  'x-correlation-id',
  'x-should-retry',
])

/** Fields that the gateway reads as it forwards them: the origin must not read others in their place. */
const READ_HERE = new Set(['accept-encoding', 'content-encoding', 'content-type'])

/** Fields that only the gateway writes to clients, and directives that end here. */
const GATEWAY_RESPONSE = new Set([
  'hapax-error',
  'hapax-warning',
  'idempotency-attempt',
  'idempotency-expires',
  'idempotency-key',
  'idempotency-outcome',
  'idempotency-result-status',
  'idempotency-status',
  'idempotency-store',
  'idempotent-replayed',
  'x-correlation-id',
])

/** Fields by which frameworks take another method for the request's own. Names as `foldName` writes them. */
export const OVERRIDES_METHOD: ReadonlySet<string> = new Set([
  'x-forwarded-method',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-method',
])

/** Likewise, another path. */
export const OVERRIDES_PATH: ReadonlySet<string> = new Set([
  'x-http-destinationurl',
  'x-original-url',
  'x-override-url',
  'x-rewrite-url',
])

/**
 * Fields of one delivery: when it was made and how much of a quota it used up. Clients of MCP go over to
 * the session that an answer names.
 */
const OF_ONE_DELIVERY = new Set([
  'age',
  'cf-cache-status',
  'cf-ray',
  'date',
  'mcp-session-id',
  'set-cookie2',
])
/** What asks for another try of this one, in the words of SDKs as well; a stored answer is the last. */
const RETRY_AFTER = /^(?:x-(?:ms-)?)?retry-after(?:-ms)?$/
const SHOULD_RETRY = /^(?:x|stripe)-should-retry$/
const RATE_LIMIT = /^(?:x-)?rate-?limit(?:$|-)/
const CORS = 'access-control-'
/** What says for how long an answer may be kept, to every cache or to those of one kind (RFC 9213). */
const CACHING = /^(?:.*-)?(?:cache|edge|surrogate)-control$|^(?:expires|pragma|x-accel-expires)$/

/** What a policy says of the headers that a snapshot keeps. */
export interface SnapshotHeaderRules {
  readonly setCookie: boolean
  /** Further names that are not kept. */
  readonly omit: readonly string[]
  /** Whether what is kept is sealed. */
  readonly seal: boolean
}

/**
 * Writes the name of a field as many origins read it: behind CGI (RFC 3875 §4.1.18), WSGI or PHP every
 * sign in it is one and the same, so that `X_Correlation_Id` is a twin of `X-Correlation-Id`.
 */
export function foldName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z\d]/g, '-')
}

/** The client's end-to-end fields, without any that only the gateway may write, nor twins of those. */
export function toOriginHeaders(incoming: Headers): HeaderField[] {
  return endToEnd(incoming).filter(([name]) => {
    const folded = foldName(name)
    if (GATEWAY_REQUEST.has(folded) || folded.startsWith('hapax-')) return false
    return folded === name || !READ_HERE.has(folded)
  })
}

/** What the first client gets of the origin's fields. */
export function toClientHeaders(fromOrigin: Headers): HeaderField[] {
  return endToEnd(fromOrigin).filter(([name]) => !isGatewayField(name))
}

/** Whether only the gateway writes a field of an answer, or a twin of one. */
export function isGatewayField(name: string): boolean {
  return GATEWAY_RESPONSE.has(foldName(name))
}

/** What of the first client's fields is kept for every later one. */
export function toSnapshotHeaders(
  fields: readonly HeaderField[],
  rules: SnapshotHeaderRules,
): HeaderField[] {
  return toSharedHeaders(fields, rules).filter((field) => !asksForRetry(field))
}

function asksForRetry([name, value]: HeaderField): boolean {
  return RETRY_AFTER.test(name) || (SHOULD_RETRY.test(name) && /^\s*true\s*$/i.test(value))
}

/**
 * What of the first client's fields those get who have waited for its call: also what asks for
 * another try, where the answer is not the operation's last.
 */
export function toSharedHeaders(
  fields: readonly HeaderField[],
  rules: SnapshotHeaderRules,
): HeaderField[] {
  const omitted = new Set(rules.omit.map((name) => name.toLowerCase()))
  return fields.filter(([name]) => {
    if (name === 'set-cookie') return rules.setCookie && !omitted.has(name)
    // Records of an earlier version hold more of the gateway's own fields.
    if (isGatewayField(name) || OF_ONE_DELIVERY.has(name)) return false
    return !RATE_LIMIT.test(name) && !omitted.has(name)
  })
}

/**
 * What a client gets of the answer to another request: CORS fields only where it comes from the
 * `Origin` that they were made for, and nothing by which a shared cache would keep it.
 */
export function toReplayHeaders(
  fields: readonly HeaderField[],
  origins: { readonly stored: string | null; readonly current: string | null },
): HeaderField[] {
  const isSameOrigin = origins.stored === origins.current
  const kept = fields.filter(
    ([name]) => !CACHING.test(foldName(name)) && (isSameOrigin || !name.startsWith(CORS)),
  )
  return [...kept, ['cache-control', toReplayCaching(fields)]]
}

/** `private` where the origin let the client keep it, else `no-store`; nothing beside it (RFC 9111 §5.2.2). */
function toReplayCaching(fields: readonly HeaderField[]): string {
  const said = fields.flatMap(([name, value]) => (name === 'cache-control' ? [value] : []))
  const unquoted = said.join().replaceAll(/"(?:[^"\\]|\\.)*"?/g, '')
  const directives = new Set(
    unquoted.split(',').map((text) => text.split('=', 1)[0]?.trim().toLowerCase()),
  )
  return directives.has('private') && !directives.has('no-store') ? 'private' : 'no-store'
}

/** Makes headers of fields, each one on its own. */
export function toHeaders(fields: readonly HeaderField[]): Headers {
  const headers = new Headers()
  for (const [name, value] of fields) headers.append(name, value)
  return headers
}

/** Names are lower-case; each Set-Cookie is a field of its own, other repeated fields come joined. */
function endToEnd(headers: Headers): HeaderField[] {
  const named = (headers.get('connection') ?? '').split(',')
  const dropped = new Set(named.map((name) => foldName(name.trim())))
  return Array.from(headers, ([name, value]): HeaderField => [name.toLowerCase(), value]).filter(
    ([name]) => !HOP_BY_HOP.has(foldName(name)) && !dropped.has(foldName(name)),
  )
}
