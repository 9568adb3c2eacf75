import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

import type { TestProject } from 'vitest/node'
import { unstable_getMiniflareWorkerOptions as readWorkerOptions } from 'wrangler'

import { bundleWorker } from '../../dev/bundle-worker.ts'
import { close, listen } from '../../dev/local-server.ts'
import type { BuiltWorker } from './built-worker.ts'

const projectRoot = path.resolve(import.meta.dirname, '../..')

/** Lets the test files of a run share what they build, Workers and the package: they ask for it over HTTP. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const outdir = mkdtempSync(path.join(tmpdir(), 'hapax-built-'))
  const built = new Map<string, Promise<BuiltWorker>>()
  let packed: Promise<string> | undefined
  const server = createServer((request, response) => {
    if (request.url === '/?package') {
      reply(response, (packed ??= packPackage(outdir)))
      return
    }
    const config = path.resolve(projectRoot, decodeURIComponent(request.url?.slice(1) ?? ''))
    const worker = built.get(config) ?? buildWorker(config, path.join(outdir, `${built.size}.js`))
    built.set(config, worker)
    reply(
      response,
      worker.then((value) => JSON.stringify(value)),
    )
  })
  // In watch mode: a source has changed.
  project.onTestsRerun(async () => {
    built.clear()
    packed = undefined
  })
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

async function buildWorker(config: string, bundle: string): Promise<BuiltWorker> {
  const { workerOptions, main = '' } = readWorkerOptions(config)
  await bundleWorker({ entry: path.resolve(path.dirname(config), main), bundle })
  // Wider than what is named of it.
  return { bundle, options: workerOptions as unknown as BuiltWorker['options'] }
}
