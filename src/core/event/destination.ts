import { toHeaderOptions } from '../header-options.ts'
import { err, ok, type Result } from '../result.ts'
import { isSecretName, type SecretRef } from './secret.ts'

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

/** @returns `undefined` if there are none. */
const toHeaders = (value: unknown) => toHeaderOptions(value, faultOfName)

function faultOfName(name: string): string | null {
  return WRITTEN_HERE.test(name) ? `headers: ${name} is written by the delivery itself` : null
}

/** Headers that identify the delivery, describe its body, or control the transfer. */
const WRITTEN_HERE =
  /^(?:webhook-.*|content-.*|host|date|connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|expect)$/i
