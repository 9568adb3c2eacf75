import { readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, it } from 'vitest'

import { planInit } from '../../../../cli/init/plan.ts'
import { writeChanges } from '../../../../cli/init/write-changes.ts'
import { peerDependencies } from '../../../../package.json' with { type: 'json' }
import {
  createProject,
  CURRENT_WRANGLER,
  type Files,
  HONO_JSONC,
  HONO_TOML,
  PLAIN,
  readIn,
  setUp,
} from './projects.ts'

const BINDINGS_TOML = `[[durable_objects.bindings]]
name = "OPERATIONS"
class_name = "IdempotencyObject"

[[durable_objects.bindings]]
name = "DIRECTORY"
class_name = "DirectoryObject"
`
const DATASET_TOML = `[[analytics_engine_datasets]]
binding = "METRICS"
dataset = "hapax"
`
const MIGRATION_TOML = `[[migrations]]
tag = "hapax-v1"
new_sqlite_classes = ["DirectoryObject", "IdempotencyObject"]
`

describe('planInit', () => {
  it('sets up a Hono project with TOML', async () => {
    const directory = createProject(HONO_TOML)
    expect(await setUp(directory)).toEqual([
      'wrangler.toml',
      'src/index.ts',
      'package.json',
      '.dev.vars.example',
    ])
    expect(readIn(directory, 'wrangler.toml')).toBe(`# The shop
name = "shop" # its name
main = "src/index.ts"
compatibility_date = "2026-04-01"
compatibility_flags = ["nodejs_compat"]

[vars]
CURRENCY = "EUR"

${BINDINGS_TOML}
${MIGRATION_TOML}
${DATASET_TOML}`)
    expect(readIn(directory, 'src/index.ts')).toContain('export default createWorker(app)')
    expect(JSON.parse(readIn(directory, 'package.json'))).toMatchObject({
      dependencies: { hono: '^4.9.0', hapax: expect.stringMatching(/^\^\d/) },
    })
    expect(readIn(directory, '.dev.vars.example')).toMatch(
      /^HAPAX_DIGEST_KEY=\n[^]*^HAPAX_SEAL_KEY=\n/m,
    )
  })

  it('sets up a Hono project with JSONC and comments', async () => {
    const directory = createProject(HONO_JSONC)
    await setUp(directory)
    expect(readIn(directory, 'wrangler.jsonc')).toBe(`{
  // The shop
  "name": "shop",
  "main": "src/index.js",
  "compatibility_date": "2026-10-01", // tested
  "migrations": [{ "tag": "v1", "new_sqlite_classes": ["Room"] }, { "tag": "hapax-v1", "new_sqlite_classes": ["DirectoryObject", "IdempotencyObject"] }],
  "durable_objects": {
    "bindings": [
      { "name": "ROOM", "class_name": "Room" }, // rooms
      { "name": "OPERATIONS", "class_name": "IdempotencyObject" },
      { "name": "DIRECTORY", "class_name": "DirectoryObject" },
    ],
  },
  "analytics_engine_datasets": [{ "binding": "METRICS", "dataset": "hapax" }],
}
`)
    expect(readIn(directory, 'src/index.js')).toContain(
      "new Hono().use(hapax({ tenant: credential('Authorization') })).get('/a'",
    )
  })

  it('puts a new main file in front of a plain Worker', async () => {
    const directory = createProject(PLAIN)
    await setUp(directory)
    expect(readIn(directory, 'wrangler.toml')).toContain('main = "./src/hapax.ts"\n')
    expect(readIn(directory, 'src/index.ts')).toBe(PLAIN['src/index.ts'])
    expect(readIn(directory, 'src/hapax.ts'))
      .toBe(`import { createWorker, credential, hapax, idempotent } from 'hapax'
import { Hono } from 'hono'

import worker from './index'

export * from './index'
export { DirectoryObject, IdempotencyObject } from 'hapax'

const app = new Hono()
app.use(hapax({ tenant: credential('Authorization') }))

// An example: requests with the same Idempotency-Key get the same id. Delete it when you protect your own routes.
app.post('/hapax/example', idempotent(), (c) => c.json({ id: crypto.randomUUID() }, 201))

// Your Worker handles all other requests.
const { fetch } = worker as { fetch(...args: any[]): Response | Promise<Response> }
app.all('*', (c) => fetch.call(worker, c.req.raw, c.env, c.executionCtx))

export default { ...worker, ...createWorker(app) }
`)
    expect(JSON.parse(readIn(directory, 'package.json'))).toMatchObject({
      dependencies: { hapax: expect.any(String), hono: peerDependencies.hono },
    })
  })

  it('imports with an extension where TypeScript wants one', async () => {
    const tsconfig = '{ "compilerOptions": { "module": "NodeNext" } } // strict'
    const directory = createProject({ ...PLAIN, 'tsconfig.json': tsconfig })
    await setUp(directory)
    expect(readIn(directory, 'src/hapax.ts')).toContain("import worker from './index.js'")
  })

  it('writes a deployment into an empty directory', async () => {
    const directory = createProject({})
    expect(await setUp(directory)).toEqual([
      'package.json',
      'wrangler.jsonc',
      'src/routes.ts',
      'src/index.ts',
      'tsconfig.json',
      '.gitignore',
      'README.md',
      '.dev.vars.example',
    ])
    expect(readIn(directory, 'wrangler.jsonc')).toContain('"compatibility_date": "2026-10-15"')
    expect(readIn(directory, 'wrangler.jsonc')).toContain('"exports": {')
    expect(readIn(directory, '.dev.vars.example')).toContain('\nHAPAX_ADMIN_TOKEN=\n')
  })

  it('writes a deployment for the Wrangler of Node.js 20', async () => {
    const directory = createProject({})
    await setUp(directory, '20.20.2')
    const config = readIn(directory, 'wrangler.jsonc')
    expect(config).toContain('"compatibility_date": "2026-04-26"')
    expect(config).toContain('["global_fetch_strictly_public", "nodejs_compat"]')
    expect(config).toContain('"migrations": [')
    expect(config).not.toContain('"exports"')
  })

  it('keeps the files of a directory that is nearly empty', async () => {
    const files = {
      'package.json':
        '{\n  "scripts": { "dev": "mine" },\n  "dependencies": { "hapax": "file:x" }\n}\n',
      '.gitignore': 'mine\n',
    }
    const directory = createProject(files)
    expect(await setUp(directory)).not.toContain('.gitignore')
    expect(JSON.parse(readIn(directory, 'package.json'))).toMatchObject({
      scripts: { dev: 'mine', deploy: 'wrangler deploy' },
      dependencies: { hapax: 'file:x', hono: expect.any(String) },
    })
  })

  it.each<{ name: string; files: Files }>([
    { name: 'an empty directory', files: {} },
    { name: 'Hono with TOML', files: HONO_TOML },
    { name: 'Hono with JSONC', files: HONO_JSONC },
    { name: 'a plain Worker', files: PLAIN },
    { name: 'a current Wrangler', files: { ...HONO_TOML, ...CURRENT_WRANGLER } },
  ])('has nothing to do for the second time in $name', async ({ files }) => {
    const directory = createProject(files)
    await setUp(directory)
    expect((await planInit(directory, '24.0.0')).changes).toEqual([])
  })

  it('declares exports where the installed Wrangler knows them', async () => {
    const directory = createProject({ ...HONO_TOML, ...CURRENT_WRANGLER })
    await setUp(directory)
    const config = readIn(directory, 'wrangler.toml')
    expect(config).toContain(
      '[exports.DirectoryObject]\ntype = "durable-object"\nstorage = "sqlite"\n',
    )
    expect(config).not.toContain('migrations')
  })

  it('gives named environments their own bindings', async () => {
    const own = `
[env.staging.vars]
CURRENCY = "USD"

[env.production]
migrations = [{ tag = "hapax-v1", new_sqlite_classes = ["Room"] }]
compatibility_flags = ["a"]
`
    const directory = createProject({
      ...HONO_TOML,
      'wrangler.toml': `${HONO_TOML['wrangler.toml']}${own}`,
    })
    await setUp(directory)
    const config = readIn(directory, 'wrangler.toml')
    for (const name of ['staging', 'production']) {
      expect(config).toContain(`[[env.${name}.durable_objects.bindings]]\nname = "OPERATIONS"`)
      expect(config).toContain(`[[env.${name}.analytics_engine_datasets]]\nbinding = "METRICS"`)
    }
    expect(config).toContain('compatibility_flags = ["a", "nodejs_compat"]')
    expect(config).toContain(
      '{ tag = "hapax-v2", new_sqlite_classes = [ "DirectoryObject", "IdempotencyObject" ] }',
    )
  })

  it('says that it does not raise the compatibility date', async () => {
    const { notes } = await planInit(createProject(HONO_TOML), '24.0.0')
    expect(notes).toEqual([expect.stringContaining('The compatibility date stays 2026-04-01.')])
  })

  it('says what the types lack', async () => {
    const tsconfig = '{ "compilerOptions": { "types": ["node"] } }'
    const { notes, next } = await planInit(
      createProject({ ...PLAIN, 'tsconfig.json': tsconfig }),
      '24.0.0',
    )
    expect(notes).toContainEqual(expect.stringContaining('Add "./worker-configuration.d.ts"'))
    expect(next).toContain('npx wrangler types')
  })

  it('generates types again where the project has generated ones', async () => {
    const project = createProject({ ...PLAIN, 'worker-configuration.d.ts': '' })
    expect(await planInit(project, '24.0.0')).toMatchObject({ needsTypes: true })
    expect(await planInit(createProject(PLAIN), '24.0.0')).toMatchObject({ needsTypes: false })
  })

  it('ends with a request to the example route, below the base path of the app', async () => {
    const main =
      "import { Hono } from 'hono'\nconst app = new Hono().basePath('/api/')\nexport default app\n"
    const project = createProject({ ...HONO_TOML, 'src/index.ts': main })
    const { next } = await planInit(project, '24.0.0')
    expect(next.at(-1)).toContain('http://localhost:8787/api/hapax/example')
  })

  it('names the package manager of the project', async () => {
    const { next } = await planInit(createProject({ ...PLAIN, 'pnpm-lock.yaml': '' }), '24.0.0')
    expect(next[0]).toBe('pnpm install')
  })

  const toml = (text: string): Files => ({
    ...HONO_TOML,
    'wrangler.toml': `main = "src/index.ts"\ncompatibility_date = "2026-04-01"\n${text}`,
  })
  const without = (name: string) =>
    Object.fromEntries(Object.entries(HONO_TOML).filter(([file]) => file !== name))

  it.each<{ name: string; files: Files; message: string }>([
    {
      name: 'two configurations',
      files: { ...HONO_TOML, 'wrangler.jsonc': '{}' },
      message: 'The project has wrangler.jsonc and wrangler.toml.',
    },
    {
      name: 'Pages',
      files: toml('pages_build_output_dir = "dist"'),
      message: 'wrangler.toml is the configuration of Cloudflare Pages',
    },
    { name: 'no_bundle', files: toml('no_bundle = true'), message: 'sets no_bundle' },
    {
      name: 'no main file in the configuration',
      files: { ...HONO_TOML, 'wrangler.toml': 'name = "a"' },
      message: 'wrangler.toml has no main file.',
    },
    {
      name: 'a main file that is not there',
      files: without('src/index.ts'),
      message: 'The main file src/index.ts is not there.',
    },
    {
      name: 'no package.json',
      files: without('package.json'),
      message: 'There is no package.json.',
    },
    {
      name: 'an environment with another main file',
      files: toml('[env.a]\nmain = "b.ts"'),
      message: 'The environment a has a main file of its own.',
    },
    {
      name: 'another binding of the name',
      files: toml('[[kv_namespaces]]\nbinding = "METRICS"\nid = "1"'),
      message: 'The binding METRICS is already there, for something else.',
    },
    {
      name: 'another class behind the binding',
      files: toml('durable_objects.bindings = [{ name = "OPERATIONS", class_name = "Mine" }]'),
      message: 'The binding OPERATIONS is already there, for something else.',
    },
    {
      name: 'the class of another Worker',
      files: toml(
        '[[env.b.durable_objects.bindings]]\nname = "DIRECTORY"\nclass_name = "DirectoryObject"\nscript_name = "other"',
      ),
      message: 'The binding DIRECTORY in the environment b is already there, for something else.',
    },
    {
      name: 'a variable of the name',
      files: toml('vars = { OPERATIONS = "1" }'),
      message: 'The binding OPERATIONS is already there, for something else.',
    },
    {
      name: 'a class with key-value storage',
      files: toml('[[migrations]]\ntag = "v1"\nnew_classes = ["IdempotencyObject"]'),
      message: 'The class IdempotencyObject is already there, but not as a new class with SQLite',
    },
    {
      name: 'a class that was declared in another form',
      files: toml('[exports.DirectoryObject]\ntype = "durable-object"\nstate = "deleted"'),
      message: 'The class DirectoryObject is already there, but not as a new class with SQLite',
    },
    {
      name: 'an old compatibility date',
      files: {
        ...HONO_TOML,
        'wrangler.toml': 'main = "src/index.ts"\ncompatibility_date = "2024-09-22"',
      },
      message: 'The compatibility date 2024-09-22 is too old.',
    },
    {
      name: 'Node.js switched off',
      files: toml('compatibility_flags = ["no_nodejs_compat"]'),
      message: 'A compatibility flag switches the API of Node.js off.',
    },
    {
      name: 'a taken file name',
      files: { ...PLAIN, 'src/hapax.ts': '' },
      message: 'src/hapax.ts is already there.',
    },
    {
      name: 'a class as the default export',
      files: { ...HONO_TOML, 'src/index.ts': 'export default class {}' },
      message: 'The default export of src/index.ts is a class.',
    },
  ])('refuses $name, and shows what to add by hand', async ({ name, files, message }) => {
    const directory = createProject(files)
    const refused = planInit(directory, '24.0.0')
    await expect(refused).rejects.toThrow(message)
    if (name === 'two configurations') return
    await expect(refused).rejects.toThrow(/class_name = "IdempotencyObject"[^]*createWorker\(app\)/)
  })

  it('refuses a directory with something else in it', async () => {
    await expect(planInit(createProject({ 'main.py': '' }), '24.0.0')).rejects.toThrow(
      'the directory is not empty: it contains main.py.',
    )
  })
})

describe('writeChanges', () => {
  it('writes nothing if one file has changed meanwhile', async () => {
    const directory = createProject(HONO_TOML)
    const { changes } = await planInit(directory, '24.0.0')
    writeFileSync(path.join(directory, 'package.json'), '{}')
    await expect(writeChanges(directory, changes)).rejects.toThrow(
      'package.json has changed meanwhile.',
    )
    expect(readIn(directory, 'wrangler.toml')).toBe(HONO_TOML['wrangler.toml'])
    expect(readdirSync(directory).toSorted()).toEqual(['package.json', 'src', 'wrangler.toml'])
  })
})
