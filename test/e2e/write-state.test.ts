import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync } from 'node:zlib'

import { build } from 'esbuild'
import { expect, it } from 'vitest'

import { startBareGateway } from './bare.ts'
import { json, type Origin, startOrigin } from './server.ts'
import { readBodyRows, recordsAre } from './state.ts'
import {
  ANSWERS,
  BODY,
  FAULTY,
  HAPAX_WEBHOOK_SECRET,
  LARGE_BYTES,
  LOST,
  SECRETS,
} from './stored-cases.ts'
import { dumpState } from './stored-state.ts'

/** Writes `test/fixtures/state-<commit>`; see `test/fixtures/README.md`. */
const commit = process.env['HAPAX_WRITE_STATE']
const root = path.resolve(import.meta.dirname, '../..')

/** @returns The configuration of a gateway whose source is that of the commit. */
function checkOut(of: string): string {
  const tree = mkdtempSync(path.join(tmpdir(), 'hapax-commit-'))
  const options = { cwd: root, maxBuffer: 100_000_000 }
  const source = execFileSync(
    'git',
    ['archive', of, 'src', 'tsconfig.json', 'package.json'],
    options,
  )
  execFileSync('tar', ['x', '-C', tree], { input: source })
  symlinkSync(path.join(root, 'node_modules'), path.join(tree, 'node_modules'))
  const gateway = path.join(tree, 'test/e2e/state-gateway')
  cpSync(path.join(import.meta.dirname, 'state-gateway'), gateway, { recursive: true })
  const config = path.join(gateway, 'wrangler.toml')
  const text = readFileSync(config, 'utf8').replace('main = "index.ts"', 'main = "writer.ts"')
  writeFileSync(config, text)
  return config
}

/** The ids of the events that were sent to a receiver, each once. */
const idsAt = (origin: Origin, where: string) => [
  ...new Set(origin.requestsTo(where).map(({ headers }) => String(headers['webhook-id']))),
]

async function writeState(config: string, secrets: Readonly<Record<string, string>>) {
  const origin = await startOrigin()
  const vars = { HAPAX_WEBHOOK_SECRET, ...secrets }
  const gateway = await startBareGateway({ origin, config, vars })
  const send = (where: string) => gateway.send({ path: where, key: where, body: BODY })
  const isClear = Object.keys(secrets).length === 0

  for (const [where, answer] of Object.entries(ANSWERS)) {
    origin.on(where, answer)
    expect(await send(where)).toMatchObject({ status: answer.status ?? 200 })
  }
  for (const where of FAULTY) {
    origin.on(where, json(500, {}))
    await send(where)
  }
  await send('/gone')
  await send('/brief/kept')
  for (const where of ['/told', '/emitted']) {
    origin.on(`/hooks${where}`, json(503, {}))
    await send(where)
    await origin.received(`/hooks${where}`)
  }
  if (isClear) {
    const body = new Uint8Array(LARGE_BYTES)
    origin.on('/kept/large', { kind: 'respond', body })
    await send('/kept/large')
    const half = origin.stream('/half')
    void send('/half')
    await half.write(body)
    // A file has no event to wait for.
    while (readBodyRows(gateway.state, 'POST /half').length === 0) await sleep(20)
  }
  await recordsAre(gateway.state, 'POST /gone', { state: 'expired', count: 1 })
  for (const where of LOST) {
    origin.hold(where)
    void send(where)
    await origin.received(where)
  }
  await gateway.kill()
  const keys = origin.requests.map(({ path: where, headers }) => [
    where,
    headers['idempotency-key'],
  ])
  const text = dumpState(gateway.state, origin.url, {
    writtenAt: Date.now(),
    keys: Object.fromEntries(keys.filter(([, key]) => key !== undefined)) as Record<string, string>,
    events: {
      '/hooks/told': idsAt(origin, '/hooks/told'),
      '/hooks/emitted': idsAt(origin, '/hooks/emitted'),
    },
  })
  await gateway.stop()
  await origin.close()
  return text
}

it.runIf(commit !== undefined)('writes the state of a commit', async () => {
  const config = checkOut(String(commit))
  const directory = path.join(root, `test/fixtures/state-${String(commit)}`)
  mkdirSync(directory, { recursive: true })
  for (const [how, secrets] of Object.entries({ clear: {}, sealed: SECRETS })) {
    const state = await writeState(config, secrets)
    expect(state).toContain('-- file IdempotencyObject/')
    writeFileSync(path.join(directory, `${how}.sql`), state)
  }
})

it.runIf(commit !== undefined)('writes the Worker of a commit', async () => {
  const config = checkOut(String(commit))
  const { outputFiles } = await build({
    entryPoints: [path.join(path.dirname(config), 'writer.ts')],
    bundle: true,
    minify: true,
    format: 'esm',
    target: 'es2024',
    // Only what is of this project.
    packages: 'external',
    external: ['cloudflare:*'],
    write: false,
  })
  const [bundle] = outputFiles
  expect(bundle?.text).toContain('IdempotencyObject')
  const file = path.join(root, `test/fixtures/state-${String(commit)}/worker.js.br`)
  writeFileSync(file, brotliCompressSync(bundle?.contents ?? ''))
})
