import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'

import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'

import { analyticsVars } from '../../demo/analytics-vars.ts'
import { AnalyticsEngine } from '../../dev/analytics-engine.ts'
import { launchBrowser } from './browser.ts'
import { type Gateway, type Origin, startGateway, startOrigin } from './server.ts'

const TOKEN = 'the token of an operator'.replaceAll(' ', '-')
const METRICS_TOKEN = 'the-token-of-prometheus'
const CLI = path.resolve(import.meta.dirname, '../../cli/hapax.ts')
const TRACE = '0af7651916cd43dd8448eb211c80319c'

let engine: AnalyticsEngine
let origin: Origin
let gateway: Gateway
let browser: Browser

/** What the requests of this file come to, counted by hand. */
const SENT = { executed: 6, replayed: 8, mismatches: 3, keyless: 4, unknown: 1, held: 1 }
const REQUESTS = Object.values(SENT).reduce((sum, count) => sum + count, 0)

beforeAll(async () => {
  engine = await AnalyticsEngine.start()
  origin = await startOrigin()
  gateway = await startGateway({
    origin,
    vars: {
      HAPAX_ADMIN_TOKEN: TOKEN,
      HAPAX_METRICS_TOKEN: METRICS_TOKEN,
      ...analyticsVars(engine),
    },
  })
  browser = await launchBrowser()
  await sendMix()
  await vi.waitUntil(async () => (await figures('summary'))[0]?.['requests'] === REQUESTS, {
    timeout: 20_000,
    interval: 200,
  })
}, 400_000)

afterAll(async () => {
  await browser?.close()
  await gateway?.stop()
  await origin?.close()
  await engine?.close()
})

async function pay(key: string | null, amount: number, headers: Record<string, string> = {}) {
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
  return response
}

async function sendMix(): Promise<void> {
  origin.on('/payments', ({ body }) => ({
    kind: 'respond',
    status: body.toString().includes('500') ? 500 : 201,
    headers: { 'Content-Type': 'application/json' },
    body: '{"ok":true}',
  }))
  for (let nth = 0; nth < SENT.executed; nth++) {
    await pay(
      `key-${nth}`,
      nth,
      nth === 0 ? { traceparent: `00-${TRACE}-b7ad6b7169203331-01` } : {},
    )
  }
  for (let nth = 0; nth < SENT.replayed; nth++) await pay(`key-${nth % 4}`, nth % 4)
  for (let nth = 0; nth < SENT.mismatches; nth++) await pay(`key-${nth}`, 99)
  for (let nth = 0; nth < SENT.keyless; nth++) await pay(null, nth)
  await pay('broken', 500)
  await pay('broken', 500)
}

type Row = Readonly<Record<string, string | number>>

async function figures(name: string): Promise<readonly Row[]> {
  const response = await admin(`/analytics/${name}?since=1h`)
  const { rows = [] } = (await response.json()) as { rows?: readonly Row[] }
  return rows
}

function admin(asked: string): Promise<Response> {
  const headers = { Authorization: `Bearer ${TOKEN}` }
  return fetch(`${gateway.url}/_hapax/admin${asked}`, { headers })
}

describe('the figures of a mix of traffic', () => {
  it('are what was sent, and the origin has seen no more than that', async () => {
    const [row] = await figures('summary')
    expect(row).toMatchObject({
      requests: REQUESTS,
      executed: SENT.executed,
      replayed: SENT.replayed,
      mismatches: SENT.mismatches,
      keyless: SENT.keyless,
      unknown: SENT.unknown + SENT.held,
    })
    expect(origin.requests).toHaveLength(SENT.executed + SENT.unknown)
  })

  it('are the same for the command line', async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [CLI, 'analytics', 'summary', '--since', '1h', '--json'],
      { env: { ...process.env, ...analyticsVars(engine) } },
    )
    const parsed = JSON.parse(stdout) as Row | Row[]
    expect([parsed].flat()[0]).toMatchObject({
      requests: REQUESTS,
      executed: SENT.executed,
      replayed: SENT.replayed,
    })
  })

  it('are the same for Prometheus', async () => {
    const headers = { Authorization: `Bearer ${METRICS_TOKEN}` }
    const response = await fetch(`${gateway.url}/_hapax/metrics?window=1h`, { headers })
    const text = await response.text()
    expect(text).toContain(`\nhapax_requests ${REQUESTS}\n`)
    expect(text).toContain(`hapax_requests_by_verdict{verdict="executed"} ${SENT.executed}\n`)
    expect(text).toContain(`hapax_requests_by_verdict{verdict="replayed"} ${SENT.replayed}\n`)
    expect(text).toContain(`hapax_route_keyless_requests{route="POST /payments"} ${SENT.keyless}\n`)
    expect(text).toContain('\nhapax_stuck_operations 1\n')
    // Every line is a comment or a sample.
    const sample = /^[a-z_]+(?:\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)+\})? [\d.e+-]+$/
    const lines = text
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith('# '))
    for (const line of lines) expect(line).toMatch(sample)
  })

  it.each([
    { name: 'no token', headers: {} },
    { name: 'the token of the admin API', headers: { Authorization: `Bearer ${TOKEN}` } },
  ])('are not told to Prometheus with $name', async ({ headers }) => {
    const response = await fetch(`${gateway.url}/_hapax/metrics`, { headers })
    expect(response.status).toBe(401)
  })
})

describe('a correlation id', () => {
  it('leads from the request to the operation, its points, and the origin’s call', async () => {
    const found = await admin(`/operations?correlation_id=${TRACE}`)
    const { operations, timeline } = (await found.json()) as {
      operations: { id: string; correlationId: string; traceparent: string }[]
      timeline: { what: string }[]
    }
    const [operation] = operations
    expect(operation).toMatchObject({
      correlationId: TRACE,
      traceparent: `00-${TRACE}-b7ad6b7169203331-01`,
    })
    expect(timeline.map(({ what }) => what)).toContain('executed')
    const [call] = origin.requests
    expect(call?.headers).toMatchObject({
      'x-correlation-id': TRACE,
      'idempotency-key': operation?.id,
    })
    expect(gateway.log()).toContain(`"correlationId":"${TRACE}"`)
    const view = (await (await admin(`/operations/${operation?.id}`)).json()) as {
      timeline: { what: string }[]
    }
    const story = view.timeline.map(({ what }) => what)
    expect(story).toEqual(expect.arrayContaining(['created', 'claimed', 'executed', 'replayed']))
    expect(story).toContain('mismatch')
  })
})

describe('the dashboard', () => {
  async function openPage(width: number, height: number): Promise<Page> {
    const page = await browser.newPage({ viewport: { width, height } })
    await page.goto(`${gateway.url}/_hapax/dashboard`)
    await page.getByLabel('Admin token').fill(TOKEN)
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.locator('#status[data-state=ok]').waitFor()
    return page
  }

  const figure = async (page: Page, name: string) => {
    const text = await page.locator(`[data-figure=${name}] dd`).evaluate((node) => {
      return node.firstChild?.textContent ?? ''
    })
    return Number(text.replaceAll(',', ''))
  }

  it.each([
    { name: 'a wide screen', width: 1_280, height: 900 },
    { name: 'a phone', width: 390, height: 844 },
  ])('shows the figures of the queries on $name, without scrolling sideways', async (size) => {
    const page = await openPage(size.width, size.height)
    const [row] = await figures('summary')
    for (const name of ['requests', 'executed', 'replayed', 'blocked', 'mismatches', 'keyless']) {
      expect(await figure(page, name)).toBe(row?.[name])
    }
    expect(await figure(page, 'stuck')).toBe(1)
    const isTooWide = await page
      .locator('html')
      .evaluate((html) => html.scrollWidth > html.clientWidth)
    expect(isTooWide).toBe(false)
    const conflicts = await page.locator('#conflicts tbody tr').allInnerTexts()
    expect(conflicts.join()).toContain(String(SENT.mismatches))
    await page.close()
  })

  it('leads from a stuck operation to its timeline, by the keyboard alone', async () => {
    const page = await openPage(1_280, 900)
    await page.locator('#unknown a').first().focus()
    await page.keyboard.press('Enter')
    await page.locator('#operation[open]').waitFor()
    expect(await page.locator('#operation-facts').innerText()).toContain('unknown')
    expect(await page.locator('#operation-timeline li').count()).toBeGreaterThan(2)
    await page.keyboard.press('Escape')
    await page.locator('#operation:not([open])').waitFor({ state: 'attached' })
    await page.close()
  })

  it('narrows everything to a tenant, and says so where there is nothing', async () => {
    const page = await openPage(1_280, 900)
    await page.getByRole('searchbox', { name: 'Tenant' }).fill('nobody')
    await page.keyboard.press('Enter')
    await page.locator('[data-figure=requests] dd', { hasText: /^0$/ }).waitFor()
    expect(await page.locator('#conflicts').innerText()).toContain('No key was used')
    await page.close()
  })

  it('asks no one else, runs no code of others, and logs no error', async () => {
    const page = await browser.newPage()
    const asked: string[] = []
    const errors: string[] = []
    page.on('request', (request) => asked.push(new URL(request.url()).origin))
    page.on('pageerror', (error) => errors.push(error.message))
    await page.goto(`${gateway.url}/_hapax/dashboard`)
    await page.getByLabel('Admin token').fill('wrong')
    await page.getByRole('button', { name: 'Sign in' }).click()
    await page.getByText('This token is not accepted.').waitFor()
    expect(new Set(asked)).toEqual(new Set([gateway.url]))
    expect(errors).toEqual([])
    await page.close()
  })

  it('names every table, control and chart for those who hear the page', async () => {
    const page = await openPage(1_280, 900)
    const tree = await page.locator('body').ariaSnapshot()
    for (const name of [
      'Time range',
      'Route',
      'Tenant',
      'Refresh',
      'Conflicts by tenant and route',
    ])
      expect(tree).toContain(name)
    expect(tree).toMatch(/img "Chart of requests over time/)
    await page.close()
  })
})
