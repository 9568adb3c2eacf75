import { findNodeAtLocation, parseTree } from 'jsonc-parser'

import type { WranglerConfig } from './config.ts'

/** Names and indexes that lead to a value of a configuration. */
export type ConfigPath = readonly (string | number)[]

/**
 * Finds the line of a value, or of the nearest value around it that is there.
 *
 * @returns Counted from 1; `null` if not even the first name is there.
 */
export function lineOfValue(
  { format, text }: Pick<WranglerConfig, 'format' | 'text'>,
  path: ConfigPath,
): number | null {
  return format === 'toml' ? lineInToml(text, path) : lineInJson(text, path)
}

/** Returns the line of an offset in a text, counted from 1. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

function lineInJson(text: string, path: ConfigPath): number | null {
  const root = parseTree(text, [], { allowTrailingComma: true })
  if (root === undefined) return null
  for (let length = path.length; length > 0; length -= 1) {
    const node = findNodeAtLocation(root, path.slice(0, length))
    if (node === undefined) continue
    // A value of an object stands behind its name.
    return lineAt(text, (node.parent?.type === 'property' ? node.parent : node).offset)
  }
  return null
}

/** A name of TOML, bare or in quotes. */
const NAME = /"[^"]*"|'[^']*'|[\w-]+/g

function lineInToml(text: string, path: ConfigPath): number | null {
  let best: { readonly line: number; readonly length: number } | null = null
  for (const { at, line } of entriesOf(text)) {
    const isOnTheWay = at.length <= path.length && at.every((name, nth) => name === path[nth])
    if (isOnTheWay && at.length > (best?.length ?? 0)) best = { line, length: at.length }
  }
  return best?.line ?? null
}

/** Each header and each assignment of a TOML text, with the path that it sets. */
function entriesOf(text: string): { readonly at: ConfigPath; readonly line: number }[] {
  const counts = new Map<string, number>()
  let table: ConfigPath = []
  return text.split('\n').flatMap((source, nth) => {
    const line = nth + 1
    const [, brackets, header] = /^\s*(\[\[?)([^\]]+)\]/.exec(source) ?? []
    if (header !== undefined) {
      table = brackets === '[' ? within(counts, header) : next(counts, header)
      return [{ at: table, line }]
    }
    const [, names] = /^\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*[\w"'-]+)*)\s*=/.exec(source) ?? []
    return names === undefined ? [] : [{ at: [...table, ...namesOf(names)], line }]
  })
}

const namesOf = (text: string) =>
  (text.match(NAME) ?? []).map((name) => name.replace(/^["']|["']$/g, ''))

function next(counts: Map<string, number>, header: string): ConfigPath {
  const name = namesOf(header).join('.')
  const index = counts.get(name) ?? 0
  counts.set(name, index + 1)
  return [...namesOf(header), index]
}

/** A table below an array of tables belongs to the last element of it. */
function within(counts: Map<string, number>, header: string): ConfigPath {
  const names = namesOf(header)
  return names.flatMap((name, nth) => {
    const count = counts.get(names.slice(0, nth + 1).join('.'))
    return count === undefined ? [name] : [name, count - 1]
  })
}
