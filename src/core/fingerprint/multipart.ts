import { toBinaryString } from '../bytes.ts'
import { compareText } from '../compare-text.ts'
import { ok, type Result } from '../result.ts'
import type { MediaType } from '../wire/media-type.ts'
import { type FingerprintFault, payloadInvalid } from './fault.ts'
import { toNetstring } from './netstring.ts'

const CRLF = '\r\n'
/** RFC 2046 §5.1.1. */
const MAX_BOUNDARY_LENGTH = 70
/** What may follow a delimiter: two hyphens if it is the last one, and padding. */
const REST_OF_DELIMITER = /(--)?[ \t]*(\r\n|$)/y
/** A name that is a token, so that lower-casing it touches ASCII only. */
const HEADER_LINE = /^([!#$%&'*+.^_`|~\w-]+)[ \t]*:(.*)$/s
/** Of a field of `multipart/form-data` (RFC 7578 §4.2); `;` before it, so that `filename` is not taken for it. */
const FIELD_NAME = /;[ \t]*name="([^"]*)"/i
const FOLD = /\r\n(?=[ \t])/g

/** A multipart body without its boundary. */
export interface CanonicalMultipart {
  /** What stands before the first part and behind the last. */
  readonly frame: string
  readonly parts: readonly CanonicalPart[]
}

interface CanonicalPart {
  /** Name of the form's field, one character for each byte. */
  readonly name: string | undefined
  readonly text: string
}

interface Header {
  readonly name: string
  readonly value: string
}

/** What lies between two delimiters, or outside of them. */
interface Sections {
  readonly preamble: string
  readonly parts: readonly string[]
  readonly epilogue: string
}

/** Joins a body to the one text that is compared. */
export function joinParts({ frame, parts }: CanonicalMultipart): string {
  return frame + parts.map(({ text }) => text).join('')
}

/**
 * Reads a multipart body (RFC 2046 §5.1) without its boundary. Parts keep their order and bodies. In a
 * part's header lines, order, the case of names and space around values do not count.
 */
export function toCanonicalMultipart(
  body: Uint8Array,
  type: MediaType,
): Result<CanonicalMultipart, FingerprintFault> {
  const boundary = type.parameters.find(([name]) => name === 'boundary')?.[1] ?? ''
  if (boundary === '' || boundary.length > MAX_BOUNDARY_LENGTH) {
    return payloadInvalid(
      `The multipart Content-Type names no boundary of 1 to ${MAX_BOUNDARY_LENGTH} characters. Send the one that separates the parts.`,
    )
  }
  const sections = splitSections(toBinaryString(body), boundary)
  if (!sections.ok) return sections
  const { preamble, parts, epilogue } = sections.value
  const written = parts.map(toCanonicalPart)
  if (!written.every((part) => part !== undefined)) {
    return payloadInvalid(
      'A part of the multipart body has malformed headers. Send lines of name and value, then an empty line.',
    )
  }
  return ok({ frame: toNetstring(preamble) + toNetstring(epilogue), parts: written })
}

function splitSections(body: string, boundary: string): Result<Sections, FingerprintFault> {
  // The line break before a delimiter belongs to it, and the first delimiter may do without.
  const text = CRLF + body
  const delimiter = `${CRLF}--${boundary}`
  const sections: string[] = []
  let start = CRLF.length
  let found = text.indexOf(delimiter)
  while (found !== -1) {
    sections.push(text.slice(start, found))
    REST_OF_DELIMITER.lastIndex = found + delimiter.length
    const rest = REST_OF_DELIMITER.exec(text)
    if (rest === null) {
      return payloadInvalid(
        'A line of the multipart body begins with the boundary and goes on. Choose another boundary.',
      )
    }
    start = found + delimiter.length + rest[0].length
    if (rest[1] !== undefined) {
      const [preamble = '', ...parts] = sections
      return ok({ preamble, parts, epilogue: text.slice(start) })
    }
    found = text.indexOf(delimiter, start)
  }
  return payloadInvalid(
    'The multipart body has no closing delimiter. Send all of it, with the boundary of its Content-Type.',
  )
}

function toCanonicalPart(part: string): CanonicalPart | undefined {
  const bodyBreak = part.startsWith(CRLF) ? 0 : part.indexOf(CRLF + CRLF)
  if (bodyBreak === 0) return toPart([], part.slice(CRLF.length))
  // Without an empty line the part has headers only (RFC 2046 §5.1.1, `body-part`), or nothing.
  const isBodiless = bodyBreak === -1
  if (isBodiless && part !== '' && !part.endsWith(CRLF)) return undefined
  const headers = readHeaders(part.slice(0, isBodiless ? -CRLF.length : bodyBreak))
  const body = isBodiless ? '' : part.slice(bodyBreak + 2 * CRLF.length)
  return headers && toPart(headers, body)
}

function toPart(headers: readonly Header[], body: string): CanonicalPart {
  const block = headers.map(({ name, value }) => toNetstring(name) + toNetstring(value)).join('')
  const disposition = headers.find(({ name }) => name === 'content-disposition')?.value ?? ''
  const name = FIELD_NAME.exec(disposition)?.[1]
  return { name, text: toNetstring(block) + toNetstring(body) }
}

/** Reads header lines, sorted by name. */
function readHeaders(block: string): readonly Header[] | undefined {
  if (block === '') return []
  const headers: Header[] = []
  for (const line of block.replaceAll(FOLD, '').split(CRLF)) {
    const [, name, value] = HEADER_LINE.exec(line) ?? []
    if (name === undefined || value === undefined) return undefined
    headers.push({ name: name.toLowerCase(), value: trimSpace(value) })
  }
  return headers.toSorted((one, other) => compareText(one.name, other.name))
}

/** Takes spaces and tabs off the ends: `trim` would take U+00A0 too, which here is a byte of a letter. */
function trimSpace(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text.charCodeAt(start))) start += 1
  while (end > start && isSpace(text.charCodeAt(end - 1))) end -= 1
  return text.slice(start, end)
}

const isSpace = (code: number) => code === 0x20 || code === 0x09
