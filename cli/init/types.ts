import { spawn } from 'node:child_process'
import path from 'node:path'

import { readInstalledTools } from '../wrangler/installed.ts'

/** The file in which Wrangler keeps the types of a project's bindings. */
export const TYPES_FILE = 'worker-configuration.d.ts'

/** The command that writes it. */
export const TYPES_COMMAND = 'npx wrangler types'

/**
 * Generates the types of the bindings again, with the Wrangler of the project.
 *
 * @returns Whether that succeeded. Without an installed Wrangler, it does not.
 */
export async function generateTypes(directory: string): Promise<boolean> {
  const { wrangler } = readInstalledTools(path.resolve(directory))
  if (wrangler === null) return false
  const child = spawn(process.execPath, [wrangler, 'types'], { cwd: directory, stdio: 'ignore' })
  return new Promise((resolve) => {
    child.once('error', () => resolve(false))
    child.once('exit', (code) => resolve(code === 0))
  })
}
