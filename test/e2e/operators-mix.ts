import { vi } from 'vitest'

import { analyticsVars } from '../../demo/analytics-vars.ts'
import { AnalyticsEngine } from '../../dev/analytics-engine.ts'
import { type Gateway, type Origin, startGateway, startOrigin } from './server.ts'

/** The token of an operator. */
export const TOKEN = 'the-token-of-an-operator'
export const METRICS_TOKEN = 'the-token-of-prometheus'

/** The trace that the first request of the mix belongs to. */
export const TRACE = '0af7651916cd43dd8448eb211c80319c'

/** What the requests of the mix come to, counted by hand. */
export const SENT = { executed: 6, replayed: 8, mismatches: 3, keyless: 4, unknown: 1, held: 1 }
export const REQUESTS = Object.values(SENT).reduce((sum, count) => sum + count, 0)

export type Row = Readonly<Record<string, string | number>>

/** A gateway that has had a mix of traffic, and what operators ask it. */
export interface Operated {
  readonly gateway: Gateway
  readonly origin: Origin
  readonly engine: AnalyticsEngine
  /** Asks the admin API. */
  admin(asked: string): Promise<Response>
  /** The rows of a named query, of the last hour. */
  figures(name: string): Promise<readonly Row[]>
  stop(): Promise<void>
}

/** Starts a gateway with a local Analytics Engine, and sends the mix. */
export async function startOperated(): Promise<Operated> {
  const engine = await AnalyticsEngine.start()
  const origin = await startOrigin()
  const gateway = await startGateway({
    origin,
    vars: {
      HAPAX_ADMIN_TOKEN: TOKEN,
      HAPAX_METRICS_TOKEN: METRICS_TOKEN,
      ...analyticsVars(engine),
    },
  })
  const admin = (asked: string) => {
    const headers = { Authorization: `Bearer ${TOKEN}` }
    return fetch(`${gateway.url}/_hapax/admin${asked}`, { headers })
  }
  const figures = async (name: string) => {
    const response = await admin(`/analytics/${name}?since=1h`)
    const { rows = [] } = (await response.json()) as { rows?: readonly Row[] }
    return rows
  }
  await sendMix(gateway, origin)
  await vi.waitUntil(async () => (await figures('summary'))[0]?.['requests'] === REQUESTS, {
    timeout: 20_000,
    interval: 200,
  })
  const stop = async () => {
    await gateway.stop()
    await origin.close()
    await engine.close()
  }
  return { gateway, origin, engine, admin, figures, stop }
}

async function sendMix(gateway: Gateway, origin: Origin): Promise<void> {
  const pay = async (
    key: string | null,
    amount: number,
    headers: Record<string, string> = {},
  ): Promise<void> => {
    const response = await fetch(`${gateway.url}/payments`, {
      method: 'POST',
      headers: {
        Authorization: 'Bearer shop',
        'Content-Type': 'application/json',
        ...(key !== null && { 'Idempotency-Key': key }),
        ...headers,
      },
      body: JSON.stringify({ amount }),
    })
    await response.arrayBuffer()
  }
  origin.on('/payments', ({ body }) => ({
    kind: 'respond',
    status: body.toString().includes('500') ? 500 : 201,
    headers: { 'Content-Type': 'application/json' },
    body: '{"ok":true}',
  }))
  const traced = { traceparent: `00-${TRACE}-b7ad6b7169203331-01` }
  for (let nth = 0; nth < SENT.executed; nth++) {
    await pay(`key-${nth}`, nth, nth === 0 ? traced : {})
  }
  for (let nth = 0; nth < SENT.replayed; nth++) await pay(`key-${nth % 4}`, nth % 4)
  for (let nth = 0; nth < SENT.mismatches; nth++) await pay(`key-${nth}`, 99)
  for (let nth = 0; nth < SENT.keyless; nth++) await pay(null, nth)
  await pay('broken', 500)
  await pay('broken', 500)
}
