/**
 * Within what a key names one operation: the tenant, over all of its routes, or one operation of
 * the tenant, so that the same key on another route is another operation.
 */
export type KeyScope = 'tenant' | 'operation'

/** Reads the key of a request, whose context it is given. */
interface KeyReader {
  // A method, so that a function of a framework's own context is one as well.
  read(context: object): string | null | undefined | Promise<string | null | undefined>
}

/**
 * Where the key of an operation is read from, and within what it counts. A route has one of these
 * values, or a list of them that is tried in order.
 */
export type KeySource =
  | { readonly in: 'header'; readonly name: string; readonly scope: KeyScope }
  | { readonly in: 'body'; readonly pointer: string; readonly scope: KeyScope }
  | { readonly in: 'query'; readonly name: string; readonly scope: KeyScope }
  | { readonly in: 'param'; readonly name: string; readonly scope: KeyScope }
  | (KeyReader & { readonly in: 'function'; readonly scope: KeyScope })
  | { readonly in: 'business'; readonly pointers: string[]; readonly scope: 'operation' }
  | { readonly in: 'repeatability'; readonly scope: 'tenant' }
  | { readonly in: 'mcp'; readonly meta: string; readonly scope: 'tenant' }
  | {
      readonly in: 'batch'
      readonly items: string
      readonly pointer: string
      readonly size: number
      readonly concurrency: number
      readonly scope: KeyScope
    }

/** Options of a key source. */
export interface KeySourceOptions {
  /** Within what the key counts. Each source says its default. */
  readonly scope?: KeyScope
}

/** Sources of one kind. */
export type SourceIn<place extends KeySource['in']> = Extract<KeySource, { readonly in: place }>

/**
 * The key is the value of a header field: a bare token or an RFC 9651 String.
 *
 * @param options `scope`: default `'operation'` where the name says that the sender of an event made
 *   the id (`webhook-id`, `X-GitHub-Delivery`), else `'tenant'`.
 * @example protect({ key: header('PayPal-Request-Id') })
 */
export function header(name: string, options: KeySourceOptions = {}): SourceIn<'header'> {
  return { in: 'header', name, scope: scopeOfHeader(name), ...options }
}

/**
 * The key is a string in the body, as Square and Airwallex have it.
 *
 * @param pointer JSON pointer (RFC 6901) to it; in a form, `/name` is the field of that name.
 * @param options `scope`: default `'operation'` where the last name of the pointer says that the
 *   sender of an event made the id (`/event_id`, `/id`), else `'tenant'`.
 * @example protect({ key: body('/idempotency_key') })
 */
export function body(pointer: string, options: KeySourceOptions = {}): SourceIn<'body'> {
  return { in: 'body', pointer, scope: scopeOfField(pointer), ...options }
}

/**
 * The key is a parameter of the query. URLs stand in logs: take it where you cannot ask for a header.
 *
 * @param options `scope`: default as for `body`, by the name of the parameter.
 * @example protect({ key: query('request_id') })
 */
export function query(name: string, options: KeySourceOptions = {}): SourceIn<'query'> {
  return { in: 'query', name, scope: scopeOfField(name), ...options }
}

/**
 * The key is a parameter of the route's path. A route whose path does not have it fails at start.
 *
 * @param options `scope`: default `'operation'`.
 * @example app.put('/payments/:id', protect({ key: param('id') }))
 */
export function param(name: string, options: KeySourceOptions = {}): SourceIn<'param'> {
  return { in: 'param', name, scope: 'operation', ...options }
}

/**
 * The key is made of values that name the business operation, so that clients need to send none of
 * their own: a digest of them and of the route's `operation`, else of method and path. All of them
 * must be there.
 *
 * Values compare as in the fingerprint: 1 and 1.0 are one, 1 and "1" are two.
 *
 * @param pointers JSON pointers (RFC 6901) to strings, numbers or booleans; in a form, `/name`.
 * @example protect({ key: business('/order_id', '/attempt') })
 */
export function business(...pointers: string[]): SourceIn<'business'> {
  return { in: 'business', pointers, scope: 'operation' }
}

/**
 * The key is `Repeatability-Request-ID`, with `Repeatability-First-Sent` beside it (OASIS
 * Repeatable Requests 1.0).
 *
 * @example protect({ key: [header('Idempotency-Key'), repeatability()] })
 */
export function repeatability(): KeySource {
  return { in: 'repeatability', scope: 'tenant' }
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
  return { in: 'mcp', meta, scope: 'tenant' }
}

/** Options of `batch`. */
export interface BatchOptions extends KeySourceOptions {
  /** Most items of one batch, 1000 at the most. Default 100. */
  readonly size?: number
  /** Items that are worked on at once, 100 at the most. Default 6. */
  readonly concurrency?: number
}

/**
 * A request holds many items, each with a key of its own: each is an operation of its own, and the
 * answer tells of all of them. It must be the route's only source.
 *
 * @param items JSON pointer (RFC 6901) to the array; `''` where the body itself is the array.
 * @param key JSON pointer within an item to its key, a string, number or boolean; `''` where the item
 *   itself is the key.
 * @param options `scope`: default `'operation'`.
 * @example app.post('/payments/batch', protect({ key: batch('/items', '/id') }))
 */
export function batch(items: string, key: string, options: BatchOptions = {}): SourceIn<'batch'> {
  const defaults = { size: 100, concurrency: 6, scope: 'operation' } as const
  return { in: 'batch', items, pointer: key, ...defaults, ...options }
}

/** The source of a route that takes batches. */
export function batchOf(sources: readonly KeySource[]): SourceIn<'batch'> | null {
  return sources.find((source) => source.in === 'batch') ?? null
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
    case 'query':
      return `the parameter ${source.name} of the query`
    case 'param':
      return `the parameter ${source.name} of the path`
    case 'function':
      return 'what this route reads of the request'
    case 'business':
      return `values at ${source.pointers.join(' and ')} of the body`
    case 'repeatability':
      return 'the headers Repeatability-Request-ID and Repeatability-First-Sent'
    case 'mcp':
      return `a string at ${source.meta} of params._meta`
    case 'batch':
      return `a value at ${source.items}/…${source.pointer} of the body, one for each item`
  }
}

/** Words for what somebody tells of, whose id is made by the one who tells it. */
const TOLD =
  /^(?:webhook|hook|event|delivery|transmission|message|notification)s?(?:id|uuid|guid)?$/

/** Of a name, in whatever case and with whatever between them. */
const WORDS = /[A-Z]+(?![a-z])|[A-Z]?[a-z]+/g

/** Names of the CloudEvents and Svix headers, which say it in a word of their own. */
const EVENT_HEADER = /^(?:ce|svix)-id$/i

// What is no name is refused with the policy, where it is known of which route.
function scopeOfHeader(name: unknown): KeyScope {
  return typeof name === 'string' && (EVENT_HEADER.test(name) || isOfEvent(name))
    ? 'operation'
    : 'tenant'
}

/** @param field A pointer, of which the last name counts, or the name of a parameter. */
function scopeOfField(field: unknown): KeyScope {
  const name = typeof field === 'string' ? (field.split('/').at(-1) ?? '') : ''
  // An id alone is that of the thing which the payload tells of.
  return name === 'id' || isOfEvent(name) ? 'operation' : 'tenant'
}

/** Whether a name says that the sender of an event made the id, and not a client for its retries. */
function isOfEvent(name: string): boolean {
  if (/idempot/i.test(name)) return false
  return (name.match(WORDS) ?? []).some((word) => TOLD.test(word.toLowerCase()))
}
