import { FUNCTION_PREFIX } from '../core/function/function-origin.ts'
import type { HapaxEnv } from './env.ts'

/** Runs a function for a stored request, which has its input as the body. */
export type RunStored = (env: HapaxEnv, request: Request) => Promise<Response>

/** Functions that the objects of this deployment can run, by the names of their operations. */
const deployed = new Map<string, RunStored>()

/** Makes a function known to the objects of this deployment. */
export function deployFunction(operation: string, run: RunStored): void {
  deployed.set(operation, run)
}

/** Finds the function that an origin is. @returns `undefined` if this deployment does not have it. */
export function deployedFunction(origin: string): RunStored | undefined {
  return deployed.get(origin.slice(FUNCTION_PREFIX.length))
}

/** Header field of a stored request with the tenant of the operation, percent-encoded. */
export const TENANT_FIELD = 'hapax-tenant'

/** Header field with the kind of recovery for which the object runs a function again. */
export const RECOVERY_FIELD = 'hapax-recovery'

/** Header field that says for how many milliseconds the last execution of unknown outcome has been over. */
export const DOUBT_FIELD = 'hapax-in-doubt-ms'
