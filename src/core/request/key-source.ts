/**
 * Scope in which a key is unique: the tenant with all its routes, or one operation of the tenant, so
 * that the same key on another route is another operation.
 */
export type KeyScope = 'tenant' | 'operation'

/** Reads the key of a request, whose context it is given. */
interface KeyReader {
  // A method, so that a function of a framework's own context is one as well.
  read(context: object): string | null | undefined | Promise<string | null | undefined>
}

/**
 * Code that a source brings along, so that only a Worker that uses the source carries it. `http` runs
 * it and knows its type.
 */
export interface SourceCode {
  readonly of: 'batch' | 'mcp'
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
  | {
      readonly in: 'mcp'
      readonly meta: string
      readonly scope: 'tenant'
      readonly code: SourceCode
    }
  | {
      readonly in: 'batch'
      readonly items: string
      readonly pointer: string
      readonly size: number
      readonly concurrency: number
      readonly scope: KeyScope
      readonly code: SourceCode
    }

/** Options of a key source. */
export interface KeySourceOptions {
  /** Scope in which the key is unique. The default depends on the source. */
  readonly scope?: KeyScope
}

/** Sources of one kind. */
export type SourceIn<place extends KeySource['in']> = Extract<KeySource, { readonly in: place }>

/**
 * Reads the key from a header: a bare token or an RFC 9651 String.
 *
 * @param options `scope`: default `'operation'` if the name refers to an event (`webhook-id`,
 *   `X-GitHub-Delivery`), else `'tenant'`.
 * @example protect({ key: header('PayPal-Request-Id') })
 */
export function header(name: string, options: KeySourceOptions = {}): SourceIn<'header'> {
  return { in: 'header', name, scope: scopeOfHeader(name), ...options }
}

/**
 * Reads the key from the body, as the APIs of Square and Airwallex do.
 *
 * @param pointer JSON pointer (RFC 6901) to a string. In a form, `/name` is the field of that name.
 * @param options `scope`: default `'operation'` if the last segment of the pointer refers to an event
 *   (`/event_id`, `/id`), else `'tenant'`.
 * @example protect({ key: body('/idempotency_key') })
 */
export function body(pointer: string, options: KeySourceOptions = {}): SourceIn<'body'> {
  return { in: 'body', pointer, scope: scopeOfField(pointer), ...options }
}

/**
 * Reads the key from a query parameter. URLs appear in logs, so prefer a header.
 *
 * @param options `scope`: default as for `body`, by the name of the parameter.
 * @example protect({ key: query('request_id') })
 */
export function query(name: string, options: KeySourceOptions = {}): SourceIn<'query'> {
  return { in: 'query', name, scope: scopeOfField(name), ...options }
}

/**
 * Reads the key from a path parameter. If the route's path does not have it, the Worker does not start.
 *
 * @param options `scope`: default `'operation'`.
 * @example app.put('/payments/:id', protect({ key: param('id') }))
 */
export function param(name: string, options: KeySourceOptions = {}): SourceIn<'param'> {
  return { in: 'param', name, scope: 'operation', ...options }
}

/**
 * Derives the key from values that identify the business operation, so that clients do not send a
 * key. It is a digest of the values and of the route's `operation`, else of method and path. All
 * values must be present.
 *
 * Values are compared as in the fingerprint: 1 and 1.0 are equal, 1 and "1" are not.
 *
 * @param pointers JSON pointers (RFC 6901) to strings, numbers or booleans; in a form, `/name`.
 * @example protect({ key: business('/order_id', '/attempt') })
 */
export function business(...pointers: string[]): SourceIn<'business'> {
  return { in: 'business', pointers, scope: 'operation' }
}

/**
 * Reads the key from `Repeatability-Request-ID`, which `Repeatability-First-Sent` must accompany
 * (OASIS Repeatable Requests 1.0).
 *
 * @example protect({ key: [header('Idempotency-Key'), repeatability()] })
 */
export function repeatability(): KeySource {
  return { in: 'repeatability', scope: 'tenant' }
}

/** Defaults of `batch`: the most items, the number processed in parallel, and the scope of keys. */
export const BATCH_DEFAULTS = { size: 100, concurrency: 6, scope: 'operation' } as const

/** The source of a route that takes batches. */
export function batchOf(sources: readonly KeySource[]): SourceIn<'batch'> | null {
  return sources.find((source) => source.in === 'batch') ?? null
}

/** The source of a route that is an MCP server. */
export function mcpOf(sources: readonly KeySource[]): SourceIn<'mcp'> | null {
  return sources.find((source) => source.in === 'mcp') ?? null
}

/** Whether a route is an MCP server. */
export function hasMcp(sources: readonly KeySource[]): boolean {
  return mcpOf(sources) !== null
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
