import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { startBareGateway } from './bare.ts'
import { builtWorkerOf } from './built-worker.ts'
import { type Gateway, json, type Origin, startOrigin } from './server.ts'

let origin: Origin
let gateway: Gateway

beforeAll(async () => {
  origin = await startOrigin()
  gateway = await startBareGateway({ origin })
})

afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

/** The bundle that `wrangler deploy` would upload. */
async function bundleToDeploy(config: string): Promise<string> {
  const outdir = mkdtempSync(join(tmpdir(), 'hapax-bundle-'))
  const wrangler = resolve(import.meta.dirname, '../../node_modules/wrangler/bin/wrangler.js')
  const args = [wrangler, 'deploy', '--dry-run', `--config=${config}`, `--outdir=${outdir}`]
  const quiet = { WRANGLER_LOG_PATH: outdir, WRANGLER_SEND_METRICS: 'false' }
  // That of vitest would be built in.
  const { NODE_ENV: _, ...inherited } = process.env
  try {
    const env = { ...inherited, ...quiet, WRANGLER_HIDE_BANNER: 'true' }
    await promisify(execFile)(process.execPath, args, { env })
    return readFileSync(join(outdir, 'index.js'), 'utf8')
  } finally {
    rmSync(outdir, { recursive: true, force: true })
  }
}

describe('the bundle in bare workerd', () => {
  it('is the one that wrangler would deploy', async () => {
    const config = resolve(import.meta.dirname, '../../wrangler.toml')
    const { bundle } = await builtWorkerOf(config)
    const deployed = await bundleToDeploy(config)
    expect(deployed.replace(/\n\/\/# sourceMappingURL=.*\n$/, '')).toBe(
      readFileSync(bundle, 'utf8').trimEnd(),
    )
  })

  it('executes once, and replays after kill -9', async () => {
    const request = { path: '/hold/bare', key: 'bare', body: '{"amount":1}' }
    const first = await gateway.send(request)
    await gateway.restart()
    const replay = await gateway.send(request)
    expect(first).toMatchObject({ status: 201, headers: { 'idempotency-status': 'executed' } })
    expect(replay).toMatchObject({ status: 201, headers: { 'idempotency-status': 'replayed' } })
    expect(origin.requestsTo('/hold/bare')).toHaveLength(1)
  })
})

interface Answered {
  readonly items: readonly { readonly status: number; readonly idempotency: string }[]
}

/** Sends a batch of these items; status and word of each. */
async function sendBatch(path: string, ids: readonly string[], signal?: AbortSignal) {
  const body = JSON.stringify({ items: ids.map((id) => ({ id })) })
  const answer = await gateway.send({ path, body, ...(signal && { signal }) })
  if (answer.kind === 'lost') return 'lost'
  const { items } = JSON.parse(answer.body) as Answered
  return items.map(({ status, idempotency }) => `${status} ${idempotency}`)
}

/** Ids of the items that the origin was asked for, in order. */
const askedFor = (path: string) =>
  origin
    .requestsTo(path)
    .map(({ body }) => /"id":"(\w+)"/.exec(body.toString())?.[1] ?? '')
    .toSorted((one, other) => one.localeCompare(other))

describe('a batch in bare workerd', () => {
  it('is done to its end after kill -9 in the middle, and no more than that', async () => {
    const path = '/batches/killed'
    origin.on(path, ({ body }) =>
      body.includes('"b"') && askedFor(path).filter((id) => id === 'b').length === 1
        ? { kind: 'stall', when: 'after-headers' }
        : json(201, {}),
    )
    const lost = sendBatch(path, ['a', 'b', 'c'])
    await origin.received(path, 3)
    // Joined or replayed: the two are settled.
    await sendBatch(path, ['a', 'c'])
    await gateway.restart()
    expect(await lost).toBe('lost')
    const again = await sendBatch(path, ['a', 'b', 'c'])
    expect(again).toEqual(['201 replayed', expect.stringMatching(/^201 /), '201 replayed'])
    expect(askedFor(path)).toEqual(['a', 'b', 'b', 'c'])
  })

  it('has one effect for each item where the client hangs up and sends it again', async () => {
    const path = '/batches/left'
    const release = origin.hold(path)
    const ids = Array.from({ length: 8 }, (_, index) => `l${index}`)
    const client = new AbortController()
    const left = sendBatch(path, ids, client.signal)
    await origin.received(path, 1)
    client.abort()
    expect(await left).toBe('lost')
    release(json(201, {}))
    // Also those that were not begun when the client left.
    await origin.received(path, ids.length)
    const again = await sendBatch(path, ids)
    expect(again).toEqual(ids.map(() => expect.stringMatching(/^201 /)))
    expect(askedFor(path)).toEqual(ids)
  })
})
