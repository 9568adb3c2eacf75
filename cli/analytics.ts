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
import { toCsv, toJson } from './analytics/machine-readable.ts'
import { type Span, toTable, VIEWS } from './analytics/views.ts'
import { Failure } from './failure.ts'
import { parseOptions } from './parse-options.ts'
import { print, printError } from './print.ts'

const HELP = `Usage: hapax analytics <query> [options]

Queries Workers Analytics Engine for the requests on protected routes.

${Object.entries(VIEWS)
  .map(([name, { title }]) => `  ${name.padEnd(20)}${title}`)
  .join('\n')}
  correlation <id>    everything with a correlation id
  operation <id>      everything about an operation
  sql '<SELECT …>'    your own query, printed in its FORMAT if it has one

  --since <duration>  time range: 1h, 24h, 7d, … (default: 24h)
  --route <name>      only this route, such as 'POST /payments'
  --tenant <tenant>   only this tenant
  --dataset <name>    dataset of the deployment (default: hapax)
  --json, --csv       machine-readable output
  -h, --help          show this help

Set CLOUDFLARE_ACCOUNT_ID, and CLOUDFLARE_API_TOKEN to a token with the permission
Account · Account Analytics · Read. To query a local engine (node dev/analytics-engine.ts),
set HAPAX_ANALYTICS_URL instead.
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

/** Runs `hapax analytics`. @throws Failure */
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
      printError(`hapax: only the first ${shown} rows are shown\n`)
    }
  } catch (error) {
    throw error instanceof AnalyticsError ? toFailure(error, process.env) : error
  }
}

function parse(args: string[]) {
  return parseOptions({ args, options: OPTIONS, allowPositionals: true }, HELP)
}

/** Runs a query and returns the output. */
type Ask = (client: AnalyticsClient) => Promise<Printed>

interface Printed {
  readonly text: string
  /** The number of rows in the text, if there are more. */
  readonly shown?: number
}

/** Queries that return a timeline. */
const TIMELINES = { correlation: toCorrelationSql, operation: toOperationSql } as const

/** Arguments that queries require. */
const NEEDS = { correlation: 'an id', operation: 'an id', sql: 'a query' } as const

function toAsk([name = '', ...more]: readonly string[], options: Options): Ask {
  if (options.json && options.csv) throw usage('--json and --csv cannot be combined.')
  const scope = toScope(options)
  if (isNameIn(QUERIES, name)) {
    if (more[0] !== undefined) throw usage(`Unexpected argument: ${more[0]}.`)
    return toNamed(name, scope, options)
  }
  if (!isNameIn(NEEDS, name))
    throw usage(name === '' ? 'Specify a query.' : `Unknown query: ${name}.`)
  const argument = toArgument(name, more)
  if (name === 'sql') return toFree(argument, options)
  return toTimeline((offset) => TIMELINES[name](argument, scope, offset), options)
}

function toArgument(name: keyof typeof NEEDS, [argument, extra]: readonly string[]): string {
  if (argument === undefined) throw usage(`${name} requires ${NEEDS[name]}.`)
  if (extra !== undefined) throw usage(`Unexpected argument: ${extra}.`)
  return argument
}

function isNameIn<T extends object>(record: T, name: string): name is string & keyof T {
  return Object.hasOwn(record, name)
}

function toNamed(name: QueryName, scope: Scope & Span, options: Options): Ask {
  return async (client) => {
    const { rows, isCut } = cut(name, await client.query(toSql(name, scope)))
    const text = toText(rows, options) ?? VIEWS[name].print(rows, scope)
    return { text, ...(isCut && { shown: rows.length }) }
  }
}

/** Reads a whole timeline, page by page. */
function toTimeline(toPage: (offset: number) => string, options: Options): Ask {
  return async (client) => {
    const all: Row[] = []
    for (let isCut = true; isCut;) {
      // oxlint-disable-next-line no-await-in-loop -- a page begins where the previous one ended
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
      throw usage('A query with a FORMAT cannot be combined with --json or --csv.')
    return async (client) => ({ text: await client.text(sql) })
  }
  return async (client) => {
    const rows = await client.query(sql)
    return { text: toText(rows, options) ?? toTable(rows) }
  }
}

/** @returns `null` if the output is for people. */
function toText(rows: readonly Row[], { json, csv }: Options): string | null {
  if (json) return toJson(rows)
  return csv ? toCsv(rows) : null
}

function toScope({ since, route, tenant, dataset }: Options): Scope & Span {
  const rangeMs = parseDuration(since)
  if (!rangeMs) throw usage(`--since must be a duration such as 1h, 24h or 7d, not ${since}.`)
  if (dataset !== undefined && !/^[\w-]+$/.test(dataset)) {
    throw usage(`--dataset must be the name of a dataset, not ${dataset}.`)
  }
  const until = Date.now()
  const bucketMs = toBucketMs(rangeMs)
  return { since: until - rangeMs, until, bucketMs, name: since, route, tenant, dataset }
}

const usage = (what: string) => new Failure(`${what}\n\n${HELP}`, 2)
