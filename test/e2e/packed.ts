import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

import { inject } from 'vitest'

import { packages } from '../../package-lock.json' with { type: 'json' }

const root = path.resolve(import.meta.dirname, '../..')

/** A project that knows nothing of this repository. */
export interface ForeignProject {
  readonly directory: string
  /** Writes files, by their paths in the project. */
  readonly write: (files: Readonly<Record<string, string>>) => void
  /** Links a path in the project to a directory elsewhere. */
  readonly link: (name: string, target: string) => void
  /** Reads a file, by its path in the project. */
  readonly read: (name: string) => string
  /** Runs a program in the project, with the Node.js of the machine. It never fails: its exit code is in the result. */
  readonly run: (program: string, ...args: readonly string[]) => Promise<Run>
}

/** How a program has ended. */
interface Run {
  readonly code: number
  /** What it has printed, errors included. */
  readonly output: string
}

/** Gives the file of the package, as `npm pack` makes it. It is made once for all test files. */
export async function packedPackage(): Promise<string> {
  const response = await fetch(`${inject('builderUrl')}/?package`)
  const text = await response.text()
  if (!response.ok) throw new Error(`Could not pack the package: ${text}`)
  return text
}

/**
 * Makes an empty project outside this repository and installs packages into it. The run of the tests
 * removes it.
 *
 * @param dependencies What `npm install` gets, such as `await packedPackage()` or `versionOf('hono')`.
 */
export async function createForeignProject(
  dependencies: readonly string[],
): Promise<ForeignProject> {
  const directory = mkdtempSync(path.join(tmpdir(), 'hapax-foreign-'))
  const write = (files: Readonly<Record<string, string>>) => {
    for (const [name, text] of Object.entries(files)) {
      mkdirSync(path.dirname(path.join(directory, name)), { recursive: true })
      writeFileSync(path.join(directory, name), text)
    }
  }
  const link = (name: string, target: string) => {
    const from = path.join(directory, name)
    mkdirSync(path.dirname(from), { recursive: true })
    symlinkSync(target, from)
  }
  const read = (name: string) => readFileSync(path.join(directory, name), 'utf8')
  const run = (program: string, ...args: readonly string[]) => runIn(directory, program, args)
  write({ 'package.json': JSON.stringify({ name: 'foreign', private: true, type: 'module' }) })
  if (dependencies.length > 0) {
    const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
    const { code, output } = await run('npm', 'install', ...quiet, ...dependencies)
    if (code !== 0) throw new Error(`npm install failed: ${output}`)
  }
  return { directory, write, link, read, run }
}

/** Names a package for `npm install`, in the version that `npm ci` has installed, so that the cache has it. */
export function versionOf(name: string): string {
  const locked: Readonly<Record<string, { readonly version?: string }>> = packages
  const { version } = locked[`node_modules/${name}`] ?? {}
  if (version === undefined) throw new Error(`${name} is not in package-lock.json.`)
  return `${name}@${version}`
}

async function runIn(cwd: string, program: string, args: readonly string[]): Promise<Run> {
  try {
    const { stdout, stderr } = await promisify(execFile)(program, args, { cwd, env: ownEnv() })
    return { code: 0, output: stdout + stderr }
  } catch (error) {
    const { code, stdout = '', stderr = '' } = error as Partial<Record<string, string>>
    return { code: Number(code), output: stdout + stderr + (stdout + stderr ? '' : String(error)) }
  }
}

/** The environment of somebody who has never run an npm script of this repository. */
function ownEnv(): NodeJS.ProcessEnv {
  const isOurs = (name: string) =>
    name.startsWith('npm_') && !/^npm_config_(?:cache|registry|userconfig)$/.test(name)
  const directories = (process.env['PATH'] ?? '').split(path.delimiter)
  const kept = Object.entries(process.env).filter(([name]) => !isOurs(name))
  return {
    ...Object.fromEntries(kept),
    PATH: directories.filter((each) => !each.startsWith(root)).join(path.delimiter),
    NODE_COMPILE_CACHE: undefined,
  }
}
