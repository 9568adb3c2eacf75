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
 * Writes a changed document as its text was written: JSON with its indentation, YAML with every line
 * that says nothing new, numbers as they stood.
 *
 * @param before What the text says.
 * @param after What it shall say.
 */
export function rewrite(text: string, before: unknown, after: unknown): string {
  if (isDeepStrictEqual(before, after)) return text
  const written = isJson(text) ? rewriteJson(text, after) : rewriteYaml(text, after)
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

/** What has to be edited, and the anchors whose nodes will say something else. */
interface Rewriting {
  readonly text: string
  readonly edits: { readonly from: number; readonly to: number; readonly text: string }[]
  readonly anchors: Set<string>
  readonly toYaml: (value: unknown, column: number) => string
}

function rewriteYaml(given: string, after: unknown): string {
  const text = given.endsWith('\n') ? given : `${given}\n`
  const parsing = { merge: true, intAsBigInt: true, keepSourceTokens: true }
  const document = parseDocument(text, parsing)
  const before: unknown = document.toJS()
  const wanted = withNumbersOf(before, after)
  const style = styleOf(text)
  const toYaml = (value: unknown, column: number) =>
    stringify(value, style)
      .trimEnd()
      .replaceAll(/\n(?=.)/g, `\n${' '.repeat(column)}`)
  const rewriting: Rewriting = { text, edits: [], anchors: new Set(), toYaml }
  amend(rewriting, document.contents, before, wanted)
  writeOutAliases(rewriting, document)
  const written = applyEdits(rewriting)
  // What is laid out in a way that cannot be edited is written anew.
  const read = parseDocument(written, { merge: true })
  const isRight = read.errors.length === 0 && isDeepStrictEqual(read.toJS(), after)
  return isRight
    ? written.slice(0, written.length - (text.length - given.length))
    : toYaml(wanted, 0)
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

/** A value in a block, and where the line of its key or dash begins. */
interface Entry {
  readonly key: string
  readonly from: number
  readonly node: Node
}

function entriesOf({ text }: Rewriting, block: Block): Entry[] {
  const column = columnOf(text, startOf(block))
  return block.items.map((item, index) =>
    isPair(item)
      ? { key: nameOf(item.key), from: startOf(item.key), node: item.value as Node }
      : { key: String(index), from: startOfLine(text, startOf(item)) + column, node: item },
  )
}

/** Edits a block so that it says something else. @returns Whether that can be done. */
function amend(rewriting: Rewriting, node: unknown, before: unknown, after: unknown): boolean {
  if (!isBlock(node) || !isHolder(before) || !isHolder(after)) return false
  if (isSeq(node) !== Array.isArray(after) || Object.keys(after).length === 0) return false
  amendBlock(rewriting, node, { before, after })
  return true
}

interface Change {
  readonly before: JsonObject
  readonly after: JsonObject
}

function amendBlock(rewriting: Rewriting, block: Block, { before, after }: Change): void {
  const { text, edits } = rewriting
  const entries = entriesOf(rewriting, block)
  for (const entry of entries) {
    const { key, from, node } = entry
    const wanted = after[key]
    if (key === '<<' || isDeepStrictEqual(before[key], wanted)) continue
    if (wanted === undefined)
      edits.push({ from: startOfLine(text, from), to: endOf(node), text: '' })
    else if (!amend(rewriting, node, before[key], wanted)) replace(rewriting, block, entry, wanted)
  }
  addEntries(rewriting, block, entries, { before, after })
  dropAnchor(rewriting, block)
}

function addEntries(
  { text, edits, toYaml }: Rewriting,
  block: Block,
  entries: readonly Entry[],
  { before, after }: Change,
): void {
  // What a merge key brings along has no entry.
  const added = Object.entries(after).filter(([key, value]) => {
    return entries.every((entry) => entry.key !== key) && !isDeepStrictEqual(before[key], value)
  })
  if (added.length === 0) return
  const column = columnOf(text, startOf(block))
  const lines = toYaml(fromEntries(block, added), column)
  edits.push({ from: endOf(block), to: endOf(block), text: `${' '.repeat(column)}${lines}\n` })
}

function dropAnchor({ text, edits, anchors }: Rewriting, block: Block): void {
  const { anchor } = block
  if (anchor === undefined) return
  anchors.add(anchor)
  const at = text.lastIndexOf(`&${anchor}`, startOf(block))
  edits.push({ from: at - 1, to: at + 1 + anchor.length, text: '' })
}

function replace({ text, edits, toYaml }: Rewriting, block: Block, entry: Entry, value: unknown) {
  const { key, from, node } = entry
  const lines = toYaml(fromEntries(block, [[key, value]]), columnOf(text, from))
  edits.push({ from, to: endOf(node), text: `${lines}\n` })
}

/** Writes out the aliases of what says something else now, since they mean it as it was. */
function writeOutAliases(rewriting: Rewriting, document: Document): void {
  visit(document, {
    Alias(_, alias, path) {
      const at = startOf(alias)
      const isGone = rewriting.edits.some(({ from, to }) => from <= at && at < to)
      if (isGone || !rewriting.anchors.has(alias.source)) return
      const block = path.findLast(isCollection) as Block
      const entry = entriesOf(rewriting, block).find(({ node }) => node === alias)
      if (entry !== undefined) replace(rewriting, block, entry, alias.toJS(document))
    },
  })
}

function applyEdits({ text, edits }: Rewriting): string {
  let [written, at] = ['', 0]
  for (const edit of edits.toSorted((a, b) => a.from - b.from)) {
    written += text.slice(at, edit.from) + edit.text
    at = edit.to
  }
  return written + text.slice(at)
}

const isBlock = (node: unknown): node is Block => isCollection(node) && node.flow !== true

/** As an array has its members under their indices, it is read like an object. */
const isHolder = (value: unknown): value is JsonObject => isObject(value) || Array.isArray(value)

const fromEntries = (block: Block, entries: [string, unknown][]) =>
  isSeq(block) ? entries.map(([, value]) => value) : Object.fromEntries(entries)

const nameOf = (key: Node) => {
  const name = isScalar(key) ? key.value : key
  // What a merge key is parsed as.
  return typeof name === 'symbol' ? '<<' : String(name)
}
const startOf = (node: Node) => node.range?.[0] ?? 0
/** Behind the end of its line. */
const endOf = (node: Node) => node.range?.[2] ?? 0
const startOfLine = (text: string, at: number) => text.lastIndexOf('\n', at - 1) + 1
const columnOf = (text: string, at: number) => at - startOfLine(text, at)
