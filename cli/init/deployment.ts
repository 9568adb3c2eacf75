import path from 'node:path'

import { Failure } from '../failure.ts'
import { readVersions } from '../own-package.ts'
import { parseWranglerConfig } from '../wrangler/config.ts'
import { applyConfigEdits } from './apply-edits.ts'
import { ADMIN_TOKEN, changeDevVars, SECRETS } from './dev-vars.ts'
import { type FileChange, listDirectory, readProjectFile } from './files.ts'
import { changeManifest } from './manifest.ts'
import { decideSettings } from './settings.ts'
import { TESTED_DATE, type Toolchain } from './toolchain.ts'

const INDEX = `import { createWorker } from 'hapax'

import { app } from './routes'

export { DirectoryObject, IdempotencyObject } from 'hapax'
export default createWorker(app)
`

const ROUTES = `import { createGateway, credential, idempotent, protect } from 'hapax'
import { operators } from 'hapax/operators'

// Each credential has its own keys.
export const app = createGateway({ tenant: credential('Authorization') })

app.route('/_hapax', operators(app)) // dashboard and admin API

// Forwarded to ORIGIN_URL once per Idempotency-Key. Every retry gets the same response.
app.post('/payments', protect({ retention: '72h' }))

// Runs in this Worker. An example to try, which needs no origin.
app.post('/hapax/example', idempotent(), (c) => c.json({ id: crypto.randomUUID() }, 201))

// All other requests go to the origin unchanged.
`

const TSCONFIG = `{
  "compilerOptions": {
    "target": "ES2024",
    "lib": ["ES2024"],
    "module": "ESNext",
    "moduleResolution": "Bundler",
    "types": ["./worker-configuration.d.ts"],
    "strict": true,
    "verbatimModuleSyntax": true,
    "skipLibCheck": true,
    "noEmit": true
  },
  "include": ["src"]
}
`

const GITIGNORE = `node_modules
.wrangler
.dev.vars*
!.dev.vars.example
`

const toReadme = (name: string) => `# ${name}

An idempotency gateway, made with [Hapax](https://github.com/hapax-gateway/hapax). \`src/routes.ts\` contains the protected routes.

\`\`\`sh
npm install
npm run types   # after each change of wrangler.jsonc
npm run dev
\`\`\`

Send this twice. The second response has the same \`id\`, and \`Idempotent-Replayed: true\`:

\`\`\`sh
curl -i -X POST http://localhost:8787/hapax/example -H 'Authorization: Bearer me' -H 'Idempotency-Key: 1'
\`\`\`

The dashboard is at \`/_hapax/dashboard\`. Set \`HAPAX_ADMIN_TOKEN\` in \`.dev.vars\` to sign in.

Before \`npm run deploy\`, set \`ORIGIN_URL\` in \`wrangler.jsonc\` to the URL of your API, and set the secrets in \`.dev.vars.example\`.
`

const toConfig = (name: string, date: string) => `{
  "$schema": "node_modules/wrangler/config-schema.json",
  "name": "${name}",
  "main": "src/index.ts",
  "compatibility_date": "${date}",
  // The origin is another host. This flag prevents a fetch from looping back into this Worker's zone.
  "compatibility_flags": ["global_fetch_strictly_public"],
  // The URL of your API. A service binding named ORIGIN takes precedence.
  "vars": { "ORIGIN_URL": "http://127.0.0.1:8788" },
  // The dashboard. The Worker runs first, and serves no other files from this directory.
  "assets": { "directory": "node_modules/hapax/public", "binding": "ASSETS", "run_worker_first": true },
  "observability": { "enabled": true }
}
`

/** What may be in a directory that counts as empty. */
const IGNORED = /^(?:\..*|node_modules|package(?:-lock)?\.json|(?:readme|license)(?:\..*)?)$/i

/**
 * Writes a whole deployment for an empty directory.
 *
 * @throws Failure When the directory contains something else.
 */
export async function planDeployment(
  directory: string,
  toolchain: Toolchain,
): Promise<FileChange[]> {
  const other = (await listDirectory(directory)).filter((name) => !IGNORED.test(name))
  if (other.length > 0) {
    throw new Failure(
      `There is no wrangler.toml, wrangler.json or wrangler.jsonc, and the directory is not empty: it contains ${other.slice(0, 3).join(', ')}. Run hapax init in a project of Wrangler, or in an empty directory.`,
    )
  }
  const name = toName(directory)
  const changes = await Promise.all([
    newFile(
      directory,
      'wrangler.jsonc',
      toWranglerFile(name, toolchain),
      'The Worker: name, bindings, and the URL of your API.',
    ),
    newFile(directory, 'src/routes.ts', ROUTES, 'The protected routes.'),
    newFile(directory, 'src/index.ts', INDEX, 'The main file, which exports the object classes.'),
    newFile(
      directory,
      'tsconfig.json',
      TSCONFIG,
      'Types of the runtime and the bindings come from npm run types.',
    ),
    newFile(
      directory,
      '.gitignore',
      GITIGNORE,
      'Keeps secrets and generated files out of the repository.',
    ),
    newFile(directory, 'README.md', toReadme(name), 'How to run and deploy it.'),
  ])
  return [
    ...(await planManifest(directory, name, toolchain)),
    ...changes.flat(),
    ...changeDevVars(await readProjectFile(directory, '.dev.vars.example'), [
      ...SECRETS,
      ADMIN_TOKEN,
    ]),
  ]
}

/** A file that is there stays as it is. */
async function newFile(
  directory: string,
  file: string,
  after: string,
  because: string,
): Promise<FileChange[]> {
  const before = await readProjectFile(directory, file)
  return before === null ? [{ file, before, after, because: [because] }] : []
}

async function planManifest(
  directory: string,
  name: string,
  { knowsExports }: Toolchain,
): Promise<FileChange[]> {
  const before = await readProjectFile(directory, 'package.json')
  const wanted = {
    scripts: { deploy: 'wrangler deploy', dev: 'wrangler dev', types: 'wrangler types' },
    dependencies: readVersions(),
    devDependencies: { typescript: '^5.9.0', wrangler: knowsExports ? '^4.155.0' : '^4.86.0' },
  }
  if (before !== null) return changeManifest(before, wanted)
  const after = { name, private: true, type: 'module', ...wanted }
  const text = `${JSON.stringify(after, null, 2)}\n`
  return newFile(directory, 'package.json', text, 'Scripts and dependencies.')
}

function toWranglerFile(name: string, toolchain: Toolchain): string {
  const { newestDate } = toolchain
  const text = toConfig(name, newestDate < TESTED_DATE ? newestDate : TESTED_DATE)
  const { edits } = decideSettings(parseWranglerConfig(text, 'wrangler.jsonc'), toolchain)
  return applyConfigEdits(text, 'wrangler.jsonc', edits)
}

/** The name of a Worker is part of its host. */
function toName(directory: string): string {
  const name = path
    .basename(path.resolve(directory))
    .toLowerCase()
    .replaceAll(/[^a-z\d]+/g, '-')
  return name.replaceAll(/^-|-$/g, '').slice(0, 54) || 'hapax-gateway'
}
