import type { Browser, BrowserContextOptions, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'

import { HOSTILE, RAW } from '../fakes/unseen.ts'
import { launchBrowser } from './browser.ts'
import { type Operated, SENT, startOperated, TOKEN } from './operators-mix.ts'

let operated: Operated
let browser: Browser

beforeAll(async () => {
  operated = await startOperated()
  browser = await launchBrowser()
}, 400_000)

afterEach(async () => {
  for (const context of browser.contexts()) await context.close()
})

afterAll(async () => {
  await browser?.close()
  await operated?.stop()
})

const WIDE = { viewport: { width: 1_280, height: 900 } }
const PHONE = { viewport: { width: 390, height: 844 } }
const SIZES = [
  { name: 'a wide screen', options: WIDE },
  { name: 'a phone', options: PHONE },
]

const addressOf = (search = '') => `${operated.gateway.url}/_hapax/dashboard${search}`

async function openPage(options: BrowserContextOptions = WIDE, search = ''): Promise<Page> {
  const page = await browser.newPage(options)
  await page.goto(addressOf(search))
  await signIn(page)
  return page
}

async function signIn(page: Page): Promise<void> {
  await page.getByLabel('Admin token').fill(TOKEN)
  await page.keyboard.press('Enter')
  await page.locator('#status[data-state=ok]').waitFor()
}

async function figure(page: Page, name: string): Promise<number> {
  const text = await page.locator(`[data-figure=${name}] dd`).evaluate((node) => {
    return node.firstChild?.textContent ?? ''
  })
  return Number(text.replaceAll(',', ''))
}

const isTooWide = (page: Page) =>
  page.locator('html').evaluate((html) => html.scrollWidth > html.clientWidth)

const hrefOfFocus = (page: Page) =>
  page.locator(':focus').evaluate((node) => node.getAttribute('href'))

interface Stub {
  readonly id: string
  readonly ageSeconds: number
  readonly [more: string]: unknown
}

const stuckOf = (id: string, ageSeconds: number, more: object = {}): Stub => ({
  id,
  operation: 'POST /payments',
  tenant: 'shop',
  reason: 'origin-answered',
  correlationId: 'c',
  since: new Date(Date.now() - ageSeconds * 1_000).toISOString(),
  ageSeconds,
  nextAttemptAt: null,
  ...more,
})

/** Answers for the admin API with a list, the newest first, in pages of a hundred. */
async function playStuck(page: Page, listOf: () => readonly Stub[], most = 100): Promise<void> {
  await page.route('**/_hapax/admin/stuck?*', async (route) => {
    const list = listOf()
    const { searchParams } = new URL(route.request().url())
    const from = Number(searchParams.get('after') ?? 0)
    const limit = Math.min(most, Number(searchParams.get('limit')))
    const entries = list.slice(from, from + limit)
    const end = from + entries.length
    await route.fulfill({
      json: { entries, next: end < list.length ? end : null, total: list.length },
    })
  })
}

/** Replaces the rows of a query. */
async function playRows(page: Page, query: string, rows: readonly object[]): Promise<void> {
  await page.route(`**/_hapax/admin/analytics/${query}?*`, async (route) => {
    const since = new Date(Date.now() - 3_600_000).toISOString()
    await route.fulfill({ json: { query, since, bucketSeconds: 60, rows } })
  })
}

/** The page refreshes when it is seen again, as it does by its timer. */
async function refresh(page: Page): Promise<void> {
  const asked = page.waitForResponse('**/_hapax/admin/dead-letters?*')
  await seeAgain(page)
  await asked
}

function seeAgain(page: Page): Promise<boolean> {
  return page.locator('html').evaluate((html) => {
    return html.ownerDocument.dispatchEvent(new Event('visibilitychange'))
  })
}

describe('the figures of the dashboard', () => {
  it.each(SIZES)('are those of the queries on $name, without scrolling sideways', async (size) => {
    const page = await openPage(size.options)
    const [row] = await operated.figures('summary')
    for (const name of ['requests', 'executed', 'replayed', 'blocked', 'mismatches', 'keyless']) {
      expect(await figure(page, name)).toBe(row?.[name])
    }
    expect(await figure(page, 'stuck')).toBe(1)
    expect(await isTooWide(page)).toBe(false)
    const conflicts = await page.locator('#conflicts tbody tr').allInnerTexts()
    expect(conflicts.join()).toContain(String(SENT.mismatches))
    const latency = page.locator('#latency tbody tr')
    expect(await latency.count()).toBe((await operated.figures('latency')).length)
    expect(await latency.first().locator('svg.range rect').count()).toBe(4)
  })

  it('tell apart the mismatches that were only observed, where there are any', async () => {
    const page = await browser.newPage(WIDE)
    const row = { route: 'POST /a', tenant: 't', mismatch_share: 0.1 }
    await playRows(page, 'conflicts', [
      { ...row, mismatches: 4, observed: 0 },
      { ...row, route: 'POST /b', mismatches: 0, observed: 8 },
    ])
    await page.goto(addressOf())
    await signIn(page)
    const headings = page.locator('#conflicts th')
    await expect.poll(() => headings.allInnerTexts()).toContain('Only observed')
    const bars = page.locator('#conflicts tbody tr').nth(0).locator('.bar')
    const part = await bars.first().evaluate((bar) => bar.style.getPropertyValue('--part'))
    expect(part).toBe('0.5')
    const other = await openPage()
    expect(await other.locator('#conflicts th').allInnerTexts()).not.toContain('Only observed')
  })

  it('come as two charts, each with its sums in words and as a table', async () => {
    const page = await openPage()
    const names = ['traffic', 'trouble'].map((id) => page.locator(`#${id}`))
    const labels = await Promise.all(names.map((chart) => chart.getAttribute('aria-label')))
    expect(labels[0]).toContain(`Executed ${SENT.executed}, Replayed ${SENT.replayed}`)
    expect(labels[1]).toContain(
      `Mismatches ${SENT.mismatches}, Outcome unknown ${SENT.unknown + SENT.held}`,
    )
    await page
      .locator('section', { has: page.locator('#trouble') })
      .locator('summary')
      .click()
    const rows = await page.locator('#trouble-table tbody tr').count()
    expect(rows).toBe((await operated.figures('traffic')).length)
  })
})

describe('a list of more than a hundred stuck operations', () => {
  const many = Array.from({ length: 209 }, (_, nth) => stuckOf(`op-${nth}`, 100 + nth))

  it('is counted whole, and shows the oldest first and the others when asked', async () => {
    const page = await browser.newPage(WIDE)
    await playStuck(page, () => many)
    await page.goto(addressOf())
    await signIn(page)
    expect(await figure(page, 'stuck')).toBe(209)
    const rows = page.locator('#unknown tbody tr')
    expect(await rows.first().getAttribute('data-key')).toBe('op-208')
    expect(await rows.count()).toBe(100)
    expect(await page.locator('#unknown-count').innerText()).toContain('100 of ')
    const more = page.locator('#unknown-more')
    await more.focus()
    await page.keyboard.press('Enter')
    await page.keyboard.press('Enter')
    await more.waitFor({ state: 'hidden' })
    expect(await rows.count()).toBeGreaterThanOrEqual(209)
    // The button that had the focus is gone; the table has it.
    expect(await page.locator(':focus').getAttribute('aria-labelledby')).toBe('unknown-title')
  })

  it('is read on behind its first twenty pages when asked, and says what did not answer', async () => {
    const page = await browser.newPage(WIDE)
    const odd = [
      { ...stuckOf('lost', 9_001), isLost: true },
      { ...stuckOf('again', 9_000), isInProgress: true },
    ]
    await playStuck(page, () => [...odd, ...many], 6)
    await page.goto(addressOf())
    await signIn(page)
    const hint = page.locator('#unknown-hint')
    expect(await hint.innerText()).toContain('Only the newest 120 of 211')
    const rows = page.locator('#unknown tbody tr')
    expect(await rows.nth(0).innerText()).toContain('did not respond')
    expect(await rows.nth(1).innerText()).toContain('being sent again')
    await page.locator('#unknown-more').click()
    await hint.waitFor({ state: 'hidden' })
    await page.locator('#unknown-more').click()
    await page.locator('#unknown tbody tr[data-key=op-0]').waitFor()
  })

  it('is narrowed in the table and not in the tile, which says so', async () => {
    const page = await browser.newPage(WIDE)
    await playStuck(page, () => [...many, stuckOf('other', 900, { tenant: 'another' })])
    await page.goto(addressOf('?tenant=another'))
    await signIn(page)
    expect(await figure(page, 'stuck')).toBe(210)
    expect(await page.locator('[data-figure=stuck]').innerText()).toContain(
      'all routes and tenants',
    )
    expect(await page.locator('#unknown tbody tr').count()).toBe(1)
    expect(await page.locator('#unknown-hint').innerText()).toContain('1 of 210')
    expect(await page.locator('#letters-hint').innerText()).toContain('All routes')
  })
})

describe('names that a page could obey', () => {
  const MARKUP = '<img src=x onerror="document.title=1">{{1}}'
  const NAME = `${MARKUP}${HOSTILE}`
  const LONG = `${NAME}${'x'.repeat(20_000)}-end`

  it('are text in every table, option, link and message', async () => {
    const page = await browser.newPage(WIDE)
    const asked: string[] = []
    page.on('request', (request) => asked.push(new URL(request.url()).pathname))
    await playStuck(page, () => [
      stuckOf(`${NAME}/../x`, 9, { operation: LONG, tenant: NAME, reason: NAME }),
    ])
    await playRows(page, 'conflicts', [
      { route: NAME, tenant: LONG, mismatches: 1, observed: 0, mismatch_share: 1 },
    ])
    await playRows(page, 'keyless', [
      { route: LONG, requests: 1, keyless: 1, keyless_share: 1, observed: 0 },
    ])
    await page.goto(addressOf())
    await signIn(page)
    await page.locator('#unknown td', { hasText: MARKUP }).first().waitFor({ state: 'attached' })
    const text = (await page.locator('body').evaluate((body) => body.textContent)) ?? ''
    expect(text).not.toMatch(RAW)
    expect(text).toContain(MARKUP + String.raw`a\u001b[31mb`)
    expect(text).toContain('-end')
    expect(text.length).toBeLessThan(20_000)
    expect([await page.locator('img').count(), await page.title()]).toEqual([0, 'Hapax'])
    expect(await isTooWide(page)).toBe(false)
    const href = await page.locator('#unknown tbody a').first().getAttribute('href')
    expect(href).toMatch(/^#operation=[\w%.~!*'()-]+$/)
    // What is chosen is the name itself, and not what is shown of it.
    const lengths = page
      .locator('select[name=route] option')
      .evaluateAll((all) => all.map((one) => one.getAttribute('value')?.length))
    expect(await lengths).toContain(LONG.length)
    await page.route('**/_hapax/admin/analytics/summary?*', (route) =>
      route.fulfill({ status: 502, json: { detail: NAME } }),
    )
    await refresh(page)
    await page.locator('#status[data-state=failed]').waitFor()
    expect(await page.locator('#status').innerText()).not.toMatch(RAW)
    expect(asked).not.toContain('/_hapax/dashboard/x')
  })
})

describe('a source that fails', () => {
  /** Lets a path of the admin API fail. @returns Heals it. */
  async function playFault(page: Page, path: string, fulfil: object | null) {
    const pattern = `**/_hapax/admin${path}?*`
    await page.route(pattern, async (route) => {
      // One that never comes back.
      if (fulfil !== null) await route.fulfill(fulfil)
    })
    return () => page.unroute(pattern)
  }

  const FAILED = { status: 502, json: { detail: 'The Analytics Engine did not answer.' } }
  const PLACES = [
    { path: '/analytics/summary', id: 'summary' },
    { path: '/analytics/conflicts', id: 'conflicts' },
    { path: '/analytics/unknown', id: 'unknown' },
    { path: '/stuck', id: 'unknown' },
    { path: '/dead-letters', id: 'letters' },
  ]

  it('says so in its place, each by itself, and comes back', async () => {
    const page = await openPage()
    const faults = page.locator('.fault:visible')
    for (const { path, id } of PLACES) {
      const heal = await playFault(page, path, FAILED)
      await seeAgain(page)
      await page.locator(`#${id}-fault`, { hasText: 'This part could not be loaded' }).waitFor()
      await page.locator('#status[data-state=failed]').waitFor()
      const said = await faults.evaluateAll((all) => all.map((fault) => fault.id))
      const places = new Set(PLACES.map((place) => `${place.id}-fault`))
      expect(said.filter((one) => places.has(one))).toEqual([`${id}-fault`])
      await heal()
      await seeAgain(page)
      await page.locator('#status[data-state=ok]').waitFor()
      expect(await faults.count()).toBe(0)
    }
  })

  it.each([
    { path: '/stuck', left: 'requests' },
    { path: '/analytics/*', left: 'stuck' },
  ])('at $path from the beginning leaves the others in sight', async ({ path, left }) => {
    const page = await browser.newPage(WIDE)
    await playFault(page, path, FAILED)
    await page.goto(addressOf())
    await page.getByLabel('Admin token').fill(TOKEN)
    await page.keyboard.press('Enter')
    await page.locator('#status', { hasText: 'Some parts could not be loaded' }).waitFor()
    expect(await figure(page, left)).toBeGreaterThanOrEqual(1)
    // The one operation is on the list, and was met by requests as well.
    expect(await page.locator('#unknown tbody a').count()).toBe(1)
  })

  it('keeps what was there before, and says of when it is', async () => {
    const page = await openPage()
    await playFault(page, '/stuck', FAILED)
    await seeAgain(page)
    await page.locator('#unknown-fault', { hasText: 'The content below is from' }).waitFor()
    expect(await figure(page, 'stuck')).toBe(1)
  })

  it('half-way through a list leaves what was read in sight, and is read on when it is back', async () => {
    const page = await browser.newPage(WIDE)
    const list = Array.from({ length: 250 }, (_, index) => stuckOf(`op-${index}`, 1_000 + index))
    await playStuck(page, () => list)
    const end = /\/stuck\?.*after=200/
    await page.route(end, (route) => route.fulfill(FAILED))
    await page.goto(addressOf())
    await page.getByLabel('Admin token').fill(TOKEN)
    await page.keyboard.press('Enter')
    await page.locator('#unknown-fault', { hasText: 'This part could not be loaded' }).waitFor()
    expect(await figure(page, 'stuck')).toBe(250)
    expect(await page.locator('#unknown tbody tr').count()).toBe(100)
    expect(await page.locator('#unknown-hint').innerText()).toContain('newest 200 of 250')
    await page.unroute(end)
    await seeAgain(page)
    await page.locator('#status[data-state=ok]').waitFor()
    await page.locator('#unknown-hint').waitFor({ state: 'hidden' })
    expect(await page.locator('.fault:visible').count()).toBe(0)
  })

  it('at one figure has a dash in its place, and no zero', async () => {
    const page = await browser.newPage(WIDE)
    await playRows(page, 'summary', [{ requests: 7, mismatches: null, mismatch_share: null }])
    await page.goto(addressOf())
    await signIn(page)
    expect(await figure(page, 'requests')).toBe(7)
    expect(await page.locator('[data-figure=mismatches] dd').innerText()).toBe('—')
    expect(await page.locator('[data-figure=executed] dd').innerText()).toBe('—')
  })

  it('at a count has a dash in its place, and the list', async () => {
    const page = await browser.newPage(WIDE)
    const json = { entries: [stuckOf('op', 9)], next: null, total: null }
    await page.route('**/_hapax/admin/stuck?*', (route) => route.fulfill({ json }))
    await page.goto(addressOf())
    await signIn(page)
    expect(await page.locator('[data-figure=stuck] dd').innerText()).toContain('—')
    expect(await page.locator('#unknown tbody tr[data-key=op]').count()).toBe(1)
  })

  it('by never answering holds up nothing else', async () => {
    const page = await browser.newPage(WIDE)
    await playFault(page, '/analytics/*', null)
    await page.goto(addressOf())
    await page.getByLabel('Admin token').fill(TOKEN)
    await page.keyboard.press('Enter')
    await page.locator('#unknown tbody a').first().waitFor()
    await page.locator('#letters', { hasText: 'No dead letters.' }).waitFor()
    expect(await figure(page, 'stuck')).toBe(1)
  })

  it('since analytics are not configured is told of once, and the lists are there', async () => {
    const page = await browser.newPage(WIDE)
    const json = { code: 'analytics-not-configured', detail: 'Set CLOUDFLARE_ACCOUNT_ID.' }
    await playFault(page, '/analytics/*', { status: 503, json })
    await page.goto(addressOf())
    await signIn(page)
    expect(await figure(page, 'stuck')).toBe(1)
    expect(await page.locator('#unknown tbody a').count()).toBe(1)
    expect(await page.getByText('not configured').count()).toBe(1)
    expect(await page.locator('.fault:visible').count()).toBe(0)
    expect(await page.locator('#conflicts').isVisible()).toBe(false)
  })
})

describe('the dashboard by the keyboard alone', () => {
  it('leads from a stuck operation to its timeline and back', async () => {
    const page = await openPage()
    const link = page.locator('#unknown a').first()
    await link.focus()
    await page.keyboard.press('Enter')
    await page.locator('#operation[open]').waitFor()
    expect(await page.locator('#operation-facts').innerText()).toContain('unknown')
    expect(await page.locator('#operation-timeline li').count()).toBeGreaterThan(2)
    await page.keyboard.press('Escape')
    await page.locator('#operation:not([open])').waitFor({ state: 'attached' })
    expect(await hrefOfFocus(page)).toBe(await link.getAttribute('href'))
  })

  it('keeps the focus and the place over a refresh, though rows come, go and age', async () => {
    const page = await browser.newPage({ viewport: { width: 1_280, height: 500 } })
    let list = [stuckOf('c', 10), stuckOf('b', 20), stuckOf('a', 30)]
    await playStuck(page, () => list)
    await page.goto(addressOf())
    await signIn(page)
    const link = page.locator('#unknown a[href="#operation=b"]')
    await link.focus()
    const html = page.locator('html')
    const before = await html.evaluate((node) => node.scrollTop)
    expect(before).toBeGreaterThan(0)
    list = [stuckOf('d', 1), stuckOf('b', 90), stuckOf('z', 95)]
    await refresh(page)
    await page.locator('#unknown a[href="#operation=d"]').waitFor()
    expect(await hrefOfFocus(page)).toBe('#operation=b')
    expect(await html.evaluate((node) => node.scrollTop)).toBe(before)
    // It moves to the front.
    list = [stuckOf('z', 96), stuckOf('b', 900)]
    await refresh(page)
    await page.locator('#unknown a[href="#operation=d"]').waitFor({ state: 'detached' })
    expect(await hrefOfFocus(page)).toBe('#operation=b')
    // It is gone: the table has the focus, not the beginning of the page.
    list = [stuckOf('z', 97)]
    await refresh(page)
    await link.waitFor({ state: 'detached' })
    expect(await page.locator(':focus').getAttribute('aria-labelledby')).toBe('unknown-title')
  })

  it('refreshes by itself, and says nothing aloud where nothing is worse', async () => {
    const page = await openPage()
    await page.locator('#unknown a').first().focus()
    const href = await hrefOfFocus(page)
    const announcer = page.locator('#announcer')
    await announcer.evaluate((node) => node.replaceChildren('as before'))
    const said = await page.locator('#status').innerText()
    await expect.poll(() => page.locator('#status').innerText(), { timeout: 15_000 }).not.toBe(said)
    expect(await hrefOfFocus(page)).toBe(href)
    expect(await announcer.innerText()).toBe('as before')
  })
})

describe('signing in', () => {
  it('is offered again after it was put away, and can be undone', async () => {
    const page = await browser.newPage(WIDE)
    await page.goto(addressOf())
    const dialog = page.locator('#sign-in[open]')
    await dialog.waitFor()
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    await seeAgain(page)
    expect(await dialog.count()).toBe(0)
    await page.locator('#session', { hasText: 'Sign in' }).focus()
    await page.keyboard.press('Enter')
    await dialog.waitFor()
    await signIn(page)
    expect(await figure(page, 'requests')).toBeGreaterThan(0)
    await page.getByRole('button', { name: 'Sign out' }).click()
    await dialog.waitFor()
    expect(await page.locator('[data-figure]').count()).toBe(0)
    expect(await page.locator('#unknown a').count()).toBe(0)
  })

  it('with a wrong token is refused; it asks no one else, and the browser has nothing to say', async () => {
    const page = await browser.newPage()
    const asked: string[] = []
    const said: string[] = []
    page.on('request', (request) => asked.push(new URL(request.url()).origin))
    page.on('pageerror', (error) => said.push(error.message))
    page.on('console', (message) => said.push(message.text()))
    await page.goto(addressOf())
    await page.getByLabel('Admin token').fill('wrong')
    await page.keyboard.press('Enter')
    await page.getByText('This token was rejected.').waitFor()
    await signIn(page)
    expect(new Set(asked)).toEqual(new Set([operated.gateway.url]))
    // Not the password form, nor the policy for content: only that it was not let in at first.
    expect(said.filter((text) => !text.includes('401'))).toEqual([])
  })
})

describe('a phone', () => {
  it.each([45, 120])('has age and next of operations in sight with names of %d', async (length) => {
    const page = await browser.newPage(PHONE)
    const operation = 'POST /payments-'.padEnd(length, 'x')
    const more = { operation, tenant: 't'.repeat(96) }
    await playStuck(page, () => [stuckOf('b', 20, more), stuckOf('a', 3_700, more)])
    await page.goto(addressOf())
    await signIn(page)
    expect(await isTooWide(page)).toBe(false)
    await page.locator('#unknown-title').scrollIntoViewIfNeeded()
    const row = page.locator('#unknown tbody tr').first()
    for (const label of ['Age', 'Next', 'Route', 'Tenant']) {
      const box = await row.locator(`[data-label=${label}]`).boundingBox()
      expect(box?.x).toBeGreaterThanOrEqual(0)
      expect((box?.x ?? 0) + (box?.width ?? 999)).toBeLessThanOrEqual(390)
    }
    const inner = await page
      .locator('.scroll')
      .evaluateAll((all) => all.filter((one) => one.scrollWidth > one.clientWidth).length)
    expect(inner).toBe(0)
    // A row is a card to the eye only.
    const tree = await page.locator('#unknown').ariaSnapshot()
    expect(tree).toContain('columnheader "Age"')
    expect(tree).toContain('cell "1 h 1 min"')
  })
})

describe('long names', () => {
  it.each([
    { length: 45, width: 1_280 },
    { length: 120, width: 1_280 },
    { length: 120, width: 1_130 },
    { length: 120, width: 600 },
  ])('of $length leave the numbers in sight on $width pixels', async ({ length, width }) => {
    const page = await browser.newPage({ viewport: { width, height: 900 } })
    const route = 'POST /payments-'.padEnd(length, 'x')
    const conflict = { route, tenant: 't'.repeat(96), mismatches: 14, observed: 12 }
    await playRows(page, 'conflicts', [{ ...conflict, mismatch_share: 0.125 }])
    await page.goto(addressOf())
    await signIn(page)
    const place = await page.locator('.scroll', { has: page.locator('#conflicts') }).boundingBox()
    const last = await page.locator('#conflicts tbody td').last().boundingBox()
    expect(last?.width).toBeGreaterThan(0)
    expect((last?.x ?? 9_999) + (last?.width ?? 0)).toBeLessThanOrEqual(
      (place?.x ?? 0) + (place?.width ?? 0),
    )
    expect(await isTooWide(page)).toBe(false)
  })
})

describe('the filters', () => {
  it('narrow everything to a tenant, and say so where there is nothing', async () => {
    const page = await openPage()
    await page.getByRole('searchbox', { name: 'Tenant' }).fill('nobody')
    await page.keyboard.press('Enter')
    await page.locator('[data-figure=requests] dd', { hasText: /^0$/ }).waitFor()
    await page.locator('#conflicts', { hasText: 'No key was used' }).waitFor()
    expect(page.url()).toContain('tenant=nobody')
  })

  it('offer every route of the time range, also where one is chosen in the address', async () => {
    const page = await openPage(WIDE, '?route=POST%20%2Fothers')
    const routes = page.locator('select[name=route]')
    expect(await routes.inputValue()).toBe('POST /others')
    expect(await routes.locator('option').allInnerTexts()).toEqual([
      'All routes',
      'POST /others',
      'POST /payments',
    ])
  })

  it.each([
    { since: '30d', value: '30d', text: '30 days' },
    { since: '1d', value: '1d', text: '1 day' },
    { since: '24h', value: '24h', text: '24 hours' },
    { since: 'long', value: '1h', text: '1 hour' },
    { since: '0s', value: '1h', text: '1 hour' },
  ])('have $text for ?since=$since', async ({ since, value, text }) => {
    const page = await openPage(WIDE, `?since=${since}`)
    const list = page.locator('select[name=since]')
    expect(await list.inputValue()).toBe(value)
    expect(await list.locator('option:checked').innerText()).toBe(text)
  })
})

describe('the colours', () => {
  it.each(['light', 'dark'] as const)('%s have contrast AA everywhere', async (theme) => {
    const page = await openPage({ ...WIDE, colorScheme: theme === 'dark' ? 'light' : 'dark' })
    await page.getByLabel('Theme').selectOption(theme)
    await page.locator(`html[data-theme=${theme}]`).waitFor()
    const poor = await page.locator('body').evaluate(textsOfLowContrast)
    expect(poor).toEqual([])
    const card = await page.locator('section').first().evaluate(backgroundOf)
    expect(card).toBe(theme === 'light' ? 'rgb(255, 255, 255)' : 'rgb(33, 33, 31)')
  })

  it('move nothing for who wants it still', async () => {
    const page = await openPage({ ...WIDE, reducedMotion: 'reduce' })
    const moving = await page.locator('body').evaluate((body) => {
      const { defaultView: view } = body.ownerDocument
      const all = [...body.querySelectorAll('*')]
      return all.filter((one) => view?.getComputedStyle(one).transitionDuration !== '0s').length
    })
    expect(moving).toBe(0)
  })
})

/** An element of the page, as far as it is looked at here. */
interface Seen {
  readonly childNodes: Iterable<{ readonly nodeName: string; readonly textContent: string | null }>
  readonly parentElement: Seen | null
  readonly textContent: string | null
  readonly ownerDocument: {
    readonly defaultView: {
      getComputedStyle(node: Seen): { readonly color: string; readonly backgroundColor: string }
    }
  }
  getClientRects(): { readonly length: number }
  querySelectorAll(selector: string): Iterable<Seen>
}

function backgroundOf(node: Seen): string {
  return node.ownerDocument.defaultView.getComputedStyle(node).backgroundColor
}

/** Runs in the page: texts below 4.5 to 1 (WCAG 2.2, 1.4.3). */
function textsOfLowContrast(body: Seen): readonly string[] {
  const styleOf = (node: Seen) => body.ownerDocument.defaultView.getComputedStyle(node)
  const parse = (colour = '') => (colour.match(/[\d.]+/g) ?? []).map(Number)
  const luminance = (colour: readonly number[]) => {
    const [red = 0, green = 0, blue = 0] = colour.slice(0, 3).map((value) => {
      const part = value / 255
      return part <= 0.040_45 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
  }
  const backgroundUnder = (node: Seen | null): readonly number[] => {
    if (node === null) return [255, 255, 255]
    const colour = parse(styleOf(node).backgroundColor)
    return colour[3] === 0 ? backgroundUnder(node.parentElement) : colour
  }
  return [...body.querySelectorAll('*')].flatMap((node) => {
    const hasText = [...node.childNodes].some(
      (child) => child.nodeName === '#text' && child.textContent?.trim(),
    )
    if (!hasText || node.getClientRects().length === 0) return []
    const [one, other] = [parse(styleOf(node).color), backgroundUnder(node)].map(luminance)
    const [low = 0, high = 0] = [one ?? 0, other ?? 0].toSorted((a, b) => a - b)
    const ratio = (high + 0.05) / (low + 0.05)
    return ratio >= 4.5 ? [] : [`${node.textContent} ${ratio.toFixed(2)}`]
  })
}

describe('the page for those who hear it', () => {
  it('names every table, control and chart', async () => {
    const page = await openPage()
    const tree = await page.locator('body').ariaSnapshot()
    for (const name of [
      'Time range',
      'Route',
      'Tenant',
      'Refresh',
      'Sign out',
      'Conflicts by tenant and route',
    ])
      expect(tree).toContain(name)
    expect(tree).toMatch(/img "Chart of requests over time/)
    expect(tree).toMatch(/img "Chart of conflicts, unknown outcomes and store errors over time/)
  })
})
