import type { HapaxEnv } from '../config/env.ts'
import { backoffMs } from '../core/retry.ts'
import { logFault } from '../metrics/log.ts'
import { inTime } from '../platform/in-time.ts'
import { bury } from './bury.ts'
import { type Consumer, type ConsumeOptions, type Handlers, readConsumer } from './consumer.ts'
import { nameOf } from './consumers.ts'
import { handle, type HandledFate } from './handle.ts'
import type { ReceivedMessage } from './message-source.ts'
import { BATCH_MS, shareMs } from './patience.ts'

type AnyQueueHandler = ExportedHandlerQueueHandler<HapaxEnv>

/** A `queue()` handler whose messages are done once. */
export type QueueConsumer = AnyQueueHandler & {
  /**
   * Does again what was a dead letter. Where its operation has come to a result since, that counts.
   *
   * @param how `mayExecute`: whether it may be done where nothing is known of its operation any more.
   * @returns Whether it is done; else why not.
   */
  readonly redo: (
    message: ReceivedMessage,
    env: HapaxEnv,
    ctx: ExecutionContext,
    how: Redoing,
  ) => Promise<HandledFate>
}

/** How a dead letter is done again. */
interface Redoing {
  readonly mayExecute: boolean
}

/** What takes the messages of a queue: a consumer, or a handler of the deployer's own. */
export type QueueHandler = QueueConsumer | AnyQueueHandler

/**
 * Makes a consumer of Cloudflare Queues: every message is an operation in the same ledger as those
 * of HTTP requests, done once, however often it is delivered. Each is acknowledged or tried again on
 * its own; what can never be done is a dead letter and says why.
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
    const waiting = [...batch.messages]
    const endsAt = Date.now() + BATCH_MS
    const until = endingAt(ctx, endsAt)
    const consumer = named(batch.queue)
    const work = async () => {
      for (let message = waiting.shift(); message !== undefined; message = waiting.shift()) {
        const patienceMs = shareMs(endsAt - Date.now(), waiting.length + 1, consumer.concurrency)
        const taken = { ...received(message, batch.queue), message, patienceMs }
        // oxlint-disable-next-line no-await-in-loop -- each of the workers takes one after the other
        await take(consumer, taken, env, until)
      }
    }
    await Promise.all(Array.from({ length: consumer.concurrency }, work))
  }
  const redo: QueueConsumer['redo'] = (message, env, ctx, { mayExecute }) =>
    handle(
      named(message.queue),
      {
        message,
        isFirst: false,
        isLast: false,
        isNearEnd: false,
        mayExecute,
        patienceMs: Infinity,
      },
      env,
      ctx,
    )
  const itself = Object.assign(queue, { redo })
  // `createWorker` names it, which comes later.
  const named = (of: string): Consumer => ({ ...read, name: read.name ?? nameOf(itself, of) })
  return itself
}

function received({ id, body, attempts, timestamp }: Message, queue: string): ReceivedMessage {
  return { id, queue, body, attempts, timestamp }
}

/**
 * The platform is told of a batch only when what its messages have left to be waited for is over:
 * that must not last longer than the batch.
 */
function endingAt(ctx: ExecutionContext, endsAt: number): ExecutionContext {
  const waitUntil = (work: Promise<unknown>) =>
    ctx.waitUntil(inTime(work, endsAt - Date.now()).catch(() => {}))
  return new Proxy(ctx, {
    get: (target, name) => (name === 'waitUntil' ? waitUntil : bound(target, name)),
  })
}

function bound(target: ExecutionContext, name: string | symbol): unknown {
  const member: unknown = Reflect.get(target, name)
  return typeof member === 'function' ? member.bind(target) : member
}

interface Taken extends ReceivedMessage {
  readonly message: Message
  readonly patienceMs: number
}

/** Handles one message and tells the platform. Whatever fails concerns this message alone. */
async function take(
  consumer: Consumer,
  { message, patienceMs, ...read }: Taken,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<void> {
  // There is no time to begin it any more: it comes back as it is.
  if (patienceMs === 0) return message.retry()
  const isFirst = read.attempts === 1
  const leftDeliveries = consumer.retry.attempts - read.attempts
  const left = { isLast: leftDeliveries <= 0, isNearEnd: leftDeliveries <= 1 }
  const delivery = { message: read, isFirst, ...left, mayExecute: true, patienceMs }
  const fate = await handle(consumer, delivery, env, ctx)
  const isKept = fate.kind !== 'dead-letter' || (await tryBury(env, read, fate))
  if (fate.kind !== 'retry' && isKept) message.ack()
  else message.retry(delayOf(consumer, read, fate))
}

/** How long the directory may take, in milliseconds. */
const BURY_MS = 10_000

/** @returns Whether it was kept: a message that was not is no dead letter yet. */
async function tryBury(...letter: Parameters<typeof bury>): Promise<boolean> {
  try {
    await inTime(bury(...letter), BURY_MS)
    return true
  } catch (error) {
    logFault('a dead letter could not be kept; the message will be tried again', error)
    return false
  }
}

const MAX_DELAY_SECONDS = 43_200

function delayOf({ retry }: Consumer, { attempts }: ReceivedMessage, { waitMs }: HandledFate) {
  const delayMs = backoffMs(retry, attempts, Math.random())
  const delaySeconds = Math.ceil(Math.max(delayMs, waitMs) / 1_000)
  return { delaySeconds: Math.min(MAX_DELAY_SECONDS, delaySeconds) }
}
