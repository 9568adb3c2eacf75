import type { Digest } from '../digest.ts'
import { ok, type Result } from '../result.ts'
import { undoContentEncoding } from './content-encoding.ts'
import type { FingerprintFault } from './fault.ts'
import { toCanonicalJson } from './json.ts'
import {
  isForm,
  isJson,
  isMultipart,
  type MediaType,
  parseMediaType,
  toCanonicalMediaType,
} from './media-type.ts'
import { toCanonicalMultipart } from './multipart.ts'
import { toCanonicalPairs } from './pairs.ts'
import { createPointerTree } from './pointers.ts'

export type { FingerprintFault } from './fault.ts'

/** Names the canonical form: changed with it, so that fingerprints of two forms never meet. */
const VERSION = 'v1'

/** What of a request counts, by the policy of its route. */
export interface FingerprintRules {
  /** JSON pointers (RFC 6901) to what does not count: in JSON a value, in a form the fields of a name. */
  readonly ignore: readonly string[]
  /** JSON pointers to date-times (RFC 3339) that are compared as instants. */
  readonly dates: readonly string[]
  /** Names of headers that count, in any case. */
  readonly headers: readonly string[]
  /** Whether the query counts. */
  readonly query: boolean
}

/** The request as it came, its body read. */
export interface FingerprintInput {
  readonly method: string
  readonly path: string
  /** As `URL.search`: `''`, or from the question mark on. */
  readonly search: string
  readonly headers: Headers
  readonly body: Uint8Array
}

/** What a fingerprint needs besides the request and the rules. */
export interface FingerprintContext {
  readonly digest: Digest
  /** Limit of a decompressed body. */
  readonly maxDecodedBytes: number
}

/** What a body is compared as. */
interface CanonicalBody {
  readonly kind: 'json' | 'form' | 'multipart' | 'bytes'
  readonly content: string | Uint8Array
}

/**
 * Names what a request asks for: two requests have one fingerprint when they mean the same.
 *
 * `v1:` and a digest over method, path, query, media type, the headers that the rules name and the
 * canonical body; `docs/fingerprint.md` says what is canonical. The fault is for the client: a body
 * that is not what its type or encoding says, or that decompresses beyond the limit.
 *
 * @throws Error where the rules hold a malformed pointer or header name.
 */
export async function fingerprint(
  input: FingerprintInput,
  rules: FingerprintRules,
  context: FingerprintContext,
): Promise<Result<string, FingerprintFault>> {
  const { headers } = input
  const decoded = await undoContentEncoding(
    input.body,
    headers.get('Content-Encoding'),
    context.maxDecodedBytes,
  )
  if (!decoded.ok) return decoded
  const { bytes, codings } = decoded.value
  const type = parseMediaType(headers.get('Content-Type') ?? '')
  // What is still compressed cannot be read as what it is.
  const body = codings.length === 0 ? toCanonicalBody(bytes, type, rules) : toBytes(bytes)
  if (!body.ok) return body
  const named = toNamedHeaders(headers, rules.headers)
  const digest = await context.digest(
    'fingerprint',
    input.method,
    input.path,
    rules.query ? toCanonicalQuery(input.search) : '',
    type === undefined
      ? `unparsed ${headers.get('Content-Type') ?? ''}`
      : toCanonicalMediaType(type),
    codings.join(),
    // The count keeps the list of headers apart from what follows it.
    String(named.length),
    ...named,
    body.value.kind,
    body.value.content,
  )
  return ok(`${VERSION}:${digest}`)
}

function toCanonicalBody(
  bytes: Uint8Array,
  type: MediaType | undefined,
  rules: FingerprintRules,
): Result<CanonicalBody, FingerprintFault> {
  const pointers = createPointerTree(rules.ignore, rules.dates)
  if (type === undefined) return toBytes(bytes)
  if (isJson(type)) return toKind('json', toCanonicalJson(bytes, pointers))
  if (isForm(type)) return ok({ kind: 'form', content: toCanonicalPairs(bytes, pointers) })
  if (isMultipart(type)) return toKind('multipart', toCanonicalMultipart(bytes, type))
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

function toCanonicalQuery(search: string): string {
  return toCanonicalPairs(new TextEncoder().encode(search.slice(1)), undefined)
}

/** Name and value in turn, sorted by name; a header that is absent differs from an empty one. */
function toNamedHeaders(headers: Headers, names: readonly string[]): readonly string[] {
  const sorted = [...new Set(names.map((name) => name.toLowerCase()))].toSorted()
  return sorted.flatMap((name) => {
    const value = headers.get(name)
    return [name, value === null ? 'absent' : `present ${value}`]
  })
}
