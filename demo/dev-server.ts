import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { stripVTControlCharacters } from 'node:util'

const projectRoot = path.resolve(import.meta.dirname, '..')
const WRANGLER_BIN = 'node_modules/wrangler/bin/wrangler.js'
const startLimitMs = 60_000
const stopLimitMs = 5_000
const probeEveryMs = 50

/** What `startDevServer` needs to know about one server. */
export interface DevServerOptions {
  /** The Worker's configuration: a path from the root of the project, or an absolute one. */
  config: string
  /** The directory of the project, whose own Wrangler runs. Default: this repository. */
  project?: string
  /** Another entry than the configuration names: a path from the root of the project. */
  script?: string
  /** Holds the state of the Durable Objects, wrangler's logs and its registry. One per server. */
  persistTo: string
  /** Variables that win over the configuration's own. */
  vars?: Readonly<Record<string, string>>
  /** Default: one that is free. */
  port?: number
  /**
   * Asked for an answer of whatever status. Default `/_hapax/problems`, which the gateway serves by
   * itself, so that asking leaves no trace at the origin.
   */
  readyPath?: string
  /** Gets every line that the server writes, as it comes. */
  onLine?: (line: string) => void
}

/** A `wrangler dev` that answers. */
export interface DevServer {
  /** Without a slash at the end. */
  readonly url: string
  readonly port: number
  /** The leader of the process group that holds wrangler, esbuild and workerd. */
  readonly pid: number
  /** Everything written to stdout and stderr so far, without colours. */
  log(): string
  /** Resolves when the server has ended, whoever ended it. */
  readonly closed: Promise<void>
  /** `kill -9` of the whole process tree, as a power cut would do it; resolves when it is gone. */
  kill(): Promise<void>
  /** Asks the server to leave; kills it when it has not done so within 5 s. */
  stop(): Promise<void>
}

/**
 * Starts a real `wrangler dev` in a process group of its own and waits until it answers.
 *
 * Nothing is asked of any network: telemetry, update check, banner and the download of `cf.json`
 * are off. The group dies with this process, however that ends.
 *
 * @throws Error with the log, when the server does not start.
 */
export async function startDevServer(options: DevServerOptions): Promise<DevServer> {
  const port = options.port ?? (await freePort())
  const url = `http://127.0.0.1:${port}`
  const child = spawnWrangler(options, port)
  const log = recordOutput(child, options.onLine)
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const pid = pidOf(child)
  const guard = killWithParent(pid)

  const gone = async () => {
    await closed
    await portReleased(port)
    // Before somebody else gets the number of the group.
    guard.kill('SIGKILL')
  }
  const kill = () => {
    signalGroup(pid, 'SIGKILL')
    return gone()
  }
  const stop = async () => {
    signalGroup(pid, 'SIGTERM')
    await Promise.race([closed, sleep(stopLimitMs, undefined, { ref: false })])
    // Also after a polite exit: what wrangler may have left behind goes with it.
    await kill()
  }

  try {
    await answering(child, `${url}${options.readyPath ?? '/_hapax/problems'}`, log)
  } catch (cause) {
    await kill()
    throw new Error(`${options.config} did not start on ${url}. Its log:\n${log()}`, { cause })
  }
  return { url, port, pid, log, closed, kill, stop }
}

/** Ports from here on are nobody's: those that a system hands out by itself begin at 32,768 or higher. */
const FIRST_PORT = 20_000
const PORTS_EACH = 1_000
const PORT_RANGES = 12

/** Processes that are started side by side have a range each, so that none takes another's port. */
const firstPort =
  FIRST_PORT + (Number(process.env['VITEST_POOL_ID'] ?? 0) % PORT_RANGES) * PORTS_EACH
let portCount = Math.floor(Math.random() * PORTS_EACH)

/** A TCP port of this host that nobody listens on, and that this process gives nobody else for long. */
export async function freePort(): Promise<number> {
  for (;;) {
    portCount += 1
    const port = firstPort + (portCount % PORTS_EACH)
    if (await canListen(port)) return port
  }
}

function canListen(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const server = createServer()
  server.once('error', () => resolve(false))
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  return promise
}

/** Whether somebody listens on this port of this host. */
export function isListening(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const socket = connect(port, '127.0.0.1')
  socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  return promise.finally(() => socket.destroy())
}

function spawnWrangler(options: DevServerOptions, port: number): ChildProcess {
  mkdirSync(temporaryOf(options.persistTo), { recursive: true })
  const { project = projectRoot } = options
  const vars = Object.entries(options.vars ?? {})
  const flags = {
    config: path.resolve(project, options.config),
    ip: '127.0.0.1',
    port,
    'inspector-port': 0,
    'persist-to': options.persistTo,
    'show-interactive-dev-session': false,
  }
  return spawn(
    process.execPath,
    [
      path.join(project, WRANGLER_BIN),
      'dev',
      ...(options.script === undefined ? [] : [options.script]),
      '--local',
      ...Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
      ...vars.flatMap(([name, value]) => ['--var', `${name}:${value}`]),
    ],
    {
      cwd: project,
      // A group of its own: one signal reaches all of it, and Ctrl-C in a terminal only reaches us.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: quietEnvironment(options.persistTo),
    },
  )
}

function quietEnvironment(persistTo: string): NodeJS.ProcessEnv {
  const { FORCE_COLOR: _, ...inherited } = process.env
  return {
    ...inherited,
    CI: '1',
    NO_COLOR: '1',
    // Whoever is killed cannot tidy up: what is left goes with the state.
    TMPDIR: temporaryOf(persistTo),
    CLOUDFLARE_CF_FETCH_ENABLED: 'false',
    // Also spares the update check. Only the word `true` is accepted.
    WRANGLER_HIDE_BANNER: 'true',
    WRANGLER_LOG_PATH: path.join(persistTo, 'logs'),
    WRANGLER_NO_SKILLS_UPDATE_PROMPTS: 'true',
    // Else every `wrangler dev` of this user would find the others.
    WRANGLER_REGISTRY_PATH: path.join(persistTo, 'registry'),
    WRANGLER_SEND_ERROR_REPORTS: 'false',
    WRANGLER_SEND_METRICS: 'false',
  }
}

function temporaryOf(persistTo: string): string {
  return path.join(persistTo, 'tmp')
}

function recordOutput(child: ChildProcess, onLine?: (line: string) => void): () => string {
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    if (stream === null) continue
    createInterface({ input: stream }).on('line', (coloured) => {
      // NO_COLOR does not reach what wrangler relays from workerd.
      const line = stripVTControlCharacters(coloured)
      lines.push(line)
      onLine?.(line)
    })
  }
  return () => lines.join('\n')
}

async function answering(child: ChildProcess, url: string, log: () => string): Promise<void> {
  const deadline = Date.now() + startLimitMs
  // Wrangler listens before the Worker is built, and holds what comes until then: ask after it says so.
  while (!log().includes('Ready on')) {
    const end = child.exitCode ?? child.signalCode
    if (end !== null) throw new Error(`wrangler ended with ${end}`)
    if (log().includes('[ERROR]')) throw new Error('wrangler reports an error')
    if (Date.now() > deadline) throw new Error(`not ready after ${startLimitMs} ms`)
    await sleep(probeEveryMs)
  }
  const answer = await fetch(url, { signal: AbortSignal.timeout(deadline - Date.now()) })
  await answer.body?.cancel()
}

async function portReleased(port: number): Promise<void> {
  // workerd is not our child, so nobody tells us that it is gone; its socket does. Not for ever:
  // when the server failed to start, the socket may be somebody else's.
  const deadline = Date.now() + stopLimitMs
  while ((await isListening(port)) && Date.now() < deadline) await sleep(probeEveryMs)
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error(`Could not run Wrangler with ${process.execPath}`)
  return child.pid
}

/** Sends a signal to every process of a group, also when none is left. */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code !== 'ESRCH') throw cause
  }
}

/**
 * Sees to it that a group does not outlive this process, however that ends: `kill -9` included,
 * which no handler of ours would see. A shell waits for the end of a pipe that only we hold open.
 */
export function killWithParent(pid: number): ChildProcess {
  const guard = spawn('/bin/sh', ['-c', 'cat; kill -9 "-$0"', String(pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  guard.unref()
  return guard
}
