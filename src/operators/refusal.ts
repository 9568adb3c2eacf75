import type { Context } from 'hono'
import type { ContentfulStatusCode } from 'hono/utils/http-status'

const TITLES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
}

/**
 * Answers with a problem (RFC 9457) of the admin API. Its type has no page of its own.
 *
 * @param code For programs, if the status alone does not tell what to do.
 */
export function refusal(
  c: Context,
  status: ContentfulStatusCode,
  detail: string,
  code?: 'analytics-not-configured',
): Response {
  const title = TITLES[status] ?? 'Error'
  const problem = { type: 'about:blank', title, status, detail, ...(code && { code }) }
  return c.body(JSON.stringify(problem), status, { 'Content-Type': 'application/problem+json' })
}

/** Answers that there is no such thing. */
export function notFound(c: Context): Response {
  return refusal(c, 404, 'There is nothing of this name.')
}
