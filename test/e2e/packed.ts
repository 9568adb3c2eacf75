import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { inject } from 'vitest'

import { type Run, runForeign } from './foreign-run.ts'

const root = path.resolve(import.meta.dirname, '../..')

/** A project that knows nothing of this repository. The package and Hono are installed in it. */
export interface ForeignProject {
  readonly directory: string
  /** Writes files, by their paths in the project. */
  readonly write: (files: Readonly<Record<string, string>>) => void
  /** Links packages to those of this repository: large ones, and the same files as npm would install. */
  readonly link: (...names: readonly string[]) => void
  /** Reads a file, by its path in the project. */
  readonly read: (name: string) => string
  /** Runs a program in the project. */
  readonly run: (program: string, ...args: readonly string[]) => Promise<Run>
}

/** Gives the file of the package, as `npm pack` makes it. It is made once for all test files. */
export const packedPackage = () => ask('?package')

/** Makes a project outside this repository. The run of the tests removes it. */
export async function createForeignProject(): Promise<ForeignProject> {
  const directory = mkdtempSync(path.join(tmpdir(), 'hapax-foreign-'))
  cpSync(await ask('?project'), directory, { recursive: true, verbatimSymlinks: true })
  const write = (files: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(directory, name)), { recursive: true })
      writeFileSync(path.join(directory, name), text)
    }
  }
  const link = (...names: readonly string[]) => {
    for (const name of names) {
      const from = path.join(directory, 'node_modules', name)
      mkdirSync(path.dirname(from), { recursive: true })
      symlinkSync(path.join(root, 'node_modules', name), from)
    }
  }
  const read = (name: string) => readFileSync(path.join(directory, name), 'utf8')
  const run = (program: string, ...args: readonly string[]) =>
    runForeign(directory, program, ...args)
  return { directory, write, link, read, run }
}

async function ask(what: string): Promise<string> {
  const response = await fetch(`${inject('builderUrl')}/${encodeURIComponent(what)}`)
  const text = await response.text()
  if (!response.ok) throw new Error(`Could not make the package: ${text}`)
  return text
}
