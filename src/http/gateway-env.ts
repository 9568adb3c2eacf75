import type { Context } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import type { Digest } from '../core/digest.ts'
import type { MessageFacts } from '../core/message-fate.ts'
import type { MessageRef } from '../core/operation/record.ts'
import type { RequestFacts } from '../core/request-facts.ts'
import type { Correlation } from '../core/request/correlation.ts'

/** Facts of a request that the gateway knows before routing. */
export interface RequestScope {
  /** Epoch milliseconds when it arrived. */
  readonly startedAt: number
  /** Made when it is first needed. */
  readonly correlation: Correlation
  readonly digest: Digest
  readonly identify: Identify
}

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
export const MESSAGE = Symbol('message')

/** The Hono environment of a gateway's app. */
export interface GatewayEnv {
  Bindings: HapaxEnv & { readonly [MESSAGE]?: MessageScope }
  Variables: {
    hapax: RequestScope
    /** The operator that an admin request comes from. */
    actor?: string
  }
}

/**
 * Resolves the tenant of a request: the party within which its key is unique. It is written to
 * metrics and logs, so it must not be a secret. Return `null` if there is no tenant: the request is
 * then rejected.
 */
export type TenantResolver = (
  c: Context<GatewayEnv>,
) => string | null | undefined | Promise<string | null | undefined>

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
