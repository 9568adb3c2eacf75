import type { Context } from 'hono'
import { tryDecode } from 'hono/utils/url'

import { parseRequestUrl, type RefusedUrl, type RequestUrl } from '../core/request-url.ts'
import type { Result } from '../core/result.ts'
import type { GatewayEnv } from './gateway-env.ts'

type ReadUrl = Result<RequestUrl, RefusedUrl>

const known = new WeakMap<object, ReadUrl>()

/** Reads the URL of a request that is being handled; once. */
export function readRequestUrl({ req }: Context<GatewayEnv>): ReadUrl {
  // Hono's request stays the same when the body is put back into another one of the platform's.
  const read = known.get(req) ?? readUrl(req.raw)
  known.set(req, read)
  return read
}

function readUrl(request: Request): ReadUrl {
  const read = known.get(request) ?? parseRequestUrl(request.url, request.headers.get('Host'))
  known.set(request, read)
  return read
}

/** The URL of a request that is being handled; of one that is refused for it only the origin. */
export function requestUrlOf(c: Context<GatewayEnv>): RequestUrl {
  const read = readRequestUrl(c)
  return read.ok ? read.value : { ...NO_URL, origin: read.error.origin }
}

const NO_URL = { path: '', search: '', forwarded: '', untouched: '', isAboveRoot: false }

/**
 * The path of a request as Hono matches it: decoded, but for what separates segments and for percent
 * signs, which stay for whoever asks for a parameter.
 */
export function matchedPathOf(request: Request): string {
  const read = readUrl(request)
  // Whatever it says, it is refused before any route.
  if (!read.ok) return '/'
  const decoded = tryDecode(read.value.path.replaceAll('%25', '%2525'), decodeURI)
  // In a pattern such as `:name{.+}` the dot does not match them.
  return decoded.replaceAll(/[\n\r\u2028\u2029]/g, encodeURIComponent)
}
