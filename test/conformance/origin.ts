import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
} from 'node:http'
import { buffer } from 'node:stream/consumers'

import { close, listen } from '../../dev/local-server.ts'

/** A request as it arrived at the origin. */
export interface Received {
  readonly method: string
  /** Path and query as they stood in the request line. */
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** Every value of a name, in order. */
  all(name: string): readonly string[]
  readonly body: Buffer
}

/** Answers a request; `nth` counts the requests of its path from 1. */
export type Script = (
  response: ServerResponse,
  request: Received,
  nth: number,
) => void | Promise<void>

/** An origin whose every answer the test writes. */
export interface Origin {
  readonly url: string
  /** Sets how a path (without query) is answered from now on; else 201 and `nth` as a text. */
  on(pathname: string, script: Script): void
  /** Leaves a path without an answer; what is returned lets the requests that wait go. */
  hold(pathname: string): (script: Script) => void
  /** What arrived for a path. */
  callsTo(pathname: string): readonly Received[]
  /** Resolves with the nth request of a path, which may be there already. */
  received(pathname: string, nth?: number): Promise<Received>
  /** Takes requests from the moment of their headers, for streams and upgrades. */
  take(pathname: string, take: (incoming: IncomingMessage, response: ServerResponse) => void): void
  readonly server: ReturnType<typeof createServer>
  /** Breaks all connections and stops to listen. */
  close(): Promise<void>
  /** Listens again where it listened. */
  reopen(): Promise<void>
}

/** A whole answer, which says how long it is. */
export function answer(
  status: number,
  headers: OutgoingHttpHeaders = {},
  body: string | Uint8Array = '',
): Script {
  const length = hasNoBody(status) ? {} : { 'Content-Length': Buffer.byteLength(body) }
  return answerInChunks(status, { ...length, ...headers }, body)
}

/** A whole answer in chunks: it does not say how long it is. */
export function answerInChunks(
  status: number,
  headers: OutgoingHttpHeaders = {},
  body: string | Uint8Array = '',
): Script {
  return (response) => {
    response.writeHead(status, headers)
    response.end(body)
  }
}

/** Whether an answer of a status has no body, and so no length either. */
export const hasNoBody = (status: number): boolean => status === 204 || status === 304

/** An answer with a JSON body. */
export const answerJson = (status: number, value: unknown): Script =>
  answer(status, { 'Content-Type': 'application/json' }, JSON.stringify(value))

/** Breaks the connection without an answer. */
export const hangUp: Script = (response) => {
  response.destroy()
}

/** An answer that is written while it is read. */
export interface Streamed {
  /** Resolves when the chunk has left the origin. */
  write(chunk: string | Uint8Array): Promise<void>
  end(): Promise<void>
  /** Breaks the connection in the middle of the body. */
  breakOff(): Promise<void>
}

/**
 * An answer that a test writes while it is read, from the moment of the request on.
 *
 * @returns The script, and what writes the answer to its first request.
 */
export function streamed(
  status: number,
  headers: OutgoingHttpHeaders = {},
): { readonly script: Script; readonly stream: Streamed } {
  const { promise, resolve } = Promise.withResolvers<ServerResponse>()
  return {
    script(response) {
      response.writeHead(status, headers)
      response.flushHeaders()
      resolve(response)
    },
    stream: {
      async write(chunk) {
        const response = await promise
        const written = Promise.withResolvers<void>()
        response.write(chunk, (error) => (error ? written.reject(error) : written.resolve()))
        await written.promise
      },
      end: async () => void (await promise).end(),
      breakOff: async () => void (await promise).destroy(),
    },
  }
}

const countRuns: Script = (response, _, nth) => answer(201, {}, String(nth))(response, _, nth)

export async function startOrigin(): Promise<Origin> {
  const scripts = new Map<string, Script>()
  const takers = new Map<string, Parameters<Origin['take']>[1]>()
  const calls: Received[] = []
  const callsTo = (pathname: string) => calls.filter((one) => pathnameOf(one.path) === pathname)

  const server = createServer((incoming, response) => {
    const taker = takers.get(pathnameOf(incoming.url ?? ''))
    if (taker !== undefined) return taker(incoming, response)
    const work = async () => {
      const request = await receive(incoming)
      calls.push(request)
      const pathname = pathnameOf(request.path)
      const nth = callsTo(pathname).length
      server.emit('received')
      await (scripts.get(pathname) ?? countRuns)(response, request, nth)
    }
    // A request that breaks off before its end, and a script that throws.
    work().catch(() => response.destroy())
  })
  // Each waiter of `received` listens until its request is there.
  server.setMaxListeners(0)
  const url = await listen(server)

  return {
    url,
    server,
    on: (pathname, script) => void scripts.set(pathname, script),
    hold(pathname) {
      const { promise, resolve } = Promise.withResolvers<Script>()
      scripts.set(pathname, async (...call) => (await promise)(...call))
      return resolve
    },
    callsTo,
    async received(pathname, nth = 1) {
      for (;;) {
        const request = callsTo(pathname)[nth - 1]
        if (request !== undefined) return request
        await once(server, 'received')
      }
    },
    take: (pathname, taker) => void takers.set(pathname, taker),
    close: () => close(server),
    async reopen() {
      await listen(server, Number(new URL(url).port))
    },
  }
}

async function receive(incoming: IncomingMessage): Promise<Received> {
  const { method = '', url = '', headers, rawHeaders: raw } = incoming
  return {
    method,
    path: url,
    headers,
    all: (name) =>
      raw.filter((_, at) => at % 2 === 1 && raw[at - 1]?.toLowerCase() === name.toLowerCase()),
    body: await buffer(incoming),
  }
}

const pathnameOf = (path: string): string => new URL(path, 'http://origin').pathname
