import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { build } from 'esbuild'
import type { TestProject } from 'vitest/node'
import { unstable_getMiniflareWorkerOptions as readWorkerOptions } from 'wrangler'

import { close, listen } from '../../dev/local-server.ts'
import type { BuiltWorker } from './built-worker.ts'

const projectRoot = path.resolve(import.meta.dirname, '../..')

/** Lets the test files of a run share the Workers that they build: they ask for them over HTTP. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const outdir = mkdtempSync(path.join(tmpdir(), 'hapax-built-'))
  const built = new Map<string, Promise<BuiltWorker>>()
  const server = createServer((request, response) => {
    const config = path.resolve(projectRoot, decodeURIComponent(request.url?.slice(1) ?? ''))
    const worker = built.get(config) ?? buildWorker(config, path.join(outdir, `${built.size}.js`))
    built.set(config, worker)
    worker.then(
      (value) => response.end(JSON.stringify(value)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  })
  // In watch mode: a source has changed.
  project.onTestsRerun(async () => built.clear())
  project.provide('builderUrl', await listen(server))
  return async () => {
    await close(server)
    rmSync(outdir, { recursive: true, force: true })
  }
}

/** Bundles a Worker as `wrangler deploy` does. `bare.test.ts` compares the two. */
async function buildWorker(config: string, bundle: string): Promise<BuiltWorker> {
  const { workerOptions, main = '' } = readWorkerOptions(config)
  await build({
    entryPoints: [main],
    absWorkingDir: path.dirname(config),
    outfile: bundle,
    bundle: true,
    format: 'esm',
    keepNames: false,
    target: 'es2024',
    conditions: ['workerd', 'worker', 'browser'],
    external: ['cloudflare:*', 'node:*'],
    define: {
      'navigator.userAgent': '"Cloudflare-Workers"',
      'process.env.NODE_ENV': '"production"',
    },
    logLevel: 'silent',
  })
  // Wider than what is named of it.
  return { bundle, options: workerOptions as unknown as BuiltWorker['options'] }
}
