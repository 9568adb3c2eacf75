import type { OperationContext } from '../core/operation/operation-context.ts'

/** What the code that threw an error was doing. It contains no key and no body. */
export interface ErrorFacts extends Omit<OperationContext, 'key' | 'inDoubtMs' | 'signal'> {
  /** Name of the operation as in metrics: of the policy, else method and route pattern. */
  readonly operation: string
}

/**
 * Is told about each error that a handler throws, for example to send it to an error tracker. It never
 * changes the response. An answer is no error: a `NotExecuted`, and an `HTTPException`, except one of
 * 5xx with a `cause`. A promise is kept alive until it settles.
 */
export type ErrorHook = (error: unknown, facts: ErrorFacts) => unknown
