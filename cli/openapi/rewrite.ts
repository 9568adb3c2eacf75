import { isDeepStrictEqual } from 'node:util'

import {
  type Alias,
  type Document,
  isAlias,
  isCollection,
  isMap,
  isNode,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  Scalar,
  visit,
  type YAMLMap,
} from 'yaml'

import { isJson } from '../text-file.ts'
import { isObject } from './json.ts'

/**
 * Writes a changed document as its text was written: YAML with its comments, JSON with its
 * indentation, numbers as they stood.
 *
 * @param before What the text says.
 * @param after What it shall say.
 */
export function rewrite(text: string, before: unknown, after: unknown): string {
  if (isDeepStrictEqual(before, after)) return text
  const written = isJson(text) ? rewriteJson(text, after) : rewriteYaml(text, before, after)
  return text.includes('\r\n') ? written.replaceAll(/\r?\n/g, '\r\n') : written
}

/** Not yet in TypeScript's library: JSON texts of numbers that a double does not hold. */
const exact = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown
  rawJSON(text: string): object
  isRawJSON(value: unknown): value is { readonly rawJSON: string }
}

function rewriteJson(text: string, after: unknown): string {
  const before = exact.parse(text, (_, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? exact.rawJSON(source)
      : value,
  )
  const indent = /^[ \t]+(?=\S)/m.exec(text)?.[0] ?? (text.trim().includes('\n') ? '  ' : '')
  const end = /\s*$/.exec(text)?.[0] ?? ''
  return JSON.stringify(withNumbersOf(before, after), null, indent) + end
}

/** Puts the numbers back as they stood. */
function withNumbersOf(before: unknown, after: unknown): unknown {
  if (exact.isRawJSON(before)) return Number(before.rawJSON) === after ? before : after
  if (Array.isArray(before) && Array.isArray(after)) {
    return after.map((item, i) => withNumbersOf(before[i], item))
  }
  if (!isObject(before) || !isObject(after)) return after
  return Object.fromEntries(
    Object.entries(after).map(([key, item]) => [key, withNumbersOf(before[key], item)]),
  )
}

function rewriteYaml(text: string, before: unknown, after: unknown): string {
  const written = render({ text, pieces: [] }, before, after)
  // Pieces are moved as they stand, which an odd indentation does not bear.
  return says(written, after) ? written : render({ text, pieces: null }, before, after)
}

function says(text: string, value: unknown): boolean {
  const document = parseDocument(text, { merge: true })
  return document.errors.length === 0 && isDeepStrictEqual(document.toJS(), value)
}

/** Where a text comes from, and the pieces of it that are put back as they stood. */
interface Source {
  readonly text: string
  readonly pieces: string[] | null
}

function render(source: Source, before: unknown, after: unknown): string {
  const { text, pieces } = source
  // A double does not hold the bounds of int64, which stand in many documents.
  const document = parseDocument(text, { merge: true, intAsBigInt: true }) as Document
  document.contents = synced({ ...source, document }, document.contents, before, after)
  const written = document.toString({
    indent: /^( +)[^\s#]/m.exec(text)?.[1]?.length ?? 2,
    indentSeq:
      count(text, /^( *)[^\s#].*:[ \t]*\r?\n\1 +- /gm) >=
      count(text, /^( *)[^\s#].*:[ \t]*\r?\n\1- /gm),
    lineWidth: 0,
    // `false` would turn those that are there.
    singleQuote: count(text, /: '|^ *'/gm) > count(text, /: "|^ *"/gm) || null,
  })
  return written.replace(PIECE, (_, index: string) => pieces?.[Number(index)] ?? '')
}

const count = (text: string, pattern: RegExp) => text.match(pattern)?.length ?? 0

interface Change extends Source {
  readonly document: Document
}

/** Changes a node, no more of it than differs, so that the comments of the rest stay. */
function synced(change: Change, node: unknown, before: unknown, after: unknown): Node {
  const { document } = change
  if (isNode(node) && isDeepStrictEqual(before, after)) return kept(change, node)
  if (isAlias(node)) return synced(change, copyOf(document, node), before, after)
  if (isMap(node) && isObject(before) && isObject(after)) {
    detach(document, node)
    syncMap(change, node, before, after)
    return node
  }
  if (isSeq(node) && Array.isArray(before) && Array.isArray(after)) {
    detach(document, node)
    node.items = after.map((item, i) => synced(change, node.items[i], before[i], item))
    return node
  }
  return document.createNode(after, FRESH)
}

/** Without anchors for what occurs twice. */
const FRESH = { aliasDuplicateObjects: false }

const PIECE = /hapax-piece-(\d+)-/g

/** Puts a mark for whatever the library would lay out in its own way. */
function kept(change: Change, node: Node): Node {
  const { text, pieces } = change
  const piece = node.range ? text.slice(node.range[0], node.range[1]) : ''
  if (pieces !== null && isLaidOut(node, piece)) {
    pieces.push(piece.replace(/\r?\n$/, ''))
    const mark = new Scalar(`hapax-piece-${pieces.length - 1}-`)
    const { commentBefore, spaceBefore, comment } = node
    // The comment in the head of a block is in the piece.
    Object.assign(mark, {
      commentBefore,
      spaceBefore,
      comment: /^[|>]/.test(piece) ? null : comment,
    })
    return mark
  }
  if (isMap(node)) {
    for (const pair of node.items) {
      if (isNode(pair.value)) pair.value = kept(change, pair.value)
    }
  }
  if (isSeq(node)) node.items = node.items.map((item) => (isNode(item) ? kept(change, item) : item))
  return node
}

function isLaidOut(node: Node, piece: string): boolean {
  // What others refer to has to stay a node, and so does a block that keeps the lines behind it.
  if ('anchor' in node && node.anchor !== undefined) return false
  if (isScalar(node)) {
    return typeof node.value === 'string' && /[\n\\]/.test(piece) && !/^[|>]\d*\+/.test(piece)
  }
  return isCollection(node) && node.flow === true && !/[&*]/.test(piece)
}

type JsonObject = Readonly<Record<string, unknown>>

function syncMap(change: Change, map: YAMLMap, before: JsonObject, after: JsonObject): void {
  if (map.items.length === 0) map.flow = false
  map.items = map.items.filter((pair) => keyOf(pair) === '<<' || Object.hasOwn(after, keyOf(pair)))
  for (const [key, value] of Object.entries(after)) {
    const pair = map.items.find((one) => keyOf(one) === key)
    if (pair !== undefined) pair.value = synced(change, pair.value, before[key], value)
    // What a merge key brings along is in no pair.
    else if (!isDeepStrictEqual(before[key], value)) {
      map.items.push(change.document.createPair(key, value, FRESH))
    }
  }
}

/** A status is a number where it stands without quotes. */
function keyOf({ key }: Pair): string {
  return String(isScalar(key) ? key.value : key)
}

/** Writes out the aliases of a node that is about to change, since they mean it as it was. */
function detach(document: Document, node: YAMLMap | { anchor?: string }): void {
  const { anchor } = node
  if (anchor === undefined) return
  visit(document, {
    Alias: (_, alias) => (alias.source === anchor ? copyOf(document, alias) : undefined),
  })
  delete node.anchor
}

function copyOf(document: Document, alias: Alias): Node {
  const copy = alias.resolve(document)?.clone() as Node
  visit(copy, {
    Node: (_, node) => {
      if ('anchor' in node) delete node.anchor
    },
  })
  return copy
}
