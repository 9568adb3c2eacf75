import { shapeOf } from '../../src/operators/path-template.ts'
import { isObject, type JsonObject } from './json.ts'

/**
 * Paths of the gateway that the paths of a document, or of one of its path items, may be relative
 * to: the likeliest first.
 */
export function basesOf(scope: JsonObject, prefix?: string): string[] {
  if (prefix !== undefined) return [trimmed(`/${prefix}`)]
  const servers = Array.isArray(scope['servers']) ? scope['servers'].filter(isObject) : []
  return [...new Set([...servers.map(toBase), ''])]
}

/** The path items of a document. */
export const pathsOf = ({ paths }: JsonObject): JsonObject => (isObject(paths) ? paths : {})

/** The path of a document that is a path of the gateway, whatever its parameters are called. */
export function findPath(document: JsonObject, wanted: string, prefix?: string): string | null {
  const shape = shapeOf(wanted)
  const candidates = Object.entries(pathsOf(document)).flatMap(([path, item]) => {
    const scope = isObject(item) && item['servers'] !== undefined ? item : document
    return basesOf(scope, prefix).map((base, rank) => ({ path, rank, full: base + path }))
  })
  const matches = candidates.filter(({ full }) => shapeOf(full) === shape)
  return matches.toSorted((a, b) => a.rank - b.rank)[0]?.path ?? null
}

/** @returns The path below the first base that it is under, or `null` where it is under none. */
export function pathBelow(path: string, bases: readonly string[]): string | null {
  const base = bases.find((one) => path === one || path.startsWith(`${one}/`))
  return base === undefined ? null : path.slice(base.length) || '/'
}

function toBase({ url, variables }: JsonObject): string {
  if (typeof url !== 'string') return ''
  const filled = url.replace(/\{([^{}]*)\}/g, (whole, name: string) => {
    const variable = isObject(variables) ? variables[name] : undefined
    return isObject(variable) ? String(variable['default']) : whole
  })
  const base = 'http://localhost/'
  return URL.canParse(filled, base) ? trimmed(new URL(filled, base).pathname) : ''
}

function trimmed(path: string): string {
  return path.replace(/^\/+/, '/').replace(/\/+$/, '')
}
