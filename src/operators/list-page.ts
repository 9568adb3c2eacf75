import type { Context } from 'hono'
import * as z from 'zod/mini'

import type { DirectoryCount, PageQuestion } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { askDirectory } from './ask-objects.ts'

/** How many entries of a list are shown at once, and how many at the most. */
const PAGE = 50
const MAX_PAGE = 100

/** How many entries are asked for. */
export const LimitSchema = z._default(
  z.coerce.number().check(z.int(), z.minimum(1), z.maximum(MAX_PAGE)),
  PAGE,
)

const PageSchema = z.object({
  limit: LimitSchema,
  after: z._default(z.nullable(z.coerce.number().check(z.int(), z.minimum(1))), null),
})

/** What is said to who asks for a page that there cannot be. */
export const PAGE_ADVICE = `limit is a number from 1 to ${MAX_PAGE}, and after is what next of the page before was.`

/** Reads which part of a list is asked for, or `null` where that cannot be read. */
export function readPage(c: Context): PageQuestion | null {
  const { limit, after } = c.req.query()
  return PageSchema.safeParse({ limit, after }).data ?? null
}

/** How much there is on the lists, or `null` where that is not known: a page is shown without it. */
export function countOf(c: Context<GatewayEnv>): Promise<DirectoryCount | null> {
  return askDirectory(c, (directory) => directory.count()).catch(() => null)
}
