import type { ExecutionContext } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import { backoffMs } from '../core/retry.ts'
import { logFault } from '../metrics/log.ts'
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
import type { DeliveredFate } from './message-turn.ts'
import type { ReceivedMessage } from './message.ts'

/**
 * Makes a consumer of Cloudflare Queues: every message is an operation in the same ledger as those
 * of HTTP requests, done once, however often it is delivered. Each is acknowledged or tried again on
 * its own; a message that can never be done becomes a dead letter that says why.
 *
 * @param handlers By type of message; `'*'` takes every other. A function handles all of them.
 * @param options `docs/queues.md` lists the fields.
 * @throws {Error} When an option is not valid, naming it.
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
    const delivery = { message, isFirst: false, leftDeliveries: Infinity, mayExecute }
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

/** Takes the messages of a batch, several at once, in the time that a batch has. */
async function takeBatch(
  consumer: Consumer,
  { messages, queue }: MessageBatch,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<void> {
  const waiting = [...messages]
  const endsAt = Date.now() + BATCH_MS
  const until = endingAt(ctx, endsAt)
  const work = async () => {
    for (let message = waiting.shift(); message !== undefined; message = waiting.shift()) {
      const patienceMs = shareMs(endsAt - Date.now(), waiting.length + 1, consumer.concurrency)
      // oxlint-disable-next-line no-await-in-loop -- each of the workers takes one after the other
      await take(consumer, { message, queue, patienceMs }, env, until)
    }
  }
  await Promise.all(Array.from({ length: consumer.concurrency }, work))
}

/**
 * The platform learns the end of a batch only after all work given to `waitUntil`: that must not
 * last longer than the batch.
 */
function endingAt(ctx: ExecutionContext, endsAt: number): ExecutionContext {
  return {
    props: ctx.props,
    passThroughOnException: () => ctx.passThroughOnException(),
    waitUntil: (work) => ctx.waitUntil(inTime(work, endsAt - Date.now()).catch(() => {})),
  }
}

/** Delivers one message and tells the platform what becomes of it. A failure concerns this message alone. */
async function take(
  consumer: Consumer,
  { message, queue, patienceMs }: { message: Message; queue: string; patienceMs: number },
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<void> {
  // No time is left to begin it: the platform delivers it again.
  if (patienceMs === 0) return message.retry()
  const { id, body, attempts, timestamp } = message
  const received = { id, queue, body, attempts, timestamp }
  const left = { isFirst: attempts === 1, leftDeliveries: consumer.retry.attempts - attempts }
  const delivery = { message: received, ...left, mayExecute: true, patienceMs }
  const fate = await deliverMessage(consumer, delivery, env, ctx)
  const isKept = fate.kind !== 'dead-letter' || (await tryBury(env, received, fate))
  if (fate.kind !== 'retry' && isKept) message.ack()
  else message.retry(delayOf(consumer, received, fate))
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

function delayOf({ retry }: Consumer, { attempts }: ReceivedMessage, { waitMs }: DeliveredFate) {
  const delayMs = backoffMs(retry, attempts, Math.random())
  const delaySeconds = Math.ceil(Math.max(delayMs, waitMs) / 1_000)
  return { delaySeconds: Math.min(MAX_DELAY_SECONDS, delaySeconds) }
}
