import { parse } from 'devalue'
import type { Context } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import type { CloudEvent } from '../core/event.ts'
import { openStoredBytes } from '../durable/at-rest.ts'
import { deliver } from '../durable/delivery.ts'
import type { DeadLetter } from '../durable/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { consumerOf } from '../queue/consumers.ts'
import type { ReceivedMessage } from '../queue/message-source.ts'

/** Shows a dead letter with what is in it, for who is to decide about it. */
export async function openLetter(env: HapaxEnv, letter: DeadLetter): Promise<object> {
  const { bytes: _, at, ...head } = letter
  const shown = { ...head, at: new Date(at).toISOString() }
  const text = await open(env, letter)
  if (text === null) return { ...shown, content: null }
  if (letter.from === 'outbox') return { ...shown, content: JSON.parse(text) as CloudEvent }
  const { body } = parse(text) as ReceivedMessage
  return { ...shown, content: body instanceof ArrayBuffer ? toBase64(body) : body }
}

/**
 * Delivers an event again, or does a message again, right now.
 *
 * @returns Why that did not succeed, for people, or `null`.
 */
export async function replayLetter(
  c: Context<GatewayEnv>,
  app: object,
  letter: DeadLetter,
): Promise<string | null> {
  const text = await open(c.env, letter)
  if (text === null) return 'It was sealed under a secret that this deployment no longer has.'
  if (letter.destination !== null) {
    const end = await deliver(c.env, letter.destination, JSON.parse(text) as CloudEvent)
    return end.kind === 'delivered' ? null : `It was not delivered: ${end.reason}.`
  }
  const message = parse(text) as ReceivedMessage
  const consumer = consumerOf(app, message.queue)
  if (consumer === undefined) return `Nothing consumes the queue ${message.queue} any more.`
  const fate = await consumer.redo(
    { ...message, attempts: 1 },
    c.env,
    c.executionCtx as ExecutionContext,
  )
  return fate.kind === 'ack'
    ? null
    : `It is not done: ${'reason' in fate ? fate.reason : fate.kind}.`
}

async function open(env: HapaxEnv, { id, bytes }: DeadLetter): Promise<string | null> {
  try {
    const opened = await openStoredBytes(env, 'dead letter', id, bytes)
    return new TextDecoder().decode(opened)
  } catch {
    return null
  }
}

const toBase64 = (bytes: ArrayBuffer) => btoa(String.fromCharCode(...new Uint8Array(bytes)))
