import { uneval } from 'devalue'
import type { Context } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import { toBase64 } from '../core/base64.ts'
import type { CloudEvent } from '../core/event.ts'
import { type Decision, FORGOTTEN, IN_DOUBT } from '../core/message-fate.ts'
import type { DeadLetter } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { deliver } from '../outbox/delivery.ts'
import { openStoredBytes } from '../platform/at-rest.ts'
import { consumerOf } from '../queue/consumer-registry.ts'
import { readLetterBytes } from '../queue/letter-bytes.ts'
import type { DeliveredFate } from '../queue/message-turn.ts'
import type { ReceivedMessage } from '../queue/message.ts'
import { readClone, writeClone } from '../queue/structured-clone.ts'
import { askDirectory } from './ask.ts'

/** A dead letter, and what is in it; `null` where it cannot be opened any more. */
type OpenLetter = Omit<DeadLetter, 'bytes'> & { readonly content: unknown }

/** Shows a dead letter with what is in it, for who is to decide about it. */
export async function openLetter(env: HapaxEnv, letter: DeadLetter): Promise<OpenLetter> {
  const { bytes: _, ...shown } = letter
  const text = await open(env, letter)
  if (text === null) return { ...shown, content: null }
  if (letter.from === 'outbox') {
    const content = JSON.parse(text) as CloudEvent
    return { ...shown, type: content.type, content }
  }
  return { ...shown, content: await toContent(text) }
}

/** How a dead letter is replayed. */
export interface Replay {
  /** Whether an operator overrides what was decided about it. */
  readonly override: boolean
}

/**
 * Delivers an event again, or does a message again, right now. What was decided about a message
 * holds where nothing is known of its operation any more, unless an operator overrides it.
 *
 * @returns Why that did not succeed, for people, or `null`.
 */
export async function replayLetter(
  c: Context<GatewayEnv>,
  app: object,
  letter: DeadLetter,
  { override }: Replay,
): Promise<string | null> {
  const text = await open(c.env, letter)
  if (text === null) return letter.isUnopened === true ? `${SHUT} ${PUT_BACK}` : SHUT
  if (letter.destination !== null) {
    const end = await deliver(c.env, letter.destination, JSON.parse(text) as CloudEvent)
    return end.kind === 'delivered' ? null : `It was not delivered: ${end.reason}.`
  }
  const mayExecute = override || decisionOf(letter) === undefined
  return redo(c, app, letter, { text, mayExecute })
}

async function redo(
  c: Context<GatewayEnv>,
  app: object,
  letter: DeadLetter,
  { text, mayExecute }: { readonly text: string; readonly mayExecute: boolean },
): Promise<string | null> {
  const message = readMessage(text)
  if (message === null) return LOST
  const consumer = consumerOf(app, message.queue)
  if (consumer === undefined) return `Nothing consumes the queue ${message.queue} any more.`
  const again = { ...message, attempts: 1 }
  const fate = await consumer.redo(again, c.env, c.executionCtx, { mayExecute })
  if (fate.kind === 'ack') return null
  const reason = 'reason' in fate ? fate.reason : fate.kind
  if (decisionOf(letter) === undefined) await noteDecision(c, letter, fate)
  return reason === FORGOTTEN ? `${letter.reason}: ${OVERRIDE}` : `It is not done: ${reason}.`
}

/** @returns `null` where the message could not be kept, or what was kept is damaged. */
function readMessage(text: string): ReceivedMessage | null {
  try {
    const message = readClone(text)
    const isMessage = typeof message === 'object' && message !== null && 'queue' in message
    return isMessage ? (message as ReceivedMessage) : null
  } catch {
    return null
  }
}

/** What a replay has found out outlives the operation as well as what its last delivery did. @throws {NoAnswer} */
async function noteDecision(
  c: Context<GatewayEnv>,
  { id }: DeadLetter,
  { operationId, ...fate }: DeliveredFate,
): Promise<void> {
  if (fate.kind === 'retry' && (IN_DOUBT.has(fate.reason) || fate.reason === 'in-progress')) {
    const decision = 'outcome-unknown'
    return askDirectory(c, (it) => it.decide(id, { decision, reason: decision, operationId }))
  }
  if (fate.kind !== 'dead-letter' || fate.decision === undefined) return
  const { decision, reason } = fate
  await askDirectory(c, (it) => it.decide(id, { decision, reason, operationId }))
}

/** What was decided about a message, also where an earlier version has kept only the reason. */
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
const LOST = 'What the message held could not be kept.'
const PUT_BACK = 'Set that secret as HAPAX_SEAL_KEY_PREVIOUS, then replay the letter again.'

async function open(env: HapaxEnv, letter: DeadLetter): Promise<string | null> {
  const { id, bytes, isUnopened = false, operationId } = letter
  try {
    const opened = isUnopened
      ? await openStoredBytes(env, 'event', operationId ?? '', bytes)
      : await openStoredBytes(env, 'dead letter', id, bytes)
    return await readLetterBytes(opened)
  } catch {
    return null
  }
}

/** What a message holds, for people; as it is stored where nothing else can show it. */
async function toContent(text: string): Promise<unknown> {
  try {
    const message = readClone(text) as ReceivedMessage | undefined
    return message === undefined ? LOST : await toShown(message.body)
  } catch {
    return text
  }
}

/** A message may hold what JSON cannot say: bytes are shown in Base64, anything else as JavaScript. */
async function toShown(body: unknown): Promise<unknown> {
  if (body instanceof ArrayBuffer) return toBase64(new Uint8Array(body))
  const json = toJson(body)
  if (json === null || (await writeClone(JSON.parse(json))) !== (await writeClone(body))) {
    return uneval(body, (value, js) => {
      if (!(value instanceof Error)) return
      const { name, message, cause } = value
      const members = { name, ...(cause !== undefined && { cause }) }
      return js`Object.assign(new Error(${message}), ${members})`
    })
  }
  // Too deep for who is to read it, here or there.
  return depthOf(json) > MAX_DEPTH ? json : body
}

/** @returns `null` where it holds nothing, a BigInt or itself, or is too deep. */
function toJson(body: unknown): string | null {
  try {
    return JSON.stringify(body) ?? null
  } catch {
    return null
  }
}

const MAX_DEPTH = 200

/** How deep a JSON text is nested at the most. */
function depthOf(json: string): number {
  let [depth, deepest] = [0, 0]
  for (const [char] of json.matchAll(/[[\]{}]/g)) {
    depth += char === '[' || char === '{' ? 1 : -1
    deepest = Math.max(deepest, depth)
  }
  return deepest
}
