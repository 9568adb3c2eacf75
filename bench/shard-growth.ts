/**
 * Measures whether an operation, and its expiry, cost more in a shard that holds more:
 * `npm run bench:shard-growth`, about ten minutes and 3 GB of memory.
 *
 * In bare workerd, without HTTP for each operation: what is measured is the store of a shard, from
 * the claim to the settle, a repeat, and the end of retention. The shards take turns, and each round
 * compares them.
 */
import { setTimeout as sleep } from 'node:timers/promises'

import { inWorkerd } from './harness/start-workerd.ts'
import { spreadOf } from './harness/statistics.ts'
import { cpuUsOf } from './process-usage.ts'

const SIZES = [1_000, 100_000, 1_000_000]
/** A smaller shard would have grown noticeably after a few rounds, so each round has a new one. */
const LASTING_SIZE = 10_000
/** Operations of one request that fills a shard, which must not take longer than the platform lets it. */
const CHUNK = 4_000
/** Operations of a turn. */
const TURN = 250
const ROUNDS = 41
/** Numbers of operations that expire at once are apart from those that stay. */
const BRIEF = 1_000_000_000

const server = await inWorkerd({
  name: 'shards',
  entry: 'growing-shard',
  objects: { SHARD: 'ShardObject' },
}).start('http://127.0.0.1')

/** A shard with so many live operations. */
interface Shard {
  readonly name: string
  live: number
}

async function ask({ name }: Shard, path: string, from = 0, to = 0): Promise<unknown> {
  const response = await fetch(`${server.url}/${path}?shard=${name}&from=${from}&to=${to}`)
  if (!response.ok) throw new Error(`The shard answered ${response.status}.`)
  return response.json()
}

async function fill(shard: Shard, path: string, from: number, to: number): Promise<void> {
  for (let at = from; at < to; at += CHUNK) await ask(shard, path, at, Math.min(to, at + CHUNK))
}

async function createShard(name: string, size: number): Promise<Shard> {
  const shard = { name, live: size }
  await fill(shard, 'fill', 0, size)
  return shard
}

const cpuUs = () => server.pids.reduce((sum, pid) => sum + cpuUsOf(pid), 0)

/** @returns Microseconds of CPU for each operation. */
async function measure(work: () => Promise<unknown>, count: number): Promise<number> {
  const before = cpuUs()
  await work()
  return (cpuUs() - before) / count
}

/** One turn of a shard. */
async function takeTurn(shard: Shard, round: number) {
  const { live } = shard
  const from = Math.floor(((live - TURN) / ROUNDS) * round)
  shard.live += TURN
  return {
    operation: await measure(() => ask(shard, 'run', live, live + TURN), TURN),
    repeat: await measure(() => ask(shard, 'repeat', from, from + TURN), TURN),
  }
}

/** Lets so many operations expire together. @returns Microseconds of CPU for each. */
async function measureExpiry(shard: Shard, count: number): Promise<number> {
  const buckets = Number(await ask(shard, 'buckets'))
  await fill(shard, 'fill-briefly', BRIEF, BRIEF + count)
  return measure(async () => {
    while (Number(await ask(shard, 'buckets')) > buckets) await sleep(1_000)
  }, count)
}

const median = (values: readonly number[]) => spreadOf(values).median.toFixed(1)

function toRatio(values: readonly number[], smallest: readonly number[]): string {
  const ratios = values.map((value, round) => value / (smallest[round] ?? Number.NaN))
  const { median: middle, low, high } = spreadOf(ratios)
  return `${middle.toFixed(2)} (${low.toFixed(2)} to ${high.toFixed(2)})`
}

try {
  const lasting = new Map<number, Shard>()
  for (const size of SIZES.filter((one) => one >= LASTING_SIZE)) {
    lasting.set(size, await createShard(`shard:1:${size}`, size))
  }
  const all = SIZES.map((size) => ({ size, operation: [] as number[], repeat: [] as number[] }))
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const { size, ...costs } of all) {
      const name = `shard:1:${size}-${round}`
      const shard = lasting.get(size) ?? (await createShard(name, size))
      const { operation, repeat } = await takeTurn(shard, round)
      costs.operation.push(operation)
      costs.repeat.push(repeat)
    }
  }
  const [smallest] = all
  const rows = []
  for (const { size, operation, repeat } of all) {
    const shard = lasting.get(size) ?? (await createShard(`shard:1:${size}-expiry`, size))
    rows.push({
      'live operations': size,
      'claim and settle, µs': median(operation),
      'to the smallest': toRatio(operation, smallest?.operation ?? []),
      'repeat, µs': median(repeat),
      'to its smallest': toRatio(repeat, smallest?.repeat ?? []),
      'expiry, µs': (await measureExpiry(shard, size)).toFixed(2),
    })
  }
  console.table(rows)
} finally {
  await server.stop()
}
