import { stringify } from 'devalue'

import { fromBase64 } from '../core/base64.ts'
import { errorName } from '../core/error-name.ts'
import { parsePointer } from '../core/json/pointer.ts'
import { findValue } from '../core/json/spans.ts'
import { logFault } from '../metrics/log.ts'
import { contentOf, isCloudEvent, memberOf, readBody } from './message.ts'

/** The payload of a message, as the body of its request. */
export interface MessagePayload {
  readonly value: unknown
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly type: string
}

/** A JSON pointer to the payload in a message, or a function that returns it. */
// oxlint-disable-next-line typescript/no-explicit-any -- what a queue carries is for the deployer to say
export type PayloadSource = string | ((content: any) => unknown)

/**
 * Reads the payload of a message: `data` of a CloudEvent, else the whole body, unless the policy
 * says where it is.
 *
 * @returns `null` if there is none, or it cannot be compared.
 */
export function toPayload(body: unknown, source: PayloadSource | undefined): MessagePayload | null {
  try {
    return typeof source === 'function' ? encode(source(contentOf(body))) : ofContent(body, source)
  } catch (error) {
    if (typeof source === 'function') {
      logFault('a payload function threw', new Error(errorName(error)))
    }
    return null
  }
}

function ofContent(body: unknown, source: string | undefined): MessagePayload | null {
  const { content, text } = readBody(body)
  const base64 = source === undefined && isCloudEvent(content) && memberOf(content, 'data_base64')
  if (typeof base64 === 'string') return encode(fromBase64(base64))
  const tokens = tokensOf(content, source)
  if (tokens.length === 0) return encode(text ?? body)
  const payload =
    text === null ? encode(tokens.reduce<unknown>(memberOf, content)) : cut(text, tokens)
  // An event needs no data.
  return payload === null && source === undefined ? encode(null) : payload
}

function tokensOf(content: unknown, source: string | undefined): readonly string[] {
  if (source === undefined) return isCloudEvent(content) ? ['data'] : []
  const tokens = parsePointer(source)
  if (!tokens.ok) throw new Error(tokens.error)
  return tokens.value
}

/** Cuts a value out of a text, so that numbers keep digits that a double would lose. */
function cut(text: string, tokens: readonly string[]): MessagePayload | null {
  const span = findValue(text, tokens)
  if (span === null) return null
  const written = text.slice(span.start, span.end)
  const value = JSON.parse(written) as unknown
  return typeof value === 'string' ? ofText(value) : ofJson(value, written)
}

const JSON_TYPE = 'application/json'

/** @returns `null` for `undefined`. */
function encode(value: unknown): MessagePayload | null {
  if (value === undefined) return null
  if (typeof value === 'string') return ofText(value)
  if (value instanceof ArrayBuffer) return ofBytes(value, new Uint8Array(value.slice(0)))
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value
    return ofBytes(value, new Uint8Array(buffer, byteOffset, byteLength).slice())
  }
  return ofJson(value, JSON.stringify(toTree(value)))
}

/** Keeps the text of JSON, so that numbers keep digits that a double would lose. */
function ofText(text: string): MessagePayload {
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value === 'object' && value !== null) return ofJson(value, text)
  } catch {
    // Not JSON: plain text.
  }
  return { value: text, bytes: toBytes(text), type: 'text/plain; charset=utf-8' }
}

const ofJson = (value: unknown, text: string): MessagePayload => ({
  value,
  bytes: toBytes(text),
  type: JSON_TYPE,
})

function ofBytes(value: unknown, bytes: Uint8Array<ArrayBuffer>): MessagePayload {
  return { value, bytes, type: 'application/octet-stream' }
}

const toBytes = (text: string) => new Uint8Array(new TextEncoder().encode(text))

/**
 * Converts a value to JSON. A value that only a structured clone can hold, such as a date or a map, is
 * replaced by its devalue text, so that JSON pointers work for everything around it.
 */
function toTree(value: unknown): unknown {
  if (value === undefined || isScalar(value)) return value
  if (Array.isArray(value)) return value.map(toTree)
  if (!isPlain(value)) return { devalue: stringify(value) }
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, toTree(member)]))
}

function isScalar(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value)
  return value === null || typeof value === 'string' || typeof value === 'boolean'
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
