import type { Digest } from '../core/digest.ts'
import { parsePointer } from '../core/json/pointer.ts'
import { parseRequestUrl } from '../core/request/request-url.ts'
import { err, ok, type Result } from '../core/result.ts'
import { toInnerKeyField } from '../http/inner-key-field.ts'
import type { Consumer } from './consume-options.ts'
import { type MessagePayload, toPayload } from './message-payload.ts'
import type { MessageRoute } from './message-route.ts'
import { readSource, readTenant } from './message-source.ts'
import { attributeOf, memberOf, type ReceivedMessage } from './message.ts'

/** A message that was read for its route. */
export interface MessageRequest {
  readonly message: ReceivedMessage
  readonly type: string
  readonly tenant: string
  readonly route: MessageRoute
  readonly payload: MessagePayload
  readonly path: string
}

/** Reads a message. @returns An error if it can never be executed. */
export async function readMessage(
  consumer: Consumer,
  message: ReceivedMessage,
  digest: Digest,
): Promise<Result<MessageRequest, string>> {
  const type = readSource(consumer.type, message) ?? ''
  const route = consumer.routeOf(type)
  if (route === undefined) return err('no-handler: no handler takes messages of this type')
  const tenant = await readTenant(consumer.tenant, message, digest)
  if (tenant === null) return err('tenant-missing: the message does not say whose it is')
  const payload = toPayload(message.body, route.payload)
  if (payload === null) {
    return err('payload-invalid: the message has no payload that could be compared')
  }
  const path = expand(route.path, payload.value)
  if (path === null) return err('payload-invalid: a value of the path is not in the payload')
  if (!parseRequestUrl(INSIDE + path, null).ok) {
    return err('payload-invalid: a value of the path leads to another path')
  }
  return ok({ message, type, tenant, route, payload, path })
}

/** Values of the payload in a path. */
const PLACEHOLDER = /\{(\/[^{}]*)\}/g

/** Puts values of a payload into a path. @returns `null` if one is missing. */
function expand(path: string, payload: unknown): string | null {
  let isWhole = true
  const expanded = path.replaceAll(PLACEHOLDER, (_, pointer: string) => {
    const tokens = parsePointer(pointer)
    const value = tokens.ok ? tokens.value.reduce<unknown>(memberOf, payload) : undefined
    if (isPathValue(value)) return encodeURIComponent(value)
    isWhole = false
    return ''
  })
  return isWhole ? expanded : null
}

/** An empty value, `.` and `..` would lead to another path, and an unsafe number may have lost digits. */
function isPathValue(value: unknown): value is string | number {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value)
  return typeof value === 'string' && value.isWellFormed() && !/^\.{0,2}$/.test(value)
}

const INSIDE = 'https://queue.hapax.internal'

/** Creates the HTTP request of a message, for its route. */
export function toRequest(read: MessageRequest): Request {
  const { message, route, payload, path } = read
  const headers = correlationHeaders(message)
  headers.set('Content-Type', payload.type)
  for (const { header, source } of route.keys) {
    const key = readSource(source, message)
    if (key !== null) headers.set(header, toInnerKeyField('message key', key))
  }
  return new Request(INSIDE + path, { method: route.method, headers, body: payload.bytes })
}

/** Header fields that link a message to the request that it comes from. */
export function correlationHeaders(message: ReceivedMessage): Headers {
  const headers = new Headers()
  const ties = { 'X-Correlation-Id': 'correlationid', Traceparent: 'traceparent' }
  for (const [name, attribute] of Object.entries(ties)) {
    const value = attributeOf(message, attribute)
    if (typeof value === 'string' && /^[!-~]+$/.test(value)) headers.set(name, value)
  }
  return headers
}
