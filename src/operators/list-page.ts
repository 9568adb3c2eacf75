import type { Context } from 'hono'
import * as z from 'zod/mini'

import { whole } from '../config/policy.ts'
import type { DirectoryCount, PageQuestion } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { askDirectory } from './ask-objects.ts'

/** The default and the largest number of entries of a page. */
const PAGE = 50
const MAX_PAGE = 100

/** The number of entries to show. */
export const LimitSchema = z._default(
  z.coerce.number().check(whole, z.minimum(1), z.maximum(MAX_PAGE)),
  PAGE,
)

const PageSchema = z.object({
  limit: LimitSchema,
  after: z._default(z.nullable(z.coerce.number().check(whole, z.minimum(1))), null),
})

/** The detail of a refusal without a valid page. */
export const PAGE_ADVICE = `limit is a number from 1 to ${MAX_PAGE}, and after is what next of the page before was.`

/** Reads which page of a list to show; `null` if the query is invalid. */
export function readPage(c: Context): PageQuestion | null {
  const { limit, after } = c.req.query()
  return PageSchema.safeParse({ limit, after }).data ?? null
}

/** Counts the lists; `null` if the directory does not answer, as a page is shown without counts. */
export function countOf(c: Context<GatewayEnv>): Promise<DirectoryCount | null> {
  return askDirectory(c, (directory) => directory.count()).catch(() => null)
}
