import type { Destination } from '../core/event/destination.ts'
import type { Death } from '../core/event/event-delivery.ts'

/** Where an event goes: to a receiver outside, or to the operator's list. */
export type Recipient = Destination | { readonly to: 'directory' }

/** The receiver of what an operator should see: an object of the deployment, so nothing leaves it. */
export const DIRECTORY = 'directory'

/** Names the receiver of an event: a queue, the server of a URL, or the directory, which also gets dead events. */
export function receiverOf(event: {
  readonly recipient: Recipient
  readonly death?: Death | undefined
}): string {
  const { recipient, death } = event
  if (recipient.to === 'directory' || death !== undefined) return DIRECTORY
  if (recipient.to === 'queue') return `queue ${recipient.binding}`
  return URL.parse(recipient.url)?.origin ?? recipient.url
}
