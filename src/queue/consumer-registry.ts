import type { ExecutionContext } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import type { DeliveredFate } from './message-turn.ts'
import type { ReceivedMessage } from './message.ts'

type AnyQueueHandler = ExportedHandlerQueueHandler<HapaxEnv>

/** A `queue()` handler that executes each message once. */
export type QueueConsumer = AnyQueueHandler & {
  /**
   * Delivers the message of a dead letter again. If its operation has ended meanwhile, that result counts.
   *
   * @param how `mayExecute`: whether it may be executed if its operation is forgotten.
   * @returns Whether it is acknowledged, or why not.
   */
  readonly redo: (
    message: ReceivedMessage,
    env: HapaxEnv,
    ctx: ExecutionContext,
    how: { readonly mayExecute: boolean },
  ) => Promise<DeliveredFate>
}

/** A consumer, or a `queue()` handler of the deployer's own. */
export type QueueHandler = QueueConsumer | AnyQueueHandler

type ConsumerOf = (queue: string) => QueueHandler | undefined

const attached = new WeakMap<object, ConsumerOf>()
const names = new WeakMap<QueueHandler, string>()

/**
 * Registers the consumers of a Worker for the operators of its app. Each is named after its first
 * queue, so that the same keys count for all of its queues. A consumer of every queue has an empty name.
 *
 * @returns A function that finds the consumer of a queue.
 */
export function attachConsumers(
  app: object,
  queue: QueueHandler | Readonly<Record<string, QueueHandler>> = {},
): ConsumerOf {
  const isOne = typeof queue === 'function'
  const lookUp: ConsumerOf = (name) => (isOne ? queue : queue[name])
  attached.set(app, lookUp)
  for (const [name, consumer] of isOne ? [['', queue] as const] : Object.entries(queue)) {
    if (!names.has(consumer)) names.set(consumer, name)
  }
  return lookUp
}

/** The name of a consumer without the option `name`. @param queue Its name if no Worker has registered it. */
export function consumerNameOf(consumer: QueueHandler, queue: string): string {
  return names.get(consumer) ?? queue
}

/** The consumer of a queue, if the Worker of the app has one. */
export function consumerOf(app: object, queue: string): QueueConsumer | undefined {
  const handler = attached.get(app)?.(queue)
  return handler !== undefined && 'redo' in handler ? handler : undefined
}
