import { rmSync } from 'node:fs'
import path from 'node:path'

import { unstable_getMiniflareWorkerOptions as readWorkerOptions } from 'wrangler'

import { freePort } from '../../demo/dev-server.ts'
import { type BareWorker, serveBare, writeBareProject } from '../../dev/bare-workerd.ts'
import { bundleWorker } from '../../dev/bundle-worker.ts'
import type { Contender, Running } from './contender.ts'
import { createStateDirectory } from './state-directory.ts'

/** A Worker of `bench/workers` as a contender. */
export interface WorkerEntry {
  readonly name: string
  /** The file in `bench/workers`, without its ending. */
  readonly entry: string
  /** Its classes of objects, by the binding's name. */
  readonly objects?: Readonly<Record<string, string>>
  readonly vars?: Readonly<Record<string, string>>
  /** Default: `/ready`. */
  readonly readyPath?: string
}

/** A contender in a bare `workerd serve`, with the compatibility date and flags of `wrangler.toml`. */
export function inWorkerd(worker: WorkerEntry): Contender {
  return { name: worker.name, start: (originUrl) => start(worker, originUrl) }
}

async function start(worker: WorkerEntry, originUrl: string): Promise<Running> {
  const directory = createStateDirectory()
  const bundle = path.join(directory, 'bundle.js')
  const entry = path.join(import.meta.dirname, '../workers', `${worker.entry}.ts`)
  await bundleWorker({ entry, bundle, minify: true })
  const port = await freePort()
  const configuration = writeBareProject(directory, port, toBareWorker(worker, bundle, originUrl))
  const { readyPath = '/ready' } = worker
  // What a Worker logs is written, and read by nobody.
  const startedAt = performance.now()
  const server = await serveBare({ configuration, port, readyPath, stdout: 'ignore' })
  return {
    url: `http://127.0.0.1:${port}`,
    pids: [server.pid],
    readyMs: performance.now() - startedAt,
    async stop() {
      await server.kill()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function toBareWorker(worker: WorkerEntry, bundle: string, originUrl: string): BareWorker {
  const { workerOptions } = readWorkerOptions(path.join(import.meta.dirname, '../../wrangler.toml'))
  // Wider than what is named of it.
  const { compatibilityDate, compatibilityFlags } = workerOptions as unknown as BareWorker
  const objects = Object.entries(worker.objects ?? {})
  return {
    bundle,
    compatibilityDate,
    compatibilityFlags,
    bindings: { ORIGIN_URL: originUrl, ...worker.vars },
    durableObjects: Object.fromEntries(objects.map(([name, className]) => [name, { className }])),
    analyticsEngineDatasets: { METRICS: {} },
    ratelimits: {},
    services: {},
  }
}
