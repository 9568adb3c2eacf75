import type { ContractOperation } from '../core/response/contract.ts'

/** A path template without the names of its parameters: templates of one shape are one path. */
export function shapeOf(template: string): string {
  return template.replace(/\{[^{}]*\}/g, '{}')
}

/** Names of the parameters of a path template, in their order. */
export function parameterNames(template: string): string[] {
  return Array.from(template.matchAll(/\{([^{}]*)\}/g), ([, name = '']) => name)
}

/** A path template with one method of a route. */
interface Place {
  readonly template: string
  /** The regular expressions of its parameters, in their order; empty if there is none. */
  readonly patterns: readonly string[]
  readonly method: string
}

const METHODS = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'])

/** A segment of Hono's patterns; in braces a regular expression, which may hold braces and slashes. */
const SEGMENT = /\/(?:[^/{]|\{(?:[^{}]|\{[^{}]*\})*\})*/g

/** Finds the paths and methods of a route in OpenAPI; none if no template describes its pattern. */
export function toPlaces({ method, methods: said, path }: ContractOperation): Place[] {
  const all = said ?? ['POST', 'PUT', 'PATCH', 'DELETE']
  const methods = (method === 'ALL' ? all : [method])
    .map((name) => name.toLowerCase())
    .filter((name) => METHODS.has(name))
  const templates = toVariants(path).map(toTemplate)
  return templates.flatMap((found) =>
    found ? methods.map((name) => ({ ...found, method: name })) : [],
  )
}

/** Parameters at the end may be optional, which makes several paths, each given as its segments. */
function toVariants(path: string): string[][] {
  const segments = path.match(SEGMENT) ?? []
  const variants = [segments.map((segment) => segment.replace(/\?$/, ''))]
  for (let end = segments.length; segments[end - 1]?.endsWith('?'); end--) {
    variants.unshift(segments.slice(0, end - 1).map((segment) => segment.replace(/\?$/, '')))
  }
  return variants
}

function toTemplate(segments: readonly string[]): Omit<Place, 'method'> | null {
  const patterns: string[] = []
  let template = ''
  for (const segment of segments) {
    const [, name, pattern = ''] = /^\/:([^{}]+)(?:\{(.+)\})?$/.exec(segment) ?? []
    if (name === undefined ? segment.includes('*') : spansSlashes(pattern)) return null
    if (name !== undefined) patterns.push(pattern)
    template += name === undefined ? segment : `/{${name}}`
  }
  return { template: template || '/', patterns }
}

/** A parameter of OpenAPI ends at a slash. */
function spansSlashes(pattern: string): boolean {
  return pattern !== '' && new RegExp(`^(?:${pattern})$`).test('a/b')
}
