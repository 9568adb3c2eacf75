import { parse, patch } from '@decimalturn/toml-patch'

import { applyTo, type ConfigEdit } from './edit.ts'
import { endOfLine, insert, lineBreakOf, splice } from './splice.ts'

/**
 * Returns ways to make a change in TOML, the most readable first. A way can throw, or can change
 * something else: TOML has several forms for one table, and each needs another way.
 */
export function toTomlCandidates(text: string, edit: ConfigEdit): (() => string)[] {
  const isTable = typeof edit.value === 'object'
  return [
    ...(isTable && edit.kind === 'push' ? [() => appendToSections(text, edit)] : []),
    ...(isPresent(text, edit) ? [] : [() => (isTable ? appendSection : insertLine)(text, edit)]),
    () => patch(text, applyTo(parse(text), edit)),
  ]
}

function isPresent(text: string, { path }: ConfigEdit): boolean {
  const found = path.reduce<unknown>(
    (value, field) => (value === undefined ? value : Reflect.get(value as object, field)),
    parse(text),
  )
  return found !== undefined
}

/** The library would move the new section behind the comment of the next one. */
function appendToSections(text: string, edit: ConfigEdit): string {
  const [header = '', ...fields] = toSection(edit)
  const at = text.lastIndexOf(header)
  if (at === -1) throw new Error('There is no such section.')
  const rest = text.slice(at)
  const next = rest.search(/\n[ \t]*\[/)
  const section = rest.slice(0, next === -1 ? rest.length : next)
  // Comments in front of the next section belong to it.
  const own = section.replace(/(?:\s*\n[ \t]*#.*)*\s*$/, '')
  const newline = lineBreakOf(text)
  const added = [header, ...fields].join(newline)
  const isLast = at + own.length === text.trimEnd().length && !text.endsWith('\n')
  return splice(text, [
    insert(at + own.length, `${newline}${newline}${added}${isLast ? newline : ''}`),
  ])
}

function appendSection(text: string, edit: ConfigEdit): string {
  const newline = lineBreakOf(text)
  return `${text.trimEnd()}${newline}${newline}${toSection(edit).join(newline)}${newline}`
}

function toSection({ kind, path, value }: ConfigEdit): string[] {
  const name = path.map((part) => toKey(part)).join('.')
  return [
    kind === 'push' ? `[[${name}]]` : `[${name}]`,
    ...Object.entries(value as object).map(([key, each]) => `${toKey(key)} = ${toValue(each)}`),
  ]
}

/** Top-level fields after which a new one reads well, the best first. */
const NEIGHBOURS = ['compatibility_date', 'main', 'name'] as const

function insertLine(
  text: string,
  { kind, path: [field = '', ...rest], value }: ConfigEdit,
): string {
  if (rest.length > 0) throw new Error('Only top-level fields are inserted as lines.')
  const newline = lineBreakOf(text)
  const line = `${toKey(field)} = ${toValue(kind === 'push' ? [value] : value)}`
  const top = text.slice(0, /^\s*\[/m.exec(text)?.index ?? text.length)
  const neighbour = NEIGHBOURS.map((name) => new RegExp(`^${name}\\s*=`, 'm').exec(top)).find(
    (found) => found !== null,
  )
  if (neighbour === undefined) return `${line}${newline}${text}`
  return splice(text, [insert(endOfLine(text, neighbour.index), `${newline}${line}`)])
}

const toKey = (key: string) => (/^[\w-]+$/.test(key) ? key : JSON.stringify(key))

/** Strings of JSON are basic strings of TOML. */
function toValue(value: unknown): string {
  return Array.isArray(value)
    ? `[${value.map((each) => toValue(each)).join(', ')}]`
    : JSON.stringify(value)
}
