import { type IncomingHttpHeaders, request } from 'node:http'

/** A request of a client that cannot know whether an earlier one of the same key arrived. */
export interface DemoRequest {
  /** Default POST. */
  method?: string
  path: string
  /** The idempotency key; none, when left out. */
  key?: string
  /** Sent as `application/json`, byte by byte as given. */
  body?: string
  /** Further headers, which win over `Authorization: Bearer demo` and `Accept-Encoding: identity`. */
  headers?: Readonly<Record<string, string>>
  /** Hangs up when it fires. */
  signal?: AbortSignal
}

/** What came back: an answer to the last byte, or nothing that a client could rely on. */
export type Answer =
  | { kind: 'answered'; status: number; headers: IncomingHttpHeaders; body: string }
  | { kind: 'lost'; reason: string }

const patienceMs = 60_000

/**
 * Sends one request on a connection of its own and does not retry. Never rejects: a connection that
 * breaks, at whatever moment, is an outcome here.
 */
export function send(baseUrl: string, wanted: DemoRequest): Promise<Answer> {
  const { promise, resolve } = Promise.withResolvers<Answer>()
  const lost = (cause: Error) => resolve({ kind: 'lost', reason: cause.message })
  const patience = AbortSignal.timeout(patienceMs)
  const outgoing = request(new URL(wanted.path, baseUrl), {
    method: wanted.method ?? 'POST',
    agent: false,
    signal: wanted.signal === undefined ? patience : AbortSignal.any([wanted.signal, patience]),
    headers: headersOf(wanted),
  })
  outgoing.once('error', lost)
  outgoing.once('response', (incoming) => {
    const chunks: Buffer[] = []
    incoming.once('error', lost)
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.once('end', () =>
      resolve({
        kind: 'answered',
        status: incoming.statusCode ?? 0,
        headers: incoming.headers,
        body: Buffer.concat(chunks).toString(),
      }),
    )
  })
  outgoing.end(wanted.body)
  return promise
}

/** The status, or `lost`. */
export function statusOf(answer: Answer): number | 'lost' {
  return answer.kind === 'lost' ? 'lost' : answer.status
}

/** A header of the answer, by its name in any case; undefined where there is none. */
export function headerOf(answer: Answer, name: string): string | undefined {
  if (answer.kind === 'lost') return undefined
  const value = answer.headers[name.toLowerCase()]
  return Array.isArray(value) ? value.join(', ') : value
}

function headersOf({ key, body, headers }: DemoRequest): Record<string, string> {
  return {
    Authorization: 'Bearer demo',
    // To a client that says nothing about encodings, `wrangler dev` sends whatever there is.
    'Accept-Encoding': 'identity',
    ...(key === undefined ? {} : { 'Idempotency-Key': key }),
    ...(body === undefined
      ? {}
      : { 'Content-Type': 'application/json', 'Content-Length': String(Buffer.byteLength(body)) }),
    ...headers,
  }
}
