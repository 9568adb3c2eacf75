import { readInstalledTools } from '../wrangler/installed.ts'

/** What the installed Wrangler and runtime of a project can do. */
export interface Toolchain {
  /** Whether Wrangler knows `exports` in the configuration. */
  readonly knowsExports: boolean
  /** The newest compatibility date that the local runtime knows. */
  readonly newestDate: string
}

/** The compatibility date that Hapax is tested with. */
export const TESTED_DATE = '2026-10-15'

/** What npm installs on Node.js 20: the newest Wrangler that runs there. */
const ON_NODE_20: Toolchain = { knowsExports: false, newestDate: '2026-04-26' }

/** The first version of Node.js that the current Wrangler runs on. */
const CURRENT_NODE = 22

/** Returns what npm will install on a version of Node.js. */
export function toolchainOn(nodeVersion: string): Toolchain {
  const isCurrent = Number.parseInt(nodeVersion, 10) >= CURRENT_NODE
  return isCurrent ? { knowsExports: true, newestDate: TESTED_DATE } : ON_NODE_20
}

/** Reads what is installed in a directory or above it. Returns `null` without Wrangler. */
export function readToolchain(directory: string): Toolchain | null {
  const { knowsExports, workerdDate } = readInstalledTools(directory)
  if (knowsExports === null) return null
  return { knowsExports, newestDate: workerdDate ?? ON_NODE_20.newestDate }
}
