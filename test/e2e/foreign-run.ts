import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'

const root = path.resolve(import.meta.dirname, '../..')

/** How a program has ended. */
export interface Run {
  readonly code: number
  /** What it has printed, errors included. */
  readonly output: string
}

/**
 * Runs a program in a project that knows nothing of this repository, with the Node.js of the machine.
 * It never fails: its exit code is in the result.
 */
export async function runForeign(
  cwd: string,
  program: string,
  ...args: readonly string[]
): Promise<Run> {
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
