import { shapeOf } from '../../src/operators/path-template.ts'
import { isObject, type JsonObject, objectOf } from './json.ts'

/** Base paths of a document, or of one of its path items, on the gateway: the likeliest first. */
export function basesOf(scope: JsonObject, prefix?: string): string[] {
  if (prefix !== undefined) return [trimmed(`/${prefix}`)]
  const servers = Array.isArray(scope['servers']) ? scope['servers'].filter(isObject) : []
  return [...new Set([...servers.map(toBase), ''])]
}

/** The path items of a document. */
export const pathsOf = ({ paths }: JsonObject): JsonObject => objectOf(paths)

/** Finds the path of a document that is a path of the gateway. Names of parameters may differ. */
export function findPath(document: JsonObject, wanted: string, prefix?: string): string | null {
  const shape = shapeOf(wanted)
  const candidates = Object.entries(pathsOf(document)).flatMap(([path, item]) => {
    const scope = isObject(item) && item['servers'] !== undefined ? item : document
    return basesOf(scope, prefix).map((base, rank) => ({ path, rank, full: base + path }))
  })
  const matches = candidates.filter(({ full }) => shapeOf(full) === shape)
  return matches.toSorted((a, b) => a.rank - b.rank)[0]?.path ?? null
}

/** Returns the path below the first base that contains it; `null` if none does. */
export function pathBelow(path: string, bases: readonly string[]): string | null {
  const base = bases.find((one) => path === one || path.startsWith(`${one}/`))
  return base === undefined ? null : path.slice(base.length) || '/'
}

function toBase({ url, variables }: JsonObject): string {
  if (typeof url !== 'string') return ''
  const filled = url.replace(/\{([^{}]*)\}/g, (whole, name: string) => {
    const variable = objectOf(variables)[name]
    return isObject(variable) ? String(variable['default']) : whole
  })
  const base = 'http://localhost/'
  return URL.canParse(filled, base) ? trimmed(new URL(filled, base).pathname) : ''
}

function trimmed(path: string): string {
  return path.replace(/^\/+/, '/').replace(/\/+$/, '')
}
