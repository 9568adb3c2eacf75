import { compareText } from '../compare-text.ts'

/** A media type (RFC 9110 §8.3.1): type and names in lower case, values unquoted. */
export interface MediaType {
  /** `type/subtype`. */
  readonly essence: string
  /** Sorted by name; of equal names the order is kept. */
  readonly parameters: readonly (readonly [name: string, value: string])[]
}

// Sticky and without a choice at any character, so that reading a header takes linear time.
const ESSENCE = /^([!#$%&'*+.^_`|~\w-]+\/[!#$%&'*+.^_`|~\w-]+)/
const PARAMETER =
  /[ \t]*;[ \t]*(?:([!#$%&'*+.^_`|~\w-]+)=(?:([!#$%&'*+.^_`|~\w-]+)|"((?:[^"\\]|\\.)*)"))?/y
const END = /[ \t]*$/y
const QUOTED_PAIR = /\\(.)/g

/** Reads a Content-Type header; `undefined` where it does not follow the grammar. */
export function parseMediaType(header: string): MediaType | undefined {
  const essence = ESSENCE.exec(header)?.[1]
  if (essence === undefined) return undefined
  const parameters: [string, string][] = []
  let at = essence.length
  for (let match = execAt(PARAMETER, header, at); match; match = execAt(PARAMETER, header, at)) {
    at += match[0].length
    const [, name, token, quoted] = match
    if (name !== undefined) {
      parameters.push([name.toLowerCase(), token ?? (quoted ?? '').replaceAll(QUOTED_PAIR, '$1')])
    }
  }
  if (execAt(END, header, at) === null) return undefined
  parameters.sort(([one], [other]) => compareText(one, other))
  return { essence: essence.toLowerCase(), parameters }
}

/** The `type/subtype` of a Content-Type, whatever stands behind it; `''` where there is none. */
export function essenceOf(headers: Headers): string {
  return (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
}

/** Says whether a body is a stream of server-sent events. */
export function isEventStream(headers: Headers): boolean {
  return essenceOf(headers) === 'text/event-stream'
}

function execAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

/** Says whether a body of this type is JSON: `application/json`, `text/json` and every `+json`. */
export function isJson({ essence }: Pick<MediaType, 'essence'>): boolean {
  return essence === 'application/json' || essence === 'text/json' || essence.endsWith('+json')
}

/** Says whether a body of this type is a list of urlencoded pairs. */
export function isForm({ essence }: MediaType): boolean {
  return essence === 'application/x-www-form-urlencoded'
}

/** Says whether a body of this type is cut into parts by a boundary (RFC 2046 §5.1). */
export function isMultipart({ essence }: MediaType): boolean {
  return essence.startsWith('multipart/')
}

/**
 * Writes a media type in the one form that its spellings share.
 *
 * Left out is what says nothing: the boundary, and UTF-8 as the charset of JSON and forms.
 */
export function toCanonicalMediaType(type: MediaType): string {
  const saysUtf8Anyway = isJson(type) || isForm(type)
  let canonical = type.essence
  for (const [name, given] of type.parameters) {
    const value = name === 'charset' ? given.toLowerCase() : given
    if (name === 'boundary' && isMultipart(type)) continue
    if (name === 'charset' && value === 'utf-8' && saysUtf8Anyway) continue
    canonical += `;${name}="${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`
  }
  return canonical
}
