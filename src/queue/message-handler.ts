import type { HapaxEnv } from '../config/env.ts'
import type { EmittedEvent } from '../core/event/event.ts'
import type { OperationContext } from '../core/operation/operation-context.ts'
import type { ReceivedMessage } from './message.ts'

/** Second argument of a message handler. */
export interface MessageContext extends OperationContext {
  readonly env: HapaxEnv
  /** W3C Trace Context. */
  readonly traceparent: string
  readonly tenant: string
  /** Adds an event, which is stored in one transaction with the result of the operation. */
  readonly emit: (event: EmittedEvent) => void
  readonly waitUntil: (work: Promise<unknown>) => void
}

/** A message with its type and payload, as its handler gets it. */
export interface HandledMessage extends ReceivedMessage {
  readonly type: string
  readonly payload: unknown
}

/**
 * Handles a message. It returns the result to store: a `Response`, a JSON value, or nothing. If it
 * throws a Hono `HTTPException`, the status counts, so 503 means that nothing was executed, as does a
 * `NotExecuted`. After any other error, the outcome is unknown.
 */
export type MessageHandler = (message: HandledMessage, ctx: MessageContext) => unknown

/** Sends the payload of a message to the origin. */
export interface Forwarding {
  readonly forward: string
  readonly method: string
}

/**
 * Sends the payload of a message to the origin, as if a client had sent it to this path of the
 * gateway. An HTTP request with the same key is the same operation.
 *
 * @param path May contain `{/pointer}`, which is replaced by a value of the payload, percent-encoded.
 * @example consume({ 'payment.requested': forward('/payments') }, { tenant: attribute('tenant') })
 */
export function forward(path: string, { method = 'POST' } = {}): Forwarding {
  return { forward: path, method }
}

/** Whether a value is made by `forward`. */
export function isForwarding(value: unknown): value is Forwarding {
  const isObject = typeof value === 'object' && value !== null
  return isObject && 'forward' in value && typeof value.forward === 'string'
}

/** Whether a value is a function or made by `forward`. */
export function isHandler(value: unknown): value is MessageHandler | Forwarding {
  return typeof value === 'function' || isForwarding(value)
}
