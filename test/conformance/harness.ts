import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterAll, beforeAll, expect } from 'vitest'

import { type BareGateway, startBareGateway } from '../e2e/bare.ts'
import { begin, type Coming, type Reply, send, type Sent } from './client.ts'
import { answer, type Origin, type Received, type Script, startOrigin } from './origin.ts'

/** What differs from the first request of an operation. */
export interface Over extends Partial<Sent> {
  /** `null`: without a key. */
  readonly key?: string | null
  /** `null`: without credentials. */
  readonly authorization?: string | null
}

/** One operation: a path, a key and a payload of its own, so that tests do not meet. */
export interface Operation {
  readonly path: string
  readonly key: string
  /** Sends its request, or one that differs from it. */
  send(over?: Over): Promise<Reply>
  /** Sends it and reads what comes from the headers on, however it ends. */
  begin(over?: Over): Promise<Coming>
  /** What its path got at the origin. */
  calls(): readonly Received[]
  received(nth?: number): Promise<Received>
  on(script: Script): void
  hold(): (script: Script) => void
  /**
   * Sends requests one after the other that do not wait, until each has been told that the
   * operation runs: what was sent before them has then arrived as well.
   */
  afterArrivals(): Promise<void>
}

export interface Conformance {
  readonly origin: Origin
  readonly gateway: BareGateway
  /**
   * Makes an operation on a route of `gateway/routes.ts`.
   *
   * @param tail What follows the route's name in the path; else a number of its own.
   */
  operation(route: string, tail?: string): Operation
}

const PROBES = 5
/** The gateway of this suite. */
export const config = 'test/conformance/gateway/wrangler.toml'

let shared: Conformance | undefined

/**
 * Runs one gateway, with the routes of this suite, and one scripted origin for a test file and
 * everything that it imports.
 */
export function useConformance(): Conformance {
  shared ??= createConformance()
  return shared
}

function createConformance(): Conformance {
  let origin: Origin | undefined
  let gateway: BareGateway | undefined
  let count = 0
  const started = <value>(value: value | undefined): value => {
    if (value === undefined) throw new Error('the gateway runs only within tests')
    return value
  }

  beforeAll(async () => {
    origin = await startOrigin()
    gateway = await startBareGateway({ origin, config })
  })
  afterAll(async () => {
    // The next test file of this process starts its own.
    shared = undefined
    await gateway?.stop()
    await origin?.close()
  })

  return {
    get origin() {
      return started(origin)
    },
    get gateway() {
      return started(gateway)
    },
    operation(route, tail) {
      count += 1
      const pathname = `/${route}/${tail ?? count}`
      const key = `key-of-${route}-${count}`
      const { origin: its, gateway: server } = this
      // Handlers in the Worker tell the origin that they run.
      const at = route.startsWith('handler') ? `/runs${pathname}` : pathname
      const one: Operation = {
        path: pathname,
        key,
        send: (over = {}) => send(server.url, toSent(over, pathname, key)),
        begin: (over = {}) => begin(server.url, toSent(over, pathname, key)),
        calls: () => its.callsTo(at),
        received: (nth) => its.received(at, nth),
        on: (script) => its.on(at, script),
        hold: () => its.hold(at),
        async afterArrivals() {
          for (let nth = 0; nth < PROBES; nth += 1) {
            const reply = await one.send({ headers: { Prefer: 'wait=0' } })
            expect(reply.headers['hapax-error']).toBe('in-progress')
          }
        },
      }
      return one
    },
  }
}

/** The request of an operation, with what a test wants to be different. */
export function toSent(over: Over, pathname: string, ownKey: string): Sent {
  const { key = ownKey, authorization = 'Bearer alice', headers, ...rest } = over
  const hasBody = !['GET', 'HEAD'].includes(over.method ?? 'POST')
  return {
    path: pathname,
    ...(hasBody ? { body: '{"amount":5}' } : {}),
    ...rest,
    headers: {
      ...(hasBody ? { 'Content-Type': 'application/json' } : {}),
      ...(key === null ? {} : { 'Idempotency-Key': key }),
      ...(authorization === null ? {} : { Authorization: authorization }),
      ...headers,
    },
  }
}

/** How long something may take that only time brings, and how often it is asked for. */
const PATIENCE_MS = 10_000
const POLL_MS = 100

/**
 * Sends the same request until what comes back is what is waited for; for what only time brings.
 *
 * @throws {Error} When it has not come after 10 s, with the last answer.
 */
export async function eventually(
  attempt: () => Promise<Reply>,
  isIt: (reply: Reply) => boolean,
): Promise<Reply> {
  const startedAt = performance.now()
  for (;;) {
    const reply = await attempt()
    if (isIt(reply)) return reply
    if (performance.now() - startedAt > PATIENCE_MS) {
      throw new Error(`what was waited for has not come; the last answer: ${describeReply(reply)}`)
    }
    await sleep(POLL_MS)
  }
}

const describeReply = (reply: Reply): string =>
  [reply.status, statusOf(reply), reply.headers['hapax-error']].join(' ')

/** Answers the calls of an operation with one script after the other, and every later one with 201. */
export function firstAnswers(one: Operation, ...scripts: readonly Script[]): void {
  one.on((response, request, nth) =>
    (scripts[nth - 1] ?? answer(201, {}, `call ${nth}`))(response, request, nth),
  )
}

/** The `Idempotency-Status` of a reply. */
export const statusOf = (reply: Pick<Reply, 'headers'>): string | undefined =>
  reply.headers['idempotency-status'] as string | undefined

/** How many replies have each `Idempotency-Status`. */
export function tally(replies: readonly Reply[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const reply of replies) {
    const status = statusOf(reply) ?? 'none'
    counts[status] = (counts[status] ?? 0) + 1
  }
  return counts
}

/** Every file of the gateway's state. */
export function stateFiles(): Buffer[] {
  return readdirSync(useConformance().gateway.state, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readUnlessGone(path.join(entry.parentPath, entry.name)))
}

/** An object that nobody asks any more closes its database, whose side files then go. */
function readUnlessGone(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (error) {
    if (existsSync(file)) throw error
    return Buffer.alloc(0)
  }
}
