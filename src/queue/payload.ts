import { stringify } from 'devalue'

import { parsePointer } from '../core/fingerprint/pointers.ts'
import { isCloudEvent, memberOf } from './message-source.ts'

/** What a message is about, as a body that has a fingerprint and can be forwarded. */
export interface MessagePayload {
  readonly value: unknown
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly type: string
}

/** Where the payload stands in a message, or how it is made of it. */
export type PayloadSource = string | ((body: unknown) => unknown)

/**
 * Takes the payload out of a message: of a CloudEvent its data, else all of it, unless the policy
 * says where it stands.
 *
 * @returns `null` where there is none, or it is no value that could be compared.
 */
export function toPayload(body: unknown, source: PayloadSource | undefined): MessagePayload | null {
  const value = select(body, source)
  try {
    return value === undefined ? null : encode(value)
  } catch {
    return null
  }
}

function select(body: unknown, source: PayloadSource | undefined): unknown {
  if (typeof source === 'function') return source(body)
  const content = parseText(body)
  if (source === undefined) return isCloudEvent(content) ? dataOf(content) : content
  const tokens = parsePointer(source)
  return tokens.ok ? tokens.value.reduce<unknown>(memberOf, content) : undefined
}

function dataOf(event: unknown): unknown {
  const base64 = memberOf(event, 'data_base64')
  if (typeof base64 !== 'string') return memberOf(event, 'data') ?? null
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0))
}

/** A message of text may be JSON; only then there is something in it to point at. */
function parseText(body: unknown): unknown {
  if (typeof body !== 'string' || !/^\s*\{/.test(body)) return body
  try {
    const parsed = JSON.parse(body) as unknown
    return isCloudEvent(parsed) ? parsed : body
  } catch {
    return body
  }
}

const JSON_TYPE = 'application/json'

function encode(value: unknown): MessagePayload {
  if (typeof value === 'string') return ofText(value)
  if (value instanceof ArrayBuffer) return ofBytes(value, new Uint8Array(value.slice(0)))
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength } = value
    return ofBytes(value, new Uint8Array(buffer, byteOffset, byteLength).slice())
  }
  // What only a structured clone can hold, a date or a map, is written in a form of its own.
  const text = isJson(value) ? JSON.stringify(value) : stringify(value)
  return { value, bytes: toBytes(text), type: JSON_TYPE }
}

/** Text stays as it was written: its numbers may have more digits than a double. */
function ofText(text: string): MessagePayload {
  try {
    const value = JSON.parse(text) as unknown
    if (typeof value === 'object' && value !== null) {
      return { value, bytes: toBytes(text), type: JSON_TYPE }
    }
  } catch {
    // It is text and nothing more.
  }
  return { value: text, bytes: toBytes(text), type: 'text/plain; charset=utf-8' }
}

function ofBytes(value: unknown, bytes: Uint8Array<ArrayBuffer>): MessagePayload {
  return { value, bytes, type: 'application/octet-stream' }
}

const toBytes = (text: string) => new Uint8Array(new TextEncoder().encode(text))

/** Whether JSON holds all of a value. */
export function isJson(value: unknown): boolean {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return true
  if (typeof value === 'number') return Number.isFinite(value)
  if (typeof value !== 'object') return false
  if (Array.isArray(value)) return value.every(isJson)
  const prototype: unknown = Object.getPrototypeOf(value)
  const isPlain = prototype === Object.prototype || prototype === null
  return isPlain && Object.values(value).every(isJson)
}
