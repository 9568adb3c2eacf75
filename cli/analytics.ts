import { parseArgs } from 'node:util'

import { type AnalyticsClient, AnalyticsError, type Row } from '../src/analytics/client.ts'
import {
  cut,
  QUERIES,
  type QueryName,
  toCorrelationSql,
  toOperationSql,
  toSql,
} from '../src/analytics/queries.ts'
import { type Scope, toBucketMs } from '../src/analytics/sql.ts'
import { parseDuration } from '../src/core/duration.ts'
import { connect, toFailure } from './analytics/connect.ts'
import { toCsv } from './analytics/csv.ts'
import { toJson } from './analytics/json.ts'
import { toTable } from './analytics/table.ts'
import { type Span, VIEWS } from './analytics/views.ts'
import { Failure, reasonOf } from './failure.ts'
import { print, printError } from './print.ts'

const HELP = `Usage: hapax analytics <query> [options]

Asks Workers Analytics Engine about the requests on the protected routes.

${Object.entries(VIEWS)
  .map(([name, { title }]) => `  ${name.padEnd(20)}${title}`)
  .join('\n')}
  correlation <id>    everything that bears a correlation id
  operation <id>      everything that was done about an operation
  sql '<SELECT …>'    any query; one with a FORMAT is printed in it

  --since <duration>  how far back: 1h, 24h, 7d, … (24h)
  --route <name>      only this route, such as 'POST /payments'
  --tenant <tenant>   only this tenant
  --dataset <name>    dataset of the deployment (hapax)
  --json, --csv       for programs
  -h, --help          this text

The account is CLOUDFLARE_ACCOUNT_ID, and CLOUDFLARE_API_TOKEN a token that has the permission
Account · Account Analytics · Read. HAPAX_ANALYTICS_URL is asked instead where it is set: a local
engine, which node dev/analytics-engine.ts starts.
`

const OPTIONS = {
  since: { type: 'string', default: '24h' },
  route: { type: 'string' },
  tenant: { type: 'string' },
  dataset: { type: 'string' },
  json: { type: 'boolean' },
  csv: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

type Options = ReturnType<typeof parse>['values']

/** `hapax analytics`: who reuses keys, where conflicts are, what is stuck. @throws Failure */
export async function analytics(args: string[]): Promise<void> {
  const { values: options, positionals } = parse(args)
  if (options.help) {
    print(HELP)
    return
  }
  const ask = toAsk(positionals, options)
  const client = connect(process.env)
  try {
    const { text, shown } = await ask(client)
    print(text)
    if (shown !== undefined) {
      printError(`hapax: only the first ${shown} rows are shown; there are more\n`)
    }
  } catch (error) {
    throw error instanceof AnalyticsError ? toFailure(error, process.env) : error
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({ args, options: OPTIONS, allowPositionals: true })
  } catch (error) {
    throw usage(reasonOf(error))
  }
}

/** Asks, and returns what is printed. */
type Ask = (client: AnalyticsClient) => Promise<Printed>

interface Printed {
  readonly text: string
  /** How many rows there are in it, where there are more. */
  readonly shown?: number
}

/** What has a timeline of its own. */
const TIMELINES = { correlation: toCorrelationSql, operation: toOperationSql } as const

/** What needs to be said along with a query. */
const NEEDS = { correlation: 'an id', operation: 'an id', sql: 'a query' } as const

function toAsk([name = '', ...more]: readonly string[], options: Options): Ask {
  if (options.json && options.csv) throw usage('--json and --csv are one or the other.')
  const span = toSpan(options)
  const scope = toScope(options, span)
  if (isNameIn(QUERIES, name)) {
    if (more[0] !== undefined) throw usage(`${more[0]} is one too many.`)
    return toNamed(name, scope, { options, span })
  }
  if (!isNameIn(NEEDS, name))
    throw usage(name === '' ? 'Which query?' : `There is no query ${name}.`)
  const argument = toArgument(name, more)
  if (name === 'sql') return toFree(argument, options)
  return toTimeline((offset) => TIMELINES[name](argument, scope, offset), options)
}

function toArgument(name: keyof typeof NEEDS, [argument, extra]: readonly string[]): string {
  if (argument === undefined) throw usage(`${name} needs ${NEEDS[name]}.`)
  if (extra !== undefined) throw usage(`${extra} is one too many.`)
  return argument
}

function isNameIn<T extends object>(record: T, name: string): name is string & keyof T {
  return Object.hasOwn(record, name)
}

function toNamed(
  name: QueryName,
  scope: Scope,
  { options, span }: { readonly options: Options; readonly span: Span },
): Ask {
  return async (client) => {
    const { rows, isCut } = cut(name, await client.query(toSql(name, scope)))
    const text = toText(rows, options) ?? VIEWS[name].print(rows, span)
    return { text, ...(isCut && { shown: rows.length }) }
  }
}

/** All of a timeline, page by page. */
function toTimeline(toPage: (offset: number) => string, options: Options): Ask {
  return async (client) => {
    const all: Row[] = []
    for (let isCut = true; isCut;) {
      // oxlint-disable-next-line no-await-in-loop -- a page begins where the one before has ended
      const page = cut('timeline', await client.query(toPage(all.length)))
      all.push(...page.rows)
      ;({ isCut } = page)
    }
    return { text: toText(all, options) ?? toTable(all) }
  }
}

function toFree(sql: string, options: Options): Ask {
  if (/\bFORMAT\s+\w+\s*;?\s*$/i.test(sql)) {
    if (options.json || options.csv)
      throw usage('A FORMAT and --json or --csv are one or the other.')
    return async (client) => ({ text: await client.text(sql) })
  }
  return async (client) => {
    const rows = await client.query(sql)
    return { text: toText(rows, options) ?? toTable(rows) }
  }
}

/** @returns `null` where it is to be read by people. */
function toText(rows: readonly Row[], { json, csv }: Options): string | null {
  if (json) return toJson(rows)
  return csv ? toCsv(rows) : null
}

function toSpan({ since }: Options): Span {
  const rangeMs = parseDuration(since)
  if (!rangeMs) throw usage(`--since ${since} is not a duration such as 1h, 24h or 7d.`)
  const until = Date.now()
  return { since: until - rangeMs, until, bucketMs: toBucketMs(rangeMs), name: since }
}

function toScope({ route, tenant, dataset }: Options, { since, bucketMs }: Span): Scope {
  if (dataset !== undefined && !/^[\w-]+$/.test(dataset)) {
    throw usage(`--dataset ${dataset} is not the name of a dataset.`)
  }
  return { since, bucketMs, route, tenant, dataset }
}

const usage = (what: string) => new Failure(`${what}\n\n${HELP}`, 2)
