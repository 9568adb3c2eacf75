import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import type { OperationContext } from '../core/operation/operation-context.ts'
import type { Admitted } from './exchange.ts'
import { scopeOf } from './request-scope.ts'

/** The context of a request that is not protected. The correlation id is read when it is needed. */
export function unprotectedContext(c: Context): OperationContext {
  return {
    operationId: null,
    attempt: 1,
    tenant: null,
    get correlationId() {
      return scopeOf(c).correlation.correlationId
    },
    key: null,
    inDoubtMs: null,
    // Most requests that pass through do not ask for it.
    get signal() {
      return new AbortController().signal
    },
  }
}

/** What the claim of an execution adds to its context. */
interface Execution
  extends Pick<OperationContext, 'inDoubtMs' | 'signal'>, Pick<Policy, 'forwardKey'> {
  readonly fence: number
}

/** The context of an operation that is executed. */
export function operationContext(
  c: Context,
  { claim, key }: Pick<Admitted, 'claim' | 'key'>,
  { fence, forwardKey, ...execution }: Execution,
): OperationContext {
  const { operationId, tenant } = claim
  return {
    operationId,
    attempt: fence,
    tenant,
    correlationId: scopeOf(c).correlation.correlationId,
    key: keyForOrigin(forwardKey, operationId, key),
    ...execution,
  }
}

/** The key that an origin or another API gets. */
export function keyForOrigin(
  forwardKey: Policy['forwardKey'],
  derived: string,
  client: string,
): string | null {
  if (forwardKey === false) return null
  return forwardKey === 'client' ? client : derived
}
