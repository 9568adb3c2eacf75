import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { examine, GOOD, without } from '../cli/doctor/project-files.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const read = (file: string) => readFileSync(path.join(root, file), 'utf8')
const page = read('docs/deploying.md')

const blocksOf = (language: string) =>
  Array.from(
    page.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms')),
    ([, text = '']) => text,
  )

/** The configuration of this repository with everything that the page adds to it. */
const TOML = [read('wrangler.toml'), ...blocksOf('toml')].join('\n')
const ENVIRONMENTS = ['staging', 'production']

/** Wrangler compares the names of the classes with what it deploys. */
const STUB = `export class DirectoryObject {}
export class IdempotencyObject {}
export default { fetch: () => new Response() }
`

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'hapax-deploying-'))
  mkdirSync(path.join(folder, 'public'))
  writeFileSync(path.join(folder, 'stub.js'), STUB)
  writeFileSync(path.join(folder, 'wrangler.toml'), TOML)
})
afterAll(() => rmSync(folder, { recursive: true }))

/** Runs `wrangler deploy --dry-run`. @returns What it prints. @throws If it does not accept the configuration. */
function dryRun(...args: readonly string[]): Promise<string> {
  const wrangler = path.join(root, 'node_modules/wrangler/bin/wrangler.js')
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  execFile(
    process.execPath,
    [wrangler, 'deploy', 'stub.js', '--dry-run', ...args],
    { cwd: folder, env: { ...process.env, WRANGLER_SEND_METRICS: 'false' } },
    (error, stdout, stderr) => {
      if (error === null) resolve(stdout + stderr)
      else reject(new Error(stdout + stderr, { cause: error }))
    },
  )
  return promise
}

describe('docs/deploying.md', () => {
  it('shows two environments', () => {
    const named = Array.from(TOML.matchAll(/^\[env\.(\w+)\]$/gm), ([, name]) => name)
    expect(named).toEqual(ENVIRONMENTS)
  })

  it('shows configurations that Wrangler accepts without a warning', async () => {
    const outputs = await Promise.all(ENVIRONMENTS.map((name) => dryRun('--env', name)))
    for (const output of outputs) {
      expect(output).toContain('--dry-run: exiting now.')
      expect(output).not.toContain('WARNING')
      expect(output).toMatch(/env\.OPERATIONS[^]*env\.DIRECTORY[^]*env\.METRICS/)
    }
    expect(outputs[1]).toContain('env.ORIGIN (payments-api)')
  })

  it.each(ENVIRONMENTS)(
    'shows an environment in which hapax doctor finds nothing: %s',
    async (name) => {
      const files = { ...without(GOOD, 'wrangler.toml'), 'wrangler.toml': TOML }
      expect((await examine(files, '--env', name)).findings).toEqual([])
    },
  )
})

describe('.dev.vars.example and package.json', () => {
  it('name the same secrets for the deploy button, and no value', () => {
    const { cloudflare } = JSON.parse(read('package.json')) as {
      cloudflare: { bindings: Record<string, { description: string }> }
    }
    const names = Array.from(read('.dev.vars.example').matchAll(/^([A-Z_]+)=(.*)$/gm))
    expect(names.map(([, , value]) => value)).toEqual(names.map(() => ''))
    expect(['ORIGIN_URL', ...names.map(([, name]) => name)].toSorted()).toEqual(
      Object.keys(cloudflare.bindings).toSorted(),
    )
  })
})
