/**
 * The command line of the project.
 *
 *     npm run --silent hapax -- --help
 */
import { inspect } from 'node:util'

import { admin } from './admin.ts'
import { analytics } from './analytics.ts'
import { Failure } from './failure.ts'
import { openapi } from './openapi.ts'
import { print, printError } from './print.ts'

/** What a command does with its arguments; throws `Failure` when that cannot be done. */
type Command = (args: string[]) => Promise<void>

const COMMANDS: Readonly<Record<string, Command>> = { admin, analytics, openapi }

const HELP = `Usage: hapax <command> [options]

  admin      operations that are stuck, and dead letters
  analytics  who reuses keys, where conflicts are, what is stuck
  openapi    the protected routes as OpenAPI, alone or merged into a document of yours

hapax <command> --help tells more. Exit codes: 0 done, 1 could not be done, 2 wrong usage.
`

const [name = '', ...args] = process.argv.slice(2)
try {
  if (name === '--help' || name === '-h') print(HELP)
  else await commandOf(name)(args)
} catch (error) {
  const isExpected = error instanceof Failure
  printError(isExpected ? `hapax: ${error.message}\n` : `${inspect(error)}\n`)
  process.exitCode = isExpected ? error.exitCode : 1
}

function commandOf(word: string): Command {
  const command = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined
  if (command !== undefined) return command
  const what = word === '' ? 'Which command?' : `There is no command ${word}.`
  throw new Failure(`${what}\n\n${HELP}`, 2)
}
