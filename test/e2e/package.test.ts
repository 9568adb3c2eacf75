import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

import { build } from 'esbuild'
import { beforeAll, describe, expect, it } from 'vitest'

import { createForeignProject, type ForeignProject, packedPackage } from './packed.ts'

const root = path.resolve(import.meta.dirname, '../..')

/** The same for every project here: the package and what it is used with. */
let project: ForeignProject
beforeAll(async () => {
  project = await createForeignProject()
  project.link('@cloudflare/workers-types', '@types/node', 'undici-types')
  const apps = path.resolve(import.meta.dirname, '../types/apps.test-d.ts')
  project.write({
    'apps.ts': readFileSync(apps, 'utf8').replaceAll(/\.\.\/\.\.\/src\/(\w+)\.ts/g, ofThePackage),
    'caller.ts': CALLER,
  })
})

const ofThePackage = (_: string, entry: string) => (entry === 'hapax' ? entry : `hapax/${entry}`)

const CALLER = `
import { idempotentTool } from 'hapax/agents'
import {
  business,
  businessKey,
  createIdempotentFetch,
  HapaxError,
  localStorageStore,
  once,
} from 'hapax/client'

const store = localStorageStore()
const key = () => businessKey('acme', 'pay', 'o17')
export const send: typeof fetch = createIdempotentFetch({ store, key })
export const isKnown = (error: unknown) => error instanceof HapaxError && error.retryable
const payOut = once(
  'payout',
  { key: business('/order') },
  async (input: { order: string }, { key }) => key + input.order,
)
export const paid: Promise<string> = payOut({ HAPAX_URL: 'https://gate.test' }, { order: 'o17' })
export const refund = idempotentTool(
  'refund',
  async (input: { order: string }, { key }) => input.order + key,
  { runId: 'run_1' },
)
`

/** Does not compile the sources alone: also what they import is checked. */
const CHECKED = { noEmit: true, declaration: true, skipLibCheck: false }
const OF_WORKERS = { ...CHECKED, lib: ['esnext'], types: ['@cloudflare/workers-types'] }

/** What `tsc --init` writes. */
const DEFAULT = {
  module: 'nodenext',
  target: 'esnext',
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noUncheckedSideEffectImports: true,
  verbatimModuleSyntax: true,
  isolatedModules: true,
  moduleDetection: 'force',
  jsx: 'react-jsx',
}

const STRICTEST = {
  ...DEFAULT,
  target: 'es2022',
  allowUnusedLabels: false,
  allowUnreachableCode: false,
  checkJs: true,
  erasableSyntaxOnly: true,
  noFallthroughCasesInSwitch: true,
  noImplicitOverride: true,
  noImplicitReturns: true,
  noPropertyAccessFromIndexSignature: true,
  noUnusedLocals: true,
  noUnusedParameters: true,
}

describe('the declarations of the package', () => {
  it.each([
    {
      project: 'a Worker with the defaults of TypeScript',
      file: 'apps.ts',
      options: { ...DEFAULT, ...OF_WORKERS },
    },
    {
      project: 'a Worker with the strictest options',
      file: 'apps.ts',
      options: { ...STRICTEST, ...OF_WORKERS },
    },
    {
      project: 'a Worker as the templates of Hono and Wrangler configure it',
      file: 'apps.ts',
      options: { ...OF_WORKERS, module: 'esnext', moduleResolution: 'bundler', strict: true },
    },
    {
      project: 'a caller in Node.js',
      file: 'caller.ts',
      options: { ...STRICTEST, ...CHECKED, lib: ['es2023'], types: ['node'] },
    },
    {
      project: 'a caller in a browser',
      file: 'caller.ts',
      options: { ...STRICTEST, ...CHECKED, lib: ['es2023', 'dom'], types: [] },
    },
  ])('compile in $project', async ({ file, options }) => {
    project.write({ 'tsconfig.json': JSON.stringify({ compilerOptions: options, files: [file] }) })
    const tsc = path.join(root, 'node_modules/typescript/bin/tsc')
    expect(await project.run('node', tsc, '-p', '.')).toEqual({ code: 0, output: '' })
  })
})

/** Names that Node.js 20 does not know. */
const NEWER =
  /\b(?:URL\.parse|Promise\.(?:withResolvers|try)|(?:Map|Object)\.groupBy|Array\.fromAsync|Iterator\.from|RegExp\.escape|isSubsetOf|isSupersetOf|isDisjointFrom|symmetricDifference|(?:from|to)(?:Base64|Hex)\(\)|import\.meta\.(?:dirname|filename)|node:sqlite)\b/

describe('the package', () => {
  const newerIn = (file: string) => project.read(`node_modules/hapax/dist/${file}`).match(NEWER)

  it.each(['client.js', 'client-node.js', 'agents.js'])(
    'needs nothing in %s that Node.js 20 does not have',
    (file) => {
      expect(newerIn(file)).toBeNull()
    },
  )

  it('needs nothing in the command line that Node.js 20 does not have', () => {
    const cli = readdirSync(path.join(project.directory, 'node_modules/hapax/dist/cli'))
    const files = cli.filter((name) => name.endsWith('.js'))
    expect(files).toContain('hapax.js')
    for (const file of files) expect([file, newerIn(`cli/${file}`)]).toEqual([file, null])
  })

  it('is loaded by the Node.js of the machine', async () => {
    const script = `Promise.all(['client', 'client/node', 'agents'].map((name) => import('hapax/' + name)))
      .then((entries) => console.log(...entries.flatMap(Object.keys)))`
    const { output } = await project.run('node', '-e', script)
    expect(output).toMatch(/\bcreateIdempotentFetch\b.*\bfileStore\b.*\bidempotentTool\b/)
  })

  it('is the command of its name', async () => {
    const help = await project.run('npx', 'hapax', '--help')
    expect(help).toMatchObject({ code: 0, output: expect.stringContaining('Usage: hapax <') })
  })

  it('has what is needed to run and to debug it, and nothing else', async () => {
    const { output } = await project.run('tar', 'tzf', await packedPackage())
    const files = output.trim().split('\n')
    const kinds = new Set(files.map((file) => file.replace(/[^/]*?((?:\.\w+)*)$/, '*$1')))
    expect([...kinds].toSorted()).toEqual([
      'package/*',
      'package/*.json',
      'package/*.md',
      'package/dist/*.d.ts',
      'package/dist/*.js',
      'package/dist/*.js.map',
      'package/dist/cli/*.js',
      'package/dist/cli/*.js.map',
      'package/public/_hapax/dashboard/*.html',
      'package/public/_hapax/dashboard/*.json',
      'package/public/_hapax/dashboard/assets/*.css',
      'package/public/_hapax/dashboard/assets/*.js',
      'package/public/_hapax/dashboard/assets/*.svg',
    ])
  })

  it('has source maps with the sources in them', () => {
    const map = project.read('node_modules/hapax/dist/cli/hapax.js.map')
    const { sources, sourcesContent } = JSON.parse(map)
    expect(sourcesContent).toHaveLength(sources.length)
    expect(sourcesContent).not.toContain(null)
  })

  it('lets a bundler leave out what is not used', async () => {
    const bundle = async (contents: string) => {
      const { outputFiles } = await build({
        stdin: { contents, resolveDir: project.directory },
        bundle: true,
        format: 'esm',
        write: false,
        external: ['cloudflare:*', 'node:*'],
        logLevel: 'error',
      })
      return outputFiles[0]?.text
    }
    expect(await bundle(`import 'hapax'; import { operators } from 'hapax/operators'`)).toBe('')
    const objects = await bundle(`export { IdempotencyObject } from 'hapax'`)
    expect(objects).toContain('IdempotencyObject')
    expect(objects).not.toContain('/_hapax/dashboard')
  })
})
