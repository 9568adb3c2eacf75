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

/** Fields that only the gateway writes to clients, and directives that end here. */
const GATEWAY_RESPONSE = new Set([
  'hapax-error',
  'hapax-warning',
  'idempotency-outcome',
  'idempotency-result-status',
  'idempotency-status',
  'idempotency-store',
  'idempotent-replayed',
  'x-correlation-id',
])

/** Fields of one delivery: when it was made and how much of a quota it used up. */
const OF_ONE_DELIVERY = new Set(['age', 'cf-cache-status', 'cf-ray', 'date', 'set-cookie2'])
const RATE_LIMIT = /^(?:x-)?rate-?limit(?:$|-)/
const CORS = 'access-control-'

/** What a policy says of the headers that a snapshot keeps. */
export interface SnapshotHeaderRules {
  readonly setCookie: boolean
  /** Further names that are not kept. */
  readonly omit: readonly string[]
  /** Whether what is kept is sealed. */
  readonly seal: boolean
}

/** The client's end-to-end fields, without any that only the gateway may write. */
export function toOriginHeaders(incoming: Headers): HeaderField[] {
  return endToEnd(incoming).filter(
    ([name]) => !GATEWAY_REQUEST.has(name) && !name.startsWith('hapax-'),
  )
}

/** What the first client gets of the origin's fields. */
export function toClientHeaders(fromOrigin: Headers): HeaderField[] {
  return endToEnd(fromOrigin).filter(([name]) => !GATEWAY_RESPONSE.has(name))
}

/** What of the first client's fields is kept for every later one. */
export function toSnapshotHeaders(
  fields: readonly HeaderField[],
  rules: SnapshotHeaderRules,
): HeaderField[] {
  const omitted = new Set(rules.omit.map((name) => name.toLowerCase()))
  return fields.filter(([name]) => {
    if (name === 'set-cookie') return rules.setCookie && !omitted.has(name)
    return !OF_ONE_DELIVERY.has(name) && !RATE_LIMIT.test(name) && !omitted.has(name)
  })
}

/** What a later client gets: CORS fields only where it comes from the `Origin` that they were made for. */
export function toReplayHeaders(
  fields: readonly HeaderField[],
  origins: { readonly stored: string | null; readonly current: string | null },
): readonly HeaderField[] {
  if (origins.stored === origins.current) return fields
  return fields.filter(([name]) => !name.startsWith(CORS))
}

/** Makes headers of fields, each one on its own. */
export function toHeaders(fields: readonly HeaderField[]): Headers {
  const headers = new Headers()
  for (const [name, value] of fields) headers.append(name, value)
  return headers
}

/** Names are lower-case; each Set-Cookie is a field of its own, other repeated fields come joined. */
function endToEnd(headers: Headers): HeaderField[] {
  const named = (headers.get('connection') ?? '').toLowerCase().split(',')
  const dropped = new Set(named.map((name) => name.trim()))
  return Array.from(headers, ([name, value]): HeaderField => [name.toLowerCase(), value]).filter(
    ([name]) => !HOP_BY_HOP.has(name) && !dropped.has(name),
  )
}
