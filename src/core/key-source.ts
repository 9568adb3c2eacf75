/**
 * Where the key of an operation is read from. A route has one of these values, or a list of them
 * that is tried in order.
 */
export type KeySource =
  | { readonly in: 'header'; readonly name: string }
  | { readonly in: 'body'; readonly pointer: string }
  | { readonly in: 'business'; readonly pointers: string[] }
  | { readonly in: 'repeatability' }
  | { readonly in: 'mcp'; readonly meta: string }

/**
 * The key is the value of a header field: a bare token or an RFC 9651 String.
 *
 * @example protect({ key: header('PayPal-Request-Id') })
 */
export function header(name: string): KeySource {
  return { in: 'header', name }
}

/**
 * The key is a string in the body, as Square and Airwallex have it.
 *
 * @param pointer JSON pointer (RFC 6901) to it; in a form, `/name` is the field of that name.
 * @example protect({ key: body('/idempotency_key') })
 */
export function body(pointer: string): Extract<KeySource, { in: 'body' }> {
  return { in: 'body', pointer }
}

/**
 * The key is made of values that name the business operation, so that clients need to send none of
 * their own: a digest of them and of the route's `operation`. All of them must be there.
 *
 * Values compare as in the fingerprint: 1 and 1.0 are one, 1 and "1" are two.
 *
 * @param pointers JSON pointers (RFC 6901) to strings, numbers or booleans; in a form, `/name`.
 * @example protect({ key: business('/order_id', '/attempt') })
 */
export function business(...pointers: string[]): Extract<KeySource, { in: 'business' }> {
  return { in: 'business', pointers }
}

/**
 * The key is `Repeatability-Request-ID`, with `Repeatability-First-Sent` beside it (OASIS
 * Repeatable Requests 1.0).
 *
 * @example protect({ key: [header('Idempotency-Key'), repeatability()] })
 */
export function repeatability(): KeySource {
  return { in: 'repeatability' }
}

/**
 * The route is an MCP server (JSON-RPC over Streamable HTTP): the key of a `tools/call` is a member
 * of its `params._meta`; every other message goes to the server untouched.
 *
 * The `id` of a call, its `_meta` and what the client was asked for in between do not count in the
 * fingerprint, and a replay bears the `id` of the call that it answers.
 *
 * @param meta Name of the member.
 * @example app.post('/mcp', protect({ key: mcp(), required: false }))
 */
export function mcp(meta = 'idempotencyKey'): KeySource {
  return { in: 'mcp', meta }
}

/** Whether a route is an MCP server. */
export function hasMcp(sources: readonly KeySource[]): boolean {
  return sources.some((source) => source.in === 'mcp')
}

/** Pointers of a call that differ from try to try and do not count. */
export const MCP_IGNORED: readonly string[] = [
  '/id',
  '/params/_meta',
  '/params/inputResponses',
  '/params/requestState',
]

/** Says where a key may stand, for who has sent none. */
export function describeSources(sources: readonly KeySource[]): string {
  return sources.map(describeSource).join(' or ')
}

function describeSource(source: KeySource): string {
  switch (source.in) {
    case 'header':
      return `the header ${source.name}`
    case 'body':
      return `a string at ${source.pointer} of the body`
    case 'business':
      return `values at ${source.pointers.join(' and ')} of the body`
    case 'repeatability':
      return 'the headers Repeatability-Request-ID and Repeatability-First-Sent'
    case 'mcp':
      return `a string at ${source.meta} of params._meta`
  }
}
