import { isDeepStrictEqual } from 'node:util'

import {
  type Document,
  isCollection,
  isPair,
  isScalar,
  isSeq,
  type Node,
  parseDocument,
  stringify,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'

import { isJson } from '../text-file.ts'
import { isObject, type JsonObject } from './json.ts'

/**
 * Writes a changed document as its text was written: JSON with its indentation, YAML with all its
 * unchanged lines, numbers with all their digits.
 *
 * @param before The content of the text.
 * @param after The content to write.
 */
export function rewrite(text: string, before: unknown, after: unknown): string {
  if (isDeepStrictEqual(before, after)) return text
  const written = isJson(text) ? rewriteJson(text, after) : rewriteYaml(text, after)
  return text.includes('\r\n') ? written.replaceAll(/\r?\n/g, '\r\n') : written
}

/** Not yet in TypeScript's library: the source text of JSON numbers. */
const exact = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source: string }) => unknown,
  ): unknown
  rawJSON(text: string): object
  isRawJSON(value: unknown): value is { readonly rawJSON: string }
}

function rewriteJson(text: string, after: unknown): string {
  const before = exact.parse(text, (_, value, { source }) =>
    typeof value === 'number' ? exact.rawJSON(source) : value,
  )
  const indent = /^[ \t]+(?=\S)/m.exec(text)?.[0] ?? (text.trim().includes('\n') ? '  ' : '')
  const end = /\s*$/.exec(text)?.[0] ?? ''
  return JSON.stringify(withNumbersOf(before, after), null, indent) + end
}

/** Puts numbers back that a double does not hold. */
function withNumbersOf(before: unknown, after: unknown): unknown {
  const number = exact.isRawJSON(before) ? before.rawJSON : before
  if (typeof number === 'bigint' || number !== before) {
    return Number(number) === after ? before : after
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    return after.map((item, i) => withNumbersOf(before[i], item))
  }
  if (!isObject(before) || !isObject(after)) return after
  return Object.fromEntries(
    Object.entries(after).map(([key, item]) => [key, withNumbersOf(before[key], item)]),
  )
}

/** The edits of a YAML text, and the anchors of the nodes that change. */
interface Rewriting {
  readonly text: string
  readonly style: ReturnType<typeof styleOf>
  readonly edits: { readonly from: number; readonly to: number; readonly text: string }[]
  readonly anchors: Set<string>
}

function rewriteYaml(given: string, after: unknown): string {
  const text = given.endsWith('\n') ? given : `${given}\n`
  const document = parseDocument(text, { merge: true, intAsBigInt: true })
  const before: unknown = document.toJS()
  const wanted = withNumbersOf(before, after)
  const rewriting: Rewriting = { text, style: styleOf(text), edits: [], anchors: new Set() }
  if (canAmend(document.contents, wanted)) {
    amend(rewriting, document.contents, before as JsonObject, wanted as JsonObject)
  }
  writeOutAliases(rewriting, document)
  const written = applyEdits(rewriting)
  const read = parseDocument(written, { merge: true })
  const isRight = read.errors.length === 0 && isDeepStrictEqual(read.toJS(), after)
  // A layout that cannot be edited is written anew.
  if (!isRight) return stringify(wanted, rewriting.style).trimEnd()
  return written.slice(0, written.length - (text.length - given.length))
}

function styleOf(text: string) {
  return {
    indent: /^( +)[^\s#]/m.exec(text)?.[1]?.length ?? 2,
    indentSeq: !/^( *)[^\s#-].*:[ \t]*\r?\n\1- /m.test(text),
    singleQuote: /: '|^ *'/m.test(text),
    lineWidth: 0,
    aliasDuplicateObjects: false,
  }
}

type Block = YAMLMap<Node, Node> | YAMLSeq<Node>

/** Whether a node can be edited entry by entry. */
const canAmend = (node: unknown, after: unknown): node is Block =>
  isCollection(node) &&
  node.flow !== true &&
  isSeq(node) === Array.isArray(after) &&
  Object.keys(after ?? {}).length > 0

/** Edits a block. Arrays have their members under their indices, and so are read like objects. */
function amend(rewriting: Rewriting, block: Block, before: JsonObject, after: JsonObject): void {
  const { text, edits, anchors } = rewriting
  const entries = entriesOf(text, block)
  for (const entry of entries) {
    const { key, from, node } = entry
    const [there, wanted] = [before[key], after[key]]
    if (key === '<<' || isDeepStrictEqual(there, wanted)) continue
    if (wanted === undefined) {
      edits.push({ from: startOfLine(text, from), to: endOf(node), text: '' })
    } else if (canAmend(node, wanted)) {
      amend(rewriting, node, there as JsonObject, wanted as JsonObject)
    } else replace(rewriting, block, entry, wanted)
  }
  // The members of a merge key have no entry.
  const added = Object.entries(after).filter(([key, value]) => {
    return entries.every((entry) => entry.key !== key) && !isDeepStrictEqual(before[key], value)
  })
  if (added.length > 0) {
    const [at, column] = [endOf(block), columnOf(text, startOf(block))]
    const lines = ' '.repeat(column) + toLines(rewriting, block, added)
    edits.push({ from: at, to: at, text: lines })
  }
  if (block.anchor === undefined) return
  anchors.add(block.anchor)
  const at = text.lastIndexOf(`&${block.anchor}`, startOf(block))
  edits.push({ from: at - 1, to: at + 1 + block.anchor.length, text: '' })
}

/** Writes out the aliases of changed nodes, since they mean the nodes as they were. */
function writeOutAliases(rewriting: Rewriting, document: Document): void {
  visit(document, {
    Alias(_, alias, path) {
      const at = startOf(alias)
      const isGone = rewriting.edits.some(({ from, to }) => from <= at && at < to)
      if (isGone || !rewriting.anchors.has(alias.source)) return
      const block = path.findLast(isCollection) as Block
      const entry = entriesOf(rewriting.text, block).find(({ node }) => node === alias)
      if (entry !== undefined) replace(rewriting, block, entry, alias.toJS(document))
    },
  })
}

/** A value in a block, and where its key or dash stands. */
interface Entry {
  readonly key: string
  readonly from: number
  readonly node: Node
}

function entriesOf(text: string, block: Block): Entry[] {
  const column = columnOf(text, startOf(block))
  return block.items.map((item, index) =>
    isPair(item)
      ? { key: nameOf(item.key), from: startOf(item.key), node: item.value as Node }
      : { key: String(index), from: startOfLine(text, startOf(item)) + column, node: item },
  )
}

function nameOf(key: Node): string {
  const name = isScalar(key) ? key.value : key
  // A merge key is parsed as a symbol.
  return typeof name === 'symbol' ? '<<' : String(name)
}

function replace(rewriting: Rewriting, block: Block, { key, from, node }: Entry, value: unknown) {
  const text = toLines(rewriting, block, [[key, value]])
  rewriting.edits.push({ from, to: endOf(node), text })
}

/** Entries as lines of a block, of which the first has no indentation yet. */
function toLines({ text, style }: Rewriting, block: Block, entries: [string, unknown][]): string {
  const value = isSeq(block) ? entries.map(([, item]) => item) : Object.fromEntries(entries)
  const indent = ' '.repeat(columnOf(text, startOf(block)))
  return `${stringify(value, style)
    .trimEnd()
    .replaceAll(/\n(?=.)/g, `\n${indent}`)}\n`
}

function applyEdits({ text, edits }: Rewriting): string {
  const inOrder = edits.toSorted((a, b) => a.from - b.from)
  return inOrder.reduceRight(
    (written, edit) => written.slice(0, edit.from) + edit.text + written.slice(edit.to),
    text,
  )
}

const startOf = (node: Node) => node.range?.[0] ?? 0
/** Behind the end of its line. */
const endOf = (node: Node) => node.range?.[2] ?? 0
const startOfLine = (text: string, at: number) => text.lastIndexOf('\n', at - 1) + 1
const columnOf = (text: string, at: number) => at - startOfLine(text, at)
