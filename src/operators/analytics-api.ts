import type { Context } from 'hono'
import * as z from 'zod/mini'

import {
  type AnalyticsClient,
  AnalyticsError,
  type AnalyticsFault,
  createAnalyticsClient,
  type Row,
  toApiUrl,
} from '../analytics/client.ts'
import {
  cut,
  cutTo,
  QUERIES,
  type QueryName,
  toCorrelationSql,
  toOperationIdsSql,
  toOperationSql,
  toSql,
} from '../analytics/queries.ts'
import { type Scope, toBucketMs } from '../analytics/sql.ts'
import type { HapaxEnv } from '../config/env.ts'
import { whole } from '../config/policy.ts'
import { parseDuration } from '../core/duration.ts'
import type { OperatorView, TimelineEntry, TimelinePage } from '../core/operation/operator-view.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { askMany } from '../platform/ask-many.ts'
import { inTime } from '../platform/in-time.ts'
import { examine } from './ask-objects.ts'
import { LimitSchema, PAGE_ADVICE } from './list-page.ts'
import { refusal } from './refusal.ts'

type AdminContext = Context<GatewayEnv>

const DEFAULT_RANGE_MS = 3_600_000
/** As long as the platform keeps points: three months. */
const LONGEST_MS = 92 * 86_400_000

/** The time that the Analytics Engine has; less for a timeline, which is only a part of an answer. */
const QUERY_MS = 15_000
const TIMELINE_MS = 5_000
/** The time that the objects of a page of operations have together. */
const OPERATIONS_MS = 15_000

const OffsetSchema = z.coerce.number().check(whole, z.minimum(1), z.maximum(1_000_000_000))

/** The client of this deployment's Analytics Engine; `null` if none is configured. */
export function analyticsOf(env: HapaxEnv, timeoutMs: number): AnalyticsClient | null {
  const { CLOUDFLARE_ACCOUNT_ID: account, CLOUDFLARE_API_TOKEN: token } = env
  if (!account || !token) return null
  const url = toApiUrl(account, env.HAPAX_ANALYTICS_URL)
  return createAnalyticsClient({ url, token, timeoutMs })
}

/** The answer of the Analytics Engine. */
type Read =
  | { readonly kind: 'rows'; readonly rows: readonly Row[] }
  | { readonly kind: 'not-configured' }
  | { readonly kind: 'failed'; readonly fault: AnalyticsFault }

/** Answers with the rows of a named query, for a range of time, a route and a tenant. */
export async function answerQuery(c: AdminContext): Promise<Response> {
  const name = c.req.param('query') ?? ''
  if (!isQueryName(name)) {
    return refusal(c, 404, `There is no such query. These are: ${Object.keys(QUERIES).join(', ')}.`)
  }
  const rangeMs = readRange(c.req.query('since'))
  if (rangeMs === null) return refusal(c, 400, "since is a duration such as '15m', '24h' or '7d'.")
  const { route, tenant } = c.req.query()
  const scope = {
    since: Date.now() - rangeMs,
    bucketMs: toBucketMs(rangeMs),
    dataset: c.env.HAPAX_DATASET,
    ...(route && { route }),
    ...(tenant && { tenant }),
  }
  const read = await readRows(c, () => toSql(name, scope), QUERY_MS)
  if (read.kind !== 'rows') return refuseRows(c, read)
  const since = new Date(scope.since).toISOString()
  const bucketSeconds = scope.bucketMs / 1_000
  return c.json({ query: name, since, bucketSeconds, ...cut(name, read.rows) })
}

const isQueryName = (name: string): name is QueryName => Object.hasOwn(QUERIES, name)

const FindSchema = z.object({
  correlation_id: z.string().check(z.minLength(1)),
  limit: LimitSchema,
  after: z._default(z.string(), ''),
})

/**
 * Finds operations by the correlation id of any of their requests, recoveries or events, page by
 * page. The first page comes with the first page of `answerTimeline`.
 */
export async function findByCorrelation(c: AdminContext): Promise<Response> {
  const asked = FindSchema.safeParse(c.req.query())
  if (!asked.success) return refusal(c, 400, `Ask with ?correlation_id=…; ${PAGE_ADVICE}`)
  const { correlation_id: correlationId, after } = asked.data
  const [found, timeline] = await Promise.all([
    findOperations(c, asked.data),
    after === '' ? readPoints(c, (scope) => toCorrelationSql(correlationId, scope)) : null,
  ])
  return 'kind' in found ? refuseRows(c, found) : c.json({ ...found, ...timeline?.page })
}

/** Answers with a page of the timeline of a correlation id. */
export async function answerTimeline(c: AdminContext): Promise<Response> {
  const correlationId = c.req.query('correlation_id')
  const offset = readOffset(c)
  if (!correlationId || offset === null) {
    return refusal(c, 400, `Ask with ?correlation_id=…; ${OFFSET_ADVICE}`)
  }
  const toPage = (scope: Scope) => toCorrelationSql(correlationId, scope, offset)
  const { read, page } = await readPoints(c, toPage, offset)
  if (read.kind !== 'rows') return refuseRows(c, read)
  return c.json(page)
}

async function findOperations(
  c: AdminContext,
  { correlation_id: correlationId, limit, after }: z.infer<typeof FindSchema>,
) {
  const toPage = () => toOperationIdsSql(correlationId, scopeOf(c.env), { after, limit })
  const read = await readRows(c, toPage, TIMELINE_MS)
  if (read.kind !== 'rows') return read
  const { rows, isCut } = cutTo(limit, read.rows)
  const ids = rows.map((row) => String(row['operation_id']))
  const looked = await askMany(ids, (id) => examine(c, id), { inAllMs: OPERATIONS_MS })
  const operations = looked.flatMap((one, index) => {
    if (one.kind === 'lost') return [{ id: ids[index], state: 'lost' }]
    return one.answer === null ? [] : [one.answer]
  })
  return { operations, next: isCut ? (ids.at(-1) ?? null) : null }
}

/** Reads points as entries of a timeline. If they cannot be read, the answer says so and goes without. */
async function readPoints(c: AdminContext, toPage: (scope: Scope) => string, offset = 0) {
  const read = await readRows(c, () => toPage(scopeOf(c.env)), TIMELINE_MS)
  const { rows, isCut } = cut('timeline', read.kind === 'rows' ? read.rows : [])
  const timelineNext = isCut ? offset + rows.length : null
  const analytics = read.kind === 'rows' ? 'read' : 'unavailable'
  const page: TimelinePage = { timeline: rows.map(toEntry), isCut, timelineNext, analytics }
  return { read, page }
}

/** Reads how many points of a timeline to skip; `null` if that is no number. */
export function readOffset(c: AdminContext): number | null {
  const asked = c.req.query('after')
  return asked === undefined ? 0 : (OffsetSchema.safeParse(asked).data ?? null)
}

/** The detail of a refusal without an offset. */
export const OFFSET_ADVICE = 'after is what next of the page before was.'

/**
 * Adds the points of an operation's requests and recoveries to its timeline, if analytics are
 * configured.
 *
 * @param offset Points on earlier pages. A later page has only points.
 */
export async function withRequests(c: AdminContext, view: OperatorView, offset = 0) {
  const toPage = (scope: Scope) => toOperationSql(view.id, scope, offset)
  const { read, page } = await readPoints(c, toPage, offset)
  if (read.kind === 'not-configured') return view
  const own = offset === 0 ? view.timeline : []
  // A point has whole seconds. Within one second, the record's own times come first.
  const timeline = [...own, ...page.timeline].toSorted((a, b) => secondOf(a) - secondOf(b))
  return { ...view, ...page, timeline }
}

async function readRows(c: AdminContext, write: () => string, limitMs: number): Promise<Read> {
  try {
    const client = analyticsOf(c.env, limitMs)
    if (client === null) return { kind: 'not-configured' }
    return { kind: 'rows', rows: await inTime(client.query(write()), limitMs) }
  } catch (error) {
    const fault = error instanceof AnalyticsError ? error.kind : 'failed'
    if (fault === 'no-data') return { kind: 'rows', rows: [] }
    logFault('the Analytics Engine did not answer with rows', error)
    return { kind: 'failed', fault }
  }
}

function refuseRows(c: AdminContext, read: Exclude<Read, { kind: 'rows' }>): Response {
  if (read.kind === 'failed') {
    return refusal(c, 502, `The Analytics Engine did not answer with rows (${read.fault}).`)
  }
  return refusal(c, 503, NOT_CONFIGURED, 'analytics-not-configured')
}

const NOT_CONFIGURED =
  'This deployment cannot ask its Analytics Engine. Set CLOUDFLARE_ACCOUNT_ID and the secret CLOUDFLARE_API_TOKEN.'

const secondOf = ({ at }: TimelineEntry) => Math.floor(Date.parse(at) / 1_000)

function scopeOf(env: HapaxEnv): Scope {
  return { since: Date.now() - LONGEST_MS, dataset: env.HAPAX_DATASET }
}

function toEntry(row: Row): TimelineEntry {
  const names = ['route', 'method', 'http_status', 'outcome', 'fence', 'total_ms', 'disposition']
  const detail = Object.fromEntries(
    names.flatMap((name) => {
      const value = row[name]
      const isSaid = typeof value === 'number' || (typeof value === 'string' && value !== '')
      return isSaid ? [[name, value]] : []
    }),
  )
  return { at: String(row['seen_at']), what: String(row['status']), detail }
}

/** @returns Milliseconds, or `null` if it is no duration. */
function readRange(since: string | undefined): number | null {
  const rangeMs = since === undefined ? DEFAULT_RANGE_MS : parseDuration(since)
  return rangeMs === null || rangeMs === 0 ? null : Math.min(LONGEST_MS, rangeMs)
}
