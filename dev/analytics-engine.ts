/**
 * Workers Analytics Engine on this machine: a real ClickHouse behind the SQL API of the cloud.
 *
 *     node dev/analytics-engine.ts --port 8789 --directory .analytics
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { parseArgs } from 'node:util'

import { LOCAL_ENGINE } from '../src/analytics/client.ts'
import { type Format, parseStatement } from './analytics-engine/dialect.ts'
import { PointsSchema } from './analytics-engine/point.ts'
import { openStore, Refusal, type Store } from './analytics-engine/store.ts'
import { close, listen } from './local-server.ts'

/** Options of the local engine. */
export interface AnalyticsEngineOptions {
  /** Default: any free port. */
  readonly port?: number
  /** Where points are kept. By default they end with the engine. */
  readonly directory?: string
  readonly accountId?: string
  /** The only accepted token. */
  readonly token?: string
}

const DEFAULT_DATASET = 'hapax'

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string
}

/**
 * A local engine. It answers `POST /client/v4/accounts/{account}/analytics_engine/sql` as the cloud
 * does, and takes points at `POST /points`: a JSON array of what `writeDataPoint` takes, each with
 * an optional `timestamp` (epoch milliseconds) and `sampleInterval`. `?dataset=` names another
 * dataset than `hapax`. A process can have one engine at a time.
 */
export class AnalyticsEngine {
  readonly url: string
  readonly token: string
  readonly accountId: string
  readonly #server: Server
  readonly #store: Store

  private constructor(server: Server, url: string, store: Store, options: AnalyticsEngineOptions) {
    this.#server = server
    this.#store = store
    this.url = url
    this.token = options.token ?? LOCAL_ENGINE.token
    this.accountId = options.accountId ?? LOCAL_ENGINE.accountId
    server.on('request', (request, response) => void this.#serve(request, response))
  }

  /** Starts an engine that only this machine can reach. */
  static async start(options: AnalyticsEngineOptions = {}): Promise<AnalyticsEngine> {
    const store = await openStore(options.directory)
    const server = createServer()
    const url = await listen(server, options.port)
    return new AnalyticsEngine(server, url, store, options)
  }

  /** Stops it. Points outside of a directory are forgotten. */
  async close(): Promise<void> {
    await close(this.#server)
    await this.#store.close()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const answer = await this.#answer(request).catch((error: unknown) => plain(500, String(error)))
    response.writeHead(answer.status, { 'Content-Type': answer.type }).end(answer.body)
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const url = new URL(request.url ?? '/', this.url)
    if (request.method !== 'POST') return plain(405, 'Only POST is served here.')
    if (url.pathname === '/points') {
      const dataset = url.searchParams.get('dataset') ?? DEFAULT_DATASET
      return this.#takePoints(request, dataset)
    }
    const account = /^\/client\/v4\/accounts\/([^/]+)\/analytics_engine\/sql$/.exec(url.pathname)
    if (account === null) return fault(404, 7000, 'No route for that URI')
    return this.#refuseCaller(request, account[1] ?? '') ?? this.#query(await text(request))
  }

  /** Errors of the API itself come in its envelope, those of a query as plain text. */
  #refuseCaller({ headers }: IncomingMessage, account: string): Answer | null {
    const { authorization } = headers
    if (authorization === undefined) return fault(400, 9106, 'Missing Authorization header')
    const token = /^Bearer ([\w.~+/-]+=*)$/.exec(authorization)?.[1]
    if (token === undefined) return fault(400, 6003, 'Invalid request headers')
    if (token !== this.token) return fault(401, 10_000, 'Authentication error')
    if (!/^[0-9a-f]{32}$/.test(account)) return fault(404, 7003, 'Could not route to the account')
    return account === this.accountId ? null : fault(403, 10_000, 'Authentication error')
  }

  async #query(sql: string): Promise<Answer> {
    const parsed = parseStatement(sql)
    if (!parsed.ok) return refused(parsed.reason)
    const { statement } = parsed
    try {
      return {
        status: 200,
        type: TYPES[statement.format],
        body: await this.#store.query(statement),
      }
    } catch (error) {
      if (error instanceof Refusal) return refused(error.message)
      throw error
    }
  }

  async #takePoints(request: IncomingMessage, dataset: string): Promise<Answer> {
    // A page in a browser cannot send this type without a preflight request.
    if (!request.headers['content-type']?.startsWith('application/json')) {
      return plain(415, 'Points are a JSON array, sent as application/json.')
    }
    if (!/^[A-Za-z_]\w*$/.test(dataset)) return plain(400, 'This is not the name of a dataset.')
    const points = PointsSchema.safeParse(parseJson(await text(request)))
    if (!points.success)
      return plain(400, points.error.issues[0]?.message ?? 'These are no points.')
    await this.#store.write(dataset, points.data)
    return plain(202, '')
  }
}

const TYPES = {
  JSON: 'application/json',
  JSONEachRow: 'application/x-ndjson',
  TabSeparated: 'text/tab-separated-values',
} as const satisfies Record<Format, string>

function plain(status: number, body: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body }
}

const refused = (reason: string) => plain(422, `Input was invalid: ${reason}`)

function fault(status: number, code: number, message: string): Answer {
  const body = { success: false, errors: [{ code, message }], messages: [], result: null }
  return { status, type: 'application/json', body: JSON.stringify(body) }
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    return null
  }
}

async function main(): Promise<void> {
  const options = { port: { type: 'string' }, directory: { type: 'string' } } as const
  const { port = '8789', directory } = parseArgs({ options }).values
  const engine = await AnalyticsEngine.start({
    port: Number(port),
    ...(directory && { directory }),
  })
  process.stdout.write(
    [
      `Points: POST ${engine.url}/points`,
      'Queries:',
      `  export HAPAX_ANALYTICS_URL=${engine.url}`,
      '  npm run --silent hapax -- analytics summary',
      '',
    ].join('\n'),
  )
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void engine.close())
}

if (import.meta.main) await main()
