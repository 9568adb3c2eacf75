/**
 * Simulates shards and leases: `node bench/shards.ts`, a few seconds, always the same numbers.
 * `docs/scale.md` says how to read them.
 */
import { type Circumstances, simulateLease } from './shards/lease.ts'
import { type Arrivals, simulateShards, type Speeds } from './shards/queue.ts'

/** A shard that writes does 200 to 500 requests a second. */
const SPEEDS: Speeds = { serviceMs: 2, originMedianMs: 200, originSigma: 0.8 }

const LOADS: readonly { title: string; arrivals: Arrivals; shards: readonly number[] }[] = [
  {
    title: '500 operations a second, for 20 seconds',
    arrivals: { operations: 10_000, withinMs: 20_000 },
    shards: [2, 3, 4, 8, 16, 32],
  },
  {
    title: '5,000 operations a second, for 10 seconds',
    arrivals: { operations: 50_000, withinMs: 10_000 },
    shards: [20, 24, 32, 64, 128],
  },
  {
    title: 'A burst of 50,000 operations in one second',
    arrivals: { operations: 50_000, withinMs: 1_000 },
    shards: [16, 64, 128, 256, 512, 1_024],
  },
]

const ORIGINS: readonly { title: string; origin: Circumstances }[] = [
  {
    title: 'Origin with a median of 200 ms, timeout 30 s',
    origin: originOf({ originMedianMs: 200, originSigma: 1, timeoutMs: 30_000 }),
  },
  {
    title: 'Origin with a median of 10 s, timeout 120 s',
    origin: originOf({ originMedianMs: 10_000, originSigma: 1, timeoutMs: 120_000 }),
  },
]

const LEASES_S = [1, 2, 5, 15, 30, 60, 180]

type OriginFacts = Pick<Circumstances, 'originMedianMs' | 'originSigma' | 'timeoutMs'>

/** A shard cannot be reached about once an hour, for 5 s on average. */
function originOf(facts: OriginFacts): Circumstances {
  return { ...facts, operations: 200_000, stallEveryMs: 3_600_000, stallMeanMs: 5_000 }
}

for (const { title, arrivals, shards } of LOADS) {
  const rows = shards.map((count) => {
    const done = simulateShards(count, arrivals, SPEEDS)
    return [
      String(count),
      done.operationsPerShard.toFixed(0),
      done.skew.toFixed(2),
      ...[done.medianMs, done.p99Ms, done.maxMs].map(toTime),
      toTime(Math.max(0, done.doneMs - arrivals.withinMs)),
    ]
  })
  printTable(title, [
    ['shards', 'operations each', 'fullest', 'claim waits: median', 'p99', 'longest', 'done after'],
    ...rows,
  ])
}

for (const { title, origin } of ORIGINS) {
  const rows = LEASES_S.map((seconds) => {
    const lease = simulateLease(seconds * 1_000, origin)
    return [
      `${seconds} s`,
      lease.renewalsPer1000.toFixed(lease.renewalsPer1000 < 10 ? 1 : 0),
      lease.falseOrphansPerMillion.toFixed(0),
      toTime(lease.medianKnownMs),
      toTime(lease.p99KnownMs),
    ]
  })
  printTable(title, [
    ['lease', 'renewals per 1,000', 'false orphans per million', 'orphan known: median', 'p99'],
    ...rows,
  ])
}

function toTime(ms: number): string {
  return ms < 1_000 ? `${ms.toFixed(0)} ms` : `${(ms / 1_000).toFixed(1)} s`
}

function printTable(title: string, rows: readonly (readonly string[])[]): void {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => row[at]?.length ?? 0)),
  )
  const lines = rows.map((row) => row.map((cell, at) => cell.padStart(widths[at] ?? 0)).join('  '))
  process.stdout.write(`${title}\n\n${lines.join('\n')}\n\n`)
}
