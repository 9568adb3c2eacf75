import { err, ok, type Result } from '../result.ts'
import { isSecretName, type SecretRef, toSecretRef } from './secret.ts'

/** A destination of events: a queue of this Worker, by the name of its binding, or a URL. */
export type Destination =
  | { readonly to: 'queue'; readonly binding: string }
  | ({ readonly to: 'webhook'; readonly url: string } & WebhookOptions)

/** Options of one receiver of webhooks. They are stored with each event, so they contain no secret. */
export interface WebhookOptions {
  /**
   * Name of the secret that signs. The previous secret has the same name with `_PREVIOUS`. Default:
   * `HAPAX_WEBHOOK_SECRET`. Receivers that share a secret can forge events for each other.
   */
  readonly secret?: string
  /** Additional headers. Use `secret('NAME')` for values that authenticate. */
  readonly headers?: Readonly<Record<string, string | SecretRef>>
  /** Sent as `webhook-key-id`, so that the receiver knows which of its secrets to use. */
  readonly keyId?: string
}

export type Webhook = Extract<Destination, { to: 'webhook' }>

/**
 * Sends events to a queue.
 *
 * @param binding Name of the producer binding, as in `wrangler.toml`.
 * @example protect({ events: [{ on: 'succeeded', to: queue('OUTBOX') }] })
 */
export function queue(binding: string): Destination {
  return { to: 'queue', binding }
}

/**
 * Sends events to a URL with POST, signed according to Standard Webhooks.
 *
 * With a malformed URL or option, or a literal credential, the Worker does not start, and `emit`
 * throws a `TypeError`.
 *
 * @example protect({ events: [{ on: 'succeeded', to: webhook('https://shop.example/hooks') }] })
 * @example webhook('https://crm.example/hooks', { secret: 'CRM_WEBHOOK_SECRET', keyId: '2026-11' })
 */
export function webhook(url: string, options: WebhookOptions = {}): Destination {
  return { to: 'webhook', url, ...options }
}

/** The secret that signs webhooks by default. */
export const WEBHOOK_SECRET = 'HAPAX_WEBHOOK_SECRET'

/** Name of the previous secret, which signs as well during a rotation. */
export const previousOf = (name: string): string => `${name}_PREVIOUS`

/** Names of the secrets that a delivery needs, the one that signs first. */
export function secretsOf({ secret = WEBHOOK_SECRET, headers = {} }: Webhook): string[] {
  const values = Object.values(headers)
  return [secret, ...values.flatMap((value) => (typeof value === 'string' ? [] : [value.secret]))]
}

/**
 * Reads a destination. Its members get a fixed order, since events for one destination wait for each
 * other.
 *
 * @returns The destination, or a text for people that says what it must be and quotes no value.
 */
export function toDestination(value: unknown): Result<Destination, string> {
  const { to, ...rest } = Object(value) as Record<string, unknown>
  if (to === 'queue') return toQueue(rest)
  return to === 'webhook' ? toWebhook(rest) : err(MUST_BE)
}

const MUST_BE = "must be queue('BINDING') or webhook('https://…')"

function toQueue({ binding, ...rest }: Record<string, unknown>): Result<Destination, string> {
  const isBinding = typeof binding === 'string' && binding !== ''
  return isBinding && isBare(rest) ? ok({ to: 'queue', binding }) : err(MUST_BE)
}

function toWebhook(members: Record<string, unknown>): Result<Destination, string> {
  const { url, secret, headers, keyId, ...rest } = members
  const isUrl = typeof url === 'string' && /^https?:$/.test(URL.parse(url)?.protocol ?? '')
  if (!isUrl || !isBare(rest)) return err(MUST_BE)
  if (!isAbsentOr(isSecretName, secret)) return err(SECRET)
  if (!isAbsentOr(isKeyId, keyId)) return err(KEY_ID)
  const read = toHeaders(headers)
  return read.ok
    ? ok({ to: 'webhook', url, ...present({ secret, headers: read.value, keyId }) })
    : read
}

function isAbsentOr<type>(
  is: (value: unknown) => value is type,
  value: unknown,
): value is type | undefined {
  return value === undefined || is(value)
}

/** Leaves out what is `undefined`. */
const present = <members extends object>(members: members) =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as {
    [name in keyof members]?: NonNullable<members[name]>
  }

const isBare = (rest: object) => Object.values(rest).every((value) => value === undefined)

const SECRET =
  "secret: must be the name of a secret of this deployment, such as 'CRM_WEBHOOK_SECRET', and not the secret itself"
const KEY_ID =
  'keyId: must be 1 to 128 visible ASCII characters that name the secret, and not the secret itself'

const isKeyId = (value: unknown): value is string =>
  typeof value === 'string' && /^(?!whsec_)[!-~]{1,128}$/i.test(value)

/** No receiver accepts more headers, or longer ones. */
const MAX_HEADERS = 20
const MAX_HEADER_LENGTH = 1_024

type Headers = NonNullable<WebhookOptions['headers']>

/** @returns `undefined` if there are none. */
function toHeaders(value: unknown = {}): Result<Headers | undefined, string> {
  // A Headers or a Map has no members: what is in it would be left out without a word.
  const isObject = Object.prototype.toString.call(value) === '[object Object]'
  const entries = Object.entries(Object(value) as Record<string, unknown>)
  if (!isObject || entries.length > MAX_HEADERS) return err(HEADERS)
  const names = new Set(entries.map(([name]) => name.toLowerCase()))
  if (names.size < entries.length) return err('headers: must name each header once, in any case')
  const read: [string, string | SecretRef][] = []
  for (const [name, of] of entries.toSorted(([one], [other]) => (one < other ? -1 : 1))) {
    const field = toHeader(name, of)
    if (!field.ok) return field
    read.push([name, field.value])
  }
  return ok(read.length === 0 ? undefined : Object.fromEntries(read))
}

const HEADERS = `headers: must be an object of ${MAX_HEADERS} names at most, with texts or secret('NAME')`

function toHeader(name: string, value: unknown): Result<string | SecretRef, string> {
  if (!/^[\w!#$%&'*+.^`|~-]{1,128}$/.test(name)) return err('headers: must be names of headers')
  if (WRITTEN_HERE.test(name)) return err(`headers: ${name} is written by the delivery itself`)
  const ref = toSecretRef(value)
  if (ref !== null) return ok(ref)
  if (!isHeaderValue(value)) {
    return err(`headers: ${name} must be a text of visible ASCII, or secret('NAME')`)
  }
  return isCredential(name, value)
    ? err(
        `headers: ${name} would be stored in clear; put it into a secret and write secret('NAME')`,
      )
    : ok(value)
}

/** Headers that identify the delivery, describe its body, or control the transfer. */
const WRITTEN_HERE =
  /^(?:webhook-.*|content-.*|host|date|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect)$/i

const isHeaderValue = (value: unknown): value is string =>
  typeof value === 'string' &&
  value.length <= MAX_HEADER_LENGTH &&
  /^[!-~](?:[ -~]*[!-~])?$/.test(value)

/** Whether a header looks like a credential, by its name or its value. */
function isCredential(name: string, value: string): boolean {
  return CREDENTIAL_NAME.test(name) || CREDENTIAL_VALUE.test(value)
}

const CREDENTIAL_NAME =
  /authorization|cookie|secret|passw(?:or)?d|passphrase|credential|(?:token|auth|jwt)$|(?:^|[-_.]|api|access|auth|signing)key$/i
const CREDENTIAL_VALUE =
  /^(?:bearer|basic|token|apikey)\s|^(?:whsec|(?:sk|rk)_(?:live|test)|gh[opsu])_|^xox[abprs]-|^eyJ[\w-]+\.[\w-]+\./i
