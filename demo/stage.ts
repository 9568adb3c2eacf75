import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'

import { AnalyticsEngine } from '../dev/analytics-engine.ts'
import { createAnalyticsClient, type Row, toApiUrl } from '../src/analytics/client.ts'
import { toSql } from '../src/analytics/queries.ts'
import { analyticsVars } from './analytics-vars.ts'
import { type Answer, type DemoRequest, send } from './client.ts'
import { type Crm, startCrm } from './crm.ts'
import { type DevServer, freePort, startDevServer } from './dev-server.ts'
import type { Effect, LedgerPage } from './origin/ledger-page.ts'

/** The gateway, the APIs behind it and what it is measured with, each in a server of its own. */
export interface Stage {
  /** The directory with what both keep on the disk. */
  readonly state: string
  readonly origin: DevServer
  readonly crm: Crm
  readonly analytics: AnalyticsEngine
  /** Another one after a crash, at the same address. */
  gateway: DevServer
}

const clientScript = path.join(import.meta.dirname, 'client-process.ts')
const lookEveryMs = 20
const callLimitMs = 10_000

/** Starts all at the same time, on fresh state. */
export async function openStage(): Promise<Stage> {
  const state = mkdtempSync(path.join(tmpdir(), 'hapax-demo-'))
  const [port, analytics, crm] = await Promise.all([
    freePort(),
    AnalyticsEngine.start(),
    startCrm(),
  ])
  try {
    const [origin, gateway] = await Promise.all([
      startOrigin(state, port),
      startGateway({ state, analytics, crm }, `http://127.0.0.1:${port}`),
    ])
    return { state, origin, crm, gateway, analytics }
  } catch (cause) {
    await Promise.all([analytics.close(), crm.close()])
    rmSync(state, { recursive: true, force: true })
    throw cause
  }
}

/** Stops all and forgets their state. */
export async function closeStage(stage: Stage): Promise<void> {
  const { gateway, origin, crm, analytics } = stage
  await Promise.all([gateway.kill(), origin.kill(), crm.close(), analytics.close()])
  rmSync(stage.state, { recursive: true, force: true })
}

/** Sends a request to the gateway, once. */
export function sendOnce(stage: Stage, request: DemoRequest): Promise<Answer> {
  return send(stage.gateway.url, request)
}

/** Sends a request, and hangs up as soon as the API has got it. */
export async function sendAndHangUp(stage: Stage, request: DemoRequest): Promise<Answer> {
  const hangUp = new AbortController()
  const called = await nextCall(stage)
  const answer = sendOnce(stage, { ...request, signal: hangUp.signal })
  await Promise.race([called(), answer])
  hangUp.abort()
  return answer
}

/** Sends a request from a process of its own, which is killed as soon as the API has got it. */
export async function sendAndDie(stage: Stage, request: DemoRequest): Promise<Answer> {
  const called = await nextCall(stage)
  const client = clientProcess(stage, request)
  const closed = once(client, 'close')
  await Promise.race([called(), closed])
  client.kill('SIGKILL')
  await closed
  return { kind: 'lost', reason: `the client ended with ${client.signalCode ?? client.exitCode}` }
}

/** Sends a request from a process of its own, which lives to see the answer. */
export async function sendFromNewProcess(stage: Stage, request: DemoRequest): Promise<Answer> {
  const { stdout } = clientProcess(stage, request)
  if (stdout === null) throw new Error('The client process has no stdout')
  return JSON.parse(await text(stdout)) as Answer
}

/** Kills the gateway with all its processes, and starts it again on what it left on the disk. */
export async function crashGateway(stage: Stage): Promise<void> {
  await stage.gateway.kill()
  stage.gateway = await startGateway(stage, stage.origin.url, stage.gateway.port)
}

/** What the API did so far, as it says itself. */
export async function readLedger(stage: Stage): Promise<LedgerPage> {
  const answer = await send(stage.origin.url, { method: 'GET', path: '/ledger' })
  if (answer.kind === 'lost') throw new Error(`No ledger: ${answer.reason}`)
  return JSON.parse(answer.body) as LedgerPage
}

/** The side effects of all APIs so far. */
export async function readEffects(stage: Stage): Promise<Effect[]> {
  return [...stage.crm.effects, ...(await readLedger(stage)).effects]
}

/** What the points say that the gateway wrote: the figures of every operator. */
export async function readSummary({ analytics }: Stage): Promise<Row> {
  const { url, accountId, token } = analytics
  const client = createAnalyticsClient({ url: toApiUrl(accountId, url), token })
  const [row = {}] = await client.query(toSql('summary', { since: 0 }))
  return row
}

/** The last that both servers wrote. */
export function lastLinesOf(stage: Stage, most = 40): string {
  const last = (server: DevServer) =>
    server
      .log()
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-most)
      .join('\n')
  return `gateway:\n${last(stage.gateway)}\n\ndemo API:\n${last(stage.origin)}`
}

function clientProcess(stage: Stage, request: DemoRequest): ChildProcess {
  return spawn(process.execPath, [clientScript, stage.gateway.url, JSON.stringify(request)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** Gives a function that resolves when the API got one more request than it has got by now. */
async function nextCall(stage: Stage): Promise<() => Promise<void>> {
  const { calls } = await readLedger(stage)
  return async () => {
    const deadline = Date.now() + callLimitMs
    while ((await readLedger(stage)).calls === calls) {
      if (Date.now() > deadline) throw new Error(`The API was not called in ${callLimitMs} ms`)
      await sleep(lookEveryMs)
    }
  }
}

function startOrigin(state: string, port: number): Promise<DevServer> {
  return startDevServer({
    config: 'demo/origin/wrangler.toml',
    persistTo: path.join(state, 'origin'),
    port,
    readyPath: '/ledger',
  })
}

function startGateway(
  { state, analytics, crm }: Pick<Stage, 'state' | 'analytics' | 'crm'>,
  originUrl: string,
  port?: number,
): Promise<DevServer> {
  return startDevServer({
    config: 'wrangler.toml',
    script: 'demo/gateway/index.ts',
    persistTo: path.join(state, 'gateway'),
    vars: {
      ORIGIN_URL: originUrl,
      CRM_URL: crm.url,
      CRM_TOKEN: crm.token,
      ...analyticsVars(analytics),
    },
    ...(port === undefined ? {} : { port }),
  })
}
