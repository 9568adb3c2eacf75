import type { QueueConsumer, QueueHandler } from './consume.ts'

type ConsumerOf = (queue: string) => QueueHandler | undefined

const attached = new WeakMap<object, ConsumerOf>()

/** Lets the admin API of an app reach the consumers of its Worker. */
export function attachConsumers(app: object, lookUp: ConsumerOf): void {
  attached.set(app, lookUp)
}

/** The consumer of a queue, where the app's Worker has one. */
export function consumerOf(app: object, queue: string): QueueConsumer | undefined {
  const handler = attached.get(app)?.(queue)
  return handler !== undefined && 'redo' in handler ? handler : undefined
}
