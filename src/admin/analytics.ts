import type { Context } from 'hono'

import {
  type AnalyticsClient,
  AnalyticsError,
  createAnalyticsClient,
  type Row,
  toApiUrl,
} from '../analytics/client.ts'
import {
  QUERIES,
  type QueryName,
  toCorrelationSql,
  toOperationSql,
  toSql,
} from '../analytics/queries.ts'
import { toBucketMs } from '../analytics/sql.ts'
import type { HapaxEnv } from '../config/env.ts'
import { parseDuration } from '../core/duration.ts'
import type { OperatorView, TimelineEntry } from '../core/operator.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { askObject } from '../http/object.ts'
import { refusal } from './refusal.ts'

type AdminContext = Context<GatewayEnv>

const DEFAULT_RANGE_MS = 3_600_000
/** As long as the platform keeps points: three months. */
const LONGEST_MS = 92 * 86_400_000

/** How long the Analytics Engine is waited for: what stands on other sources is not held up by it. */
const PATIENCE_MS = 8_000

/** The engine that this deployment's points can be asked from, or `null` where none is configured. */
export function analyticsOf(env: HapaxEnv, timeoutMs = PATIENCE_MS): AnalyticsClient | null {
  const { CLOUDFLARE_ACCOUNT_ID: account, CLOUDFLARE_API_TOKEN: token } = env
  if (!account || !token) return null
  const url = toApiUrl(account, env.HAPAX_ANALYTICS_URL)
  return createAnalyticsClient({ url, token, timeoutMs })
}

/** Answers with the rows of a named query, for a range of time, a route and a tenant. */
export async function answerQuery(c: AdminContext): Promise<Response> {
  const name = c.req.param('query') ?? ''
  if (!Object.hasOwn(QUERIES, name)) {
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
  return withRows(c, toSql(name as QueryName, scope), (rows) => {
    const since = new Date(scope.since).toISOString()
    return c.json({ query: name, since, bucketSeconds: scope.bucketMs / 1_000, rows })
  })
}

/** Finds operations by the correlation id of any request, recovery or event of theirs. */
export async function findByCorrelation(c: AdminContext): Promise<Response> {
  const correlationId = c.req.query('correlation_id')
  if (!correlationId) return refusal(c, 400, 'Ask with ?correlation_id=…')
  return withRows(c, toCorrelationSql(correlationId, scopeOf(c.env)), async (rows) => {
    const ids = [...new Set(rows.map((row) => String(row['operation_id'] ?? '')))].filter(Boolean)
    const views = await Promise.all(
      ids.map((id) => askObject(c, id, (object) => object.examine(id))),
    )
    const operations = views.filter((view) => view !== null)
    return c.json({ operations, timeline: rows.map(toEntry) })
  })
}

/** Adds to an operation's timeline what its requests and recoveries have left as points, where they can be read. */
export async function withRequests(c: AdminContext, view: OperatorView): Promise<OperatorView> {
  const client = analyticsOf(c.env)
  if (client === null) return view
  try {
    const rows = await client.query(toOperationSql(view.id, scopeOf(c.env)))
    // A point has whole seconds: of what happened in one, the record's own times come first.
    const timeline = [...view.timeline, ...rows.map(toEntry)]
    return { ...view, timeline: timeline.toSorted((a, b) => secondOf(a) - secondOf(b)) }
  } catch {
    // What the record says is shown all the same.
    return view
  }
}

async function withRows(
  c: AdminContext,
  sql: string,
  answer: (rows: readonly Row[]) => Response | Promise<Response>,
): Promise<Response> {
  const client = analyticsOf(c.env)
  if (client === null) {
    const advice = 'Set CLOUDFLARE_ACCOUNT_ID and the secret CLOUDFLARE_API_TOKEN.'
    return refusal(c, 503, `This deployment cannot ask its Analytics Engine. ${advice}`)
  }
  try {
    return await answer(await client.query(sql))
  } catch (error) {
    if (!(error instanceof AnalyticsError)) throw error
    if (error.kind === 'no-data') return answer([])
    return refusal(c, 502, `The Analytics Engine did not answer with rows (${error.kind}).`)
  }
}

const secondOf = ({ at }: TimelineEntry) => Math.floor(Date.parse(at) / 1_000)

function scopeOf(env: HapaxEnv) {
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

/** @returns Milliseconds, or `null` where it is no duration. */
function readRange(since: string | undefined): number | null {
  const rangeMs = since === undefined ? DEFAULT_RANGE_MS : parseDuration(since)
  return rangeMs === null || rangeMs === 0 ? null : Math.min(LONGEST_MS, rangeMs)
}
