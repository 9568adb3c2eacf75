import { type Context, Hono } from 'hono'
import { getPath, tryDecode } from 'hono/utils/url'

import { parseRequestUrl, type RefusedUrl, type RequestUrl } from '../core/request/request-url.ts'
import { ok, type Result } from '../core/result.ts'
import type { GatewayEnv } from './gateway-env.ts'

type ReadUrl = Result<RequestUrl, RefusedUrl>

const known = new WeakMap<object, ReadUrl>()

/** Reads the URL of a request, once. */
export function readRequestUrl({ req }: Context<GatewayEnv>): ReadUrl {
  // Hono's request stays the same when a restored body replaces the platform's request.
  const read = known.get(req) ?? readUrl(req.raw)
  known.set(req, read)
  return read
}

function readUrl(request: Request): ReadUrl {
  const read = known.get(request) ?? parseRequestUrl(request.url, request.headers.get('Host'))
  known.set(request, read)
  return read
}

/**
 * Takes the path of a request as the app matches it, for an app that does not match normalized paths.
 * Its escapes stay as a gateway and queue messages have them, because it is a part of keys. An app with
 * a `getPath` of its own has other paths.
 */
export function matchAsWritten(c: Context<GatewayEnv>): void {
  const read = readRequestUrl(c)
  if (!read.ok) return
  const [written = ''] = read.value.untouched.split('?', 1)
  const path = c.req.path === getPath(c.req.raw) ? written : c.req.path
  known.set(c.req, ok({ ...read.value, path }))
}

/** The URL of a request. If it was rejected, only its origin is known. */
export function requestUrlOf(c: Context<GatewayEnv>): RequestUrl {
  const read = readRequestUrl(c)
  return read.ok ? read.value : { ...NO_URL, origin: read.error.origin }
}

const NO_URL = { path: '', search: '', forwarded: '', untouched: '', isAboveRoot: false }

/**
 * Creates a Hono app that matches normalized paths. A pattern with a slash at its end, or with two in
 * a row, matches the paths that it is meant for. Otherwise its route would match and protect nothing.
 */
export function createApp(): Hono<GatewayEnv> {
  const app = new Hono<GatewayEnv>({ getPath: matchedPathOf })
  const add = app.router.add.bind(app.router)
  app.router.add = (method, pattern, handler) => add(method, collapseSlashes(pattern), handler)
  return app
}

/** Braces contain a regular expression, which stays as it is. */
function collapseSlashes(pattern: string): string {
  return pattern
    .replaceAll(/\{[^}]+\}|\/{2,}/g, (found) => (found.startsWith('/') ? '/' : found))
    .replace(/(?<=.)\/$/, '')
}

/**
 * The path of a request as Hono matches it: decoded, except separators of segments and percent signs,
 * which stay encoded for the reader of a parameter.
 */
function matchedPathOf(request: Request): string {
  const read = readUrl(request)
  // It is rejected before any route.
  if (!read.ok) return '/'
  const { path } = read.value
  // Without an escape there is nothing to decode.
  if (!path.includes('%')) return path
  const decoded = tryDecode(path.replaceAll('%25', '%2525'), decodeURI)
  // In a pattern such as `:name{.+}` the dot does not match them.
  return decoded.replaceAll(/[\n\r\u2028\u2029]/g, encodeURIComponent)
}
