import { err, ok, type Result } from '../result.ts'

/** The URL of a request, read and normalised once, for routes, fingerprints and origins alike. */
export interface RequestUrl {
  /** Scheme and host that the client called. */
  readonly origin: string
  /**
   * Without dot segments, backslashes, doubled slashes and a slash at the end, its escapes as
   * RFC 3986 §6.2.2 has them.
   */
  readonly path: string
  /** As `URL.search`: `''`, or from the question mark on. */
  readonly search: string
  /** Path and query. One slash at the end stays: many origins redirect a path without it. */
  readonly forwarded: string
  /** Path and query, with all slashes as the client wrote them. */
  readonly untouched: string
  /** Whether the client's path climbs above its root, as `/../x` does. */
  readonly isAboveRoot: boolean
}

/** Why a URL is refused. */
export interface RefusedUrl {
  /** As of a `RequestUrl`; empty if the Host is not valid. */
  readonly origin: string
  /** For people; contains nothing from the URL. */
  readonly because: string
}

/** Scheme, authority, path, query and fragment, to the letter (RFC 3986, appendix B). */
const PARTS = /^https?:\/\/([^/\\?#]*)([/\\][^?#]*)(\?[^#]*)?(?:#|$)/is

/** RFC 3986 §3.2.2 and §3.2.3. */
const HOST = /^(?:\[[\da-f:.]+\]|(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})+)(?::\d*)?$/i

/**
 * Reads the URL of a request. An invalid Host or URL is refused, since others may read it differently,
 * and so is a path in which an escaped slash or a parameter hides a dot segment from the router.
 *
 * @param url From the platform, which uses the Host field for it.
 * @param host The Host field, if there is one.
 */
export function parseRequestUrl(url: string, host: string | null): Result<RequestUrl, RefusedUrl> {
  const isHost = host === null || HOST.test(host)
  if (!isHost) return err({ origin: '', because: 'The Host of the request is none.' })
  const plain = readPlainUrl(url)
  return plain === null ? readAnyUrl(url) : ok(plain)
}

function readAnyUrl(url: string): Result<RequestUrl, RefusedUrl> {
  const [, authority = '', rawPath = '', rawQuery = ''] = PARTS.exec(url) ?? []
  const parsed = URL.parse(url)
  if (parsed === null || !HOST.test(authority)) {
    return err({ origin: '', because: 'The URL of the request cannot be read.' })
  }
  const read = toRequestUrl(parsed, rawPath, rawQuery !== '')
  if (!hidesDotSegment(read.path)) return ok(read)
  return err({ origin: read.origin, because: 'The path of the request hides a dot segment.' })
}

/**
 * A URL in which nothing has to be normalised, as most are: segments of unreserved characters (RFC 3986
 * §2.3) that do not begin with a dot, and a query of characters that `URL` leaves as they are.
 */
const PLAIN = /^(https?:\/\/[^/\\?#]+)((?:\/[\w~-][\w.~-]*)*)(\/?)(\?[\w.~=&%+:@,/-]+)?$/

/** Reads such a URL. @returns `null` for any other. */
function readPlainUrl(url: string): RequestUrl | null {
  const [, prefix = '', segments = '', slash = '', search = ''] = PLAIN.exec(url) ?? []
  const origin = originOf(prefix)
  const pathname = segments + slash
  if (origin === null || pathname === '') return null
  const path = segments || '/'
  const untouched = pathname + search
  return { origin, path, search, forwarded: untouched, untouched, isAboveRoot: false }
}

/** A deployment has few hosts, but anybody can send any. */
const MAX_ORIGINS = 100
const origins = new Map<string, string | null>()

/** The origin for a scheme and an authority, read once; `null` if it is none. */
function originOf(prefix: string): string | null {
  const known = origins.get(prefix)
  if (known !== undefined) return known
  const isHost = HOST.test(prefix.slice(prefix.indexOf('//') + 2))
  const origin = isHost ? (URL.parse(prefix)?.origin ?? null) : null
  if (origins.size === MAX_ORIGINS) origins.clear()
  origins.set(prefix, origin)
  return origin
}

function toRequestUrl(
  { origin, pathname, search }: URL,
  rawPath: string,
  hasQuery: boolean,
): RequestUrl {
  const slashed = normaliseEscapes(pathname)
  const path = slashed.replaceAll(/\/{2,}/g, '/').replace(/(?<=.)\/$/, '')
  const slash = path !== '/' && rawPath.endsWith('/') ? '/' : ''
  // A question mark alone means nothing, and is sent as it came.
  const query = hasQuery ? search || '?' : ''
  return {
    origin,
    path,
    search,
    forwarded: path + slash + query,
    untouched: slashed + query,
    isAboveRoot: climbs(rawPath),
  }
}

/** RFC 3986 §6.2.2: a letter that needs no escape has none, the others are escaped in capitals. */
function normaliseEscapes(path: string): string {
  // A percent sign that begins no escape stands for itself. Else `%%32e` would become `%2e`.
  return path.replaceAll(/%(?![\da-f]{2})/gi, '%25').replaceAll(ESCAPE, (escape) => {
    const char = toChar(escape)
    return /[\w.~-]/.test(char) ? char : escape.toUpperCase()
  })
}

const ESCAPE = /%[\da-f]{2}/gi

const toChar = (escape: string) => String.fromCharCode(Number.parseInt(escape.slice(1), 16))

/**
 * Whether a decoded path has a dot segment for an origin that takes a backslash for a slash, or drops
 * the parameters of a segment, or invisible characters.
 */
function hidesDotSegment(path: string): boolean {
  const segments = path.replaceAll(ESCAPE, toChar).split(/[/\\]/)
  return segments.some((segment) => /^\.{1,2}(?:;|$)/.test(segment.replaceAll(UNSEEN, '')))
}

const UNSEEN = /[\0-\x20\x7f]/g

/** Whether a path, with its slashes collapsed, climbs above its root on the way. */
function climbs(rawPath: string): boolean {
  let depth = 0
  for (const segment of rawPath.replaceAll(/[\t\n\r]/g, '').split(/[/\\]+/)) {
    const plain = segment.replaceAll(/%2e/gi, '.')
    if (plain === '..') depth -= 1
    else if (plain !== '' && plain !== '.') depth += 1
    if (depth < 0) return true
  }
  return false
}
