import { stringify } from 'devalue'

import { fromBase64 } from '../core/base64.ts'
import { errorName } from '../core/error-name.ts'
import { parsePointer } from '../core/json/pointer.ts'
import { findValue } from '../core/json/spans.ts'
import { logFault } from '../metrics/log.ts'
import { contentOf, isCloudEvent, memberOf, readBody } from './message.ts'

/** What a message is about, as a body that has a fingerprint and can be forwarded. */
export interface MessagePayload {
  readonly value: unknown
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly type: string
}

/** Where the payload stands in a message, or how it is made of what the message says. */
// oxlint-disable-next-line typescript/no-explicit-any -- what a queue carries is for the deployer to say
export type PayloadSource = string | ((content: any) => unknown)

/**
 * Takes the payload out of a message: of a CloudEvent its data, else all of it, unless the policy
 * says where it stands.
 *
 * @returns `null` where there is none, or it is no value that could be compared.
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
  // An event without data is one all the same.
  return payload === null && source === undefined ? encode(null) : payload
}

function tokensOf(content: unknown, source: string | undefined): readonly string[] {
  if (source === undefined) return isCloudEvent(content) ? ['data'] : []
  const tokens = parsePointer(source)
  if (!tokens.ok) throw new Error(tokens.error)
  return tokens.value
}

/** Cuts a value out of a text as it was written: its numbers may have more digits than a double. */
function cut(text: string, tokens: readonly string[]): MessagePayload | null {
  const span = findValue(text, tokens)
  if (span === null) return null
  const written = text.slice(span.start, span.end)
  const value = JSON.parse(written) as unknown
  return typeof value === 'string' ? ofText(value) : ofJson(value, written)
}

const JSON_TYPE = 'application/json'

/** @returns `null` where there is nothing. */
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

/** Text stays as it was written: its numbers may have more digits than a double. */
function ofText(text: string): MessagePayload {
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value === 'object' && value !== null) return ofJson(value, text)
  } catch {
    // It is text and nothing more.
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
 * Makes JSON of a value. What only a structured clone can hold, a date or a map, is written in a
 * form of its own where it stands, so that pointers lead to all the rest.
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
