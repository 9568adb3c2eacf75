import { ConfigurationFault } from '../config/configuration-fault.ts'
import { deployedFunction } from '../config/deployed-functions.ts'
import type { HapaxEnv } from '../config/env.ts'
import type { OriginTarget } from './target.ts'

/** Host of the URLs that a function gets; no name is looked up for it. */
const FUNCTION_ORIGIN = 'https://function.internal'

/**
 * The origin that is a function of the deployment: the object runs it in its own isolate.
 *
 * @throws {ConfigurationFault} When this deployment does not have it.
 */
export function functionTarget(env: HapaxEnv, name: string): OriginTarget {
  const run = deployedFunction(name)
  if (run === undefined) {
    throw new ConfigurationFault(
      `The function ${name} is missing. Call once() for it where the Worker with the objects starts.`,
    )
  }
  return {
    id: name,
    fetch: (input, init) => run(env, new Request(input, init)),
    isPlain: false,
    pathOf: (path) => path,
    urlOf: (path) => FUNCTION_ORIGIN + path,
  }
}
