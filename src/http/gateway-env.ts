import type { Context, Env } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import type { MessageFacts } from '../core/message-fate.ts'
import type { OperationContext } from '../core/operation/operation-context.ts'
import type { MessageRef } from '../core/operation/record.ts'
import type { RequestFacts } from '../core/request-facts.ts'

/** A queue message that is handled as a request. */
export interface MessageScope {
  readonly tenant: string
  readonly message: MessageRef
  /** Name of the consumer that has the operation for itself; empty if requests share it. */
  readonly consumer: string
  /** How to find the HTTP route that shares its operations: by path, or by the policy's name; `null` if none does. */
  readonly routeBy: 'path' | 'name' | null
  /** Whether at most one more delivery follows. */
  readonly isNearEnd: boolean
  /** Whether it may be executed if its operation is forgotten. */
  readonly mayExecute: boolean
  /** Runs the handler of the message in the Worker, and returns its result. */
  readonly runHandler: (c: Context<GatewayEnv>) => unknown
  /** Called once, with the verdict and the facts to count. */
  readonly conclude: (verdict: MessageFacts, facts: RequestFacts) => void
}

/** Name of the scope among the bindings. As a symbol, it cannot come from outside. */
const MESSAGE = Symbol('message')

/** The message that a request stands for; `undefined` for a request of a client. */
export const messageOf = (env: HapaxEnv): MessageScope | undefined =>
  (env as { readonly [MESSAGE]?: MessageScope })[MESSAGE]

/** The bindings of a request that stands for a message. */
export function withMessage(env: HapaxEnv, scope: MessageScope): HapaxEnv {
  const beside = { [MESSAGE]: scope }
  return { ...env, ...beside }
}

/** What Hapax adds to the Hono environment of an app. */
export interface HapaxVariables {
  Variables: {
    /** The operation that the handler executes. */
    hapax: OperationContext
  }
}

/** The Hono environment of a gateway's app, as Hapax itself needs it. */
export interface GatewayEnv {
  Bindings: HapaxEnv
  Variables: HapaxVariables['Variables'] & {
    /** The operator that an admin request comes from. */
    actor?: string
  }
}

/**
 * Resolves the tenant of a request: the party within which its key is unique. It is written to
 * metrics and logs, so it must not be a secret. Return `null` if there is no tenant: the request is
 * then rejected.
 */
export type TenantResolver<E extends Env = Any> = (
  c: Context<E>,
) => string | null | undefined | Promise<string | null | undefined>

/** The environment of any app. */
// oxlint-disable-next-line typescript/no-explicit-any -- no other type fits every app
export type Any = any

/** The tenant of a request, or why it has none. */
export type Identity =
  | {
      readonly kind: 'known'
      readonly tenant: string
      /** Whether the tenant was verified, or is only claimed by the request. */
      readonly isVerified: boolean
    }
  /** Its credentials cannot identify a tenant. The text says what to do instead. */
  | { readonly kind: 'refused'; readonly detail: string }
  | { readonly kind: 'nobody' }
  /** The verification failed or could not be reached. */
  | { readonly kind: 'unverified' }

/** Resolves the tenant of a request. */
export type Identify = (c: Context<GatewayEnv>) => Promise<Identity>
