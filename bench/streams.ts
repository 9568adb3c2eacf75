/**
 * Measures what protecting a streamed answer costs in CPU: `node bench/streams.ts`, about a minute.
 *
 * The origin writes its answer in chunks of a few bytes. Every case is measured on a route that
 * passes it through and on one that keeps it, in the same server; CPU is that of the one workerd
 * process that runs the gateway. What is linear shows the same ratio for four times as many chunks.
 */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'

import { type DevServer, startDevServer } from '../demo/dev-server.ts'
import { gatewayPidOf } from './gateway-process.ts'
import { cpuMsOf } from './process-usage.ts'

const ROUNDS = 3

interface Case {
  readonly name: string
  readonly chunks: number
  readonly chunkBytes: number
  readonly readers: number
}

const CASES: readonly Case[] = [
  { name: 'small chunks', chunks: 10_000, chunkBytes: 20, readers: 1 },
  { name: 'four times as many', chunks: 40_000, chunkBytes: 20, readers: 1 },
  { name: 'eleven readers', chunks: 4_500, chunkBytes: 20, readers: 11 },
  { name: 'large chunks', chunks: 320, chunkBytes: 65_536, readers: 1 },
]

/** An API whose answers have as many chunks as the query says. */
async function startOrigin() {
  const server = createServer((incoming, outgoing) => {
    const { searchParams } = new URL(incoming.url ?? '', 'http://origin')
    const chunk = Buffer.alloc(Number(searchParams.get('bytes')), 'once ')
    const chunks = Array.from({ length: Number(searchParams.get('chunks')) }, () => chunk)
    incoming.resume()
    outgoing.writeHead(200, { 'Content-Type': 'text/event-stream' })
    // A client that is gone.
    pipeline(Readable.from(chunks), outgoing).catch(() => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

/** Sends a request and reads its answer to the end. @returns How many bytes came. */
async function read(server: DevServer, where: string, key: string): Promise<number> {
  const headers = { Authorization: 'Bearer demo', 'Idempotency-Key': key }
  const outgoing = request(new URL(where, server.url), { method: 'POST', agent: false, headers })
  outgoing.end()
  const [incoming] = (await once(outgoing, 'response')) as [AsyncIterable<Buffer>]
  let bytes = 0
  for await (const chunk of incoming) bytes += chunk.length
  return bytes
}

async function cpuMsFor(server: DevServer, where: string, key: string, one: Case) {
  const pid = gatewayPidOf(server)
  const before = cpuMsOf(pid)
  const target = `${where}?chunks=${one.chunks}&bytes=${one.chunkBytes}`
  const readers = Array.from({ length: one.readers }, () => read(server, target, key))
  for (const bytes of await Promise.all(readers)) {
    if (bytes !== one.chunks * one.chunkBytes) throw new Error(`Only ${bytes} bytes came.`)
  }
  return cpuMsOf(pid) - before
}

const median = (values: readonly number[]) =>
  values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN

async function measure(server: DevServer, one: Case) {
  const passed: number[] = []
  const kept: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const key = `${one.name} ${round}`.replaceAll(' ', '-')
    passed.push(await cpuMsFor(server, '/unprotected', key, one))
    kept.push(await cpuMsFor(server, '/large', key, one))
  }
  const ratio = median(kept) / median(passed)
  return {
    case: one.name,
    chunks: one.chunks,
    bytes: one.chunkBytes,
    readers: one.readers,
    'passed ms': median(passed),
    'kept ms': median(kept),
    ratio: ratio.toFixed(1),
  }
}

const origin = await startOrigin()
const persistTo = mkdtempSync(path.join(tmpdir(), 'hapax-streams-'))
const server = await startDevServer({
  config: 'test/e2e/gateway/wrangler.toml',
  persistTo,
  vars: { ORIGIN_URL: origin.url },
})
try {
  const warmUp = { name: 'warm-up', chunks: 5_000, chunkBytes: 20, readers: 2 }
  await measure(server, warmUp)
  const rows = []
  for (const one of CASES) rows.push(await measure(server, one))
  console.table(rows)
} finally {
  await server.kill()
  rmSync(persistTo, { recursive: true, force: true })
  origin.server.closeAllConnections()
  origin.server.close()
}
