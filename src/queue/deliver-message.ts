import type { ExecutionContext } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import { createDigest } from '../core/digest.ts'
import { exhaust, type MessageFate } from '../core/message-fate.ts'
import type { Disposition, RequestFacts } from '../core/request-facts.ts'
import { logFault } from '../metrics/log.ts'
import { recordRequest } from '../metrics/record-request.ts'
import type { Consumer } from './consume-options.ts'
import { type MessageRequest, readMessage } from './message-request.ts'
import {
  decideDelivery,
  type DeliveredFate,
  type MessageDelivery,
  takeTurn,
  toUnclaimed,
} from './message-turn.ts'
import { attributeOf, type ReceivedMessage } from './message.ts'

/** Reads a message and sends it through the pipeline as a request. Does not throw. */
export async function deliverMessage(
  consumer: Consumer,
  delivery: MessageDelivery,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<DeliveredFate> {
  const startedAt = Date.now()
  const { message } = delivery
  const concludeUnclaimed = (fate: Exclude<MessageFate, { kind: 'again' }>) => {
    const facts = { operation: message.queue, tenant: null, status: 'rejected' } as const
    recordRequest(env, { ...toUnclaimed(message, startedAt, facts), disposition: fate.kind })
    return { ...fate, ...ownNames(message) }
  }
  try {
    const read = await readMessage(consumer, message, createDigest(env.HAPAX_DIGEST_KEY))
    if (!read.ok) return concludeUnclaimed({ kind: 'dead-letter', reason: read.error })
    return await takeTurns(consumer, { ...delivery, ...read.value }, env, ctx)
  } catch (error) {
    logFault('a message could not be handled', error)
    const fate = { kind: 'retry', reason: 'fault' } as const
    return concludeUnclaimed(exhaust(fate, decideDelivery(consumer, delivery, 0)))
  }
}

/** The names in a message that no route has read. */
function ownNames(message: ReceivedMessage) {
  const textOf = (attribute: string) => {
    const value = attributeOf(message, attribute)
    return typeof value === 'string' && value !== '' ? value : null
  }
  const [type, correlationId] = [textOf('type'), textOf('correlationid')]
  return { tenant: null, operationId: null, waitMs: 0, type, correlationId }
}

/** Maximum number of turns of one delivery. */
const MAX_TURNS = 3
const UNSETTLED = { kind: 'retry', reason: 'unsettled' } as const

/** Sends a message through the pipeline until its fate is known, and counts it once. */
async function takeTurns(
  consumer: Consumer,
  { patienceMs, ...read }: MessageRequest & MessageDelivery,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<DeliveredFate> {
  const { leaseMs: waitMs, timeoutMs } = read.route
  const startedAt = Date.now()
  const endsAt = startedAt + Math.min(timeoutMs, patienceMs)
  let { isFirst } = read
  let before: RequestFacts | null = null
  for (let nth = 1; ; nth++) {
    const turn = { ...read, isFirst, startedAt, endsAt, before }
    // oxlint-disable-next-line no-await-in-loop -- the next one after this one's end
    const { fate, facts } = await takeTurn(consumer, turn, env, ctx)
    const count = (disposition: Disposition) => {
      if (facts !== null) recordRequest(env, { ...facts, disposition })
    }
    if (fate.kind !== 'again') {
      count(fate.kind)
      return fate
    }
    if (nth === MAX_TURNS) {
      const last = exhaust(UNSETTLED, decideDelivery(consumer, read, waitMs))
      count(last.kind)
      return { ...fate, waitMs, ...last }
    }
    if (fate.isOwn) isFirst = false
    before = facts
  }
}
