import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { killWithParent } from '../demo/dev-server.ts'
import { type ProcessOutput, recordOutput } from './process-output.ts'

const require = createRequire(import.meta.url)
// A CommonJS module, whose default export is the path of the binary: Node and Vitest differ in how they import it.
const { default: workerd } = require('workerd') as { default: string }
const START_LIMIT_MS = 30_000
const LOOK_MS = 5

/** A Worker, and what it is bound to. */
export interface BareWorker {
  /** The file of its bundle. */
  readonly bundle: string
  readonly compatibilityDate: string
  readonly compatibilityFlags: readonly string[]
  readonly bindings: Readonly<Record<string, string>>
  /** Classes of objects, by the binding's name. */
  readonly durableObjects: Readonly<Record<string, { readonly className: string }>>
  readonly analyticsEngineDatasets: Readonly<Record<string, unknown>>
  readonly ratelimits: Readonly<Record<string, { readonly simple: object }>>
  /** Workers behind service bindings, by the binding's name: the source of an ES module. */
  readonly services: Readonly<Record<string, string>>
  /** The same Worker with other variables, which runs at the same time and shares the objects. */
  readonly beside?: {
    /** The file of another version of the Worker. Its objects are those of this one. */
    readonly bundle?: string
    readonly port: number
    readonly bindings: Readonly<Record<string, string>>
  }
}

/** Directory in which a project keeps the state of its objects. */
export const stateOf = (directory: string) => path.join(directory, 'state')

/**
 * Writes a Worker and its configuration into a directory, for `serveBare`.
 *
 * @returns The file of the configuration.
 */
export function writeBareProject(directory: string, port: number, worker: BareWorker): string {
  const configuration = path.join(directory, 'workerd.capnp')
  cpSync(worker.bundle, path.join(directory, 'worker.js'))
  cpSync(worker.beside?.bundle ?? worker.bundle, path.join(directory, 'beside.js'))
  writeFileSync(path.join(directory, 'platform.js'), PLATFORM)
  mkdirSync(stateOf(directory), { recursive: true })
  for (const [name, source] of Object.entries(worker.services))
    writeFileSync(path.join(directory, `${name}.js`), source)
  writeFileSync(configuration, toConfiguration(directory, port, worker))
  return configuration
}

function toConfiguration(directory: string, port: number, worker: BareWorker): string {
  const { beside } = worker
  const date = quote(worker.compatibilityDate)
  const services = Object.keys(worker.services).map(
    (name) =>
      `(name = ${quote(name)}, worker = (modules = [(name = "${name}.js", esModule = embed "${name}.js")], compatibilityDate = ${date})),`,
  )
  const namespaces = Object.values(worker.durableObjects).map(
    ({ className }) =>
      `(className = ${quote(className)}, uniqueKey = ${quote(className)}, enableSql = true)`,
  )
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "gateway", worker = .gateway),
    ${beside === undefined ? '' : '(name = "beside", worker = .beside),'}
    (name = "platform", worker = (modules = [(name = "platform.js", esModule = embed "platform.js")], compatibilityDate = ${date})),
    ${services.join('\n    ')}
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
    (name = "state", disk = (path = ${quote(stateOf(directory))}, writable = true)),
  ],
  sockets = [
    ${socket('gateway', port)},
    ${beside === undefined ? '' : socket('beside', beside.port)}
  ],
);
const gateway :Workerd.Worker = (${toWorker(worker, 'worker.js', worker.bindings)}
  durableObjectNamespaces = [${namespaces.join(', ')}],
  durableObjectStorage = (localDisk = "state"),
);
${beside === undefined ? '' : `const beside :Workerd.Worker = (${toWorker(worker, 'beside.js', beside.bindings)}\n);`}
`
}

const socket = (service: string, port: number) =>
  `(name = ${quote(service)}, address = "127.0.0.1:${port}", http = (), service = ${quote(service)})`

function toWorker(worker: BareWorker, file: string, texts: BareWorker['bindings']): string {
  return `
  modules = [(name = "worker.js", esModule = embed ${quote(file)})],
  compatibilityDate = ${quote(worker.compatibilityDate)},
  compatibilityFlags = [${worker.compatibilityFlags.map(quote).join(', ')}],
  bindings = [
    ${toBindings(worker, texts).join(',\n    ')}
  ],`
}

function toBindings(worker: BareWorker, texts: BareWorker['bindings']): string[] {
  return [
    ...Object.entries(texts).map(([name, text]) => binding(name, `text = ${quote(text)}`)),
    ...Object.entries(worker.durableObjects).map(([name, { className }]) =>
      binding(
        name,
        `durableObjectNamespace = (className = ${quote(className)}, serviceName = "gateway")`,
      ),
    ),
    ...Object.keys(worker.analyticsEngineDatasets).map((name) => platform(name, 'Dataset')),
    ...Object.entries(worker.ratelimits).map(([name, { simple }]) =>
      platform(name, 'RateLimiter', simple),
    ),
    ...Object.keys(worker.services).map((name) => binding(name, `service = ${quote(name)}`)),
  ]
}

const quote = (text: string) => JSON.stringify(text)
const binding = (name: string, what: string) => `(name = ${quote(name)}, ${what})`
const platform = (name: string, entrypoint: string, props: unknown = {}) =>
  binding(
    name,
    `service = (name = "platform", entrypoint = ${quote(entrypoint)}, props = (json = ${quote(JSON.stringify(props))}))`,
  )

/** Stands for the two bindings that workerd alone does not have. */
const PLATFORM = `
import { WorkerEntrypoint } from 'cloudflare:workers'
const counts = new Map()
export class Dataset extends WorkerEntrypoint {
  writeDataPoint() {}
}
export class RateLimiter extends WorkerEntrypoint {
  limit({ key }) {
    const { limit, period } = this.ctx.props
    const now = Date.now()
    const known = counts.get(key) ?? { count: 0, until: 0 }
    const { count, until } = known.until > now ? known : { count: 0, until: now + period * 1000 }
    counts.set(key, { count: count + 1, until })
    return { success: count < limit }
  }
}
export default { fetch: () => new Response(null, { status: 404 }) }
`

/** How to start a project that `writeBareProject` has written. */
export interface BareServing {
  readonly configuration: string
  readonly port: number
  /** A path that the Worker answers by itself, so that asking leaves no trace at the origin. */
  readonly readyPath: string
  /** `ignore` drops what the Worker logs. */
  readonly stdout: 'pipe' | 'ignore'
}

/** A running workerd. */
export interface BareServer {
  readonly pid: number
  readonly output: ProcessOutput
  /** `kill -9`; resolves when it is gone. */
  readonly kill: () => Promise<void>
}

/**
 * Starts `workerd serve` and waits until it answers. It ends when this process ends.
 *
 * @throws {Error} With its log, if it does not start.
 */
export async function serveBare(serving: BareServing): Promise<BareServer> {
  const { configuration, port, readyPath, stdout } = serving
  // The binary itself and no launcher: what is killed, and measured, is workerd.
  const args = ['serve', '--experimental', configuration]
  const child = spawn(workerd, args, { detached: true, stdio: ['ignore', stdout, 'pipe'] })
  const output = recordOutput(child)
  const pid = Number(child.pid)
  const kill = () => killed(child)
  // Whatever ends this process ends it as well.
  const guard = killWithParent(pid)
  child.once('close', () => guard.kill('SIGKILL'))
  try {
    await answering(child, `http://127.0.0.1:${port}${readyPath}`)
  } catch (cause) {
    await kill()
    throw new Error(`workerd did not start on ${port}. Its log:\n${output.text()}`, { cause })
  }
  return { pid, output, kill }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}

async function answering(child: ChildProcess, url: string): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(`workerd ended with ${child.exitCode}`)
    try {
      const answer = await fetch(url)
      await answer.body?.cancel()
      return
    } catch (cause) {
      if (Date.now() > deadline) throw new Error('workerd does not answer', { cause })
      await sleep(LOOK_MS)
    }
  }
}
