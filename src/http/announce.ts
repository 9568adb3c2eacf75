import { isAnswerStatus } from '../core/outcome/outcome.ts'
import type { ProblemSlug } from '../core/response/problem.ts'
import type { Exchange } from './exchange.ts'
import { requestUrlOf } from './normalized-url.ts'
import { problemPath } from './problem-response.ts'

/**
 * Announces that such a request will be rejected later, if the route has `sunset`: `Deprecation`
 * (RFC 9745), `Sunset` (RFC 8594), and `Hapax-Warning` with the slug of the later problem.
 */
export function announce(
  { c, policy: { sunset } }: Exchange,
  response: Response,
  slug: ProblemSlug,
): Response {
  if (sunset === undefined || !isAnswerStatus(response.status)) return response
  const { deprecated, at, link } = sunset
  const told = new Response(response.body, response)
  const deprecatedAt = deprecated === undefined ? null : Math.floor(Date.parse(deprecated) / 1_000)
  if (deprecatedAt !== null) told.headers.set('Deprecation', `@${deprecatedAt}`)
  told.headers.set('Sunset', new Date(at).toUTCString())
  told.headers.set('Hapax-Warning', slug)
  const about = link ?? requestUrlOf(c).origin + problemPath(c, slug)
  told.headers.append('Link', `<${about}>; rel="sunset"; type="text/html"`)
  return told
}
