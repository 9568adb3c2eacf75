import path from 'node:path'
import { createInterface } from 'node:readline/promises'

import { toVisible } from '../src/core/visible.ts'
import { Failure } from './failure.ts'
import { toDifference } from './init/difference.ts'
import type { FileChange } from './init/files.ts'
import { type Plan, planInit } from './init/plan.ts'
import { generateTypes, TYPES_COMMAND, TYPES_FILE } from './init/types.ts'
import { writeChanges } from './init/write-changes.ts'
import { parseOptions } from './parse-options.ts'
import { print } from './print.ts'

const HELP = `Usage: hapax init [directory] [options]

Adds Hapax to a project of Wrangler: bindings, object classes, middleware and an example route. In an
empty directory, it writes a whole deployment. Prints all changes with their reasons first.

  --dry-run   print the changes, and write nothing
  --yes       write the changes without asking
  -h, --help  show this help

See docs/init.md.
`

const OPTIONS = {
  'dry-run': { type: 'boolean' },
  yes: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Runs `hapax init`. @throws Failure */
export async function init(args: string[]): Promise<void> {
  const { values: options, positionals } = parseOptions(
    { args, options: OPTIONS, allowPositionals: true },
    HELP,
  )
  if (options.help) {
    print(HELP)
    return
  }
  const [directory = '.', ...more] = positionals
  if (more.length > 0) throw new Failure(`Specify one directory.\n\n${HELP}`, 2)
  if (options['dry-run'] && options.yes) {
    throw new Failure('--dry-run and --yes cannot be combined.', 2)
  }
  const plan = await planInit(directory, process.versions.node)
  print(toText(plan))
  if (plan.changes.length === 0 || options['dry-run']) return
  if (!(await isConfirmed(options.yes ?? false, plan.changes.length))) {
    print('Nothing was written.\n')
    return
  }
  await carryOut(plan, directory)
}

async function carryOut({ changes, needsTypes, next }: Plan, directory: string): Promise<void> {
  await writeChanges(path.resolve(directory), changes)
  print(`Written: ${changes.map(({ file }) => toVisible(file)).join(', ')}.\n`)
  const isDone = needsTypes && (await generateTypes(directory))
  print(toNext(isDone ? next.filter((step) => step !== TYPES_COMMAND) : next, directory))
}

function toText({ changes, notes, needsTypes }: Plan): string {
  const shown = [...changes.map((change) => toChange(change)), ...(needsTypes ? [TYPES] : [])]
  const list = notes.length === 0 ? [] : [`Notes\n${toList(notes)}\n`]
  const parts = changes.length === 0 ? ['Nothing to do: Hapax is set up.\n'] : shown
  return `${[...parts, ...list].join('\n')}\n`
}

function toChange({ file, before, after, because }: FileChange): string {
  const title = before === null ? `${file} (new)` : file
  const difference = toDifference(before ?? '', after).replaceAll(/^(?=.)/gm, '    ')
  return `${title}\n${toList(because)}\n\n${difference}\n`
}

const TYPES = `${TYPES_FILE}\n  - Has the types of the bindings. Your Wrangler generates it again.\n`

const toList = (lines: readonly string[]) => lines.map((line) => `  - ${line}`).join('\n')

async function isConfirmed(isYes: boolean, count: number): Promise<boolean> {
  if (isYes) return true
  if (!process.stdin.isTTY) {
    throw new Failure('Nothing was written, because there is no terminal to ask. Add --yes.')
  }
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  try {
    const answer = await terminal.question(
      `Write ${count} ${count === 1 ? 'file' : 'files'}? (y/N) `,
    )
    return /^y(?:es)?$/i.test(answer.trim())
  } finally {
    terminal.close()
  }
}

function toNext(next: Plan['next'], directory: string): string {
  const steps = directory === '.' ? next : [`cd ${toVisible(directory)}`, ...next]
  return steps.length === 0 ? '' : `\nNext:\n${steps.map((step) => `  ${step}`).join('\n')}\n`
}
