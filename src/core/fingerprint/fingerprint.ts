import { compareText } from '../compare-text.ts'
import type { Digest } from '../digest.ts'
import type { HeaderField } from '../operation/snapshot.ts'
import { ok, type Result } from '../result.ts'
import { undoContentEncoding } from '../wire/decompress.ts'
import { foldName, OVERRIDES_METHOD, OVERRIDES_PATH } from '../wire/headers.ts'
import {
  isForm,
  isJson,
  isMultipart,
  type MediaType,
  parseMediaType,
  toCanonicalMediaType,
} from '../wire/media-type.ts'
import { toCanonicalJson } from './canonical-json.ts'
import type { FingerprintFault } from './fault.ts'
import { joinParts, toCanonicalMultipart } from './multipart.ts'
import { joinPairs, type Pair, type QueryRule, toCanonicalPairs, toQueryPairs } from './pairs.ts'
import { createPointerTree } from './pointer-tree.ts'

export type { FingerprintFault } from './fault.ts'

/** Names the canonical form. Fingerprints of two forms are never equal. */
export const FINGERPRINT_VERSION = 'v1'

/** The parts of a request that count, from the policy of its route. */
export interface FingerprintRules {
  /** JSON pointers (RFC 6901) to values that do not count; in a form, to the fields of a name. */
  readonly ignore: readonly string[]
  /** JSON pointers to date-times (RFC 3339) that are compared as instants. */
  readonly dates: readonly string[]
  /** Names, in any case, of additional headers that count. */
  readonly headers: readonly string[]
  /** Which part of the query counts. */
  readonly query: QueryRule
}

/** A request without its body. */
export interface RequestHead {
  readonly method: string
  readonly path: string
  /** As `URL.search`: `''`, or from the question mark on. */
  readonly search: string
  /** Names are lower-case. */
  readonly headers: Iterable<HeaderField>
}

/** A body, read according to its type. */
export interface ReadBody {
  /** `undefined` if the Content-Type does not follow the grammar. */
  readonly type: MediaType | undefined
  /** Content codings that could not be undone. */
  readonly codings: readonly string[]
  readonly canonical: CanonicalBody
  /** As received, after undoing the codings. */
  readonly bytes: Uint8Array
}

/** The form in which a body is compared. */
interface CanonicalBody {
  readonly kind: 'json' | 'form' | 'multipart' | 'bytes'
  readonly content: string | Uint8Array
}

/**
 * Reads a body in the canonical form of `docs/fingerprint.md`. The fault is for the client: the body
 * does not match its type or encoding, or decompresses beyond the limit.
 *
 * @param maxDecodedBytes Limit of the body after its content codings are undone.
 * @throws Error if the rules contain a malformed pointer.
 */
export async function readBody(
  body: Uint8Array,
  headers: Headers,
  rules: Pick<FingerprintRules, 'ignore' | 'dates'>,
  maxDecodedBytes: number,
): Promise<Result<ReadBody, FingerprintFault>> {
  const decoded = await undoContentEncoding(body, headers.get('Content-Encoding'), maxDecodedBytes)
  if (!decoded.ok) return decoded
  const { bytes, codings } = decoded.value
  const type = parseMediaType(headers.get('Content-Type') ?? '')
  // A body that is still compressed cannot be read by its type.
  const canonical = codings.length === 0 ? toCanonicalBody(bytes, type, rules) : toBytes(bytes)
  if (!canonical.ok) return canonical
  return ok({ type, codings, canonical: canonical.value, bytes })
}

/** The parts of a request that are compared with another request of the same key, as plain data. */
export interface ComparedRequest {
  readonly method: string
  readonly path: string
  /** The parameters of the query that count. */
  readonly query: readonly Pair[]
  readonly mediaType: string
  /** The header fields that count, by name. */
  readonly headers: readonly (readonly [name: string, text: string])[]
  readonly body: ReadBody
  readonly rules: Pick<FingerprintRules, 'ignore' | 'dates'>
}

/** Picks the parts of a request that are compared. */
export function toComparedRequest(
  { method, path, search, headers }: RequestHead,
  body: ReadBody,
  { ignore, dates, headers: names, query }: FingerprintRules,
): ComparedRequest {
  const fields = [...headers]
  return {
    method,
    path,
    query: toQueryPairs(search, query),
    mediaType: toTypeText(body.type, fields),
    headers: toCountedHeaders(fields, names),
    body,
    rules: { ignore, dates },
  }
}

/**
 * The fingerprint of a request, equal for requests with the same meaning: `v1:` and a digest over method,
 * path, query, media type, the headers that count and the canonical body.
 */
export function fingerprint(request: ComparedRequest, digest: Digest): string {
  const { method, path, query, mediaType, headers, body } = request
  const digested = digest(
    'fingerprint',
    method,
    path,
    joinPairs(query),
    mediaType,
    body.codings.join(),
    // The count keeps the list of headers apart from what follows it.
    String(headers.length * 2),
    ...headers.flat(),
    body.canonical.kind,
    body.canonical.content,
  )
  return `${FINGERPRINT_VERSION}:${digested}`
}

/** The fingerprint of a request by a value of the route, written by `toCanonicalValue`, method and path. */
export function fingerprintOfValue(
  { method, path }: RequestHead,
  canonical: string,
  digest: Digest,
): string {
  return `${FINGERPRINT_VERSION}:${digest('fingerprint value', method, path, canonical)}`
}

/** The fingerprint of every request of an operation whose requests are not compared. */
export function fingerprintOfAny(operation: string, digest: Digest): string {
  return `${FINGERPRINT_VERSION}:${digest('fingerprint of any', operation)}`
}

function toTypeText(type: MediaType | undefined, fields: readonly HeaderField[]): string {
  return type === undefined
    ? `unparsed ${valueOf(fields, 'content-type') ?? ''}`
    : toCanonicalMediaType(type)
}

/** The value of a field as `Headers.get` reads it; `null` if it is absent. */
function valueOf(fields: readonly HeaderField[], name: string): string | null {
  const values = fields.flatMap(([other, value]) => (other === name ? [value] : []))
  return values.length === 0 ? null : values.join(', ')
}

function toCanonicalBody(
  bytes: Uint8Array,
  type: MediaType | undefined,
  rules: Pick<FingerprintRules, 'ignore' | 'dates'>,
): Result<CanonicalBody, FingerprintFault> {
  const pointers = createPointerTree(rules.ignore, rules.dates)
  // Many clients write a type on a body that they do not send.
  const isEmpty = bytes.byteLength === 0 && type !== undefined && !isForm(type)
  if (type === undefined || isEmpty) return toBytes(bytes)
  if (isJson(type)) return toKind('json', toCanonicalJson(bytes, pointers))
  if (isForm(type)) return ok({ kind: 'form', content: toCanonicalPairs(bytes, pointers) })
  if (isMultipart(type)) {
    const read = toCanonicalMultipart(bytes, type)
    return read.ok ? ok({ kind: 'multipart', content: joinParts(read.value) }) : read
  }
  return toBytes(bytes)
}

const toBytes = (content: Uint8Array): Result<CanonicalBody, never> =>
  ok({ kind: 'bytes', content })

function toKind(
  kind: CanonicalBody['kind'],
  content: Result<string, FingerprintFault>,
): Result<CanonicalBody, FingerprintFault> {
  return content.ok ? ok({ kind, content: content.value }) : content
}

/** Fields that ask for a part of an answer, or for none if nothing has changed (RFC 9110 §13, §14). */
const ASKS_FOR_PART: ReadonlySet<string> = new Set([
  'if-modified-since',
  'if-none-match',
  'if-range',
  'range',
])

/**
 * The header fields that count, sorted by name, with their values as compared: those that the rules name
 * (an absent field differs from an empty one), and those that change the meaning of any request. Twins of
 * these (see `foldName`) count under their own names, since only some origins read them.
 */
function toCountedHeaders(
  fields: readonly HeaderField[],
  names: readonly string[],
): readonly (readonly [name: string, text: string])[] {
  const counted = new Map<string, string>()
  for (const [name, value] of fields) {
    const text = toCountedText(foldName(name), value)
    if (text !== null) counted.set(name, `present ${text}`)
  }
  for (const name of names) {
    const value = valueOf(fields, name.toLowerCase())
    counted.set(name.toLowerCase(), value === null ? 'absent' : `present ${value}`)
  }
  return [...counted].toSorted(([one], [other]) => compareText(one, other))
}

/** The value of a field that always counts; `null` for any other. */
function toCountedText(foldedName: string, value: string): string | null {
  // Methods are case-sensitive, but frameworks override them in any case.
  if (OVERRIDES_METHOD.has(foldedName)) return value.trim().toLowerCase()
  return OVERRIDES_PATH.has(foldedName) || ASKS_FOR_PART.has(foldedName) ? value : null
}
