import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { brotliDecompressSync } from 'node:zlib'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type Answer, headerOf, send } from '../../demo/client.ts'
import { bundleWorker } from '../../dev/bundle-worker.ts'
import { type BareGateway, startBareGateway } from './bare.ts'
import { json, type Origin, startOrigin } from './server.ts'
import { HAPAX_WEBHOOK_SECRET } from './stored-cases.ts'

/**
 * Two versions at once. In a gradual deployment, the platform gives each object one version, and
 * each request another: Workers of both versions call objects of both.
 */
const COMMIT = '6626a7e'
const root = path.resolve(import.meta.dirname, '../..')
const config = path.join(import.meta.dirname, 'state-gateway/wrangler.toml')
const vars = { HAPAX_WEBHOOK_SECRET }

let folder = ''
let older = ''
let origin: Origin
let gateway: BareGateway

beforeAll(async () => {
  // Among the packages, so that it finds its dependencies.
  const cache = path.join(root, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  folder = mkdtempSync(path.join(cache, 'hapax-older-'))
  const entry = path.join(folder, 'entry.js')
  const fixture = path.join(root, `test/fixtures/state-${COMMIT}/worker.js.br`)
  writeFileSync(entry, brotliDecompressSync(readFileSync(fixture)))
  older = path.join(folder, 'worker.js')
  await bundleWorker({ entry, bundle: older })
})
afterAll(() => rmSync(folder, { recursive: true }))

async function start(bundles: { gateway?: string; beside?: string }): Promise<void> {
  origin = await startOrigin()
  const named = { ...vars, NAMED_URL: `${origin.url}/named` }
  gateway = await startBareGateway({ origin, config, vars: named, bundles, beside: {} })
}

async function stop(): Promise<void> {
  await gateway.stop()
  await origin.close()
}

const urls = () => [gateway.url, gateway.besideUrl] as const
const ask = (url: string, where: string, amount = 1) =>
  send(url, { path: where, key: where, body: JSON.stringify({ amount }) })

const wordOf = (answer: Answer) =>
  headerOf(answer, 'Hapax-Error') ?? headerOf(answer, 'Idempotency-Status')
const bodyOf = (answer: Answer) => (answer.kind === 'answered' ? answer.body : answer.kind)

/** A route for each way in which a Worker and an object share the work. */
const ROUTES = ['/kept', '/resent', '/asked', '/durable', '/handled'] as const

describe.each([
  { objects: 'older', bundles: () => ({ gateway: older }) },
  { objects: 'newer', bundles: () => ({ beside: older }) },
])('while Workers of both versions call $objects objects', ({ bundles }) => {
  beforeAll(() => start(bundles()))
  afterAll(stop)

  it('each operation is executed once, and replayed or refused by both', async () => {
    const [one, other] = urls()
    await Promise.all(
      ROUTES.flatMap((route) => [`${route}/one`, `${route}/other`]).map(async (where) => {
        const ordered = where.endsWith('/one') ? ([one, other] as const) : ([other, one] as const)
        const [first, second] = ordered
        expect(wordOf(await ask(first, where))).toBe('executed')
        const replays = [await ask(second, where), await ask(first, where)]
        expect(replays.map(wordOf)).toEqual(['replayed', 'replayed'])
        expect(new Set(replays.map(bodyOf))).toEqual(new Set(['{"nth":1}']))
        const others = [await ask(second, where, 2), await ask(first, where, 2)]
        expect(others.map(wordOf)).toEqual(['key-reused', 'key-reused'])
        expect(origin.requestsTo(where)).toHaveLength(1)
      }),
    )
  })

  it('requests that come to both at once are one operation', async () => {
    const [one, other] = urls()
    await Promise.all(
      ROUTES.map((route) => `${route}/both`).map(async (where) => {
        const answers = await Promise.all([one, other, other, one].map((url) => ask(url, where)))
        expect(new Set(answers.map(bodyOf))).toEqual(new Set(['{"nth":1}']))
        expect(origin.requestsTo(where)).toHaveLength(1)
      }),
    )
  })
})

describe('an operation of another origin, which the older version does not know', () => {
  beforeAll(() => start({ gateway: older }))
  afterAll(stop)

  it('is refused by an older object, and not sent to the deployment’s own origin', async () => {
    expect(wordOf(await ask(gateway.besideUrl, '/elsewhere/one'))).toBe('store-unavailable')
    expect(origin.requestsTo('/elsewhere/one')).toEqual([])
    await gateway.redeploy({}, {})
    expect(wordOf(await ask(gateway.besideUrl, '/elsewhere/one'))).toBe('executed')
    expect(origin.requestsTo('/named/elsewhere/one')).toHaveLength(1)
  })
})

describe('after a rollback', () => {
  beforeAll(() => start({}))
  afterAll(stop)

  it('what the newer version has stored is not executed again, and replayed when it is back', async () => {
    const settled = ROUTES.map((route) => `${route}/settled`)
    const held = '/held/rolled-back'
    origin.on(held, json(500, {}))
    for (const where of [...settled, held]) await ask(gateway.url, where)

    await gateway.redeploy({}, { gateway: older, beside: older })
    // This version cannot read a small response of the newer one: it breaks off (docs/decisions/013).
    const broken = await Promise.all(settled.map((where) => ask(gateway.url, where)))
    expect(new Set(broken.map(bodyOf))).toEqual(new Set(['lost']))
    expect(wordOf(await ask(gateway.url, held))).toBe('outcome-unknown')
    await ask(gateway.url, '/kept/meanwhile')

    await gateway.redeploy({}, {})
    for (const where of [...settled, '/kept/meanwhile']) {
      const replay = await ask(gateway.url, where)
      expect([wordOf(replay), bodyOf(replay)]).toEqual(['replayed', '{"nth":1}'])
    }
    expect(wordOf(await ask(gateway.url, held))).toBe('outcome-unknown')
    const paths = origin.requests.map((request) => request.path)
    expect(paths.toSorted()).toEqual([...settled, held, '/kept/meanwhile'].toSorted())
  })
})
