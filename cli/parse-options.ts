import { parseArgs, type ParseArgsConfig } from 'node:util'

import { Failure, reasonOf } from './failure.ts'

/**
 * Reads the options and words of a command.
 *
 * @param help Text that a usage error ends with.
 * @throws Failure A usage error, when an option is unknown or has no valid value.
 */
export function parseOptions<config extends ParseArgsConfig>(
  config: config,
  help: string,
): ReturnType<typeof parseArgs<config>> {
  try {
    return parseArgs(config)
  } catch (error) {
    throw new Failure(`${reasonOf(error)}\n\n${help}`, 2)
  }
}
