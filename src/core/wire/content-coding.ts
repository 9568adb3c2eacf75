import type { HeaderField } from '../operation/snapshot.ts'
import { foldName } from './headers.ts'

/** Content codings (RFC 9110 §8.4.1) that can be undone: of an answer all, of a request those in `decompress.ts`. */
const CODINGS = ['gzip', 'deflate', 'br', 'zstd'] as const
export type Coding = (typeof CODINGS)[number]

/** More codings of one body are not undone: each takes time and memory of its own. */
export const MAX_CODINGS = 4

/** Of a value from 0 to 1 with three digits at most (RFC 9110 §12.4.2). */
const WEIGHT = /^\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*$/i

/** Digests of the bytes that an answer had when they were made, encoded ones (RFC 9530, RFC 3230, RFC 1864). */
const DIGESTS = new Set(['content-digest', 'content-md5', 'digest', 'repr-digest'])

/** How a stored body becomes one that a client can read. */
export interface Undoing {
  /** In the order in which they are undone. */
  readonly codings: readonly Coding[]
  /** Codings that stay, in the order in which they were applied. */
  readonly left: readonly string[]
}

/** Reads Content-Encoding: the codings in the order in which they were applied, without `identity`. */
export function parseCodings(contentEncoding: string): readonly string[] {
  return contentEncoding
    .split(',')
    .map((coding) => toCoding(coding))
    .filter((coding) => coding !== '' && coding !== 'identity')
}

/**
 * Narrows the Accept-Encoding of a client to codings that can be undone here for a later client that
 * accepts less. Without one, it asks for no coding.
 */
export function toOriginEncodings(accepted: string | null): string {
  const ranges = parseRanges(accepted ?? '')
  const named = new Set(ranges.map(({ coding }) => coding))
  const asked = ranges.flatMap(({ coding, weight, text }) => {
    if (coding !== '*') return coding === 'identity' || isCoding(coding) ? [text] : []
    if (weight === 0) return [text]
    const others = CODINGS.filter((known) => !named.has(known))
    return others.map((known) => known + text.slice(text.indexOf('*') + 1))
  })
  return asked.join(', ') || 'identity'
}

/**
 * Decides which codings of a stored body must be undone for a client, the last one first.
 *
 * @param accepted The client's own Accept-Encoding; `null` where it has none, and takes any coding
 *   (RFC 9110 §12.5.3).
 * @returns `null` where the body can stay as it is, or must: one of the codings is not known here.
 */
export function decideUndoing(contentEncoding: string, accepted: string | null): Undoing | null {
  if (accepted === null) return null
  const applied = parseCodings(contentEncoding)
  if (applied.length === 0) return null
  const ranges = parseRanges(accepted)
  const innermost = applied.findIndex((coding) => !accepts(ranges, coding))
  if (innermost === -1) return null
  const codings = applied.slice(innermost).toReversed()
  if (codings.length > MAX_CODINGS || !codings.every((coding) => isCoding(coding))) return null
  return { codings, left: applied.slice(0, innermost) }
}

/** Rewrites the headers of an answer whose body was decoded, so that they describe the new bytes. */
export function toDecodedHeaders(
  fields: readonly HeaderField[],
  left: readonly string[],
): HeaderField[] {
  const kept = fields.flatMap(([name, value]): HeaderField[] => {
    if (OF_ENCODED_BYTES.has(name) || isDigest(name) || name === 'vary') return []
    return [[name, name === 'etag' ? toWeakTag(value) : value]]
  })
  const encoding: HeaderField[] = left.length === 0 ? [] : [['content-encoding', left.join(', ')]]
  return [...kept, ...encoding, ['vary', toVary(fields)]]
}

/** Whether a field holds a digest of the body, which is wrong for any other bytes. */
export function isDigest(name: string): boolean {
  return DIGESTS.has(foldName(name))
}

/** Fields that describe the encoded bytes; ranges are counted in these. */
const OF_ENCODED_BYTES = new Set(['accept-ranges', 'content-encoding', 'content-length'])

/** These are other bytes than those that the origin named (RFC 9110 §8.8.1). */
function toWeakTag(tag: string): string {
  return tag.startsWith('"') ? `W/${tag}` : tag
}

function toVary(fields: readonly HeaderField[]): string {
  const said = fields.flatMap(([name, value]) => (name === 'vary' && value !== '' ? [value] : []))
  const names = said.join().toLowerCase().split(',')
  const isSaid = names.some((name) => ['*', 'accept-encoding'].includes(name.trim()))
  return [...said, ...(isSaid ? [] : ['Accept-Encoding'])].join(', ')
}

/** One element of Accept-Encoding. */
interface Range {
  readonly coding: string
  /** 0: not acceptable. */
  readonly weight: number
  readonly text: string
}

/** Ignores what is not understood. */
function parseRanges(accepted: string): readonly Range[] {
  return accepted.split(',').flatMap((element) => {
    const text = element.trim()
    const [name = '', ...parameters] = text.split(';')
    const coding = toCoding(name)
    const weight = parameters.length === 0 ? '1' : WEIGHT.exec(parameters.join(';'))?.[1]
    return coding === '' || weight === undefined ? [] : [{ coding, weight: Number(weight), text }]
  })
}

function accepts(ranges: readonly Range[], coding: string): boolean {
  const own = ranges.filter((range) => range.coding === coding)
  const meant = own.length > 0 ? own : ranges.filter((range) => range.coding === '*')
  return meant.length > 0 && meant.every(({ weight }) => weight > 0)
}

/** RFC 9110 §8.4.1: names in any case; `x-gzip` is `gzip`. */
function toCoding(name: string): string {
  const coding = name.trim().toLowerCase()
  return coding === 'x-gzip' ? 'gzip' : coding
}

function isCoding(name: string): name is Coding {
  return (CODINGS as readonly string[]).includes(name)
}
