import type { Digest } from '../core/digest.ts'
import { errorName } from '../core/error-name.ts'
import type { KeySource } from '../core/request/key-source.ts'
import { attributeOf, contentOf, isCloudEvent, memberOf, type ReceivedMessage } from './message.ts'

/** Reads a name from a message, or returns `null` or `undefined`. A JSON `body` is parsed. */
type MessageReader = (message: ReceivedMessage) => string | null | undefined

/** Where a name is in a message. */
export type MessageSource =
  | { readonly in: 'attribute'; readonly name: string }
  | { readonly in: 'event' }
  | { readonly in: 'message-id' }
  | MessageReader

/**
 * Where the key of a message is. `body()` and `business()` read the payload like the body of a
 * request, so that a message and a request can name the same operation.
 */
export type MessageKeySource = MessageSource | Extract<KeySource, { in: 'body' | 'business' }>

/**
 * A context attribute of a CloudEvent, or the member of that name of any other JSON message.
 *
 * @example consume(handlers, { tenant: attribute('tenant') })
 */
export function attribute(name: string): MessageSource {
  return { in: 'attribute', name }
}

/** The `source` and `id` of a CloudEvent, which together identify it (CloudEvents 1.0, §3.1). */
export function event(): MessageSource {
  return { in: 'event' }
}

/** The platform's id of the message: only deliveries of the same message share it. */
export function messageId(): MessageSource {
  return { in: 'message-id' }
}

/** The tenant of a message: a name in the message, or the tenant that a gateway resolves from it. */
export type TenantSource =
  | MessageSource
  | {
      readonly in: 'tenant'
      readonly names: readonly [string, ...string[]]
      readonly source: MessageSource
    }

/**
 * The tenant that `fromHeader(name)` resolves for requests with this value, so that a message and a
 * request of one account share their keys.
 *
 * @example consume(handlers, { tenant: asHeader('X-Account-Id', attribute('account')) })
 */
export function asHeader(name: string, source: MessageSource): TenantSource {
  return { in: 'tenant', names: ['header', name.toLowerCase()], source }
}

/**
 * The tenant that `claim(name)` resolves for tokens with this value.
 *
 * @param issuer The tokens' `iss`, where they have one.
 * @example consume(handlers, { tenant: asClaim('sub', attribute('user'), 'https://id.example') })
 */
export function asClaim(name: string, source: MessageSource, issuer = ''): TenantSource {
  return { in: 'tenant', names: ['claim', issuer, name], source }
}

/** Reads the tenant. @returns `null` if the message names none. */
export async function readTenant(
  tenant: TenantSource,
  message: ReceivedMessage,
  digest: Digest,
): Promise<string | null> {
  if (typeof tenant === 'function' || tenant.in !== 'tenant') return readSource(tenant, message)
  const value = readSource(tenant.source, message)
  return value === null ? null : digest(...tenant.names, value)
}

const PLACES: ReadonlySet<unknown> = new Set(['attribute', 'event', 'message-id'])

/** Whether a value is a `MessageSource`. */
export function isMessageSource(value: unknown): value is MessageSource {
  if (typeof value === 'function') return true
  const place = memberOf(value, 'in')
  return PLACES.has(place) && (place !== 'attribute' || toName(memberOf(value, 'name')) !== null)
}

/** Whether a value is a `TenantSource`. */
export function isTenantSource(value: unknown): value is TenantSource {
  if (memberOf(value, 'in') !== 'tenant') return isMessageSource(value)
  return isMessageSource(memberOf(value, 'source'))
}

/** Whether the route reads a source from the payload. */
export function isPayloadSource(
  source: MessageKeySource,
): source is Extract<KeySource, { in: 'body' | 'business' }> {
  const place = memberOf(source, 'in')
  return place === 'body' || place === 'business'
}

/** Reads a name. @returns `null` if the message has none. */
export function readSource(source: MessageSource, message: ReceivedMessage): string | null {
  if (typeof source === 'function') return toName(callReader(source, message))
  switch (source.in) {
    case 'attribute':
      return toName(attributeOf(message, source.name))
    case 'event': {
      const content = contentOf(message.body)
      const [id, origin] = [memberOf(content, 'id'), memberOf(content, 'source')]
      const isEvent = isCloudEvent(content) && toName(id) !== null && toName(origin) !== null
      return isEvent ? JSON.stringify([origin, id]) : null
    }
    case 'message-id':
      return message.id
  }
}

function callReader(read: MessageReader, message: ReceivedMessage): unknown {
  try {
    return read({ ...message, body: contentOf(message.body) })
  } catch (error) {
    throw new Error(`A function that reads messages threw: ${errorName(error)}.`, { cause: error })
  }
}

/** Accepts a number only if it is a safe integer, because others may have lost digits. */
function toName(value: unknown): string | null {
  if (Number.isSafeInteger(value)) return String(value)
  return typeof value === 'string' && value !== '' ? value : null
}
