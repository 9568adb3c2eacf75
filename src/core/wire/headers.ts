import type { HeaderField } from '../operation/snapshot.ts'

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

/** Fields that only the gateway writes, and directives that end here. */
const GATEWAY = [
  'idempotency-attempt',
  'idempotency-expires',
  'idempotency-key',
  'idempotency-outcome',
  'idempotency-result-status',
  'idempotency-status',
  'idempotency-store',
  'idempotent-replayed',
  'x-correlation-id',
]
/** From a client, the origin would believe these. */
const GATEWAY_REQUEST = new Set([...GATEWAY, 'stripe-should-retry', 'x-should-retry'])
const GATEWAY_RESPONSE = new Set([...GATEWAY, 'hapax-error', 'hapax-warning'])

/** Fields that the gateway reads as it forwards them: the origin must not read others in their place. */
const READ_HERE = new Set(['accept-encoding', 'content-encoding', 'content-type'])

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

/** Fields of one delivery. Clients of MCP would switch to the session of a replayed answer. */
const OF_ONE_DELIVERY = new Set([
  'age',
  'cf-cache-status',
  'cf-ray',
  'date',
  'mcp-session-id',
  'set-cookie2',
])
/** Fields that ask for another try. A stored answer is the last one. */
const RETRY_AFTER = /^(?:x-(?:ms-)?)?retry-after(?:-ms)?$/
const SHOULD_RETRY = /^(?:x|stripe)-should-retry$/
const RATE_LIMIT = /^(?:x-)?rate-?limit(?:$|-)/
const CORS = 'access-control-'
/** Fields that say how long a cache, or one kind of cache (RFC 9213), may keep an answer. */
const CACHING = /^(?:.*-)?(?:cache|edge|surrogate)-control$|^(?:expires|pragma|x-accel-expires)$/

/** What a policy says about the headers that a snapshot keeps. */
export interface SnapshotHeaderRules {
  readonly setCookie: boolean
  /** Further names that are not kept. */
  readonly omit: readonly string[]
  /** Whether the snapshot is sealed. */
  readonly seal: boolean
}

/**
 * Writes the name of a field as many origins read it. CGI (RFC 3875 §4.1.18), WSGI and PHP do not
 * distinguish signs, so `X_Correlation_Id` is a twin of `X-Correlation-Id`.
 */
export function foldName(name: string): string {
  const known = foldedNames.get(name)
  if (known !== undefined) return known
  const folded = name.toLowerCase().replaceAll(/[^a-z\d]/g, '-')
  if (foldedNames.size === MAX_NAMES) foldedNames.clear()
  if (name.length <= MAX_NAME_LENGTH) foldedNames.set(name, folded)
  return folded
}

/** Most names come with every request, and each is looked at several times; anybody can send any. */
const MAX_NAMES = 1_000
const MAX_NAME_LENGTH = 64
const foldedNames = new Map<string, string>()

/**
 * The client's end-to-end fields, without those that only the gateway writes and their twins.
 *
 * @param incoming `Headers`, or their fields.
 */
export function toOriginHeaders(incoming: Iterable<HeaderField>): HeaderField[] {
  return endToEnd(incoming).filter(([name]) => {
    const folded = foldName(name)
    if (GATEWAY_REQUEST.has(folded) || folded.startsWith('hapax-')) return false
    return folded === name || !READ_HERE.has(folded)
  })
}

/** The origin's fields that the first client receives. */
export function toClientHeaders(fromOrigin: Headers): HeaderField[] {
  return endToEnd(fromOrigin).filter(([name]) => !isGatewayField(name))
}

/** Whether a field of an answer, or its twin, is written only by the gateway. */
export function isGatewayField(name: string): boolean {
  return GATEWAY_RESPONSE.has(foldName(name))
}

/** The first client's fields that are stored for later clients. */
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
 * The first client's fields for the duplicates that waited for its call. These also ask for another
 * try, if the answer is not the operation's last.
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
 * The fields of a replay: CORS fields only for the `Origin` that they were made for, and none that
 * lets a shared cache keep it.
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

/** `private` if the origin let the client keep it, else `no-store` (RFC 9111 §5.2.2). */
function toReplayCaching(fields: readonly HeaderField[]): string {
  const said = fields.flatMap(([name, value]) => (name === 'cache-control' ? [value] : []))
  const unquoted = said.join().replaceAll(/"(?:[^"\\]|\\.)*"?/g, '')
  const directives = new Set(
    unquoted.split(',').map((text) => text.split('=', 1)[0]?.trim().toLowerCase()),
  )
  return directives.has('private') && !directives.has('no-store') ? 'private' : 'no-store'
}

/** Converts fields; each stays a field of its own. */
export function toHeaders(fields: readonly HeaderField[]): Headers {
  const headers = new Headers()
  for (const [name, value] of fields) headers.append(name, value)
  return headers
}

/** Of `Headers`, or of their fields: names are lower-case, each Set-Cookie is a field of its own, other repeated fields come joined. */
function endToEnd(headers: Iterable<HeaderField>): HeaderField[] {
  const fields: HeaderField[] = []
  let connection = ''
  for (const [name, value] of headers) {
    if (name === 'connection') connection = value
    if (!HOP_BY_HOP.has(foldName(name))) fields.push([name, value])
  }
  if (connection === '') return fields
  const dropped = new Set(connection.split(',').map((name) => foldName(name.trim())))
  return fields.filter(([name]) => !dropped.has(foldName(name)))
}
