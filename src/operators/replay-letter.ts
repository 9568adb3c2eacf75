import type { Context } from 'hono'

import type { CloudEvent } from '../core/event/event.ts'
import { type Decision, FORGOTTEN, IN_DOUBT } from '../core/message-fate.ts'
import type { DeadLetter, Decided } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { deliver } from '../outbox/delivery.ts'
import { consumerOf } from '../queue/consumer-registry.ts'
import type { DeliveredFate } from '../queue/message-turn.ts'
import type { ReceivedMessage } from '../queue/message.ts'
import { readClone } from '../queue/structured-clone.ts'
import { askDirectory } from './ask-objects.ts'
import { LOST, openText } from './letter-content.ts'

/** How a dead letter is replayed. */
export interface Replay {
  /** Whether an operator overrides an earlier decision about it. */
  readonly override: boolean
}

/**
 * Delivers the event of a dead letter, or processes its message, right now. A decision about a
 * message holds after its operation is forgotten, unless an operator overrides it.
 *
 * @param app The gateway's app, whose consumer processes the message.
 * @returns Why that did not succeed, for people, or `null`.
 */
export async function replayLetter(
  c: Context<GatewayEnv>,
  app: object,
  letter: DeadLetter,
  { override }: Replay,
): Promise<string | null> {
  const text = await openText(c.env, letter)
  if (text === null) return letter.isUnopened === true ? `${SHUT} ${PUT_BACK}` : SHUT
  if (letter.destination !== null) {
    const end = await deliver(c.env, letter.destination, JSON.parse(text) as CloudEvent)
    return end.kind === 'delivered' ? null : `It was not delivered: ${end.reason}.`
  }
  return replayMessage(c, app, letter, { text, override })
}

async function replayMessage(
  c: Context<GatewayEnv>,
  app: object,
  letter: DeadLetter,
  { text, override }: Replay & { readonly text: string },
): Promise<string | null> {
  const message = readMessage(text)
  if (message === null) return LOST
  const consumer = consumerOf(app, message.queue)
  if (consumer === undefined) return `Nothing consumes the queue ${message.queue} any more.`
  const isDecided = decisionOf(letter) !== undefined
  const again = { ...message, attempts: 1 }
  const mayExecute = override || !isDecided
  const fate = await consumer.redo(again, c.env, c.executionCtx, { mayExecute })
  if (fate.kind === 'ack') return null
  const decided = isDecided ? null : toDecided(fate)
  // Kept with the letter, since the operation may be forgotten before the next replay.
  if (decided !== null) await askDirectory(c, (it) => it.decide(letter.id, decided))
  const reason = 'reason' in fate ? fate.reason : fate.kind
  return reason === FORGOTTEN ? `${letter.reason}: ${OVERRIDE}` : `It is not done: ${reason}.`
}

/** @returns `null` if the message could not be kept, or is damaged. */
function readMessage(text: string): ReceivedMessage | null {
  try {
    const message = readClone(text)
    const isMessage = typeof message === 'object' && message !== null && 'queue' in message
    return isMessage ? (message as ReceivedMessage) : null
  } catch {
    return null
  }
}

/** The decision that a replay has led to, as its last delivery would have; `null` if there is none. */
function toDecided({ operationId, ...fate }: DeliveredFate): Decided | null {
  if (fate.kind === 'retry' && (IN_DOUBT.has(fate.reason) || fate.reason === 'in-progress')) {
    return { decision: 'outcome-unknown', reason: 'outcome-unknown', operationId }
  }
  if (fate.kind !== 'dead-letter' || fate.decision === undefined) return null
  return { decision: fate.decision, reason: fate.reason, operationId }
}

/** The decision about a message. Earlier versions have kept only the reason. */
function decisionOf({ decision, from, reason }: DeadLetter): Decision | undefined {
  if (decision !== undefined || from === 'outbox') return decision
  if (IN_DOUBT.has(reason.replace(/^retries-exhausted: /, ''))) return 'outcome-unknown'
  if (reason === 'failed') return reason
  return /^(?:This key was used for another|They differ|key-reused)/.test(reason)
    ? 'mismatch'
    : undefined
}

const OVERRIDE =
  'this was decided about it, and nothing is known of its operation any more. Where it is to be done all the same, replay it with { "override": true } (on the command line: --override).'

const SHUT = 'It was sealed under a secret that this deployment no longer has.'
const PUT_BACK = 'Set that secret as HAPAX_SEAL_KEY_PREVIOUS, then replay the letter again.'
