import type { OperationContext } from '../operation/operation-context.ts'

/** What a function learns about its operation: the second argument. */
export interface OnceContext<env = unknown> extends OperationContext {
  readonly operationId: string
  readonly tenant: string
  readonly key: string
  /** The first argument of the call. */
  readonly env: env
}
