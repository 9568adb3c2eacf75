import { createScanner, findNodeAtLocation, type Node, parseTree } from 'jsonc-parser'

import type { ConfigEdit } from './edit.ts'
import { endOfLine, insert, lineBreakOf, type Splice, splice, startOfLine } from './splice.ts'

const MAX_LINE = 80

/**
 * Returns ways to make a change in JSON with comments. All other characters stay as they are: `modify`
 * of jsonc-parser formats the lines around an insertion anew.
 */
export function toJsoncCandidates(text: string, edit: ConfigEdit): (() => string)[] {
  return [
    // Behind a comment at the end of the line, which belongs to the last member.
    () => editJsonc(text, edit, (at) => endOfLine(text, at)),
    // The comment goes on in the next line.
    () => editJsonc(text, edit, (at) => at),
  ]
}

function editJsonc(text: string, { kind, path, value }: ConfigEdit, place: Place): string {
  const root = parseTree(text, [], { allowTrailingComma: true })
  if (root === undefined) throw new Error('There is no JSON value.')
  const known = path.findLastIndex(
    (_, index) => findNodeAtLocation(root, path.slice(0, index + 1)) !== undefined,
  )
  const node = findNodeAtLocation(root, path.slice(0, known + 1)) ?? root
  const [field, ...below] = path.slice(known + 1)
  if (field === undefined && kind === 'set') {
    return splice(text, [{ from: node.offset, to: endOf(node), text: JSON.stringify(value) }])
  }
  const pushed = kind === 'push' && field !== undefined ? [value] : value
  const nested = below.reduceRight<unknown>((inner, name) => ({ [name]: inner }), pushed)
  const document = { text, place, unit: unitOf(text), newline: lineBreakOf(text) }
  return splice(text, addTo(document, node, { field, value: nested }))
}

/** Returns where a line can be inserted behind an offset. */
type Place = (at: number) => number

interface Document {
  readonly text: string
  readonly place: Place
  /** One step of indentation. */
  readonly unit: string
  readonly newline: string
}

/** A field of an object, or an element of an array, which has no name. */
interface Member {
  readonly field: string | undefined
  readonly value: unknown
}

function addTo(document: Document, container: Node, member: Member): Splice[] {
  const { text, newline, unit } = document
  const last = container.children?.at(-1)
  const outer = indentOf(text, container.offset)
  if (last === undefined) {
    const inner = `${newline}${outer}${unit}${render(document, member, outer + unit)}${newline}${outer}`
    return [{ from: container.offset + 1, to: endOf(container) - 1, text: inner }]
  }
  const comma = trailingCommaOf(text, endOf(last), endOf(container))
  if (!text.slice(endOf(last), endOf(container)).includes('\n')) {
    const rendered = toLine(member)
    return [insert(endOf(last), `, ${rendered}`)]
  }
  const indent = indentOf(text, last.offset)
  const line = `${newline}${indent}${render(document, member, indent)}`
  if (comma !== null) return [insert(document.place(comma + 1), `${line},`)]
  return [insert(endOf(last), ','), insert(document.place(endOf(last)), line)]
}

/** Returns where a comma behind the last member stands. */
function trailingCommaOf(text: string, from: number, to: number): number | null {
  const scanner = createScanner(text.slice(0, to), true)
  scanner.setPosition(from)
  scanner.scan()
  const at = scanner.getTokenOffset()
  return text[at] === ',' ? at : null
}

/** Everything that is short stays on one line. */
function render(document: Document, { field, value }: Member, indent: string): string {
  const name = field === undefined ? '' : `${JSON.stringify(field)}: `
  const line = `${name}${inLine(value)}`
  const isObject = typeof value === 'object' && value !== null
  if (indent.length + line.length <= MAX_LINE || !isObject) return line
  const inner = `${indent}${document.unit}`
  const members: Member[] = Array.isArray(value)
    ? value.map((each: unknown) => ({ field: undefined, value: each }))
    : Object.entries(value).map(([each, below]) => ({ field: each, value: below as unknown }))
  const lines = members.map((each) => `${inner}${render(document, each, inner)}`)
  const body = `${document.newline}${lines.join(`,${document.newline}`)}${document.newline}${indent}`
  return Array.isArray(value) ? `${name}[${body}]` : `${name}{${body}}`
}

const toLine = ({ field, value }: Member) =>
  field === undefined ? inLine(value) : `${JSON.stringify(field)}: ${inLine(value)}`

function inLine(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((each) => inLine(each)).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).map(
    ([name, each]) => `${JSON.stringify(name)}: ${inLine(each)}`,
  )
  return `{ ${fields.join(', ')} }`
}

const endOf = (node: Node) => node.offset + node.length

function indentOf(text: string, at: number): string {
  return /^[ \t]*/.exec(text.slice(startOfLine(text, at)))?.[0] ?? ''
}

function unitOf(text: string): string {
  return /\n([ \t]+)\S/.exec(text)?.[1] ?? '  '
}
