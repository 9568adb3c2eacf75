import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { send } from '../../demo/client.ts'
import { freePort } from '../../demo/dev-server.ts'
import { serveBare, stateOf, writeBareProject } from '../../dev/bare-workerd.ts'
import { builtWorkerOf } from './built-worker.ts'
import { type Gateway, type Origin, PROJECT_VARS } from './server.ts'

/** What `startBareGateway` needs to know. */
export interface BareOptions {
  /** Sets `ORIGIN_URL`; not needed where `services` has `ORIGIN`. */
  readonly origin?: Pick<Origin, 'url'>
  readonly vars?: Readonly<Record<string, string>>
  /** Workers behind service bindings, by the binding's name: the source of an ES module. */
  readonly services?: Readonly<Record<string, string>>
  /** Default: `wrangler.toml` of `test/e2e/gateway`. */
  readonly config?: string
  /** Puts a state there before it starts. */
  readonly fill?: (state: string) => void
  /** Variables of a second gateway that runs at the same time, with the objects of the first. */
  readonly beside?: Readonly<Record<string, string>>
  /** Bundles of other versions to run instead of the one that is built. */
  readonly bundles?: Bundles
}

/** Files of bundles. */
interface Bundles {
  /** Of the objects, and of the Worker on the first port. */
  readonly gateway?: string
  readonly beside?: string
}

/** A gateway in bare workerd. */
export interface BareGateway extends Gateway {
  /** Directory of its state, for `state.ts`. */
  readonly state: string
  /** URL of the second gateway, if there is one. */
  readonly besideUrl: string
  /** Kills it and starts it again on the same state, with other variables or of other versions. */
  redeploy(vars: Readonly<Record<string, string>>, bundles?: Bundles): Promise<void>
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
  const configuration = await writeProject(directory, ports, options)
  options.fill?.(stateOf(directory))
  const url = `http://127.0.0.1:${port}`
  const serve = () =>
    serveBare({ configuration, port, readyPath: '/_hapax/problems', stdout: 'pipe' })
  let server = await serve()
  return {
    url,
    besideUrl: `http://127.0.0.1:${ports.beside}`,
    state: stateOf(directory),
    send: (request) => send(url, request),
    kill: () => server.kill(),
    async restart() {
      await server.kill()
      server = await serve()
    },
    async redeploy(vars, bundles = options.bundles ?? {}) {
      await server.kill()
      const deployed = { ...options, bundles, vars: { ...options.vars, ...vars } }
      await writeProject(directory, ports, deployed)
      server = await serve()
    },
    async stop() {
      await server.kill()
      rmSync(directory, { recursive: true, force: true })
    },
    log: () => server.output.text(),
    written: (text) => server.output.written(text),
  }
}

interface Ports {
  readonly port: number
  readonly beside: number
}

async function writeProject(directory: string, { port, beside }: Ports, options: BareOptions) {
  const config = options.config ?? path.join(import.meta.dirname, 'gateway/wrangler.toml')
  const { bundle, options: worker } = await builtWorkerOf(config)
  const { ORIGIN_URL: _, ...vars } = worker.bindings
  const bindings = {
    ...vars,
    ...(options.origin === undefined ? {} : { ORIGIN_URL: options.origin.url }),
    ...PROJECT_VARS,
    ...options.vars,
  }
  const services = options.services ?? {}
  const { gateway = bundle, beside: other = bundle } = options.bundles ?? {}
  return writeBareProject(directory, port, {
    ...worker,
    bundle: gateway,
    bindings,
    services,
    ...(options.beside && {
      beside: { bundle: other, port: beside, bindings: { ...bindings, ...options.beside } },
    }),
  })
}
