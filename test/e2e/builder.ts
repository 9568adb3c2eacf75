import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

import type { TestProject } from 'vitest/node'
import { unstable_getMiniflareWorkerOptions as readWorkerOptions } from 'wrangler'

import { bundleWorker } from '../../dev/bundle-worker.ts'
import { close, listen } from '../../dev/local-server.ts'
import { packages as locked } from '../../package-lock.json' with { type: 'json' }
import type { BuiltWorker } from './built-worker.ts'
import { runForeign } from './foreign-run.ts'

const projectRoot = path.resolve(import.meta.dirname, '../..')

/** Lets the test files of a run share what they build, Workers and the package: they ask for it over HTTP. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const outdir = mkdtempSync(path.join(tmpdir(), 'hapax-built-'))
  const built = new Map<string, Promise<string>>()
  const build = (what: string): Promise<string> => {
    if (what === '?package') return packPackage(outdir)
    if (what === '?project') return shared('?package').then(installPackage)
    return buildWorker(path.resolve(projectRoot, what), path.join(outdir, `${built.size}.js`))
  }
  const shared = (what: string): Promise<string> => {
    const known = built.get(what) ?? build(what)
    built.set(what, known)
    return known
  }
  const server = createServer((request, response) =>
    reply(response, shared(decodeURIComponent(request.url?.slice(1) ?? ''))),
  )
  // In watch mode: a source has changed.
  project.onTestsRerun(async () => built.clear())
  project.provide('builderUrl', await listen(server))
  return async () => {
    await close(server)
    rmSync(outdir, { recursive: true, force: true })
  }
}

function reply(response: ServerResponse, built: Promise<string>): void {
  built.then(
    (text) => response.end(text),
    (error: unknown) => response.writeHead(500).end(String(error)),
  )
}

/** Packs the package. The dashboard in it is the one that `npm ci` has built. */
async function packPackage(outdir: string): Promise<string> {
  const run = promisify(execFile)
  await run('npm', ['run', '--silent', 'build:package'], { cwd: projectRoot })
  const pack = ['pack', '--silent', '--ignore-scripts', '--pack-destination', outdir]
  const { stdout } = await run('npm', pack, { cwd: projectRoot })
  return path.join(outdir, stdout.trim())
}

/**
 * Installs the package and Hono in a project that knows nothing of this repository.
 *
 * @returns Its directory, which test files copy.
 */
async function installPackage(file: string): Promise<string> {
  const directory = mkdtempSync(path.join(tmpdir(), 'hapax-foreign-'))
  const manifest = { name: 'foreign', private: true, type: 'module' }
  writeFileSync(path.join(directory, 'package.json'), JSON.stringify(manifest))
  // The version that `npm ci` has installed, so that the cache has it.
  const packages = [file, `hono@${locked['node_modules/hono'].version}`]
  const quiet = ['--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error']
  const { code, output } = await runForeign(directory, 'npm', 'install', ...quiet, ...packages)
  if (code !== 0) throw new Error(`npm install failed: ${output}`)
  return directory
}

async function buildWorker(config: string, bundle: string): Promise<string> {
  const { workerOptions, main = '' } = readWorkerOptions(config)
  await bundleWorker({ entry: path.resolve(path.dirname(config), main), bundle })
  // Wider than what is named of it.
  const options = workerOptions as unknown as BuiltWorker['options']
  return JSON.stringify({ bundle, options } satisfies BuiltWorker)
}
