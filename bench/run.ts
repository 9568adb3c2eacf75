/**
 * Measures what Hapax costs beside the least that it could cost: `npm run bench`. With `--quick` it
 * takes less than two minutes. `docs/benchmarks.md` says what is compared, and how to read it.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'

import { comparisons, contendersOf } from './comparisons.ts'
import type { Contender, Running } from './harness/contender.ts'
import { toResult, toRow } from './harness/report.ts'
import { measureInTurns, type Pace } from './harness/rounds.ts'
import { startOrigin } from './harness/start-origin.ts'

const QUICK: Pace = {
  rounds: 5,
  warmUp: { ms: 2_000, count: 400 },
  leadIn: { ms: 100, count: 64 },
  measured: { ms: 1_000, count: 100 },
}
const FULL: Pace = {
  rounds: 12,
  warmUp: { ms: 4_000, count: 1_000 },
  leadIn: { ms: 300, count: 128 },
  measured: { ms: 2_000, count: 300 },
}

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string' },
    rounds: { type: 'string' },
    json: {
      type: 'string',
      default: path.join(import.meta.dirname, 'results', 'latest.json'),
    },
  },
})
const basis = options.quick ? QUICK : FULL
const pace = { ...basis, rounds: Number(options.rounds ?? basis.rounds) }
const { only = '' } = options
const chosen = comparisons.filter((one) =>
  [one.figure, one.of.name, one.against.name].some((name) => name.includes(only)),
)
if (chosen.length === 0) throw new Error(`There is nothing to compare with ${only} in its name.`)

const origin = await startOrigin()
const running = new Map<Contender, Running>()
try {
  for (const contender of contendersOf(chosen))
    running.set(contender, await contender.start(origin.url))
  const scenarios = new Set(chosen.flatMap(({ of, against }) => [against, of]))
  const samples = await measureInTurns([...scenarios], running, pace)
  const results = chosen.map((comparison) => toResult(comparison, samples))
  console.table(results.map(toRow))
  mkdirSync(path.dirname(options.json), { recursive: true })
  writeFileSync(options.json, `${JSON.stringify({ pace, results }, null, 2)}\n`)
} finally {
  await Promise.all([...running.values()].map(({ stop }) => stop()))
  origin.stop()
}
