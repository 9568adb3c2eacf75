import {
  column,
  LAYOUT,
  type NumberName,
  TENANT_INDEX,
  type TextName,
} from '../core/metric-columns.ts'
import type { MessageMethod, RequestFacts } from '../core/request-facts.ts'

/** What a query is asked about. */
export interface Scope {
  /** Points from here on count. Epoch milliseconds. */
  readonly since: number
  /** Name of the operations that count, such as `POST /payments`; all where it is absent. */
  readonly route?: string | undefined
  /** Tenant whose requests count, as the results name it; all where it is absent. */
  readonly tenant?: string | undefined
  /** Name of the dataset; `hapax` where it is absent. */
  readonly dataset?: string | undefined
  /** Width of a bucket of a time series, in milliseconds; five minutes where it is absent. */
  readonly bucketMs?: number | undefined
}

/** Where a query reads, as SQL. Grafana has macros of its own for `within` and `bucket`. */
export interface Source {
  readonly dataset: string
  /** Condition that every point of the scope meets. */
  readonly within: string
  /** Expression for the bucket of a time series that a point belongs to. */
  readonly bucket: string
}

/** Shape of a query; clauses that are absent are left out. */
export interface Query {
  /** Expression of each column, by its name. */
  readonly columns: Readonly<Record<string, string>>
  readonly where?: string
  /** Names of columns: the dialect groups by nothing else. `bucket` makes it a time series. */
  readonly by?: readonly string[]
  readonly having?: string
  readonly order?: string
  readonly limit?: number
  /** Rows that are left out before the first one. */
  readonly offset?: number
}

/** Condition that every point of the layout that is known here meets. */
export const OF_LAYOUT = `${column.layout} = ${LAYOUT}`

const DEFAULT_DATASET = 'hapax'
const DEFAULT_BUCKET_MS = 5 * 60_000

/** Width of the buckets that cut a time into about sixty, in milliseconds. */
export function toBucketMs(rangeMs: number): number {
  return BUCKETS_MS.find((bucketMs) => rangeMs / bucketMs <= 60) ?? DAY_MS
}

const DAY_MS = 86_400_000
const BUCKETS_MS = [10_000, 60_000, 300_000, 900_000, 3_600_000, 10_800_000, 21_600_000]

/** Translates a scope. @throws {RangeError} When the dataset has no name that a dataset can have. */
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
 * A string literal. A quote is doubled, not escaped: that ends no literal under either reading of
 * a backslash, the one of ClickHouse and the one of standard SQL.
 */
export function quote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "''")}'`
}

/** Writes a query over points of the layout that is known here. */
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

/** A word that a column of text can hold; the empty one where its fact can be absent. */
export type Word<name extends TextName> = name extends 'method'
  ? MessageMethod
  : NonNullable<RequestFacts[name]> | (null extends RequestFacts[name] ? '' : never)

/** Whether a column of text holds one of these words. */
export const is = <name extends TextName>(name: name, ...words: readonly Word<name>[]) =>
  words.length === 1 ? `${column[name]} = ${list(words)}` : `${column[name]} IN (${list(words)})`

/** Whether a column of text holds none of these words. */
export const isNot = <name extends TextName>(name: name, ...words: readonly Word<name>[]) =>
  words.length === 1
    ? `${column[name]} != ${list(words)}`
    : `${column[name]} NOT IN (${list(words)})`

/** Words as literals. */
export const list = (words: readonly string[]) => words.map(quote).join(', ')

/** Whether all of these conditions are met. */
export const both = (...conditions: readonly string[]) => conditions.join(' AND ')

/** Whether one of these conditions is met. */
export const either = (...conditions: readonly string[]) => `(${conditions.join(' OR ')})`

/** Number of requests that the sampled points stand for. */
export const ALL = 'sum(_sample_interval)'

/** Number of those that meet a condition. */
export const count = (condition: string) => `sumIf(_sample_interval, ${condition})`

/** Sum of a column of numbers, over all requests that the sampled points stand for. */
export const total = (name: NumberName) => `sum(_sample_interval * ${column[name]})`

/** A ratio that is 0 where there is nothing to divide by. */
export const ratio = (part: string, whole: string) => `${part} / if(${whole} = 0, 1, ${whole})`

/** A quantile of a column of numbers. */
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
