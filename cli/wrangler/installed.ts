import { readFileSync } from 'node:fs'
import path from 'node:path'

/** What is installed in a project, as far as it can be found. */
export interface InstalledTools {
  /** File of the installed Wrangler's command. */
  readonly wrangler: string | null
  /** The newest compatibility date that the installed workerd knows. */
  readonly workerdDate: string | null
  /** Whether the installed Wrangler knows `exports` in its configuration; `null` without Wrangler. */
  readonly knowsExports: boolean | null
}

/** Reads what is installed in a directory, or above it. */
export function readInstalledTools(directory: string): InstalledTools {
  const schema = findInstalled(directory, 'wrangler/config-schema.json')
  const workerd = findInstalled(directory, 'workerd/package.json')
  return {
    wrangler: findInstalled(directory, 'wrangler/bin/wrangler.js')?.file ?? null,
    workerdDate: toDate(workerd?.text ?? ''),
    knowsExports: schema === null ? null : schema.text.includes('"DurableObjectExport"'),
  }
}

/** The versions of the runtime contain their date: `1.20260426.1`. */
function toDate(manifest: string): string | null {
  const found = /"version":\s*"1\.(\d{4})(\d\d)(\d\d)\./.exec(manifest)
  return found === null ? null : found.slice(1).join('-')
}

/** Finds a file of an installed package, which may be installed in a directory above. */
function findInstalled(
  directory: string,
  name: string,
): { readonly file: string; readonly text: string } | null {
  // Wrangler may have a workerd of its own.
  const files = ['node_modules/wrangler/node_modules', 'node_modules'].map((folder) =>
    path.join(directory, folder, name),
  )
  for (const file of files) {
    const text = readOptional(file)
    if (text !== null) return { file, text }
  }
  const above = path.dirname(directory)
  return above === directory ? null : findInstalled(above, name)
}

/** @returns `null` if the file cannot be read. */
export function readOptional(file: string): string | null {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return null
  }
}
