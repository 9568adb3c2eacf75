import type { OperationGuard } from '../core/operation/operation-guard.ts'

/** The methods of an object that begin an operation. @param origin Name of its origin, if it has one. */
export function methodsFor(
  object: OperationGuard,
  origin: string | undefined,
): Pick<OperationGuard, 'execute' | 'claim' | 'forward'> {
  if (origin === undefined) return object
  return {
    execute: (call) => object.executeNamed(call),
    claim: (...claiming) => object.claimNamed(...claiming),
    forward: (call) => object.forwardNamed(call),
  }
}
