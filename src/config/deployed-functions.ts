import type { HapaxEnv } from './env.ts'

/** Runs a function for a stored request, which has its input as the body. */
export type RunStored = (env: HapaxEnv, request: Request) => Promise<Response>

/** Functions that the objects of this deployment can run, by the names of their operations. */
const deployed = new Map<string, RunStored>()

/** Begins the name of an origin that is a function. No named origin has a colon. */
const PREFIX = 'once:'

/** The name under which records refer to a function, in the place of an origin. */
export const functionOrigin = (operation: string): string => PREFIX + operation

/** Makes a function known to the objects of this deployment. */
export function deployFunction(operation: string, run: RunStored): void {
  deployed.set(operation, run)
}

/** Whether an origin is a function. */
export const isFunctionOrigin = (origin: string): boolean => origin.startsWith(PREFIX)

/** Finds the function that an origin is. @returns `undefined` if this deployment does not have it. */
export function deployedFunction(origin: string): RunStored | undefined {
  return deployed.get(origin.slice(PREFIX.length))
}

/** Header field of a stored request with the tenant of the operation, percent-encoded. */
export const TENANT_FIELD = 'hapax-tenant'

/** Header field that says for how many milliseconds the outcome of an earlier execution has been unknown. */
export const DOUBT_FIELD = 'hapax-in-doubt-ms'
