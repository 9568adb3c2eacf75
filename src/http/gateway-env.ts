import type { Context } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import type { Correlation } from '../core/correlation.ts'
import type { Digest } from '../core/digest.ts'
import type { MessageFacts } from '../core/message-fate.ts'
import type { MessageRef } from '../core/record.ts'
import type { RequestFacts } from '../core/request-facts.ts'

/** What the gateway knows of a request before any route looks at it. */
interface RequestScope {
  /** Epoch milliseconds of its arrival. */
  readonly startedAt: number
  readonly correlation: Correlation
  readonly digest: Digest
  readonly identify: Identify
}

/** A queue message that is handled as a request. */
export interface MessageScope {
  readonly tenant: string
  readonly message: MessageRef
  /** Name of the consumer whose operation it is alone; empty: a request may ask for the same. */
  readonly consumer: string
  /**
   * What leads to the HTTP route whose operations it shares: its path, or the name that its policy
   * gives; `null` where it shares none.
   */
  readonly routeBy: 'path' | 'name' | null
  /** Whether its policy has one more delivery for it at most. */
  readonly isNearEnd: boolean
  /** Whether it may be done where nothing is known of its operation. */
  readonly mayExecute: boolean
  /** Does the message, where the Worker does it. @returns What the handler has returned. */
  readonly runHandler: (c: Context<GatewayEnv>) => unknown
  /** Told of the one verdict, and what is counted of it. */
  readonly conclude: (verdict: MessageFacts, facts: RequestFacts) => void
}

/** Under this name the scope stands beside the bindings: nothing from outside can be named so. */
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
 * Tells the tenant of a request: the party within which its key is unique. It is named in metrics
 * and logs, so it must be no secret.
 *
 * @returns `null` when the tenant cannot be told: the request is then refused.
 */
export type TenantResolver = (
  c: Context<GatewayEnv>,
) => string | null | undefined | Promise<string | null | undefined>

/** Whose a request is, as far as it says so. */
export type Identity =
  | {
      readonly kind: 'known'
      readonly tenant: string
      /** Whether somebody has verified that, or only the request says so. */
      readonly isVerified: boolean
    }
  /** It brings credentials that no tenant can be made of; the text says what to do instead. */
  | { readonly kind: 'refused'; readonly detail: string }
  | { readonly kind: 'nobody' }
  /** Nobody knows: what verifies callers is broken, or cannot be reached. */
  | { readonly kind: 'unverified' }

/** Tells whose a request is. */
export type Identify = (c: Context<GatewayEnv>) => Promise<Identity>
