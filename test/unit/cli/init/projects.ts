import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { planInit } from '../../../../cli/init/plan.ts'
import { writeChanges } from '../../../../cli/init/write-changes.ts'

/** Files of a project, by their paths. */
export type Files = Readonly<Record<string, string>>

/** Makes a directory with files, which the run of the tests removes. */
export function createProject(files: Files): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'hapax-init-'))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(directory, name)), { recursive: true })
    writeFileSync(path.join(directory, name), text)
  }
  return directory
}

export const readIn = (directory: string, file: string) =>
  readFileSync(path.join(directory, file), 'utf8')

/** Sets a project up, and returns the names of the changed files. */
export async function setUp(directory: string, nodeVersion = '24.0.0'): Promise<string[]> {
  const { changes } = await planInit(directory, nodeVersion)
  await writeChanges(directory, changes)
  return changes.map(({ file }) => file)
}

const MANIFEST = `{
  "name": "shop",
  "private": true,
  "dependencies": {
    "hono": "^4.9.0"
  }
}
`

const HONO = `import { Hono } from 'hono'

const app = new Hono()

app.get('/', (c) => c.text('Hello'))

export default app
`

/** What the files of an installed Wrangler say that knows \`exports\`. */
export const CURRENT_WRANGLER: Files = {
  'node_modules/wrangler/config-schema.json': '{"definitions":{"DurableObjectExport":{}}}',
  'node_modules/workerd/package.json': '{"version": "1.20261023.1"}',
}

export const HONO_TOML: Files = {
  'package.json': MANIFEST,
  'wrangler.toml': `# The shop
name = "shop" # its name
main = "src/index.ts"
compatibility_date = "2026-04-01"

[vars]
CURRENCY = "EUR"
`,
  'src/index.ts': HONO,
}

export const HONO_JSONC: Files = {
  'package.json': MANIFEST,
  'wrangler.jsonc': `{
  // The shop
  "name": "shop",
  "main": "src/index.js",
  "compatibility_date": "2026-10-01", // tested
  "migrations": [{ "tag": "v1", "new_sqlite_classes": ["Room"] }],
  "durable_objects": {
    "bindings": [
      { "name": "ROOM", "class_name": "Room" }, // rooms
    ],
  },
}
`,
  'src/index.js': HONO.replace('new Hono()', "new Hono().get('/a', (c) => c.text('a'))"),
}

export const PLAIN: Files = {
  'package.json': '{\n  "name": "plain"\n}\n',
  'wrangler.toml': 'name = "plain"\nmain = "./src/index.ts"\ncompatibility_date = "2026-08-04"\n',
  'src/index.ts': `export class Room {}

export default {
  async fetch(request: Request): Promise<Response> {
    return new Response(request.url)
  },
  async queue(): Promise<void> {},
} satisfies ExportedHandler
`,
}
