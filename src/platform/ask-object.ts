import type { HapaxEnv } from '../config/env.ts'
import type { OperationGuard } from '../core/operation/operation-guard.ts'
import { traced } from '../metrics/trace.ts'

/** The context of a request, of which only the binding is asked. */
interface HasOperations {
  readonly env: Pick<HapaxEnv, 'OPERATIONS'>
}

const MAX_TRIES = 3
const RETRY_MS = 100

/**
 * Asks the object that guards an operation: one for each.
 *
 * A question that the platform lost is asked again with a new stub. That is safe even if the first one
 * arrived: the record says what was claimed, and an object that was reset recognizes its orphan. An
 * overloaded object is not asked again.
 *
 * @throws {Error} When the object cannot be reached, or fails. The question may still have had effects.
 */
export function askObject<answer>(
  c: HasOperations,
  operationId: string,
  question: (object: OperationGuard) => Promise<answer>,
): Promise<answer> {
  return traced('hapax object', { 'hapax.operation_id': operationId }, async () => {
    for (let tries = 1; ; tries++) {
      try {
        // RPC's own types turn tuples into arrays and add `Disposable`; what comes over is what was sent.
        const object = c.env.OPERATIONS.getByName(operationId) as unknown as OperationGuard
        // oxlint-disable-next-line no-await-in-loop -- one try after the other
        return await question(object)
      } catch (error) {
        if (tries === MAX_TRIES || !isLost(error)) throw error
        // oxlint-disable-next-line no-await-in-loop -- one try after the other
        await scheduler.wait(RETRY_MS * tries * Math.random())
      }
    }
  })
}

function isLost(error: unknown): boolean {
  if (!(error instanceof Error) || ('overloaded' in error && error.overloaded === true))
    return false
  const isRetryable = 'retryable' in error && error.retryable === true
  return isRetryable || ('durableObjectReset' in error && error.durableObjectReset === true)
}
