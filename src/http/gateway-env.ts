import type { Context, Env } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import type { MessageFacts } from '../core/message-fate.ts'
import type { OperationContext } from '../core/operation/operation-context.ts'
import type { MessageRef } from '../core/operation/record.ts'
import type { RequestFacts } from '../core/request-facts.ts'

/** Work of the deployment itself that is handled as a request. */
interface InnerScope {
  readonly tenant: string
  /** Name of what alone has the operation, such as a consumer; empty if requests share it. */
  readonly consumer: string
  /** Called once, with the verdict and the facts to count. */
  readonly conclude: (verdict: MessageFacts, facts: RequestFacts) => void
}

/** A queue message that is handled as a request. */
export interface MessageScope extends InnerScope {
  readonly message: MessageRef
  /** How to find the HTTP route that shares its operations: by path, or by the policy's name; `null` if none does. */
  readonly routeBy: 'path' | 'name' | null
  /** Whether at most one more delivery follows. */
  readonly isNearEnd: boolean
  /** Whether it may be executed if its operation is forgotten. */
  readonly mayExecute: boolean
  /** Runs the handler of the message in the Worker, and returns its result. */
  readonly runHandler: (c: Context<GatewayEnv>) => unknown
}

/** A call of a guarded function that is handled as a request. */
export interface OnceScope extends InnerScope {
  /** Whether the function asks what became of an earlier call before it runs again. */
  readonly asksFirst: boolean
  /** Name under which the object can run the function itself; `null`: it cannot. */
  readonly origin: string | null
  /** Runs the function, and returns its end as a response. */
  readonly run: (context: OperationContext) => Promise<Response>
}

/** Name of the scope among the bindings. As a symbol, it cannot come from outside. */
const INNER = Symbol('inner scope')

/** The work that a request stands for; `undefined` for a request of a client. */
export const innerOf = (env: HapaxEnv): MessageScope | OnceScope | undefined =>
  (env as { readonly [INNER]?: MessageScope | OnceScope })[INNER]

/** The message that a request stands for, if it does. */
export function messageOf(env: HapaxEnv): MessageScope | undefined {
  const inner = innerOf(env)
  return inner !== undefined && 'message' in inner ? inner : undefined
}

/** The call of a function that a request stands for, if it does. */
export function onceOf(env: HapaxEnv): OnceScope | undefined {
  const inner = innerOf(env)
  return inner !== undefined && 'run' in inner ? inner : undefined
}

/** The bindings of a request that stands for work of the deployment itself. */
export function withInner(env: HapaxEnv, scope: MessageScope | OnceScope): HapaxEnv {
  const beside = { [INNER]: scope }
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
