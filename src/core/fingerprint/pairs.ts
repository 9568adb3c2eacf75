import { toBinaryString } from '../bytes.ts'
import { compareText } from '../compare-text.ts'
import { EVERY } from '../json/pointer.ts'
import { toInstant } from './date-time.ts'
import { toNetstring } from './netstring.ts'
import { branchAt, type PointerTree } from './pointer-tree.ts'

/** A name and a value, percent-decoded, one character for each byte. */
export interface Pair {
  readonly name: string
  readonly value: string
}

/** Which part of a query counts: all, nothing, or all parameters except those with these names. */
export type QueryRule = boolean | { readonly ignore: readonly string[] }

const PERCENT_ENCODED_BYTE = /%([\dA-Fa-f]{2})/g

/**
 * Writes `application/x-www-form-urlencoded` bytes in canonical form: sorted by name, equal names in
 * their order, without percent-encoding. It parses like the WHATWG URL Standard §5.1, but on bytes: in
 * characters, every malformed byte would be U+FFFD, and `%FF` would equal `%FE`.
 *
 * @param pointers `/name` stands for every pair of that name, `/*` for every pair.
 */
export function toCanonicalPairs(encoded: Uint8Array, pointers: PointerTree | undefined): string {
  return joinPairs(toPairs(encoded, pointers))
}

/** Joins pairs in their form to the one text that is compared. */
export function joinPairs(pairs: readonly Pair[]): string {
  return pairs.map(({ name, value }) => toNetstring(name) + value).join('')
}

/** Reads the pairs that count, sorted by name, their values in the form that is compared. */
export function toPairs(encoded: Uint8Array, pointers: PointerTree | undefined): readonly Pair[] {
  const ruleOf = toRulesByBytes(pointers)
  return parsePairs(encoded)
    .toSorted((one, other) => compareText(one.name, other.name))
    .flatMap(({ name, value }) => {
      const rule = ruleOf(name)
      if (rule?.isIgnored === true) return []
      const instant = rule?.isDate === true ? toInstant(value) : undefined
      return [{ name, value: instant ?? toNetstring(value) }]
    })
}

/**
 * Reads the pairs of a query that count.
 *
 * @param search As `URL.search`.
 * @param rule Whether the query counts, or the names of parameters that do not, decoded.
 */
export function toQueryPairs(search: string, rule: QueryRule): readonly Pair[] {
  const pairs = toPairs(new TextEncoder().encode(rule === false ? '' : search.slice(1)), undefined)
  if (typeof rule === 'boolean') return pairs
  const ignored = new Set(rule.ignore.map(toBytes))
  return pairs.filter(({ name }) => !ignored.has(name))
}

/** Reads the pairs in their order. */
export function parsePairs(encoded: Uint8Array): readonly Pair[] {
  const texts = toBinaryString(encoded).split('&')
  return texts.filter((pair) => pair !== '').map(parsePair)
}

function toRulesByBytes(
  pointers: PointerTree | undefined,
): (name: string) => PointerTree | undefined {
  const names = new Map([...(pointers?.names ?? [])].map((name) => [toBytes(name), name]))
  return (name) => branchAt(pointers, names.get(name) ?? EVERY)
}

const toBytes = (name: string) => toBinaryString(new TextEncoder().encode(name))

function parsePair(pair: string): Pair {
  const equals = pair.indexOf('=')
  if (equals === -1) return { name: decode(pair), value: '' }
  return { name: decode(pair.slice(0, equals)), value: decode(pair.slice(equals + 1)) }
}

function decode(text: string): string {
  return text
    .replaceAll('+', ' ')
    .replaceAll(PERCENT_ENCODED_BYTE, (_, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    )
}
