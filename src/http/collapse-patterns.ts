import type { Router } from 'hono/router'

/**
 * Lets patterns with a slash at their end, or with two in a row, match as the paths do that they
 * are meant for. Else such a route would match nothing, and protect nothing.
 */
export function collapsePatterns(router: Pick<Router<unknown>, 'add'>): void {
  const add = router.add.bind(router)
  router.add = (method, pattern, handler) => add(method, collapseSlashes(pattern), handler)
}

/** What stands in braces is a regular expression. */
function collapseSlashes(pattern: string): string {
  return pattern
    .replaceAll(/\{[^}]+\}|\/{2,}/g, (found) => (found.startsWith('/') ? '/' : found))
    .replace(/(?<=.)\/$/, '')
}
