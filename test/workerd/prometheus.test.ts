import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { credential } from '../../src/hapax.ts'
import { clientOf, createOperatedGateway } from './gateway.ts'
import { playOrigin } from './origin.ts'

const TOKEN = 'the-token-of-prometheus'
const CONFIGURED = { CLOUDFLARE_ACCOUNT_ID: 'a'.repeat(32), CLOUDFLARE_API_TOKEN: 'token' }
const QUERIES = ['summary', 'keyless', 'conflicts', 'latency', 'messages', 'deliveries']

beforeEach(() => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** Scrapes a deployment. */
async function scrape(vars: Record<string, unknown> = CONFIGURED) {
  const app = createOperatedGateway({ tenant: credential('Authorization') })
  const response = await clientOf(app, '/_hapax/metrics')('none', {
    method: 'GET',
    headers: { Authorization: `Bearer ${TOKEN}` },
    env: { HAPAX_METRICS_TOKEN: TOKEN, ...vars },
  })
  const text = await response.text()
  const ups = [...text.matchAll(/^hapax_source_up\{source="(\w+)"\} ([01])$/gm)]
  const isUp = Object.fromEntries(ups.map(([, source = '', up]) => [source, up === '1']))
  return { status: response.status, text, isUp }
}

const upOf = (...sources: readonly string[]) =>
  Object.fromEntries([...QUERIES, 'directory'].map((name) => [name, sources.includes(name)]))

/** The row of the query that a statement is, as the SQL API has it. */
const REQUESTS = { requests: '7', executed: '5' }
const toTable = (row: Readonly<Record<string, string | null>>) =>
  Response.json({
    meta: Object.keys(row).map((name) => ({ name, type: 'UInt64' })),
    data: [row],
    rows: 1,
  })

const isSummary = (sql: string) => sql.includes('AS late_refused') && !sql.includes('GROUP BY')
const never = () => new Promise<never>(() => {})
const directoryWith = (count: () => Promise<unknown>) => ({
  DIRECTORY: { getByName: () => ({ count }) },
})

describe('the figures for Prometheus', () => {
  it('are the exact ones alone where analytics are not configured', async () => {
    const { requests } = playOrigin(() => Response.error())
    const { status, text, isUp } = await scrape({})
    expect(status).toBe(200)
    expect(text).toMatch(/^hapax_stuck_operations \d+$/m)
    expect(text).toMatch(/^hapax_dead_letters \d+$/m)
    expect(text).toMatch(/^hapax_dead_letter_bytes \d+$/m)
    expect(text).not.toContain('hapax_requests')
    expect(isUp).toEqual(upOf('directory'))
    expect(requests).toHaveLength(0)
  })

  it.each([
    { name: 'is refused', fail: () => new Response('no', { status: 500 }) },
    { name: 'is not let in', fail: () => new Response('no', { status: 403 }) },
    { name: 'comes without a table', fail: () => new Response('<html>') },
    { name: 'never comes back', fail: never },
  ])('lack only those of a query that $name', async ({ fail }) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    playOrigin(async (request) =>
      isSummary(await request.text()) ? fail() : toTable({ ...REQUESTS }),
    )
    const scraped = scrape()
    await vi.advanceTimersByTimeAsync(9_000)
    const { status, text, isUp } = await scraped
    expect(status).toBe(200)
    expect(isUp).toEqual(upOf(...QUERIES.slice(1), 'directory'))
    expect(text).not.toMatch(/^hapax_requests/m)
    expect(text).toMatch(/^hapax_route_requests\{route=".*"\} 7$/m)
    expect(text).toMatch(/^hapax_stuck_operations \d+$/m)
  })

  it.each([
    { name: 'fails', count: () => Promise.reject(new Error('disk I/O error')) },
    { name: 'never answers', count: never },
  ])('lack only the exact ones where the directory $name', async ({ count }) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    playOrigin(() => toTable(REQUESTS))
    const scraped = scrape({ ...CONFIGURED, ...directoryWith(count) })
    await vi.advanceTimersByTimeAsync(9_000)
    const { status, text, isUp } = await scraped
    expect(status).toBe(200)
    expect(isUp).toEqual(upOf(...QUERIES))
    expect(text).toMatch(/^hapax_requests 7$/m)
    expect(text).not.toMatch(/^hapax_(?:stuck|dead)/m)
  })

  it('lack a figure that the engine does not tell, and say no zero for it', async () => {
    playOrigin(() => toTable({ requests: null, executed: '5' }))
    const { text } = await scrape()
    expect(text).not.toMatch(/^hapax_requests /m)
    expect(text).toContain('hapax_requests_by_verdict{verdict="executed"} 5')
  })

  it('are there where everything fails, and say so', async () => {
    playOrigin(() => Response.error())
    const failing = directoryWith(() => Promise.reject(new Error('overloaded')))
    const { status, isUp } = await scrape({ ...CONFIGURED, ...failing })
    expect([status, isUp]).toEqual([200, upOf()])
  })

  it('take a dataset without a point for one that has answered', async () => {
    playOrigin(() => new Response('unknown table', { status: 422 }))
    expect((await scrape()).isUp).toEqual(upOf(...QUERIES, 'directory'))
  })
})
