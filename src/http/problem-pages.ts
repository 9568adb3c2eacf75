import { type Context, Hono } from 'hono'

import { preferredType } from '../core/request/accept.ts'
import { isProblemSlug, PROBLEMS, type ProblemSlug } from '../core/response/problem.ts'
import { WHAT_TO_DO } from '../core/response/retry-word.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { problemPath } from './problem-response.ts'
import { scopeOf } from './request-scope.ts'

/** The pages that the `type` URLs of problems resolve to: HTML, or Markdown for agents. */
export const problemPages = new Hono<GatewayEnv>()
  .get('/', (c) => c.html(page('Problems', indexList(c))))
  .get('/:slug', (c) => {
    const slug = c.req.param('slug')
    if (!isProblemSlug(slug)) return c.text('There is no problem of this name.', 404)
    const type = preferredType(c.req.header('Accept') ?? '', ['text/html', 'text/markdown'])
    return type === 'text/markdown'
      ? c.text(toMarkdown(slug), 200, { 'Content-Type': 'text/markdown; charset=utf-8' })
      : c.html(page(PROBLEMS[slug].title, description(c, slug)))
  })

// The pages contain only texts of this project, none of which has a character with a meaning in HTML.

function indexList(c: Context): string {
  const slugs = Object.keys(PROBLEMS).filter(isProblemSlug)
  const items = slugs.map(
    (slug) => `<li><a href="${problemPath(c, slug)}">${slug}</a>: ${PROBLEMS[slug].title}</li>`,
  )
  return `<ul>
    ${items.join('')}
  </ul>`
}

function description(c: Context, slug: ProblemSlug): string {
  const { about, retry, status } = PROBLEMS[slug]
  return `<p>${about}</p>
    <p>${WHAT_TO_DO[retry]}</p>
    <p>Type <code>${slug}</code>, status ${status} unless the route says otherwise.</p>
    <p><a href="${scopeOf(c).base}/_hapax/problems">All problems</a></p>`
}

function toMarkdown(slug: ProblemSlug): string {
  const { title, about, retry, status } = PROBLEMS[slug]
  return `# ${title}\n\n${about}\n\n${WHAT_TO_DO[retry]}\n\nType \`${slug}\`, status ${status} unless the route says otherwise.\n`
}

function page(title: string, content: string): string {
  return `<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <style>
          body {
            font:
              1rem/1.6 system-ui,
              sans-serif;
            max-width: 40rem;
            margin: 3rem auto;
            padding: 0 1rem;
          }
        </style>
      </head>
      <body>
        <h1>${title}</h1>
        ${content}
      </body>
    </html>`
}
