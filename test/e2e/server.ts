import { fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
  createServer,
} from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

import { type Answer, type DemoRequest, send } from '../../demo/client.ts'
import { freePort, isListening } from '../../demo/dev-server.ts'
import { close, listen } from '../../dev/local-server.ts'
import { recordOutput } from '../../dev/process-output.ts'
import { builtWorkerOf } from './built-worker.ts'

const { PLACEMENT } = process.env

/** The variables of every gateway in this project of tests, for `gateway/placement.ts`. */
export const PROJECT_VARS: Readonly<Record<string, string>> =
  PLACEMENT === undefined ? {} : { PLACEMENT }

const LOOK_MS = 10

/** A request as it arrived at the origin. */
interface RecordedRequest {
  method: string
  /** With the query. */
  path: string
  headers: IncomingHttpHeaders
  /** The raw body. */
  body: Buffer
}

/** A complete answer of the origin. */
export interface Respond {
  kind: 'respond'
  /** Default 200. */
  status?: number
  headers?: Readonly<Record<string, string | string[]>>
  body?: string | Uint8Array
  /** Waits this long before it answers. */
  delayMs?: number
}

/** How the origin answers one request. */
type Behaviour =
  | Respond
  /** Breaks the connection, at that moment of the answer. */
  | { kind: 'destroy'; when: 'before-headers' | 'after-headers' | 'mid-body' }
  /** Begins its answer and never ends it: the connection stays open. */
  | { kind: 'stall'; when: 'after-headers' | 'mid-body' }
  /** Answers when it is told to, in the way that it is told then. */
  | { kind: 'hold'; until: Promise<Behaviour> }
  /** Sends the head of an answer; its chunks come from whoever it is opened for. */
  | { kind: 'stream'; head: StreamHead; opened: (outgoing: ServerResponse) => void }
  /** Sends these bytes, a whole message of HTTP/1.1 with `Connection: close`, and closes. */
  | { kind: 'raw'; bytes: Buffer }

/** The head of an answer that streams. Without a Content-Length the body is chunked. */
interface StreamHead {
  /** Default 200. */
  status?: number
  headers?: Readonly<Record<string, string | string[]>>
}

/** An answer of the origin that the test writes while it is read. Everything waits for the request. */
interface StreamedAnswer {
  /** Resolves when the chunk has left the origin. */
  write(chunk: string | Uint8Array): Promise<void>
  end(): Promise<void>
  /** Breaks the connection in the middle of the body. */
  breakOff(): Promise<void>
}

/** Chooses the behaviour; `nth` counts the requests of this path from 1. */
type Script = (request: RecordedRequest, nth: number) => Behaviour

/** An API whose every answer the test decides, on a port of its own. */
export interface Origin {
  readonly url: string
  /** Everything that arrived, in order. */
  readonly requests: readonly RecordedRequest[]
  /** Sets how a path (without query) is answered from now on. Without one it is a 201 with `{ nth }`. */
  on(pathname: string, script: Behaviour | Script): void
  /** Leaves the requests of this path without an answer; gives the function that lets them go. */
  hold(pathname: string): (behaviour: Behaviour) => void
  /** Lets the test write the answer to the next request of this path; later ones get a 201. */
  stream(pathname: string, head?: StreamHead): StreamedAnswer
  /** The requests that arrived for this path. */
  requestsTo(pathname: string): RecordedRequest[]
  /** Resolves with the nth request of this path, which may be there already. */
  received(pathname: string, nth?: number): Promise<RecordedRequest>
  /** Breaks all connections and stops. */
  close(): Promise<void>
}

/** An answer with a JSON body. */
export function json(status: number, body: unknown): Respond {
  const headers = { 'Content-Type': 'application/json' }
  return { kind: 'respond', status, headers, body: JSON.stringify(body) }
}

/** Starts a scripted origin. */
export async function startOrigin(): Promise<Origin> {
  const requests: RecordedRequest[] = []
  const scripts = new Map<string, Script>()
  const requestsTo = (pathname: string) => requests.filter((one) => pathnameOf(one) === pathname)

  const server = createServer((incoming, outgoing) => {
    const answer = async () => {
      const request = await record(incoming)
      requests.push(request)
      const pathname = pathnameOf(request)
      const nth = requestsTo(pathname).length
      server.emit('recorded')
      await behave(scripts.get(pathname)?.(request, nth) ?? json(201, { nth }), outgoing)
    }
    // A request that breaks off before its end, and a script that throws.
    answer().catch(() => outgoing.destroy())
  })
  // Each waiter of `received` listens until its request is there.
  server.setMaxListeners(0)
  const url = await listen(server)

  const on = (pathname: string, script: Behaviour | Script) => {
    scripts.set(pathname, typeof script === 'function' ? script : () => script)
  }
  return {
    url,
    requests,
    on,
    hold(pathname) {
      const { promise, resolve } = Promise.withResolvers<Behaviour>()
      on(pathname, { kind: 'hold', until: promise })
      return resolve
    },
    stream(pathname, head = {}) {
      const { promise, resolve } = Promise.withResolvers<ServerResponse>()
      const first = requestsTo(pathname).length + 1
      on(pathname, (_, nth) =>
        nth === first ? { kind: 'stream', head, opened: resolve } : json(201, { nth }),
      )
      return streamTo(promise)
    },
    requestsTo,
    async received(pathname, nth = 1) {
      for (;;) {
        const request = requestsTo(pathname)[nth - 1]
        if (request !== undefined) return request
        await once(server, 'recorded')
      }
    },
    close: () => close(server),
  }
}

/** A gateway in front of an origin, in a real server. */
export interface Gateway {
  readonly url: string
  /** Sends a request to it, once. */
  send(request: DemoRequest): Promise<Answer>
  /** `kill -9` of the whole process tree. */
  kill(): Promise<void>
  /** Starts it again on the same state and the same port, after a kill when it still runs. */
  restart(): Promise<void>
  /** Kills it and, unless the state was given, forgets that. */
  stop(): Promise<void>
  /** What the server that runs now has written. */
  log(): string
  /** Resolves when the server that runs now has written this, which it may have already. */
  written(text: string | RegExp): Promise<void>
}

/** What `startGateway` needs to know. */
export interface GatewayOptions {
  origin: Pick<Origin, 'url'>
  vars?: Readonly<Record<string, string>>
  /** Default: a directory that goes with the gateway. */
  persistTo?: string
  /** Default: `wrangler.toml` of the project. */
  config?: string
}

/**
 * Starts the Worker of this project in a process of its own, in what `wrangler dev` runs behind its
 * proxy: with every binding of its configuration, queues too. Its state is on disk.
 *
 * @throws {Error} With the log, when it does not start.
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const persistTo = options.persistTo ?? mkdtempSync(path.join(tmpdir(), 'hapax-e2e-'))
  const { bundle, options: worker } = await builtWorkerOf(options.config ?? 'wrangler.toml')
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const serving = {
    host: '127.0.0.1',
    port,
    resourcePersistencePath: path.join(persistTo, 'v3'),
    ...worker,
    name: 'gateway',
    modulesRoot: path.dirname(bundle),
    modules: [{ type: 'ESModule', path: bundle }],
    bindings: {
      ...worker.bindings,
      ORIGIN_URL: options.origin.url,
      ...PROJECT_VARS,
      ...options.vars,
    },
  }
  let server = await serve(serving, persistTo)
  return {
    url,
    send: (request) => send(url, request),
    kill: () => server.kill(),
    async restart() {
      await server.kill()
      server = await serve(serving, persistTo)
    },
    async stop() {
      await server.kill()
      if (options.persistTo === undefined) rmSync(persistTo, { recursive: true, force: true })
    },
    log: () => server.output.text(),
    written: (text) => server.output.written(text),
  }
}

async function serve(serving: { readonly port: number }, persistTo: string) {
  const temporary = path.join(persistTo, 'tmp')
  mkdirSync(temporary, { recursive: true })
  const child = fork(path.join(import.meta.dirname, 'serve.ts'), {
    // A group of its own: one signal reaches workerd as well.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    execArgv: [],
    // Whoever is killed cannot tidy up: what is left goes with the state.
    env: { ...process.env, TMPDIR: temporary, CLOUDFLARE_CF_FETCH_ENABLED: 'false' },
  })
  const output = recordOutput(child)
  const closed = once(child, 'close')
  const kill = async () => {
    if (child.exitCode === null && child.signalCode === null)
      process.kill(-Number(child.pid), 'SIGKILL')
    await closed
    // workerd is not our child, so nobody tells us that it is gone; its socket does.
    while (await isListening(serving.port)) await sleep(LOOK_MS)
  }
  child.send(serving)
  const [listening] = await Promise.race([once(child, 'message'), closed.then(() => [])])
  if (listening !== undefined) return { output, kill }
  await kill()
  throw new Error(`The gateway did not start. Its log:\n${output.text()}`)
}

async function record(incoming: IncomingMessage): Promise<RecordedRequest> {
  const { method = '', url = '', headers } = incoming
  return { method, path: url, headers, body: await buffer(incoming) }
}

function pathnameOf(request: RecordedRequest): string {
  return new URL(request.path, 'http://origin').pathname
}

async function behave(behaviour: Behaviour, outgoing: ServerResponse): Promise<void> {
  switch (behaviour.kind) {
    case 'respond':
      if (behaviour.delayMs !== undefined) await sleep(behaviour.delayMs)
      outgoing.writeHead(behaviour.status ?? 200, { ...behaviour.headers })
      outgoing.end(behaviour.body)
      return
    case 'destroy':
      await breakOff(behaviour.when, outgoing)
      return
    case 'stall':
      await begin(behaviour.when, outgoing)
      return
    case 'hold':
      await behave(await behaviour.until, outgoing)
      return
    case 'stream':
      outgoing.writeHead(behaviour.head.status ?? 200, { ...behaviour.head.headers })
      outgoing.flushHeaders()
      behaviour.opened(outgoing)
      return
    case 'raw':
      outgoing.socket?.end(behaviour.bytes)
  }
}

function streamTo(opened: Promise<ServerResponse>): StreamedAnswer {
  return {
    async write(chunk) {
      const outgoing = await opened
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      outgoing.write(chunk, (error) => (error ? reject(error) : resolve()))
      await promise
    },
    async end() {
      const outgoing = await opened
      outgoing.end()
    },
    async breakOff() {
      const outgoing = await opened
      outgoing.destroy()
    },
  }
}

async function breakOff(
  when: 'before-headers' | 'after-headers' | 'mid-body',
  outgoing: ServerResponse,
): Promise<void> {
  if (when !== 'before-headers') await begin(when, outgoing)
  outgoing.destroy()
}

/** Resolves when the beginning of the answer is on its way. */
async function begin(when: 'after-headers' | 'mid-body', outgoing: ServerResponse): Promise<void> {
  const { promise: flushed, resolve } = Promise.withResolvers<void>()
  outgoing.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '100' })
  outgoing.flushHeaders()
  outgoing.write(when === 'mid-body' ? '{"half":' : '', () => resolve())
  await flushed
}
