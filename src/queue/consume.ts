import type { ExecutionContext } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import { requireBindings } from '../config/required-bindings.ts'
import { backoffMs } from '../core/retry/retry.ts'
import { logFault } from '../metrics/log.ts'
import { fewAtOnce } from '../platform/few-at-once.ts'
import { inTime } from '../platform/in-time.ts'
import { BATCH_MS, shareMs } from './batch-time.ts'
import { buryMessage } from './bury-message.ts'
import {
  type Consumer,
  type ConsumeOptions,
  type Handlers,
  readConsumer,
} from './consume-options.ts'
import { consumerNameOf, type QueueConsumer } from './consumer-registry.ts'
import { deliverMessage } from './deliver-message.ts'
import type { DeliveredFate, MessageDelivery } from './message-turn.ts'

/**
 * Creates a consumer for Cloudflare Queues. Each message is an operation like an HTTP request, and is
 * executed once, however often it is delivered. Messages are acknowledged or retried one by one. A
 * message that can never be executed becomes a dead letter with the reason.
 *
 * @param handlers Handlers by type of message; `'*'` handles all other types. A single function
 *   handles all messages.
 * @param options `docs/queues.md` lists the fields.
 * @throws {Error} If an option is invalid. The message names it.
 * @example
 * export default createWorker(app, {
 *   queue: consume({ 'report.requested': render }, { tenant: attribute('tenant') }),
 * })
 */
export function consume(handlers: Handlers, options: ConsumeOptions): QueueConsumer {
  const read = readConsumer(handlers, options)
  async function queue(batch: MessageBatch, env: HapaxEnv, ctx: ExecutionContext): Promise<void> {
    await takeBatch(named(batch.queue), batch, env, ctx)
  }
  const redo: QueueConsumer['redo'] = (message, env, ctx, { mayExecute }) => {
    const delivery = { message, isFirst: false, leftDeliveries: Infinity, mayExecute, random: 0 }
    return deliverMessage(named(message.queue), { ...delivery, patienceMs: Infinity }, env, ctx)
  }
  const consumer = Object.assign(queue, { redo })
  // `createWorker` gives it its name later.
  const named = (of: string): Consumer => ({
    ...read,
    name: read.name ?? consumerNameOf(consumer, of),
  })
  return consumer
}

/** Handles the messages of a batch, several at once, in the time that the platform allows. */
async function takeBatch(
  consumer: Consumer,
  batch: MessageBatch,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<void> {
  if (isUnbound(batch, env)) return batch.retryAll({ delaySeconds: UNBOUND_SECONDS })
  const { messages, queue } = batch
  const endsAt = Date.now() + BATCH_MS
  const until = endingAt(ctx, endsAt)
  const { concurrency } = consumer
  await fewAtOnce(messages.entries(), concurrency, async ([index, message]) => {
    const patienceMs = shareMs(endsAt - Date.now(), messages.length - index, concurrency)
    await take(consumer, { message, queue, patienceMs }, env, until)
  })
}

/**
 * How long messages wait for their operator if the Worker lacks a binding. Every delivery counts, and
 * the last one could not be kept as a dead letter: with the default of three retries, there are three
 * hours to add the binding.
 */
const UNBOUND_SECONDS = 3_600

/** Whether the Worker lacks what every message needs. It is logged for each batch. */
function isUnbound({ queue }: MessageBatch, env: HapaxEnv): boolean {
  try {
    requireBindings(env)
    return false
  } catch (error) {
    logFault(`the queue ${queue} cannot be consumed; its messages wait for an hour`, error)
    return true
  }
}

/** A context whose `waitUntil` work ends with the batch, because the platform waits for that work. */
function endingAt(ctx: ExecutionContext, endsAt: number): ExecutionContext {
  return {
    props: ctx.props,
    passThroughOnException: () => ctx.passThroughOnException(),
    waitUntil: (work) => ctx.waitUntil(inTime(work, endsAt - Date.now()).catch(() => {})),
  }
}

/** Delivers one message, and acknowledges or retries it. A failure does not affect other messages. */
async function take(
  consumer: Consumer,
  { message, queue, patienceMs }: { message: Message; queue: string; patienceMs: number },
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<void> {
  // No time is left to start it, so the platform delivers it again.
  if (patienceMs === 0) return message.retry()
  const { id, body, attempts, timestamp } = message
  const received = { id, queue, body, attempts, timestamp }
  const left = { isFirst: attempts === 1, leftDeliveries: consumer.retry.attempts - attempts }
  const random = Math.random()
  const delivery = { message: received, ...left, mayExecute: true, patienceMs, random }
  if (left.isFirst) consumer.budget.noteCall(Date.now())
  const fate = await deliverMessage(consumer, delivery, env, ctx)
  const isKept = fate.kind !== 'dead-letter' || (await tryBury(env, received, fate))
  if (fate.kind !== 'retry' && isKept) message.ack()
  else message.retry(delayOf(consumer, delivery, fate))
}

/** How long the directory may take, in milliseconds. */
const BURY_MS = 10_000

/** @returns Whether the dead letter was kept; if not, the message is tried again. */
async function tryBury(...letter: Parameters<typeof buryMessage>): Promise<boolean> {
  try {
    await inTime(buryMessage(...letter), BURY_MS)
    return true
  } catch (error) {
    logFault('a dead letter could not be kept; the message will be tried again', error)
    return false
  }
}

const MAX_DELAY_SECONDS = 43_200

/** A message for which the budget has no retry is not given up: it waits for as long as the policy allows. */
function delayOf(
  { retry, budget }: Consumer,
  { message, random }: MessageDelivery,
  fate: DeliveredFate,
) {
  const { waitMs } = fate
  const isCall = fate.kind === 'retry' && fate.reason !== 'in-progress'
  const isPaid = !isCall || budget.takeRetry(Date.now())
  const delayMs = isPaid ? backoffMs(retry, message.attempts, random) : retry.capMs
  const delaySeconds = Math.ceil(Math.max(delayMs, waitMs) / 1_000)
  return { delaySeconds: Math.min(MAX_DELAY_SECONDS, delaySeconds) }
}
