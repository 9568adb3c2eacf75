import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import workerd from 'workerd'

import { send } from '../../demo/client.ts'
import { freePort, killWithParent } from '../../demo/dev-server.ts'
import { builtWorkerOf } from './built-worker.ts'
import { type Gateway, type Origin, recordOutput } from './server.ts'

/** Of every gateway in this project of tests, for `gateway/placement.ts`. */
const { PLACEMENT } = process.env

const START_LIMIT_MS = 30_000
const LOOK_MS = 20

/** What `startBareGateway` needs to know. */
export interface BareOptions {
  /** Sets `ORIGIN_URL`; not needed where `services` has `ORIGIN`. */
  readonly origin?: Pick<Origin, 'url'>
  readonly vars?: Readonly<Record<string, string>>
  /** Workers behind service bindings, by the binding's name: the source of an ES module. */
  readonly services?: Readonly<Record<string, string>>
  /** Default: `wrangler.toml` of `test/e2e/gateway`. */
  readonly config?: string
  /** Variables of a second gateway that runs at the same time, with the objects of the first. */
  readonly beside?: Readonly<Record<string, string>>
}

/** A gateway in bare workerd. */
export interface BareGateway extends Gateway {
  /** Directory of its state, for `state.ts`. */
  readonly state: string
  /** URL of the second gateway, if there is one. */
  readonly besideUrl: string
  /** Kills it and starts it again on the same state, with other variables. */
  redeploy(vars: Readonly<Record<string, string>>): Promise<void>
}

/**
 * Starts the bundle that would be deployed in `workerd serve`, with nothing in front: what
 * `wrangler dev` puts there tidies URLs and hosts, and translates encodings. State is on disk and
 * survives `kill` and `restart`.
 */
export async function startBareGateway(options: BareOptions): Promise<BareGateway> {
  const directory = mkdtempSync(path.join(tmpdir(), 'hapax-bare-'))
  const port = await freePort()
  const ports = { port, beside: options.beside === undefined ? 0 : await freePort() }
  const configuration = path.join(directory, 'workerd.capnp')
  await writeProject(directory, configuration, ports, options)
  const url = `http://127.0.0.1:${port}`
  let server = await serve(configuration, port)
  return {
    url,
    besideUrl: `http://127.0.0.1:${ports.beside}`,
    state: stateOf(directory),
    send: (request) => send(url, request),
    kill: () => server.kill(),
    async restart() {
      await server.kill()
      server = await serve(configuration, port)
    },
    async redeploy(vars) {
      await server.kill()
      const deployed = { ...options, vars: { ...options.vars, ...vars } }
      await writeProject(directory, configuration, ports, deployed)
      server = await serve(configuration, port)
    },
    async stop() {
      await server.kill()
      rmSync(directory, { recursive: true, force: true })
    },
    log: () => server.output.text(),
    written: (text) => server.output.written(text),
  }
}

interface Server {
  readonly output: ReturnType<typeof recordOutput>
  /** `kill -9`; resolves when it is gone. */
  readonly kill: () => Promise<void>
}

async function serve(configuration: string, port: number): Promise<Server> {
  // The binary itself and no launcher: what is killed is workerd.
  const args = ['serve', '--experimental', configuration]
  const child = spawn(workerd, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = recordOutput(child)
  const kill = () => killed(child)
  // Whatever ends this process ends it as well.
  const guard = killWithParent(Number(child.pid))
  child.once('close', () => guard.kill('SIGKILL'))
  try {
    await answering(child, port)
  } catch (cause) {
    await kill()
    throw new Error(`workerd did not start on ${port}. Its log:\n${output.text()}`, { cause })
  }
  return { output, kill }
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const closed = once(child, 'close')
  child.kill('SIGKILL')
  await closed
}

/** Waits until the gateway answers by itself, which leaves no trace at the origin. */
async function answering(child: ChildProcess, port: number): Promise<void> {
  const deadline = Date.now() + START_LIMIT_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(`workerd ended with ${child.exitCode}`)
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/_hapax/problems`)
      await answer.body?.cancel()
      return
    } catch (cause) {
      if (Date.now() > deadline) throw new Error('workerd does not answer', { cause })
      await sleep(LOOK_MS)
    }
  }
}

async function writeProject(
  directory: string,
  configuration: string,
  ports: { readonly port: number; readonly beside: number },
  options: BareOptions,
): Promise<void> {
  const config = options.config ?? path.join(import.meta.dirname, 'gateway/wrangler.toml')
  const { bundle, options: worker } = await builtWorkerOf(config)
  cpSync(bundle, path.join(directory, 'worker.js'))
  writeFileSync(path.join(directory, 'platform.js'), PLATFORM)
  mkdirSync(stateOf(directory), { recursive: true })
  const services = Object.entries(options.services ?? {})
  for (const [name, source] of services) writeFileSync(path.join(directory, `${name}.js`), source)
  const { ORIGIN_URL: _, ...vars } = worker.bindings
  const texts = {
    ...vars,
    ...(options.origin === undefined ? {} : { ORIGIN_URL: options.origin.url }),
    ...(PLACEMENT === undefined ? {} : { PLACEMENT }),
    ...options.vars,
  }
  const bindingsOf = (variables: Readonly<Record<string, string>>) => [
    ...Object.entries(variables).map(([name, text]) => binding(name, `text = ${quote(text)}`)),
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
    ...services.map(([name]) => binding(name, `service = ${quote(name)}`)),
  ]
  const gatewayOf = (variables: Readonly<Record<string, string>>) => `
  modules = [(name = "worker.js", esModule = embed "worker.js")],
  compatibilityDate = ${quote(worker.compatibilityDate)},
  compatibilityFlags = [${worker.compatibilityFlags.map(quote).join(', ')}],
  bindings = [
    ${bindingsOf(variables).join(',\n    ')}
  ],`
  const namespaces = Object.values(worker.durableObjects).map(
    ({ className }) =>
      `(className = ${quote(className)}, uniqueKey = ${quote(className)}, enableSql = true)`,
  )
  writeFileSync(
    configuration,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "gateway", worker = .gateway),
    (name = "beside", worker = .beside),
    (name = "platform", worker = (modules = [(name = "platform.js", esModule = embed "platform.js")], compatibilityDate = ${quote(worker.compatibilityDate)})),
    ${services.map(([name]) => `(name = ${quote(name)}, worker = (modules = [(name = "${name}.js", esModule = embed "${name}.js")], compatibilityDate = ${quote(worker.compatibilityDate)})),`).join('\n    ')}
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
    (name = "state", disk = (path = ${quote(stateOf(directory))}, writable = true)),
  ],
  sockets = [
    (name = "http", address = "127.0.0.1:${ports.port}", http = (), service = "gateway"),
    (name = "beside", address = "127.0.0.1:${ports.beside}", http = (), service = "beside"),
  ],
);
const beside :Workerd.Worker = (${gatewayOf({ ...texts, ...options.beside })}
);
const gateway :Workerd.Worker = (${gatewayOf(texts)}
  durableObjectNamespaces = [${namespaces.join(', ')}],
  durableObjectStorage = (localDisk = "state"),
);
`,
  )
}

const stateOf = (directory: string) => path.join(directory, 'state')
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
