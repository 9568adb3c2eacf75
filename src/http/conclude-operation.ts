import { ConfigurationFault } from '../config/configuration-fault.ts'
import { logFault } from '../metrics/log.ts'
import { toCallersAnswer } from './callers-answer.ts'
import { conclude } from './conclude.ts'
import type { Admitted, Exchange } from './exchange.ts'
import { MESSAGE } from './gateway-env.ts'
import { guardLost, misconfigured, type Verdict } from './verdict.ts'

/** Answers a request whose operation has been claimed, or whose claim was refused. */
export async function concludeOperation(
  exchange: Exchange,
  { call }: Admitted,
  verdict: Verdict,
): Promise<Response> {
  try {
    const told = call === null ? verdict : await toCallersAnswer(exchange.c, call, verdict)
    return conclude(exchange, told)
  } catch (error) {
    // Something was recorded by now, and a retry is told what: this is no fault of the request.
    logFault('an answer could not be given out', error)
    return conclude(exchange, guardLost())
  }
}

/** Answers a request that the deployment, or code of the deployer's, failed before anything was recorded. */
export function concludeFault(exchange: Exchange, error: unknown): Response {
  logFault('a protected route failed before anything was recorded', error)
  return conclude(exchange, misconfigured(error))
}

/**
 * The verdict where the object failed.
 *
 * @throws {ConfigurationFault} Which is no failure of the object.
 */
export function toGuardLost(error: unknown): Verdict {
  if (error instanceof ConfigurationFault) throw error
  logFault('the object of an operation could not be reached, or was reset', error)
  return guardLost()
}

/**
 * Whether the request goes on without protection, since the store failed and the route is open then.
 * Nobody goes around an object that does not answer: there is one for each key, so what it is
 * overloaded with, or lost in, are requests with this very key.
 */
export function isLetThrough({ c, policy }: Exchange, { isUnclaimed }: Verdict): boolean {
  return isUnclaimed === true && policy.onStoreError === 'open' && c.env[MESSAGE] === undefined
}
