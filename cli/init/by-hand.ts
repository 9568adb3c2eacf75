import { applyConfigEdits } from './apply-edits.ts'
import { type CodeStyle, toClassExport, toExample, toImport, toMiddleware } from './code-style.ts'
import { decideSettings } from './settings.ts'
import type { Toolchain } from './toolchain.ts'

const STYLE: CodeStyle = { quote: "'", end: '', newline: '\n' }

/**
 * Writes what the user can add to a project that `init` does not change.
 *
 * @param configName Name of the configuration file.
 */
export function toManual(configName: string, toolchain: Toolchain): string {
  const isToml = configName.endsWith('.toml')
  const known = { compatibility_date: toolchain.newestDate }
  const { edits } = decideSettings(known, toolchain)
  const config = applyConfigEdits(isToml ? '' : '{}', configName, edits)
  const main = [
    toImport(['createWorker', 'credential', 'hapax', 'idempotent'], 'hapax', STYLE),
    '',
    `app${toMiddleware(STYLE)} // before the routes of the Hono app`,
    ...toExample('app', STYLE).slice(1),
    '',
    toClassExport(['DirectoryObject', 'IdempotencyObject'], STYLE),
    'export default createWorker(app)',
  ]
  return [
    'Nothing was written. To add Hapax by hand:',
    `${configName}, also in each named environment that you deploy:`,
    indent(config.trim()),
    'The main file:',
    indent(main.join('\n')),
  ].join('\n\n')
}

const indent = (text: string) => text.replaceAll(/^(?=.)/gm, '  ')
