import type { Digest } from '../core/digest.ts'
import { errorName } from '../core/error-name.ts'
import type { KeySource } from '../core/key-source.ts'
import { attributeOf, contentOf, isCloudEvent, memberOf, type ReceivedMessage } from './message.ts'

/** Reads a name out of a message; `null` or `undefined` where it has none. A `body` of text or bytes that is JSON comes parsed. */
type MessageReader = (message: ReceivedMessage) => string | null | undefined

/** Where something stands in a message. */
export type MessageSource =
  | { readonly in: 'attribute'; readonly name: string }
  | { readonly in: 'event' }
  | { readonly in: 'message-id' }
  | MessageReader

/**
 * Where the key of a message stands. `body()` and `business()` read its payload as they read the
 * body of a request, so that both name one operation.
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

/** What names a CloudEvent: its `source` and its `id` together (CloudEvents 1.0, §3.1). */
export function event(): MessageSource {
  return { in: 'event' }
}

/** The platform's id of the message: it makes deliveries of one message one, and nothing else. */
export function messageId(): MessageSource {
  return { in: 'message-id' }
}

/** Whose a message is: as it says itself, or as the tenant that a gateway would resolve. */
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

/** @returns `null` where the message does not say whose it is. */
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

/** Whether something is a source of a message, and no other object. */
export function isMessageSource(value: unknown): value is MessageSource {
  if (typeof value === 'function') return true
  const place = memberOf(value, 'in')
  return PLACES.has(place) && (place !== 'attribute' || toName(memberOf(value, 'name')) !== null)
}

/** Whether something tells the tenant of a message. */
export function isTenantSource(value: unknown): value is TenantSource {
  if (memberOf(value, 'in') !== 'tenant') return isMessageSource(value)
  return isMessageSource(memberOf(value, 'source'))
}

/** Whether a source is read from the payload, by the route. */
export function isPayloadSource(
  source: MessageKeySource,
): source is Extract<KeySource, { in: 'body' | 'business' }> {
  const place = memberOf(source, 'in')
  return place === 'body' || place === 'business'
}

/** @returns `null` where the message has none. */
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

/** A number names something where no digit of it can have been lost. */
function toName(value: unknown): string | null {
  if (Number.isSafeInteger(value)) return String(value)
  return typeof value === 'string' && value !== '' ? value : null
}
