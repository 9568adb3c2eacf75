import path from 'node:path'

import type { WranglerConfig } from '../wrangler/config.ts'
import { type ConfigPath, lineAt, lineOfValue } from '../wrangler/lines.ts'
import type { Change } from './finding.ts'

/** The configuration file, and the environment of it that is checked. */
export interface ConfigScope {
  readonly config: WranglerConfig
  /** Without it, the default environment. */
  readonly environment: string | undefined
}

/** Returns the path of a field that an environment does not inherit, such as a binding. */
export function ownPath({ environment }: ConfigScope, field: ConfigPath): ConfigPath {
  return environment === undefined ? field : ['env', environment, ...field]
}

/** Returns the path of a field that comes from the top level unless the environment sets it. */
export function inheritedPath(scope: ConfigScope, field: ConfigPath): ConfigPath {
  const own = ownPath(scope, field)
  return isThere(scope.config, own.slice(0, own.length - field.length + 1)) ? own : field
}

/** Returns the change that sets a field. */
export function toSet(config: WranglerConfig, target: ConfigPath, value: unknown): Change {
  return config.format === 'toml'
    ? setInToml(config, target, value)
    : setInJson(config, target, value)
}

/** Returns the change that adds a table with a name of its own, such as `exports.IdempotencyObject`. */
export function toAddTable(config: WranglerConfig, target: ConfigPath, value: object): Change {
  if (config.format === 'json') return setInJson(config, target, value)
  const text = toTable(`[${toTomlPath(target)}]`, value)
  return { file: nameOf(config), line: endOf(config.text), how: 'add', text }
}

/** Returns the change that adds an element to an array of tables, such as the bindings. */
export function toAppend(config: WranglerConfig, target: ConfigPath, value: object): Change {
  return config.format === 'toml'
    ? appendToToml(config, target, value)
    : appendToJson(config, target, value)
}

/** Returns the change that removes the line of a value. */
export function toRemove(config: WranglerConfig, target: ConfigPath): Change {
  return { file: nameOf(config), line: lineOfValue(config, target) ?? 1, how: 'remove', text: '' }
}

function isThere({ settings }: WranglerConfig, target: ConfigPath): boolean {
  let value: unknown = settings
  for (const name of target) {
    if (typeof value !== 'object' || value === null) return false
    value = Reflect.get(value, name)
  }
  return value !== undefined
}

const nameOf = ({ file }: WranglerConfig) => path.basename(file)

function setInJson(config: WranglerConfig, target: ConfigPath, value: unknown): Change {
  const file = nameOf(config)
  const line = lineOfValue(config, target)
  const text = `${JSON.stringify(target.at(-1))}: ${toJson(value)}`
  if (isThere(config, target) && line !== null) return { file, line, how: 'replace', text }
  const around = target.slice(0, -1)
  // What is added first in an object or array can always end with a comma.
  if (isThere(config, around)) {
    const opened = lineOfValue(config, around) ?? lineAt(config.text, config.text.indexOf('{'))
    return { file, line: opened + 1, how: 'add', text: `${text},` }
  }
  return setInJson(config, around, { [String(target.at(-1))]: value })
}

function appendToJson(config: WranglerConfig, target: ConfigPath, value: object): Change {
  if (!isThere(config, target)) return setInJson(config, target, [value])
  const line = (lineOfValue(config, target) ?? 0) + 1
  return { file: nameOf(config), line, how: 'add', text: `${toJson(value)},` }
}

function setInToml(config: WranglerConfig, target: ConfigPath, value: unknown): Change {
  const name = String(target.at(-1))
  const text = `${toTomlName(name)} = ${toToml(value)}`
  const file = nameOf(config)
  const line = lineOfValue(config, target)
  if (isThere(config, target) && line !== null) return { file, line, how: 'replace', text }
  const table = target.slice(0, -1)
  if (table.length === 0) return { file, line: firstHeader(config.text), how: 'add', text }
  const header = lineOfHeader(config.text, table)
  if (header !== null) return { file, line: header + 1, how: 'add', text }
  return { file, line: endOf(config.text), how: 'add', text: `[${toTomlPath(table)}]\n${text}` }
}

function appendToToml(config: WranglerConfig, target: ConfigPath, value: object): Change {
  const file = nameOf(config)
  const line = lineOfValue(config, target)
  const isInline = isThere(config, target) && lineOfHeader(config.text, [...target, 0]) === null
  if (isInline && line !== null) return { file, line: line + 1, how: 'add', text: toToml(value) }
  const text = toTable(`[[${toTomlPath(target)}]]`, value)
  return { file, line: endOf(config.text), how: 'add', text }
}

function toTable(header: string, value: object): string {
  const fields = Object.entries(value).map(([name, one]) => `${toTomlName(name)} = ${toToml(one)}`)
  return [header, ...fields].join('\n')
}

/** The line of the first table: fields of the top level stand before it. */
function firstHeader(text: string): number {
  const line = text.split('\n').findIndex((one) => /^\s*\[/.test(one))
  return line === -1 ? endOf(text) : line + 1
}

/** The line of a header, if the table has one. */
function lineOfHeader(text: string, table: ConfigPath): number | null {
  const line = lineOfValue({ format: 'toml', text }, table)
  if (line === null) return null
  const source = text.split('\n')[line - 1] ?? ''
  const names = table.filter((name) => typeof name === 'string')
  const [, header = ''] = /^\s*\[\[?([^\]]+)\]/.exec(source) ?? []
  return header.replaceAll(/["'\s]/g, '') === names.join('.') ? line : null
}

const endOf = (text: string) => text.trimEnd().split('\n').length + 1
const toTomlName = (name: string) => (/^[\w-]+$/.test(name) ? name : JSON.stringify(name))
const toTomlPath = (names: ConfigPath) =>
  names
    .filter((name) => typeof name === 'string')
    .map(toTomlName)
    .join('.')

/** Strings and numbers of JSON are written in the same way. */
function toToml(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toToml).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).map(([name, one]) => `${toTomlName(name)} = ${toToml(one)}`)
  return `{ ${fields.join(', ')} }`
}

/** On one line, as a person would write it. */
function toJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(toJson).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = Object.entries(value).map(
    ([name, one]) => `${JSON.stringify(name)}: ${toJson(one)}`,
  )
  return `{ ${fields.join(', ')} }`
}
