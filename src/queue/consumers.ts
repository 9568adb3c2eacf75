import type { QueueConsumer, QueueHandler } from './consume.ts'

type ConsumerOf = (queue: string) => QueueHandler | undefined

const attached = new WeakMap<object, ConsumerOf>()
const names = new WeakMap<QueueHandler, string>()

/** Lets the admin API of an app reach the consumers of its Worker. */
export function attachConsumers(app: object, lookUp: ConsumerOf): void {
  attached.set(app, lookUp)
}

/**
 * Names each consumer of a Worker by the first of its queues, so that it has done under all of them
 * what it has done under one; one that takes every queue has an empty name.
 */
export function nameConsumers(queue: QueueHandler | Readonly<Record<string, QueueHandler>>): void {
  const named = typeof queue === 'function' ? [['', queue] as const] : Object.entries(queue)
  for (const [name, consumer] of named) if (!names.has(consumer)) names.set(consumer, name)
}

/** What a consumer is called where it says nothing itself. @param queue Names one that no Worker has. */
export function nameOf(consumer: QueueHandler, queue: string): string {
  return names.get(consumer) ?? queue
}

/** The consumer of a queue, where the app's Worker has one. */
export function consumerOf(app: object, queue: string): QueueConsumer | undefined {
  const handler = attached.get(app)?.(queue)
  return handler !== undefined && 'redo' in handler ? handler : undefined
}
