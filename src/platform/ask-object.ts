import { ConfigurationFault } from '../config/configuration-fault.ts'
import { deployedPlacement } from '../config/deployed-placement.ts'
import type { HapaxEnv } from '../config/env.ts'
import type { OperationGuard } from '../core/operation/operation-guard.ts'
import { type DeployedPlacement, objectNameOf } from '../core/operation/placement.ts'
import type { Memory, Moved } from '../core/operation/record.ts'
import { traced } from '../metrics/trace.ts'
import { guardNamed } from './objects.ts'

/** The context of a request, of which only the binding is asked. */
export interface HasOperations {
  readonly env: Pick<HapaxEnv, 'OPERATIONS'>
  /** Where objects are; by default where this deployment has them. */
  readonly deployed?: DeployedPlacement
}

const MAX_TRIES = 3
const RETRY_MS = 100

/** Most objects that are asked about one operation. More would name each other in a circle. */
const MAX_MOVES = 4

/** Which object guards an operation. */
export interface GuardPlace {
  readonly name: string
  readonly operationId: string
  /** When another object has said that this one guards the operation, in epoch milliseconds, or `null`. */
  readonly movedAt: number | null
}

/** How an object is asked. */
export interface Asking {
  /** How long the operation is remembered if the question claims it; `null` if it does not. */
  readonly memory?: Memory | null
  /** How often a lost question is asked. Default: 3. */
  readonly maxTries?: number
}

/**
 * Asks the object that guards an operation. While the placement changes, the object of the earlier
 * placement is asked first whether it has the operation.
 *
 * A question that the platform lost is asked again with a new stub. That is safe even if the first one
 * arrived: the record says what was claimed, and an object that was reset recognizes its orphan. An
 * overloaded object is not asked again.
 *
 * @throws {ConfigurationFault} When there are no such objects.
 * @throws {Error} When the object cannot be reached, or fails. The question may still have had effects.
 */
export async function askObject<answer>(
  c: HasOperations,
  operationId: string,
  question: (object: OperationGuard, place: GuardPlace) => Promise<answer>,
  { memory = null, maxTries = MAX_TRIES }: Asking = {},
): Promise<answer> {
  let place = await locate(c, operationId, memory)
  for (let moves = 0; moves <= MAX_MOVES; moves++) {
    const asked = place
    // oxlint-disable-next-line no-await-in-loop -- one object after the other
    const answer = await askAt(c, asked, (object) => question(object, asked), maxTries)
    if (!isMoved(answer)) return answer
    place = { operationId, name: answer.to, movedAt: answer.at }
  }
  throw new Error('An operation is on its way to another object. Ask again.')
}

/** Asks the object of which it is known that it guards an operation. @throws {Error} As for `askObject`. */
export function askAt<answer>(
  { env, deployed = deployedPlacement() }: HasOperations,
  { name, operationId }: Omit<GuardPlace, 'movedAt'>,
  question: (object: OperationGuard) => Promise<answer>,
  maxTries = MAX_TRIES,
): Promise<answer> {
  return traced('hapax object', { 'hapax.operation_id': operationId }, async () => {
    for (let tries = 1; ; tries++) {
      try {
        // oxlint-disable-next-line no-await-in-loop -- one try after the other
        return await question(guardNamed(env, deployed, name))
      } catch (error) {
        if (isOfOtherClass(error)) throw new ConfigurationFault(OTHER_CLASS)
        if (tries === maxTries || !isLost(error)) throw error
        // oxlint-disable-next-line no-await-in-loop -- one try after the other
        await scheduler.wait(RETRY_MS * tries * Math.random())
      }
    }
  })
}

/** Finds the object that guards an operation. A claim makes the earlier placement hand it over. */
async function locate(
  c: HasOperations,
  operationId: string,
  memory: Memory | null,
): Promise<GuardPlace> {
  const { placement } = c.deployed ?? deployedPlacement()
  const to = objectNameOf(placement, operationId)
  const place = { operationId, name: to, movedAt: null }
  if (placement.previous === null) return place
  const before = { ...place, name: objectNameOf(placement.previous, operationId) }
  const said = await askAt(c, before, (object) => object.handOver({ operationId, to, memory }))
  if (said.kind === 'here') return before
  return said.kind === 'moved' ? { ...place, name: said.to, movedAt: said.at } : place
}

const isMoved = (answer: unknown): answer is Moved =>
  typeof answer === 'object' && answer !== null && 'kind' in answer && answer.kind === 'moved'

const OTHER_CLASS =
  'The binding OPERATIONS is not to the Durable Object class IdempotencyObject: check its class_name and script_name, and that the Worker exports the class of Hapax under this name.'

/**
 * Whether an object is of another class. An object of an earlier version may lack a method, but all
 * versions have these two.
 */
function isOfOtherClass(error: unknown): boolean {
  return (
    error instanceof TypeError &&
    /does not implement (?:the method )?"(?:claim|execute)"|does not support RPC/.test(
      error.message,
    )
  )
}

function isLost(error: unknown): boolean {
  if (!(error instanceof Error) || ('overloaded' in error && error.overloaded === true))
    return false
  const isRetryable = 'retryable' in error && error.retryable === true
  return isRetryable || ('durableObjectReset' in error && error.durableObjectReset === true)
}
