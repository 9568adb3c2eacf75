import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'

import { afterAll, beforeAll, expect, it, vi } from 'vitest'

import { statusOf } from '../../demo/client.ts'
import { close, listen } from '../../dev/local-server.ts'
import { type Gateway, startGateway } from './server.ts'

/**
 * Many messages through the real local queue of `examples/pipeline`, as it is, in batches of 100:
 * three of ten are duplicates, every second report is asked for by two sources, and some can never
 * be done. What is counted are the effects at the API. `HAPAX_QUEUE_MESSAGES=10000` sends more.
 */
const MESSAGES = Number(process.env['HAPAX_QUEUE_MESSAGES'] ?? 600)
const DUPLICATES = Math.round(MESSAGES * 0.3)
/** Of each kind. */
const POISON = Math.ceil(MESSAGES / 200)
const BATCH = 100
/** On a slow disk, with other work beside it, five operations are done in a second. */
const PATIENCE = 300_000 + MESSAGES * 400
const HAPAX_ADMIN_TOKEN = 'the token of an operator'.replaceAll(' ', '-')

const example = path.resolve(import.meta.dirname, '../../examples/pipeline')

/** The example, and a way into its queue. */
const DOOR = `
import pipeline from ${JSON.stringify(`${example}/index.ts`)}
export { DirectoryObject, IdempotencyObject } from ${JSON.stringify(`${example}/index.ts`)}

export default {
  ...pipeline,
  async fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== '/test/queue') return pipeline.fetch(request, env, ctx)
    await env.REPORTS.sendBatch((await request.json()).map((body) => ({ body })))
    return new Response(null, { status: 204 })
  },
}`

interface Report {
  readonly account: string
  readonly month: string
}

const nameOf = ({ account, month }: Report) => `${account}/${month}`

/** As the example's own route asks for a report. */
const fromRequest = (nth: number, data: Report) => ({
  specversion: '1.0',
  id: `request-${nth}`,
  source: '/hapax',
  type: 'report.requested',
  data,
})

/** As billing asks for the same one. */
const fromBilling = (nth: number, { account, month }: Report) => ({
  specversion: '1.0',
  id: `closed-${nth}`,
  source: '/billing',
  type: 'month.closed',
  data: { account, period: { year: Number(month.slice(0, 4)), month: Number(month.slice(5)) } },
})

/** What can never be done, by the reason that its dead letter gives. */
const poisons: Readonly<Record<string, (nth: number, report: Report) => object>> = {
  'no-handler': (nth, report) => ({ ...fromRequest(nth, report), type: 'report.imagined' }),
  'tenant-missing': (nth) => ({ ...fromRequest(nth, NOBODYS), data: { month: '2026-10' } }),
  'payload-invalid': (nth, { account }) => ({
    ...fromBilling(nth, NOBODYS),
    data: { account },
  }),
  // The API does not know the account.
  failed: (nth, { month }) => fromRequest(nth, { account: `stranger-${nth}`, month }),
}
const NOBODYS: Report = { account: 'nobody', month: '2026-10' }

/** Half of the reports are asked for twice, by two sources. */
const reports = reportsOf(Math.floor((MESSAGES - DUPLICATES - POISON * 4) / 1.5))
const distinct = [
  ...reports.map((report, nth) => fromRequest(nth, report)),
  ...reports.flatMap((report, nth) => (nth % 2 === 0 ? [fromBilling(nth, report)] : [])),
]
const poison = Object.values(poisons).flatMap((toPoison) =>
  reportsOf(POISON).map((report, nth) => toPoison(nth, report)),
)
const filler = MESSAGES - DUPLICATES - distinct.length - poison.length
const repeated = Array.from(
  { length: DUPLICATES + filler },
  (_, nth) => distinct[(nth * 7) % distinct.length],
)
const sent = shuffle([...distinct, ...poison, ...repeated])

function reportsOf(count: number): Report[] {
  return Array.from({ length: count }, (_, nth) => ({
    account: `account-${Math.floor(nth / 12)}`,
    month: `2026-${String((nth % 12) + 1).padStart(2, '0')}`,
  }))
}

/** Always the same order, in which nothing stands beside what belongs to it. */
function shuffle<item>(items: readonly item[]): item[] {
  let state = 1
  const keyed = items.map((item) => {
    state = (state * 48_271) % 2_147_483_647
    return { item, state }
  })
  return keyed.toSorted((a, b) => a.state - b.state).map(({ item }) => item)
}

/** How often the API was asked for the figures of a report, and for its mail. */
const renders = new Map<string, number>()
const mails = new Map<string, number>()
const count = (counts: Map<string, number>, name: string) =>
  counts.set(name, (counts.get(name) ?? 0) + 1)

let api: Server
let gateway: Gateway
let directory: string

beforeAll(async () => {
  api = createServer((incoming, outgoing) => {
    const answer = async () => {
      const body = await text(incoming)
      const url = incoming.url ?? ''
      if (url === '/mails') count(mails, nameOf(JSON.parse(body) as Report))
      else if (!url.includes('/stranger-')) count(renders, url.replace('/figures/', ''))
      outgoing.writeHead(url.includes('/stranger-') ? 404 : 200, {
        'Content-Type': 'application/json',
      })
      outgoing.end('[]')
    }
    answer().catch(() => outgoing.destroy())
  })
  const origin = { url: await listen(api) }
  directory = mkdtempSync(path.join(tmpdir(), 'hapax-load-'))
  writeFileSync(path.join(directory, 'door.js'), DOOR)
  const config = path.join(directory, 'wrangler.toml')
  const own = readFileSync(path.join(example, 'wrangler.toml'), 'utf8')
  writeFileSync(config, own.replace('main = "index.ts"', 'main = "door.js"'))
  const persistTo = path.join(directory, 'state')
  gateway = await startGateway({ origin, config, persistTo, vars: { HAPAX_ADMIN_TOKEN } })
})
afterAll(async () => {
  await gateway.stop()
  await close(api)
  rmSync(directory, { recursive: true, force: true })
})

/** How many messages have come to an end, by what that was. */
function ends(): { readonly [disposition: string]: number } {
  const counts: Record<string, number> = { ack: 0, 'dead-letter': 0 }
  for (const [, disposition = ''] of gateway.log().matchAll(/"disposition":"([\w-]+)"/g)) {
    counts[disposition] = (counts[disposition] ?? 0) + 1
  }
  return counts
}

/** How many messages are dead letters, by the first word of the reason. */
async function countLetters(): Promise<Record<string, number>> {
  const letters = Object.groupBy(await listLetters(), (reason) => reason.split(':')[0] ?? '')
  const counts = Object.entries(letters).map(([reason, all = []]) => [reason, all.length])
  return Object.fromEntries(counts) as Record<string, number>
}

async function listLetters(): Promise<string[]> {
  const reasons: string[] = []
  for (let after = ''; ;) {
    const answer = await gateway.send({
      method: 'GET',
      path: `/_hapax/admin/dead-letters?limit=100${after}`,
      headers: { Authorization: `Bearer ${HAPAX_ADMIN_TOKEN}` },
    })
    const page = JSON.parse(answer.kind === 'answered' ? answer.body : '') as Page
    reasons.push(...page.entries.map(({ reason }) => reason))
    if (page.next === null) return reasons
    after = `&after=${page.next}`
  }
}

interface Page {
  readonly entries: readonly { readonly reason: string }[]
  readonly next: number | null
}

it(
  `does ${MESSAGES} messages, of which 30% are duplicates, once for each business key`,
  async () => {
    expect(sent).toHaveLength(MESSAGES)
    for (let at = 0; at < sent.length; at += BATCH) {
      const body = JSON.stringify(sent.slice(at, at + BATCH))
      expect(statusOf(await gateway.send({ path: '/test/queue', body }))).toBe(204)
    }
    // Each report leaves an event, which is a message as well.
    const acknowledged = MESSAGES - poison.length + reports.length
    await vi.waitUntil(
      () => {
        const { ack = 0, 'dead-letter': dead = 0 } = ends()
        return ack + dead >= acknowledged + poison.length
      },
      { timeout: PATIENCE, interval: 1_000 },
    )
    // A dead letter is counted before it is kept.
    const expected = Object.keys(poisons).map((reason) => [reason, POISON])
    await expect.poll(countLetters).toEqual(Object.fromEntries(expected))
    expect(ends()).toMatchObject({ ack: acknowledged, 'dead-letter': poison.length })
    const onceEach = new Map(reports.map((report) => [nameOf(report), 1]))
    expect(sorted(renders)).toEqual(sorted(onceEach))
    expect(sorted(mails)).toEqual(sorted(onceEach))
  },
  PATIENCE,
)

const sorted = (counts: ReadonlyMap<string, number>) =>
  [...counts].toSorted(([a], [b]) => a.localeCompare(b))
