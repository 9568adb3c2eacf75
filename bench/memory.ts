/**
 * Measures what a slow reader costs: `node bench/memory.ts`, about two minutes.
 *
 * The origin writes as fast as it is read. The first client, where it is slow, reads 1 MiB/s for
 * 12 s and then at full speed; a second one comes when the first has got its first bytes, and reads
 * at full speed all the time. Every case has a server of its own, and is measured from a request on
 * that warmed it up: the peak is that of the one workerd process that runs the gateway, as Linux
 * counts it (VmHWM).
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'

import { type DevServer, startDevServer } from '../demo/dev-server.ts'
import { gatewayPidOf } from './gateway-process.ts'
import { memoryOf } from './process-usage.ts'

const MIB = 1_048_576
const CHUNK_BYTES = 65_536
const SLOW_BYTES_PER_MS = MIB / 1_000
const SLOW_FOR_MS = 12_000
const IDLE_MS = 3_000

type Pace = 'slow' | 'full'

interface Case {
  readonly name: string
  /** On a route of the test gateway: `/vast` keeps 64 MiB, `/large` 25. */
  readonly path: string
  readonly mib: number
  /** Of the first client. */
  readonly pace: Pace
}

const CASES: readonly Case[] = [
  { name: 'idle', path: '/vast', mib: 0, pace: 'slow' },
  { name: 'passed through', path: '/unprotected', mib: 64, pace: 'slow' },
  // What a body costs by itself, garbage included.
  { name: 'kept', path: '/vast', mib: 64, pace: 'full' },
  { name: 'kept', path: '/vast', mib: 64, pace: 'slow' },
  { name: 'over the limit', path: '/large', mib: 64, pace: 'slow' },
  // What grows with the body would show here.
  { name: 'over the limit', path: '/large', mib: 256, pace: 'slow' },
]

/** An API whose answers have as many MiB as the query says, chunked. */
async function startOrigin() {
  const chunk = Buffer.alloc(CHUNK_BYTES, 'once ')
  const server = createServer((incoming, outgoing) => {
    const mib = Number(new URL(incoming.url ?? '', 'http://origin').searchParams.get('mib'))
    const chunks = Array.from({ length: (mib * MIB) / CHUNK_BYTES }, () => chunk)
    incoming.resume()
    outgoing.writeHead(200, { 'Content-Type': 'text/event-stream' })
    // A client that is gone.
    pipeline(Readable.from(chunks), outgoing).catch(() => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** Lets the peak begin anew; 5 means the peak alone (proc(5)). */
function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
}

async function open(server: DevServer, where: string, key: string): Promise<IncomingMessage> {
  const headers = {
    Authorization: 'Bearer demo',
    'Accept-Encoding': 'identity',
    'Idempotency-Key': key,
  }
  const outgoing = request(new URL(where, server.url), { method: 'POST', agent: false, headers })
  outgoing.end()
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage]
  return incoming
}

/** Reads to the end, for a while at a pace. @returns How many MiB came, and whether that was all. */
async function read(incoming: IncomingMessage, pace: Pace, onFirst = () => {}) {
  const startedAt = performance.now()
  let bytes = 0
  try {
    for await (const chunk of incoming as AsyncIterable<Buffer>) {
      if (bytes === 0) onFirst()
      bytes += chunk.length
      const elapsedMs = performance.now() - startedAt
      const ahead = bytes / SLOW_BYTES_PER_MS - elapsedMs
      if (pace === 'slow' && elapsedMs < SLOW_FOR_MS && ahead > 0) await sleep(ahead)
    }
  } catch {
    // It broke off: what came is told.
  }
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  const end = incoming.complete ? '' : ', broken'
  return `${String(incoming.headers['idempotency-status'] ?? '-')}: ${(bytes / MIB).toFixed(1)} MiB in ${seconds} s${end}`
}

async function load(server: DevServer, { path: where, mib, pace }: Case) {
  const target = `${where}?mib=${mib}`
  const first = await open(server, target, 'measured')
  const begun = Promise.withResolvers<void>()
  const paced = read(first, pace, () => begun.resolve())
  await begun.promise
  const quick = read(await open(server, target, 'measured'), 'full')
  return { 'first reader': await paced, 'second reader': await quick }
}

async function measure(one: Case, originUrl: string) {
  const persistTo = mkdtempSync(path.join(tmpdir(), 'hapax-memory-'))
  const server = await startDevServer({
    config: 'test/e2e/gateway/wrangler.toml',
    persistTo,
    vars: { ORIGIN_URL: originUrl },
  })
  try {
    await read(await open(server, `${one.path}?mib=1`, 'warm-up'), 'full')
    const pid = gatewayPidOf(server)
    const before = memoryOf(pid, 'VmRSS')
    resetPeak(pid)
    const readers = one.mib === 0 ? await sleep(IDLE_MS, {}) : await load(server, one)
    const peak = memoryOf(pid, 'VmHWM')
    return {
      case: one.name,
      'body MiB': one.mib,
      'first reader is': one.pace,
      'before MiB': before.toFixed(1),
      'peak MiB': peak.toFixed(1),
      'grown MiB': (peak - before).toFixed(1),
      ...readers,
    }
  } finally {
    await server.kill()
    rmSync(persistTo, { recursive: true, force: true })
  }
}

const origin = await startOrigin()
const rows = []
for (const one of CASES) rows.push(await measure(one, origin.url))
console.table(rows)
origin.server.closeAllConnections()
origin.server.close()
