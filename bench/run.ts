/**
 * Measures what Hapax costs beside the least that it could cost: `npm run bench`. With `--quick` it
 * takes less than two minutes. `docs/benchmarks.md` says what is compared, and how to read it.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'

import { counted } from './contenders/counted.ts'
import { nodeComparisons } from './contenders/in-node.ts'
import { measuredFootprints, workerdComparisons } from './contenders/in-workerd.ts'
import { compareInTurns } from './harness/compare.ts'
import { measureFootprint, toFootprintRow } from './harness/footprint.ts'
import { countOperations, toCountsRow } from './harness/operation-counts.ts'
import { toRow } from './harness/report.ts'
import type { Pace } from './harness/rounds.ts'
import { startOrigin } from './harness/start-origin.ts'

const QUICK: Pace = {
  rounds: 3,
  warmUp: { ms: 1_500, count: 400 },
  leadIn: { ms: 100, count: 64 },
  measured: { ms: 700, count: 100 },
}
const FULL: Pace = {
  rounds: 12,
  warmUp: { ms: 4_000, count: 3_000 },
  leadIn: { ms: 300, count: 128 },
  measured: { ms: 2_000, count: 300 },
}

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    rounds: { type: 'string' },
    json: { type: 'string', default: path.join(import.meta.dirname, 'results/latest.json') },
  },
})
const isAskedFor = (...names: string[]) => names.some((name) => name.includes(options.only))
const basis = options.quick ? QUICK : FULL
const pace = { ...basis, rounds: Number(options.rounds ?? basis.rounds) }
const machine = {
  processor: cpus()[0]?.model,
  cores: availableParallelism(),
  loadAtStart: loadavg()[0],
}
const comparisons = [...workerdComparisons, ...(options.quick ? [] : nodeComparisons())].filter(
  ({ figure, of, against }) => isAskedFor(figure, of.name, against.name),
)

const origin = await startOrigin()
try {
  const results = await compareInTurns(comparisons, origin.url, pace)
  if (results.length > 0) console.table(results.map(toRow))
  const counts = []
  for (const one of isAskedFor('counts') ? counted : [])
    counts.push(...(await countOperations(one, origin.url)))
  if (counts.length > 0) console.table(counts.map(toCountsRow))
  const footprints = []
  for (const one of isAskedFor('footprint') ? measuredFootprints : [])
    footprints.push(await measureFootprint(one, origin.url))
  if (footprints.length > 0) console.table(footprints.map(toFootprintRow))
  mkdirSync(path.dirname(options.json), { recursive: true })
  const report = { at: new Date().toISOString(), machine, pace, results, counts, footprints }
  writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`)
  console.log(machine, options.json)
} finally {
  origin.stop()
}
