import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { analyticsVars } from '../../demo/analytics-vars.ts'
import { AnalyticsEngine } from '../../dev/analytics-engine.ts'
import { createAnalyticsClient, type Row, toApiUrl } from '../../src/analytics/client.ts'
import { QUERIES, type QueryName, toSql } from '../../src/analytics/queries.ts'
import { type Gateway, type Origin, startGateway, startOrigin } from './server.ts'

let engine: AnalyticsEngine
let origin: Origin
let gateway: Gateway

/** What the origin has been asked for, by path. */
const callsOf = (path: string) => origin.requests.filter((one) => one.path.startsWith(path)).length

async function post(path: string, key: string | null, body: unknown = { amount: 1 }) {
  const response = await fetch(`${gateway.url}${path}`, {
    method: 'POST',
    headers: {
      Authorization: 'Bearer shop',
      'Content-Type': 'application/json',
      ...(key !== null && { 'Idempotency-Key': key }),
    },
    body: JSON.stringify(body),
  })
  await response.arrayBuffer()
  return response.headers.get('Idempotency-Status')
}

async function figures(name: QueryName): Promise<readonly Row[]> {
  const { url, accountId, token } = engine
  const client = createAnalyticsClient({ url: toApiUrl(accountId, url), token })
  return client.query(toSql(name, { since: Date.now() - 3_600_000 }))
}

const rowOf = async (name: QueryName, route: string) =>
  (await figures(name)).find((row) => row['route'] === route)

beforeAll(async () => {
  engine = await AnalyticsEngine.start()
  origin = await startOrigin()
  const config = 'test/e2e/operators-gateway/wrangler.toml'
  gateway = await startGateway({ origin, config, vars: analyticsVars(engine) })
  await sendMix()
}, 120_000)

afterAll(async () => {
  await gateway?.stop()
  await origin?.close()
  await engine?.close()
})

/** Every kind of request once or more; what each is answered says that it was that kind. */
async function sendMix(): Promise<void> {
  const ok = {
    kind: 'respond',
    status: 201,
    body: '{}',
    headers: { 'Content-Length': '2' },
  } as const
  const broken = { kind: 'respond', status: 500, body: '' } as const
  for (const path of ['/held', '/observed', '/optional', '/told']) origin.on(path, ok)

  expect(await post('/held', 'one')).toBe('executed')
  expect(await post('/held', 'one')).toBe('replayed')
  expect(await post('/held', 'one', { amount: 2 })).toBe('mismatch')
  expect(await post('/held', null)).toBe('rejected')
  expect(await post('/optional', null)).toBe('unprotected')

  const release = origin.hold('/held')
  const first = post('/held', 'joined')
  await origin.received('/held', callsOf('/held') + 1)
  const second = post('/held', 'joined')
  release(ok)
  expect(await first).toBe('executed')
  expect(['joined', 'replayed']).toContain(await second)

  origin.on('/probed', broken)
  origin.on('/status', ok)
  expect(await post('/probed', 'asked')).toBe('unknown')
  expect(await post('/probed', 'asked')).toBe('replayed')

  origin.on('/resent', broken)
  expect(await post('/resent', 'again')).toBe('unknown')
  origin.on('/resent', ok)
  expect(await post('/resent', 'again')).toBe('executed')

  await post('/observed', 'seen')
  await post('/observed', 'seen', { amount: 2 })
  expect(await post('/told', 'event')).toBe('executed')
  expect(await post('/leased', 'handled')).toBe('executed')
  const asked = { specversion: '1.0', source: '/test', type: 'work.asked', tenant: 'acme', data: 1 }
  await post('/enqueue', null, [
    { ...asked, id: 'a' },
    { ...asked, id: 'a' },
    { ...asked, id: 'b', type: 'nobody.takes' },
  ])
  await vi.waitFor(
    async () => {
      const messages = await figures('messages')
      const ended = messages.reduce((sum, row) => sum + Number(row['messages']), 0)
      expect(ended).toBeGreaterThanOrEqual(4)
    },
    { timeout: 60_000, interval: 250 },
  )
}

describe('the queries, on points that the gateway wrote', () => {
  it.each(Object.keys(QUERIES) as QueryName[])('run: %s', async (name) => {
    expect(await figures(name)).toBeInstanceOf(Array)
  })

  it('count the origin’s calls for each operation, recoveries included', async () => {
    const probed = await rowOf('amplification', 'POST /probed')
    expect(probed).toMatchObject({ origin_calls: callsOf('/probed') + callsOf('/status') })
    expect(probed).toMatchObject({ origin_calls: 2, operations: 1, calls_per_operation: 2 })
    expect(await rowOf('amplification', 'POST /resent')).toMatchObject({
      origin_calls: callsOf('/resent'),
      operations: 1,
    })
  })

  it('tell reuse, conflicts and what is only observed apart', async () => {
    expect(await rowOf('reuse', 'POST /held')).toMatchObject({ mismatches: 1 })
    expect(await rowOf('reuse', 'POST /resent')).toMatchObject({ reused: 1, retried: 1 })
    expect(await rowOf('conflicts', 'POST /observed')).toMatchObject({ mismatches: 0, observed: 1 })
    expect(await rowOf('conflicts', 'POST /held')).toMatchObject({ mismatches: 1, observed: 0 })
  })

  it('count recoveries, waiters, keyless requests, messages and deliveries', async () => {
    expect(await rowOf('recoveries', 'POST /probed')).toMatchObject({ recovered: 1, succeeded: 1 })
    expect(await rowOf('keyless', 'POST /held')).toMatchObject({ keyless: 1, rejected: 1 })
    expect(await rowOf('keyless', 'POST /optional')).toMatchObject({ requests: 1, keyless: 1 })
    expect(await rowOf('messages', 'work.asked')).toMatchObject({ messages: 2, acked: 2 })
    expect(await rowOf('messages', 'work')).toMatchObject({ messages: 1, dead_lettered: 1 })
    const [delivered] = await figures('deliveries')
    expect(delivered).toMatchObject({ event: 'operation.succeeded', delivered: 1, dead: 0 })
  })

  it('have nothing unknown left, and a time in progress for every route that called', async () => {
    expect(await figures('unknown')).toEqual([])
    const routes = (await figures('latency')).map((row) => row['route'])
    expect(routes).toEqual(
      expect.arrayContaining(['POST /held', 'POST /probed', 'POST /resent', 'POST /leased']),
    )
  })
})
