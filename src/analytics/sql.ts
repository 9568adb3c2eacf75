import {
  column,
  LAYOUT,
  type NumberName,
  TENANT_INDEX,
  type TextName,
} from '../core/metric-columns.ts'
import type { MessageMethod, RequestFacts } from '../core/request-facts.ts'

/** The points that a query reads. */
export interface Scope {
  /** Time of the first point, in epoch milliseconds. */
  readonly since: number
  /** Name of the operations, such as `POST /payments`. Default: all. */
  readonly route?: string | undefined
  /** Tenant, as in the results. Default: all. */
  readonly tenant?: string | undefined
  /** Name of the dataset. Default: `hapax`. */
  readonly dataset?: string | undefined
  /** Width of a bucket of a time series, in milliseconds. Default: five minutes. */
  readonly bucketMs?: number | undefined
}

/** A scope as SQL. For Grafana, `within` and `bucket` are its macros. */
export interface Source {
  readonly dataset: string
  /** Condition for points of the scope. */
  readonly within: string
  /** Expression for the bucket of a point in a time series. */
  readonly bucket: string
}

/** The clauses of a query. */
export interface Query {
  /** Expression of each column, by its name. */
  readonly columns: Readonly<Record<string, string>>
  readonly where?: string
  /** Names of columns, since the dialect cannot group by expressions. `bucket` makes it a time series. */
  readonly by?: readonly string[]
  readonly having?: string
  readonly order?: string
  readonly limit?: number
  /** Number of rows to skip. */
  readonly offset?: number
}

/** Condition for points of the current layout. */
export const OF_LAYOUT = `${column.layout} = ${LAYOUT}`

const DEFAULT_DATASET = 'hapax'
const DEFAULT_BUCKET_MS = 5 * 60_000

/** Width of a bucket, in milliseconds, for at most about sixty buckets. */
export function toBucketMs(rangeMs: number): number {
  return BUCKETS_MS.find((bucketMs) => rangeMs / bucketMs <= 60) ?? DAY_MS
}

const DAY_MS = 86_400_000
const BUCKETS_MS = [10_000, 60_000, 300_000, 900_000, 3_600_000, 10_800_000, 21_600_000]

/** Converts a scope to SQL. @throws {RangeError} If the name of the dataset is invalid. */
export function toSource(scope: Scope): Source {
  const { since, route, tenant, dataset = DEFAULT_DATASET, bucketMs = DEFAULT_BUCKET_MS } = scope
  const conditions = [`timestamp >= toDateTime(${Math.floor(since / 1_000)})`]
  if (route !== undefined) conditions.push(`${column.operation} = ${quote(route)}`)
  if (tenant !== undefined) conditions.push(`${TENANT_INDEX} = ${quote(tenant)}`)
  return {
    dataset: toTable(dataset),
    within: conditions.join(' AND '),
    bucket: `toStartOfInterval(timestamp, ${toInterval(bucketMs)})`,
  }
}

/**
 * A string literal. A quote is doubled and not escaped, which is safe for both meanings of a
 * backslash: that of ClickHouse and that of standard SQL.
 */
export function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}

/** Writes a query of points of the current layout. */
export function select(query: Query, { dataset, within, bucket }: Source): string {
  const { where, by, having, order, limit, offset } = query
  const columns = by?.includes('bucket') ? { bucket, ...query.columns } : query.columns
  const expressions = Object.entries(columns).map(([name, sql]) => `  ${sql} AS ${name}`)
  const conditions = [OF_LAYOUT, within, ...(where === undefined ? [] : [where])]
  return [
    `SELECT\n${expressions.join(',\n')}`,
    `FROM ${dataset}`,
    `WHERE ${conditions.join('\n  AND ')}`,
    ...(by === undefined ? [] : [`GROUP BY ${by.join(', ')}`]),
    ...(having === undefined ? [] : [`HAVING ${having}`]),
    ...(order === undefined ? [] : [`ORDER BY ${order}`]),
    ...(limit === undefined ? [] : [`LIMIT ${limit}`]),
    ...(offset ? [`OFFSET ${offset}`] : []),
  ].join('\n')
}

/** A value of a text column; the empty string if its fact can be absent. */
export type Word<name extends TextName> = name extends 'method'
  ? MessageMethod
  : NonNullable<RequestFacts[name]> | (null extends RequestFacts[name] ? '' : never)

/** Condition: the column contains one of these words. */
export const is = <name extends TextName>(name: name, ...words: readonly Word<name>[]) =>
  words.length === 1 ? `${column[name]} = ${list(words)}` : `${column[name]} IN (${list(words)})`

/** Condition: the column contains none of these words. */
export const isNot = <name extends TextName>(name: name, ...words: readonly Word<name>[]) =>
  words.length === 1
    ? `${column[name]} != ${list(words)}`
    : `${column[name]} NOT IN (${list(words)})`

/** Words as literals. */
export const list = (words: readonly string[]) => words.map(quote).join(', ')

/** Condition: all of these are true. */
export const both = (...conditions: readonly string[]) => conditions.join(' AND ')

/** Condition: one of these is true. */
export const either = (...conditions: readonly string[]) => `(${conditions.join(' OR ')})`

/** Number of requests that the sampled points represent. */
export const ALL = 'sum(_sample_interval)'

/** Number of requests for which a condition is true. */
export const count = (condition: string) => `sumIf(_sample_interval, ${condition})`

/** Sum of a number column over all requests that the sampled points represent. */
export const total = (name: NumberName) => `sum(_sample_interval * ${column[name]})`

/** A ratio, or 0 if the divisor is 0. */
export const ratio = (part: string, whole: string) => `${part} / if(${whole} = 0, 1, ${whole})`

/** A quantile of a number column. */
export const quantile = (q: number, name: NumberName) =>
  `quantileExactWeighted(${q})(${column[name]}, _sample_interval)`

function toTable(dataset: string): string {
  if (!/^[\w-]+$/.test(dataset)) throw new RangeError(`${dataset} is not the name of a dataset.`)
  return /^[A-Za-z_]\w*$/.test(dataset) ? dataset : `"${dataset}"`
}

function toInterval(milliseconds: number): string {
  const seconds = Math.max(1, Math.round(milliseconds / 1_000))
  return seconds % 60 === 0 ? `INTERVAL '${seconds / 60}' MINUTE` : `INTERVAL '${seconds}' SECOND`
}
