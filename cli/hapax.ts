#!/usr/bin/env node
/**
 * The command line of the project.
 *
 *     npm run --silent hapax -- --help
 */
import { inspect } from 'node:util'

import { Failure } from './failure.ts'
import { readOwnVersion } from './own-package.ts'
import { print, printError } from './print.ts'

/** Runs a command with its arguments. Throws `Failure` if the command fails. */
type Command = (args: string[]) => Promise<void>

/** Only the command that runs is loaded: to load all of them takes longer than most commands. */
const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  admin: async () => (await import('./admin.ts')).admin,
  analytics: async () => (await import('./analytics.ts')).analytics,
  cost: async () => (await import('./cost.ts')).cost,
  doctor: async () => (await import('./doctor.ts')).doctor,
  init: async () => (await import('./init.ts')).init,
  openapi: async () => (await import('./openapi.ts')).openapi,
  verify: async () => (await import('./verify.ts')).verify,
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
  else {
    const command = await loadCommand(name)
    await command(args)
  }
} catch (error) {
  const isExpected = error instanceof Failure
  printError(isExpected ? `hapax: ${error.message}\n` : `${inspect(error)}\n`)
  process.exitCode = isExpected ? error.exitCode : 1
}

async function loadCommand(word: string): Promise<Command> {
  const load = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined
  if (load !== undefined) return load()
  const what = word === '' ? 'Specify a command.' : `Unknown command: ${word}.`
  throw new Failure(`${what}\n\n${HELP}`, 2)
}
