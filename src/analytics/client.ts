/** Address of the SQL API, and the token for it. */
export interface AnalyticsClientOptions {
  /** URL of the SQL API of an account; see `toApiUrl`. */
  readonly url: string
  readonly token: string
  /** How long an answer may take, in milliseconds. Default: 30 seconds. */
  readonly timeoutMs?: number
  readonly fetch?: typeof fetch
}

/** A value of a column: counts are numbers, and times are ISO 8601 in UTC. `null`: not a number. */
export type Value = string | number | boolean | null

/** A row, by column name. */
export type Row = Readonly<Record<string, Value>>

export interface AnalyticsClient {
  /** Runs a query without a `FORMAT`. @throws AnalyticsError */
  query(sql: string): Promise<Row[]>
  /** Runs a query and returns the answer in its `FORMAT`. @throws AnalyticsError */
  text(sql: string): Promise<string>
}

/** Why a query failed. */
export type AnalyticsFault =
  /** The token is invalid. */
  | 'unauthorized'
  /** The token may not read the analytics of this account. */
  | 'forbidden'
  /** The account does not exist. */
  | 'not-found'
  /** Nothing was ever written to the dataset. */
  | 'no-data'
  /** The SQL was rejected. */
  | 'refused'
  /** There were too many queries. */
  | 'rate-limited'
  /** There was no answer. */
  | 'unreachable'
  | 'failed'

/** A query failed. The message is that of the API, and never contains the token. */
export class AnalyticsError extends Error {
  override readonly name = 'AnalyticsError'
  readonly kind: AnalyticsFault

  constructor(kind: AnalyticsFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.kind = kind
  }
}

const CLOUD = 'https://api.cloudflare.com'
/** Account and token of a local engine. */
export const LOCAL_ENGINE = { accountId: '0'.repeat(32), token: 'local' } as const

const DEFAULT_TIMEOUT_MS = 30_000
const MAX_REASON_LENGTH = 500

/** URL of the SQL API of an account. @param base Address of the API. Default: Cloudflare. */
export function toApiUrl(accountId: string, base = CLOUD): string {
  const account = encodeURIComponent(accountId)
  return new URL(`/client/v4/accounts/${account}/analytics_engine/sql`, base).href
}

/** Creates a client for the SQL API of Workers Analytics Engine, or a compatible local engine. */
export function createAnalyticsClient(options: AnalyticsClientOptions): AnalyticsClient {
  const text = async (sql: string) => readText(await send(sql, options))
  return { text, query: async (sql) => toRows(await text(sql)) }
}

async function send(sql: string, options: AnalyticsClientOptions): Promise<Response> {
  const { url, token, timeoutMs = DEFAULT_TIMEOUT_MS } = options
  const ask = options.fetch ?? fetch
  try {
    return await ask(url, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'text/plain' },
      body: sql,
      // The target of a redirect must not get the token.
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
    })
  } catch (cause) {
    throw unreachable(cause)
  }
}

async function readText(response: Response): Promise<string> {
  const text = await response.text().catch((cause: unknown) => {
    throw unreachable(cause)
  })
  if (response.ok) return text
  throw new AnalyticsError(toFault(response.status, text), toReason(response.status, text))
}

function unreachable(cause: unknown): AnalyticsError {
  return new AnalyticsError('unreachable', 'The SQL API did not answer.', { cause })
}

function toFault(status: number, text: string): AnalyticsFault {
  // Cloudflare's API also answers 400 for an invalid token or account.
  if (status === 400) return BAD_TOKEN.test(text) ? 'unauthorized' : toRefusal(text)
  if (status === 422) return toRefusal(text)
  return FAULTS[status] ?? 'failed'
}

function toRefusal(text: string): AnalyticsFault {
  if (BAD_ACCOUNT.test(text)) return 'not-found'
  return EMPTY_TABLE.test(text) ? 'no-data' : 'refused'
}

const FAULTS: Readonly<Partial<Record<number, AnalyticsFault>>> = {
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  429: 'rate-limited',
}

const BAD_TOKEN = /"code":\s*(?:9106|6003|6111)\b/
const BAD_ACCOUNT = /"code":\s*7003\b/

/** An empty dataset has no table, or columns without a type. */
const EMPTY_TABLE =
  /unknown table|unable to find type of column: "?(?:timestamp|_sample_interval|dataset|index1|blob\d+|double\d+)\b/i

function toReason(status: number, text: string): string {
  const reason = (messageOf(text) ?? text).replaceAll(/\s+/g, ' ').trim()
  return `${status}: ${reason === '' ? 'no reason given' : reason.slice(0, MAX_REASON_LENGTH)}`
}

/** The first error in an error response of Cloudflare's API. */
function messageOf(text: string): string | null {
  const errors = (parse(text) as { errors?: readonly { message?: unknown }[] } | null)?.errors
  const message = Array.isArray(errors) ? (errors[0] as { message?: unknown })?.message : undefined
  return typeof message === 'string' ? message : null
}

interface Table {
  readonly meta: readonly { readonly name: string; readonly type: string }[]
  readonly data: readonly Readonly<Record<string, Value>>[]
}

function toRows(text: string): Row[] {
  const table = parse(text) as Partial<Table> | null
  if (!Array.isArray(table?.data) || !Array.isArray(table.meta)) {
    throw new AnalyticsError('failed', 'The SQL API did not answer with a table.')
  }
  const { meta, data } = table as Table
  const columns = meta.map(({ name, type }) => ({ name, convert: converterOf(type) }))
  return data.map((row) =>
    Object.fromEntries(columns.map(({ name, convert }) => [name, convert(row[name] ?? null)])),
  )
}

/** The API returns 64-bit integers as strings, and times without a zone. */
function converterOf(type: string): (value: Value) => Value {
  if (/U?Int\d+|Float\d+|Decimal/.test(type)) return toNumber
  return type.includes('DateTime') ? toTime : (value) => value
}

function toNumber(value: Value): Value {
  if (typeof value !== 'string') return value
  const number = Number(value)
  return Number.isFinite(number) ? number : null
}

const toTime = (value: Value) => (typeof value === 'string' ? `${value.replace(' ', 'T')}Z` : value)

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
