import type { Duration } from '../core/duration.ts'
import type { SecretRef } from '../core/event/secret.ts'
import { type HeaderOptions, isHeaderName, toHeaderOptions } from '../core/header-options.ts'
import { parsePolicy, type PolicyOptions } from './policy.ts'

/** Options of an origin. */
export interface OriginOptions {
  /**
   * Headers of every request to this origin, and to no other. A text or `secret('NAME')` replaces the
   * header of the client. `false` removes it, `true` keeps it.
   *
   * If one of them is a secret, the client's `Authorization`, `Cookie` and credentials of Cloudflare
   * Access are removed as well, unless they stand here: they are for the gateway, and not for somebody else's API.
   */
  readonly headers?: Readonly<Record<string, string | SecretRef | boolean>>
  /**
   * Prefix that is removed from the path of a request, such as `/crm`. Paths in a policy, such as that
   * of `probe`, are paths at the origin already.
   */
  readonly strip?: string
  /** `timeout` of the routes that say none. */
  readonly timeout?: Duration
  /** `retry` of the routes, field by field as far as a route says nothing else. */
  readonly retry?: OriginRetry
}

type OriginRetry = Omit<NonNullable<PolicyOptions['retry']>, 'on'>

/** Where an origin is: a URL, a variable that holds it, or a service binding. */
type Place =
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'service'; readonly binding: string }

/** An origin beside the deployment's own. Made by `url` and `service`. */
export interface Origin {
  readonly place: Place
  /** Headers that are set, by name. */
  readonly headers: HeaderOptions
  /** Names of the client's headers that are not sent. */
  readonly removed: readonly string[]
  readonly strip: string | null
  readonly defaults: Pick<PolicyOptions, 'timeout'> & { readonly retry?: OriginRetry }
}

/** Only `url` and `service` create origins, so all of these are valid. */
const made = new WeakSet<object>()

/**
 * An origin at a URL. Its path, if it has one, comes before the path of every request.
 *
 * @param at The URL, or the name of the variable that has it, which can differ per environment.
 * @throws {TypeError} When it is neither, or an option is invalid.
 * @example url('https://api.pay.example/v2', { headers: { Authorization: secret('PAY_TOKEN') } })
 * @example url('CRM_URL')
 */
export function url(at: string, options: OriginOptions = {}): Origin {
  if (isName(at)) return toOrigin({ kind: 'variable', name: at }, options)
  if (typeof at === 'string' && isOriginUrl(at)) return toOrigin({ kind: 'url', url: at }, options)
  throw new TypeError(`url() needs ${ORIGIN_URL}, or the name of the variable that has one.`)
}

/**
 * An origin that is another Worker.
 *
 * @param binding Name of the service binding, as in `wrangler.toml`.
 * @throws {TypeError} When it is not a name, or an option is invalid.
 * @example service('CRM', { strip: '/crm' })
 */
export function service(binding: string, options: OriginOptions = {}): Origin {
  if (isName(binding)) return toOrigin({ kind: 'service', binding }, options)
  throw new TypeError('service() needs the name of a service binding, such as CRM.')
}

/** What the URL of an origin must be. */
export const ORIGIN_URL =
  'an http or https URL without user, query and fragment, such as https://api.example.com/v2'

/** Whether a text is the URL of an origin. */
export function isOriginUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const { protocol, username, password, search, hash } = new URL(text)
  return /^https?:$/.test(protocol) && !(username || password || search || hash)
}

const isName = (text: unknown): text is string =>
  typeof text === 'string' && /^[a-z_]\w*$/i.test(text)

const OPTIONS: ReadonlySet<string> = new Set(['headers', 'strip', 'timeout', 'retry'])

function toOrigin(place: Place, options: OriginOptions): Origin {
  const { headers = {}, strip = null, timeout, retry } = options
  const unknown = Object.keys(options).find((name) => !OPTIONS.has(name))
  if (unknown !== undefined) throw new TypeError(`There is no option ${unknown} of an origin.`)
  if (strip !== null && !isPrefix(strip)) {
    throw new TypeError(
      'strip: must be a prefix of paths, such as /crm, without a slash at its end',
    )
  }
  const defaults = { ...(timeout !== undefined && { timeout }), ...(retry && { retry }) }
  requireDefaults(defaults)
  const origin = { place, ...toHeaders(headers), strip, defaults }
  made.add(origin)
  return Object.freeze(origin)
}

/** Without escapes and dot segments: a path that is compared with it has none there either. */
const isPrefix = (strip: unknown) =>
  typeof strip === 'string' && /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+$/.test(strip)

function requireDefaults(defaults: Origin['defaults']): void {
  const { retry = {} } = defaults
  if ('on' in retry) throw new TypeError('retry.on: belongs in the policy of a route')
  const parsed = parsePolicy(defaults)
  if (!parsed.ok) throw new TypeError(parsed.error.join('\n'))
}

function toHeaders(options: object): Pick<Origin, 'headers' | 'removed'> {
  const said = Object.entries(options) as [string, string | SecretRef | boolean][]
  const switches = said.filter(([, value]) => typeof value === 'boolean')
  const set = said.filter(([, value]) => typeof value !== 'boolean')
  const read = toHeaderOptions(
    switches.length === 0 ? options : Object.fromEntries(set),
    faultOfName,
  )
  if (!read.ok) throw new TypeError(read.error)
  const named = new Set(said.map(([name]) => name.toLowerCase()))
  for (const [name] of switches) {
    const fault = isHeaderName(name) ? faultOfName(name) : 'headers: must be names of headers'
    if (fault !== null) throw new TypeError(fault)
  }
  if (named.size < said.length)
    throw new TypeError('headers: must name each header once, in any case')
  const { value: headers = {} } = read
  const hasSecret = Object.values(headers).some((value) => typeof value === 'object')
  const own = CREDENTIALS.filter((name) => hasSecret && !named.has(name))
  const removed = switches.flatMap(([name, isKept]) => (isKept === true ? [] : [name]))
  return { headers, removed: [...removed, ...own].map((name) => name.toLowerCase()).toSorted() }
}

/** Headers with which a client identifies itself to the gateway, also those of Cloudflare Access. */
const CREDENTIALS = [
  'authorization',
  'cf-access-client-id',
  'cf-access-client-secret',
  'cf-access-jwt-assertion',
  'cookie',
]

function faultOfName(name: string): string | null {
  return WRITTEN_HERE.test(name) ? `headers: ${name} is written by the gateway itself` : null
}

/** Headers of the connection, of the body, and those that the gateway writes. */
const WRITTEN_HERE =
  /^(?:content-.*|host|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect|accept-encoding|idempotency-.*|x-correlation-id|traceparent)$/i

/** The origins of a deployment beside its own. */
export interface OriginsOptions {
  /**
   * Further origins, by the name with which a route selects one: `origin: 'payments'` in its policy, or
   * `passTo('payments')`. They are the same for all gateways of a Worker.
   */
  readonly origins?: Readonly<Record<string, Origin>>
}

/** @throws {TypeError} When a name or an origin is invalid. */
export function checkOrigins({ origins = {} }: OriginsOptions): void {
  for (const [name, origin] of Object.entries(origins)) {
    if (!ORIGIN_NAME.test(name)) {
      throw new TypeError(
        'origins: a name has up to 32 letters, digits, _ and -, such as payments.',
      )
    }
    if (made.has(origin)) continue
    throw new TypeError(`origins: ${name} must be url('https://…') or service('BINDING').`)
  }
}

const ORIGIN_NAME = /^[a-z][\w-]{0,31}$/i
