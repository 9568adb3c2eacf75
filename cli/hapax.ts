#!/usr/bin/env node
/**
 * The command line of the project.
 *
 *     npm run --silent hapax -- --help
 */
import { inspect } from 'node:util'

import { admin } from './admin.ts'
import { analytics } from './analytics.ts'
import { cost } from './cost.ts'
import { doctor } from './doctor.ts'
import { Failure } from './failure.ts'
import { init } from './init.ts'
import { openapi } from './openapi.ts'
import { readOwnVersion } from './own-package.ts'
import { print, printError } from './print.ts'
import { verify } from './verify.ts'

/** Runs a command with its arguments. Throws `Failure` if the command fails. */
type Command = (args: string[]) => Promise<void>

const COMMANDS: Readonly<Record<string, Command>> = {
  admin,
  analytics,
  cost,
  doctor,
  init,
  openapi,
  verify,
}

const HELP = `Usage: hapax <command> [options]

  admin      look up and resolve operations, replay dead letters
  analytics  query reuse, conflicts and stuck operations
  cost       estimate the bill of a placement
  doctor     check a configuration, and name the lines to change
  init       add Hapax to a project, or write a new deployment
  openapi    export the protected routes as OpenAPI, or merge them into your document
  verify     check a deployment after it was deployed

Run hapax <command> --help for details, hapax --version for the version.
Exit codes: 0 success, 1 failure, 2 usage error.
`

const [name = '', ...args] = process.argv.slice(2)
try {
  if (name === '--help' || name === '-h') print(HELP)
  else if (name === '--version') print(`${readOwnVersion()}\n`)
  else await commandOf(name)(args)
} catch (error) {
  const isExpected = error instanceof Failure
  printError(isExpected ? `hapax: ${error.message}\n` : `${inspect(error)}\n`)
  process.exitCode = isExpected ? error.exitCode : 1
}

function commandOf(word: string): Command {
  const command = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined
  if (command !== undefined) return command
  const what = word === '' ? 'Specify a command.' : `Unknown command: ${word}.`
  throw new Failure(`${what}\n\n${HELP}`, 2)
}
