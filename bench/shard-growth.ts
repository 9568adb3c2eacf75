/**
 * Measures whether an operation, and its expiry, cost more in a shard that holds more:
 * `npm run bench:shard-growth`, about eight minutes and 3 GB of memory.
 *
 * In bare workerd, without HTTP for each operation: what is measured is the store of a shard, from
 * the claim to the settle, a repeat, and the end of retention.
 */
import { setTimeout as sleep } from 'node:timers/promises'

import { inWorkerd } from './harness/start-workerd.ts'
import { spreadOf } from './harness/statistics.ts'
import { cpuMsOf } from './process-usage.ts'

const SIZES = [10_000, 100_000, 1_000_000]
/** Operations of one request to the shard, which must not take longer than the platform lets it. */
const CHUNK = 4_000
const ROUNDS = 11
/** Numbers of operations that expire at once are apart from those that stay. */
const BRIEF = 1_000_000_000

const shard = await inWorkerd({
  name: 'a shard',
  entry: 'growing-shard',
  objects: { SHARD: 'ShardObject' },
}).start('http://127.0.0.1')

async function ask(path: string, from = 0, to = 0): Promise<unknown> {
  const response = await fetch(`${shard.url}/${path}?from=${from}&to=${to}`)
  if (!response.ok) throw new Error(`The shard answered ${response.status}.`)
  return response.json()
}

async function fill(path: string, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += CHUNK) await ask(path, at, Math.min(to, at + CHUNK))
}

const cpuMs = () => shard.pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0)

/** The median, in microseconds of CPU for each operation. */
async function measure(work: (round: number) => Promise<unknown>): Promise<string> {
  const costs: number[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = cpuMs()
    await work(round)
    costs.push(((cpuMs() - before) / CHUNK) * 1_000)
  }
  return spreadOf(costs).median.toFixed(1)
}

/** Lets so many operations expire together. @returns Microseconds of CPU for each. */
async function measureExpiry(count: number): Promise<string> {
  const buckets = Number(await ask('buckets'))
  await fill('fill-briefly', BRIEF, BRIEF + count)
  const before = cpuMs()
  while (Number(await ask('buckets')) > buckets) await sleep(1_000)
  return (((cpuMs() - before) / count) * 1_000).toFixed(2)
}

let live = 0
try {
  const rows = []
  for (const size of SIZES) {
    await fill('fill', live, size)
    live = size
    const repeat = await measure((round) => {
      const from = Math.floor(((size - CHUNK) / ROUNDS) * round)
      return ask('repeat', Math.max(0, from), Math.min(size, Math.max(0, from) + CHUNK))
    })
    const operation = await measure(async () => {
      await fill('fill', live, live + CHUNK)
      live += CHUNK
    })
    const expiry = await measureExpiry(size)
    const row = { 'claim and settle, µs': operation, 'repeat, µs': repeat, 'expiry, µs': expiry }
    rows.push({ 'live operations': size, ...row })
    console.log(rows.at(-1))
  }
  console.table(rows)
} finally {
  await shard.stop()
}
