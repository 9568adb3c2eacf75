import type { Context, ExecutionContext } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import {
  decideFate,
  exhaust,
  isCarried,
  isEnded,
  type MessageFate,
  type MessageFacts,
} from '../core/message-fate.ts'
import type { Carrier } from '../core/operation/record.ts'
import { boundWaitMs } from '../core/operation/recovery.ts'
import { NO_FACTS, type RequestFacts } from '../core/request-facts.ts'
import { readCorrelation } from '../core/request/correlation.ts'
import { decideRetry, type RetryDecision } from '../core/retry/retry.ts'
import { emit } from '../http/emit.ts'
import { type GatewayEnv, type MessageScope, withInner } from '../http/gateway-env.ts'
import { scopeOf } from '../http/request-scope.ts'
import { recordRequest } from '../metrics/record-request.ts'
import { within } from '../platform/in-time.ts'
import { LONGEST_MS } from './batch-time.ts'
import type { Consumer } from './consume-options.ts'
import type { MessageContext } from './message-handler.ts'
import { correlationHeaders, type MessageRequest, toRequest } from './message-request.ts'
import type { ReceivedMessage } from './message.ts'

/** The fate of a message, with the known facts of its operation. */
export type DeliveredFate = MessageFate & {
  readonly tenant: string | null
  readonly operationId: string | null
  /** CloudEvents `type`, where the message has one. */
  readonly type: string | null
  readonly correlationId: string | null
  /** How long to wait before the next delivery, in milliseconds: another owner runs it, or the origin asks for it. */
  readonly waitMs: number
}

/** One delivery of a message. */
export interface MessageDelivery {
  readonly message: ReceivedMessage
  /** Whether it is the first delivery. */
  readonly isFirst: boolean
  /** Deliveries that the policy still allows after it. */
  readonly leftDeliveries: number
  /** Whether it may be executed if its operation is forgotten. */
  readonly mayExecute: boolean
  /** How long it may take, in milliseconds. Its route may allow less. */
  readonly patienceMs: number
  /** A number in [0, 1), from which the delay of the next delivery is made. */
  readonly random: number
}

/** One pass of a message through the pipeline. */
export interface MessageTurn extends MessageRequest, Omit<MessageDelivery, 'patienceMs'> {
  readonly startedAt: number
  /** Epoch milliseconds after which nobody waits for it. */
  readonly endsAt: number
  /** Facts of the earlier turns, to be counted. */
  readonly before: RequestFacts | null
}

/** The result of a turn. `again`: another turn may know more. */
interface TurnEnd {
  readonly fate: DeliveredFate
  /** Facts to count; `null`: the handler goes on, and is counted at its end. */
  readonly facts: RequestFacts | null
}

/** Sends a message through the pipeline once, as a request on its route. */
export async function takeTurn(
  consumer: Consumer,
  turn: MessageTurn,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<TurnEnd> {
  const { message, type, tenant, payload, mayExecute, route, endsAt } = turn
  const known: { end: TurnEnd | null; isGivenUp: boolean } = { end: null, isGivenUp: false }
  const reading = new AbortController()
  const scope: MessageScope = {
    tenant,
    message,
    consumer: route.routeBy === null ? (consumer.name ?? '') : '',
    routeBy: route.routeBy,
    isNearEnd: isNearEnd(turn),
    mayExecute,
    runHandler: (c) =>
      route.handler?.({ ...message, type, payload: payload.value }, contextOf(c, turn, env, ctx)),
    conclude: (verdict, facts) => {
      if (!known.isGivenUp) known.end = toEnd(consumer, turn, verdict, facts)
      else if (known.end?.facts === null) recordRequest(env, { ...ofQueue(facts), ...RETRY })
    },
  }
  const request = toRequest(turn)
  const work = (async () => {
    const response = await route.app.fetch(request, withInner(env, scope), ctx)
    await readToEnd(response, isOpen(known.end) ? reading.signal : null)
    return true
  })()
  // A message that hangs must not delay the messages behind it.
  const isOver = await within(work, Math.max(1, endsAt - Date.now()))
  // The object does not need this delivery to go on, but a handler does.
  if (route.handler !== null) ctx.waitUntil(work.catch(() => {}))
  if (isOver === null && (known.end === null || isOpen(known.end))) {
    known.isGivenUp = true
    known.end = giveUp(turn, known.end)
    if (route.handler === null) reading.abort()
  }
  if (known.end === null) throw new Error('A message was not concluded.')
  return known.end
}

function contextOf(
  c: Context<GatewayEnv>,
  { tenant }: MessageTurn,
  env: HapaxEnv,
  ctx: ExecutionContext,
): MessageContext {
  return {
    env,
    ...c.var.hapax,
    tenant,
    ...scopeOf(c).correlation,
    emit: (event) => emit(c, event),
    waitUntil: (work) => ctx.waitUntil(work),
  }
}

/** Discards the answer. @param signal Given if the result is stored only when the body has been read. */
async function readToEnd({ body }: Response, signal: AbortSignal | null): Promise<void> {
  if (body === null) return
  const end = signal === null ? body.cancel() : body.pipeTo(new WritableStream(), { signal })
  await end.catch(() => {})
}

/** Whether the result of a turn is still to come. */
const isOpen = (end: TurnEnd | null) => end?.fate.kind === 'again'

/** Whether at most one more delivery may follow. */
const isNearEnd = ({ leftDeliveries }: MessageTurn) => leftDeliveries <= 1

const RETRY = { disposition: 'retry' } as const
const ofQueue = (facts: RequestFacts) => ({ ...facts, method: 'QUEUE' })

function toEnd(
  consumer: Consumer,
  turn: MessageTurn,
  verdict: MessageFacts,
  facts: RequestFacts,
): TurnEnd {
  const { tenant, type, message, isFirst, leftDeliveries, route, before } = turn
  const { status, outcome, carrier, retryAfterMs = 0 } = verdict
  const { operationId, correlationId } = facts
  const askedMs = boundWaitMs(retryAfterMs, { retentionMs: Infinity })
  const waitMs = status === 'in-progress' ? awayMs(turn, carrier) : askedMs
  const known = { tenant, operationId, correlationId, waitMs, type: type || null }
  const ends = { isFirst, isLast: leftDeliveries <= 0, isHeld: route.isHeld }
  const allowed = decideDelivery(consumer, turn, waitMs)
  const fate = exhaust(decideFate(verdict, { message, ...ends }), allowed)
  // The first turn did the work. A later one may learn that its result is stored.
  const isStored = isEnded(status) && outcome !== null
  const counted = before === null ? ofQueue(facts) : { ...before, ...(isStored && TAKEN) }
  return { fate: { ...fate, ...known }, facts: counted }
}

const TAKEN = { settle: 'taken' } as const

/**
 * Whether the policy allows another delivery, and after how long. A message that was delivered is
 * always tried.
 *
 * @param waitMs As in `DeliveredFate`.
 */
export function decideDelivery(
  { retry }: Consumer,
  { message, random }: Pick<MessageDelivery, 'message' | 'random'>,
  waitMs: number,
): RetryDecision {
  const { attempts: attempt, timestamp } = message
  const bounds = { attempts: retry.attempts, deadlineAt: timestamp.getTime() + retry.deadlineMs }
  const ask = { minimumMs: waitMs }
  // Which fates are tried again at all is decided elsewhere.
  const outcome = 'not_executed'
  return decideRetry(retry, bounds, { attempt, outcome, random, ask, now: Date.now() })
}

/** Ends a turn when its time is over: a later delivery learns the result. A handler goes on under its lease. */
function giveUp(turn: MessageTurn, end: TurnEnd | null): TurnEnd {
  const { message, startedAt, tenant, type, route, before } = turn
  const { operation } = route
  const known = { tenant, type: type || null, operationId: null, correlationId: null }
  const told = { kind: 'retry', reason: 'in-progress', waitMs: awayMs(turn) } as const
  const unclaimed =
    route.handler === null
      ? toUnclaimed(message, startedAt, { operation, tenant, status: 'in-progress' })
      : null
  return { fate: { ...known, ...end?.fate, ...told }, facts: end?.facts ?? before ?? unclaimed }
}

/**
 * The delay of the next delivery while another owner runs the operation, in milliseconds. The last
 * delivery must come after that owner's end: otherwise the platform would drop the message.
 */
function awayMs(turn: MessageTurn, carrier?: Carrier): number {
  const { message, route } = turn
  const mustBeOver = isNearEnd(turn) && !isCarried(carrier, message)
  return route.leaseMs + (mustBeOver ? Math.max(LONGEST_MS, route.timeoutMs) : 0)
}

/** The facts of a message without a verdict. @param startedAt Epoch milliseconds. */
export function toUnclaimed(
  message: ReceivedMessage,
  startedAt: number,
  facts: Pick<RequestFacts, 'operation' | 'status' | 'tenant'>,
): RequestFacts {
  const { correlationId } = readCorrelation(correlationHeaders(message), () => crypto.randomUUID())
  return {
    ...NO_FACTS,
    ...facts,
    method: 'QUEUE',
    correlationId,
    operationId: null,
    fence: 0,
    totalMs: Date.now() - startedAt,
    ageMs: 0,
  }
}
