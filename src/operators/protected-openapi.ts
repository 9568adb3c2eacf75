import { groupBy } from '../core/group-by.ts'
import type { Contract, ContractKeySource, ContractOperation } from '../core/response/contract.ts'
import { parameterNames, shapeOf, toPlaces } from './path-template.ts'
import COMPONENTS from './problem-components.json' with { type: 'json' }

/** OpenAPI 3.1 for the protected routes, in words that OpenAPI 3.0 has as well. */
export interface OpenApiFragment {
  readonly openapi: '3.1.0'
  readonly info: { readonly title: string; readonly version: string }
  /** By path template, then by method in lower case. */
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>
  /** By section, then by name. Each has the mark `GENERATED`. */
  readonly components: Readonly<Record<string, Readonly<Record<string, object>>>>
  /** Routes that no path template describes, if there are any. */
  readonly 'x-idempotency-unmapped'?: readonly OpenApiIdempotency[]
}

/** The contract's part of an operation. */
export interface OpenApiOperation {
  readonly description?: string
  readonly parameters: readonly (OpenApiReference | OpenApiPathParameter)[]
  /** By status, if there are any. */
  readonly responses?: Readonly<Record<string, OpenApiReference>>
  readonly 'x-idempotency': OpenApiIdempotency
}

interface OpenApiReference {
  readonly $ref: string
}

interface OpenApiPathParameter {
  readonly name: string
  readonly in: 'path'
  readonly required: true
  readonly schema: { readonly type: 'string'; readonly pattern?: string }
}

type OpenApiIdempotency = ReturnType<typeof toExtension>

/** Marks generated components, so that a later merge can renew them and no others. */
export const GENERATED = { 'x-generated-by': 'hapax' } as const

/** Adds a component, or finds the one of the same content, and refers to it. */
type Refer = (section: string, name: string, content: object) => OpenApiReference

/**
 * Converts a contract to an OpenAPI document: the key's parameters and the problems of each
 * protected route. The API's own bodies and parameters are not known here.
 */
export function toOpenApiFragment(contract: Contract): OpenApiFragment {
  const components: Record<string, Record<string, object>> = {}
  const refer = createRefer(components)
  const paths: Record<string, Record<string, OpenApiOperation>> = {}
  const unmapped: OpenApiIdempotency[] = []
  for (const route of contract.operations) {
    let isMapped = false
    for (const { template, patterns, method } of toPlaces(route)) {
      const shape = shapeOf(template)
      const path = Object.keys(paths).find((known) => shapeOf(known) === shape) ?? template
      const item = (paths[path] ??= {})
      // Hono asks the routes in their order, and OpenAPI has room for one.
      if (item[method] !== undefined) continue
      item[method] = toOperation(route, toPathParameters(path, patterns), refer)
      isMapped = true
    }
    if (!isMapped) unmapped.push(toExtension(route))
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Idempotency contract', version: String(contract.version) },
    paths,
    components,
    ...(unmapped.length > 0 && { 'x-idempotency-unmapped': unmapped }),
  }
}

function createRefer(components: Record<string, Record<string, object>>): Refer {
  return (section, name, content) => {
    const known = (components[section] ??= {})
    const component = { ...content, ...GENERATED }
    for (let n = 1; ; n++) {
      const key = n === 1 ? name : `${name}_${n}`
      const there = (known[key] ??= component)
      if (JSON.stringify(there) === JSON.stringify(component)) {
        return { $ref: `#/components/${section}/${key}` }
      }
    }
  }
}

function toPathParameters(path: string, patterns: readonly string[]): OpenApiPathParameter[] {
  return parameterNames(path).map((name, i) => {
    const pattern = patterns[i] ? { pattern: `^(?:${patterns[i]})$` } : {}
    return { name, in: 'path', required: true, schema: { type: 'string', ...pattern } }
  })
}

function toOperation(
  route: ContractOperation,
  pathParameters: readonly OpenApiPathParameter[],
  refer: Refer,
): OpenApiOperation {
  const description = describeKey(route)
  const responses = toResponses(route, refer)
  return {
    ...(description !== null && { description }),
    parameters: [
      ...pathParameters,
      ...route.key.sources.flatMap((source) => toKeyParameters(route, source, refer)),
    ],
    ...(route.problems.length > 0 && { responses }),
    'x-idempotency': toExtension(route),
  }
}

function toExtension(route: ContractOperation) {
  const { operation, mode, retentionSeconds, tombstoneSeconds, fingerprint, unknown } = route
  const { probeGraceSeconds } = route
  return {
    operation,
    /** Method and Hono's pattern; `ALL` if the route takes every method. */
    route: `${route.method} ${route.path}`,
    mode,
    sources: route.key.sources,
    retentionSeconds,
    tombstoneSeconds,
    fingerprint,
    unknown,
    ...(probeGraceSeconds !== undefined && { probeGraceSeconds }),
  }
}

/** Whether a request without a key is refused. */
const isKeyRequired = ({ key, mode }: ContractOperation) => key.required && mode === 'enforce'

/** Describes a key that parameters cannot: one that is no header, or one of several sources. */
function describeKey(route: ContractOperation): string | null {
  const { sources } = route.key
  if (sources.length === 1 && nameOf(sources[0]) !== null) return null
  const otherwise = isKeyRequired(route)
    ? 'A request without it is refused.'
    : 'A request without it is not protected.'
  return `The idempotency key is ${sources.map(describeSource).join(', else ')}. ${otherwise}`
}

function describeSource(source: ContractKeySource): string {
  switch (source.in) {
    case 'header':
    case 'repeatability':
      return `the header field \`${nameOf(source)}\``
    case 'body':
      return `\`${source.pointer}\` of the body`
    case 'query':
      return `the query parameter \`${source.name}\``
    case 'param':
      return `the path parameter \`${source.name}\``
    case 'function':
      return 'what the API reads of the request'
    case 'business':
      return `made of ${source.pointers.map((pointer) => `\`${pointer}\``).join(', ')} of the body`
    case 'mcp':
      return `\`params._meta.${source.meta}\` of a \`tools/call\``
    case 'batch':
      return `\`${source.items}/*${source.pointer}\` of the body, one for each of ${source.size} items at most`
  }
}

/** The header field that a key is in. */
function nameOf(source: ContractKeySource | undefined): string | null {
  if (source?.in === 'header') return source.name
  return source?.in === 'repeatability' ? 'Repeatability-Request-ID' : null
}

function toKeyParameters(
  route: ContractOperation,
  source: ContractKeySource,
  refer: Refer,
): OpenApiReference[] {
  const name = nameOf(source)
  if (name === null) return []
  const { minLength, maxLength, sources } = route.key
  // With several sources, no single one is required.
  const required = isKeyRequired(route) && sources.length === 1 ? { required: true } : {}
  const parameter = (header: string, description: string, schema: object) =>
    refer('parameters', toComponentName(header), {
      name: header,
      in: 'header',
      ...required,
      description,
      schema: { type: 'string', ...schema },
    })
  const { schema, words } = toFormat(route.key)
  const key = parameter(name, describeLifetime(route) + words, { minLength, maxLength, ...schema })
  if (source.in === 'header') return [key]
  const when = `When the request was first sent, as an HTTP date; goes with \`${name}\`.`
  return [key, parameter('Repeatability-First-Sent', when, {})]
}

/** A schema's pattern has no flags but `u`, which JSON Schema implies. */
function toFormat({ format, pattern, flags = '' }: ContractOperation['key']) {
  if (format === 'any' || pattern === undefined)
    return { schema: format === 'uuid' ? { format } : {}, words: '' }
  if (flags === '' || flags === 'u') return { schema: { pattern }, words: '' }
  return { schema: {}, words: ` It matches \`/${pattern}/${flags}\` (ECMAScript).` }
}

function toComponentName(header: string): string {
  return header.replace(/(?:^|[^a-zA-Z\d]+)([a-zA-Z\d]?)/g, (_, first: string) =>
    first.toUpperCase(),
  )
}

function describeLifetime({ retentionSeconds, tombstoneSeconds }: ContractOperation): string {
  const late =
    tombstoneSeconds > 0
      ? `; for ${inWords(tombstoneSeconds)} after that, a retry is refused and not executed again`
      : ''
  return `Names one business operation: made before the first try, the same on every retry, bare or in double quotes. The result is replayed for ${inWords(retentionSeconds)}${late}.`
}

const UNITS = [
  [86_400, 'day'],
  [3_600, 'hour'],
  [60, 'minute'],
] as const

function inWords(seconds: number): string {
  const [length, unit] = UNITS.find(([size]) => seconds > 0 && seconds % size === 0) ?? [
    1,
    'second',
  ]
  const count = seconds / length
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

function toResponses(route: ContractOperation, refer: Refer): Record<string, OpenApiReference> {
  const byStatus = groupBy(route.problems, ({ status }) => status)
  return Object.fromEntries(
    Array.from(byStatus, ([status, problems]) => [
      status,
      refer('responses', `Problem${status}`, toResponse(route, problems, refer)),
    ]),
  )
}

function toResponse(
  { preset }: ContractOperation,
  problems: ContractOperation['problems'],
  refer: Refer,
): object {
  const lines = problems.map(({ type, title, retry }) => `\`${type}\`: ${title} (retry: ${retry})`)
  const isRetried = problems.some(({ retry }) => retry === 'wait' || retry === 'same-key')
  const headers = Object.entries(COMPONENTS.headers).filter(
    ([name]) => isRetried || name !== 'Retry-After',
  )
  const [mediaType, name] =
    preset === 'stripe'
      ? (['application/json', 'ProblemError'] as const)
      : (['application/problem+json', 'Problem'] as const)
  const schema = refer('schemas', name, COMPONENTS.schemas[name])
  return {
    description: lines.length === 1 ? lines[0] : lines.map((line) => `- ${line}`).join('\n'),
    headers: Object.fromEntries(headers.map(([field, it]) => [field, refer('headers', field, it)])),
    content: { [mediaType]: { schema }, 'text/markdown': { schema: { type: 'string' } } },
  }
}
