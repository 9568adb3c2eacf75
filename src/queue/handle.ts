import type { Context } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import { readCorrelation } from '../core/correlation.ts'
import { createDigests, type Digest } from '../core/digest.ts'
import {
  decideFate,
  isCarried,
  IN_DOUBT,
  isEnded,
  type MessageFate,
  type VerdictFacts,
} from '../core/disposition.ts'
import { parsePointer } from '../core/json/pointer.ts'
import { parsePlainKey } from '../core/key.ts'
import type { Carrier } from '../core/record.ts'
import { boundWaitMs } from '../core/recovery.ts'
import { parseRequestUrl } from '../core/request-url.ts'
import { emit } from '../http/emit.ts'
import { type GatewayEnv, MESSAGE, type MessageScope } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { NO_FACTS } from '../metrics/no-facts.ts'
import { recordRequest } from '../metrics/record-request.ts'
import type { Disposition, RequestFacts } from '../metrics/request-facts.ts'
import { within } from '../platform/in-time.ts'
import { type Consumer, type MessageRoute, PLACEHOLDER } from './consumer.ts'
import type { MessageContext } from './handler.ts'
import { type MessagePayload, toPayload } from './message-payload.ts'
import {
  attributeOf,
  memberOf,
  readSource,
  readTenant,
  type ReceivedMessage,
} from './message-source.ts'
import { LONGEST_MS } from './patience.ts'

/** What became of a message, with what is known of its operation. */
export type HandledFate = MessageFate & {
  readonly tenant: string | null
  readonly operationId: string | null
  /** CloudEvents `type`, where the message has one. */
  readonly type: string | null
  readonly correlationId: string | null
  /** For how long somebody else may still have the operation, or asks to be left alone, in milliseconds. */
  readonly waitMs: number
}

/** One delivery of a message. */
interface Delivery {
  readonly message: ReceivedMessage
  /** Whether none came before it. */
  readonly isFirst: boolean
  /** Whether none may come after it: as many deliveries as the policy allows have been made. */
  readonly isLast: boolean
  /** Whether one more may come at most, as the policy says. */
  readonly isNearEnd: boolean
  /** Whether it may be done where nothing is known of its operation. */
  readonly mayExecute: boolean
  /** How long it may take, in milliseconds, where its route says no less. */
  readonly patienceMs: number
}

const NOBODY = { tenant: null, operationId: null, waitMs: 0 } as const

const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : null)

/** What a message says of itself, where no route has looked at it. */
function ownNames(message: ReceivedMessage) {
  const type = text(attributeOf(message, 'type'))
  return { ...NOBODY, type, correlationId: text(attributeOf(message, 'correlationid')) }
}

/** A message whose fate is asked for once more is asked about so often. */
const MAX_TURNS = 3

/** Handles one delivery of a message: as a request on a route of its own. Does not throw. */
export async function handle(
  consumer: Consumer,
  delivery: Delivery,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<HandledFate> {
  const startedAt = Date.now()
  const { message } = delivery
  try {
    const read = await readMessage(consumer, message, digestOf(env.HAPAX_DIGEST_KEY))
    if (typeof read !== 'string') {
      return await handleRead(consumer, { ...delivery, ...read }, env, ctx)
    }
    recordUnclaimed(env, message, startedAt, 'dead-letter')
    return { kind: 'dead-letter', reason: read, ...ownNames(message) }
  } catch (error) {
    logFault('a message could not be handled', error)
    const fate = exhaust(consumer, message, { kind: 'retry', reason: 'fault' })
    recordUnclaimed(env, message, startedAt, fate.kind)
    return { ...fate, ...ownNames(message) }
  }
}

async function handleRead(
  consumer: Consumer,
  read: Read & Delivery,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<HandledFate> {
  let { isFirst } = read
  const turns = new Turns()
  const { leaseMs: waitMs, timeoutMs } = read.route
  const endsAt = Date.now() + Math.min(timeoutMs, read.patienceMs)
  for (let turn = 1; ; turn++) {
    // oxlint-disable-next-line no-await-in-loop -- the next one after this one's end
    const fate = await handleOnce(consumer, { ...read, isFirst, turns, endsAt }, env, ctx)
    if (fate.kind !== 'again') return fate
    if (turn === MAX_TURNS) {
      const last = exhaust(consumer, read.message, UNSETTLED)
      turns.end(env, last.kind)
      return { ...fate, waitMs, ...last }
    }
    if (fate.isOwn) isFirst = false
  }
}

/** What the first turn of a message has left to be counted, once its fate is known. */
class Turns {
  #first: RequestFacts | null = null

  /** @returns What is counted of a turn, or `null` where another one follows. */
  toRecord(facts: RequestFacts, isAgain: boolean): RequestFacts | null {
    if (isAgain) {
      this.#first ??= facts
      return null
    }
    if (this.#first === null) return facts
    const { disposition, status, outcome } = facts
    const isStored = isEnded(status) && outcome !== null
    const settle = isStored ? 'taken' : this.#first.settle
    return { ...this.#first, disposition, settle }
  }

  /** @returns Whether there was something. */
  end(env: HapaxEnv, disposition: Disposition): boolean {
    const first = this.#first
    this.#first = null
    if (first !== null) recordRequest(env, { ...first, disposition })
    return first !== null
  }
}

const UNSETTLED = { kind: 'retry', reason: 'unsettled' } as const

/** A message that can be handled. */
interface Read {
  readonly message: ReceivedMessage
  readonly type: string
  readonly tenant: string
  readonly route: MessageRoute
  readonly payload: MessagePayload
  readonly path: string
}

/** @returns Why it can never be handled, where that is so. */
async function readMessage(
  consumer: Consumer,
  message: ReceivedMessage,
  digest: Digest,
): Promise<Read | string> {
  const type = readSource(consumer.type, message) ?? ''
  const route = consumer.routeOf(type)
  if (route === undefined) return 'no-handler: no handler takes messages of this type'
  const tenant = await readTenant(consumer.tenant, message, digest)
  if (tenant === null) return 'tenant-missing: the message does not say whose it is'
  const payload = toPayload(message.body, route.payload)
  if (payload === null) return 'payload-invalid: the message has no payload that could be compared'
  const path = expand(route.path, payload.value)
  if (path === null) return 'payload-invalid: a value of the path is not in the payload'
  if (!parseRequestUrl(INSIDE + path, null).ok) {
    return 'payload-invalid: a value of the path leads to another path'
  }
  return { message, type, tenant, route, payload, path }
}

/** Puts values of a payload into a path. @returns `null` where one is missing. */
function expand(path: string, payload: unknown): string | null {
  let isWhole = true
  const expanded = path.replaceAll(PLACEHOLDER, (_, pointer: string) => {
    const tokens = parsePointer(pointer)
    const value = tokens.ok ? tokens.value.reduce<unknown>(memberOf, payload) : undefined
    if (isPathValue(value)) return encodeURIComponent(value)
    isWhole = false
    return ''
  })
  return isWhole ? expanded : null
}

/** `.` and `..` lead to another path, as nothing does; a number may have lost digits. */
function isPathValue(value: unknown): value is string | number {
  if (typeof value === 'number') return !Number.isInteger(value) || Number.isSafeInteger(value)
  return typeof value === 'string' && value.isWellFormed() && !/^\.{0,2}$/.test(value)
}

/** One look at what is known of a message's operation. */
interface Turn extends Read, Delivery {
  readonly turns: Turns
  /** Epoch milliseconds after which nobody waits for it. */
  readonly endsAt: number
}

async function handleOnce(
  consumer: Consumer,
  turn: Turn,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<HandledFate> {
  const { route, endsAt } = turn
  const look = new Look(consumer, turn, env)
  const request = await toRequest(turn)
  const work = (async () => {
    const response = await route.app.fetch(request, { ...env, [MESSAGE]: look.scope }, ctx)
    await readToEnd(response, look)
  })()
  // What hangs must not hold up the messages behind it.
  const isOver =
    (await within(
      work.then(() => true),
      Math.max(1, endsAt - Date.now()),
    )) !== null
  // What the object does goes on without this delivery.
  if (!route.isForwarded) ctx.waitUntil(work.catch(() => {}))
  return isOver ? look.fate() : look.giveUp()
}

/** Nobody reads the answer; but what streams is settled at its end. */
async function readToEnd({ body }: Response, look: Look): Promise<void> {
  if (body === null) return
  const end = look.isOpen
    ? body.pipeTo(new WritableStream(), { signal: look.signal })
    : body.cancel()
  await end.catch(() => {})
}

/** What one look at a message's operation comes to. */
class Look {
  readonly scope: MessageScope
  readonly #turn: Turn
  readonly #env: HapaxEnv
  readonly #startedAt = Date.now()
  readonly #reading = new AbortController()
  #fate: HandledFate | null = null
  /** Its time is over; `counted`: it has its point. */
  #end: 'open' | 'given-up' | 'counted' = 'open'

  constructor(consumer: Consumer, turn: Turn, env: HapaxEnv) {
    this.#turn = turn
    this.#env = env
    const { message, tenant, type, payload, isNearEnd, mayExecute, route } = turn
    this.scope = {
      tenant,
      consumer: route.isOfRoute ? '' : (consumer.name ?? ''),
      routeBy: toRouteBy(route),
      isNearEnd,
      mayExecute,
      message: { ...message, type, payload: payload.value },
      contextOf: (c) => contextOf(c, env, tenant),
      conclude: (facts) => {
        if (this.#end !== 'open') return 'retry'
        const askedMs = boundWaitMs(facts.retryAfterMs ?? 0, { retentionMs: Infinity })
        const waitMs = facts.status === 'in-progress' ? this.#awayMs(facts.carrier) : askedMs
        const { operationId, correlationId } = facts
        const known = { tenant, operationId, correlationId, waitMs, type: type || null }
        const fate = { ...decide(consumer, turn, facts), ...known }
        this.#fate = fate
        return fate.kind === 'again' ? null : fate.kind
      },
      toRecord: (facts) => this.#toRecord(facts),
    }
  }

  /** Whether its result is still to come. */
  get isOpen(): boolean {
    return this.#fate?.kind === 'again'
  }

  /** Aborted when nobody waits for an answer any more that is recorded without this delivery. */
  get signal(): AbortSignal {
    return this.#reading.signal
  }

  fate(): HandledFate {
    if (this.#fate === null) throw new Error('A message was not concluded.')
    return this.#fate
  }

  /**
   * Ends the look where its time is over: the message comes back to see what became of it. A
   * handler goes on under its lease, and its point follows at its end.
   */
  giveUp(): HandledFate {
    const fate = this.#fate
    if (fate !== null && !this.isOpen) return fate
    const { message, tenant, type, route, turns } = this.#turn
    const known = { tenant, type: type || null, operationId: null, correlationId: null }
    this.#end = turns.end(this.#env, 'retry') ? 'counted' : 'given-up'
    if (route.isForwarded) {
      this.#reading.abort()
      if (this.#end === 'given-up') {
        const { operation } = route
        const facts = { operation, tenant, status: 'in-progress', disposition: 'retry' } as const
        recordUncounted(this.#env, message, this.#startedAt, facts)
        this.#end = 'counted'
      }
    }
    return { ...known, ...fate, kind: 'retry', reason: 'in-progress', waitMs: this.#awayMs() }
  }

  /**
   * How long a message stays away while somebody has its operation, in milliseconds. Its last delivery
   * comes when that must be over: what still ran by then would leave it to the platform's dead letters.
   */
  #awayMs(carrier?: Carrier): number {
    const { message, route, isNearEnd } = this.#turn
    const mustBeOver = isNearEnd && !isCarried(carrier, message)
    return route.leaseMs + (mustBeOver ? Math.max(LONGEST_MS, route.timeoutMs) : 0)
  }

  #toRecord(facts: RequestFacts): RequestFacts | null {
    if (this.#end === 'counted') return null
    return this.#turn.turns.toRecord(facts, this.#end === 'open' && this.isOpen)
  }
}

function toRouteBy({ isOfRoute, isNamed }: MessageRoute): MessageScope['routeBy'] {
  if (!isOfRoute) return null
  return isNamed ? 'name' : 'path'
}

function decide(
  consumer: Consumer,
  { message, isFirst, isLast, route }: Read & Delivery,
  facts: VerdictFacts,
): MessageFate {
  const fate = decideFate(facts, { message, isFirst, isLast, isHeld: route.isHeld })
  return fate.kind === 'retry' ? exhaust(consumer, message, fate) : fate
}

type RetryFate = Extract<MessageFate, { kind: 'retry' }>

/**
 * After the last delivery that the policy allows, a message is a dead letter; but not while somebody
 * is doing it, which only the queue's own `max_retries` ends.
 */
function exhaust(
  { retry }: Consumer,
  { attempts }: ReceivedMessage,
  fate: RetryFate,
): RetryFate | Extract<MessageFate, { kind: 'dead-letter' }> {
  if (attempts < retry.attempts || fate.reason === 'in-progress') return fate
  const reason = `retries-exhausted: ${fate.reason}`
  const isInDoubt = IN_DOUBT.has(fate.reason)
  return { kind: 'dead-letter', reason, ...(isInDoubt && { decision: 'outcome-unknown' }) }
}

function contextOf(c: Context<GatewayEnv>, env: HapaxEnv, tenant: string): MessageContext {
  return {
    env,
    tenant,
    ...c.var.hapax.correlation,
    emit: (event) => emit(c, event),
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  }
}

const INSIDE = 'https://queue.hapax.internal'

async function toRequest({ message, route, payload, path }: Read): Promise<Request> {
  const headers = tiesOf(message)
  headers.set('Content-Type', payload.type)
  for (const { header, source } of route.keys) {
    const key = readSource(source, message)
    // oxlint-disable-next-line no-await-in-loop -- there are one or two of them
    if (key !== null) headers.set(header, await toField(key))
  }
  return new Request(INSIDE + path, { method: route.method, headers, body: payload.bytes })
}

/** What ties a message to the request that it comes from. */
function tiesOf(message: ReceivedMessage): Headers {
  const headers = new Headers()
  const ties = { 'X-Correlation-Id': 'correlationid', Traceparent: 'traceparent' }
  for (const [name, attribute] of Object.entries(ties)) {
    const value = attributeOf(message, attribute)
    if (typeof value === 'string' && /^[!-~]+$/.test(value)) headers.set(name, value)
  }
  return headers
}

/** A key of a message may be any text: as a String of RFC 9651, or by its digest where none can hold it. */
async function toField(key: string): Promise<string> {
  if (!parsePlainKey(key).ok) return digestKey('message key', key)
  return `"${key.replaceAll(/["\\]/g, String.raw`\$&`)}"`
}

const digestOf = createDigests()
const digestKey = digestOf(undefined)

/** Counts a message that came to no verdict. */
function recordUncounted(
  env: HapaxEnv,
  message: ReceivedMessage,
  startedAt: number,
  facts: Pick<RequestFacts, 'operation' | 'status' | 'tenant' | 'disposition'>,
): void {
  const { correlationId } = readCorrelation(tiesOf(message), () => crypto.randomUUID())
  recordRequest(env, {
    ...NO_FACTS,
    ...facts,
    method: 'QUEUE',
    correlationId,
    operationId: null,
    fence: 0,
    totalMs: Date.now() - startedAt,
    ageMs: 0,
  })
}

function recordUnclaimed(
  env: HapaxEnv,
  message: ReceivedMessage,
  startedAt: number,
  disposition: Disposition,
): void {
  const unclaimed = { operation: message.queue, tenant: null, status: 'rejected' } as const
  recordUncounted(env, message, startedAt, { ...unclaimed, disposition })
}
