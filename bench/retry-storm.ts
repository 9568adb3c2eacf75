/**
 * Simulates an origin that fails for 30 seconds, and what the retries of three layers do to it:
 *
 *     npm run bench:retry-storm
 *
 * Less than a minute, always the same numbers. Prints two tables and draws `docs/retry-storm.svg`;
 * `docs/retries.md` has both and says how to read them.
 */
import { writeFileSync } from 'node:fs'

import type { Measures } from './storm/layers.ts'
import { drawStorms } from './storm/picture.ts'
import { simulateStorm, type StormResult } from './storm/simulate.ts'

const CLIENTS = 10_000
const CAPACITY = 1.5
const SEED = 1
const ATTEMPTS = { client: 3, gateway: 5, worker: 4 }
const NO_RETRIES = { client: 1, gateway: 1, worker: 1 }
const NONE: Measures = { hasJitter: false, isTold: false, hasBudget: false, hasBreaker: false }
const ALL: Measures = { hasJitter: true, isTold: true, hasBudget: true, hasBreaker: true }

const HEAD = ['calls per operation', 'peak', 'operations that fail', 'back after']

function simulate(measures: Measures, { attempts = ATTEMPTS, capacity = CAPACITY } = {}) {
  return simulateStorm({ clients: CLIENTS, seed: SEED, measures, attempts, capacity })
}

function toCells({ callsPerOperation, peak, failed, recoverySeconds }: StormResult): string[] {
  const back = recoverySeconds === null ? 'not in two minutes' : `${recoverySeconds} s`
  return [callsPerOperation.toFixed(1), peak.toFixed(1), `${(failed * 100).toFixed(0)}%`, back]
}

function printTable(rows: readonly (readonly string[])[]): void {
  const [head = []] = rows
  const widths = head.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
  const lines = rows.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)))
  const rule = widths.map((width) => '-'.repeat(width))
  const all = [lines[0] ?? [], rule, ...lines.slice(1)]
  console.log(`${all.map((cells) => `| ${cells.join(' | ')} |`).join('\n')}\n`)
}

const silent = await simulate(NONE)
const spread = await simulate({ ...NONE, hasJitter: true })
const told = await simulate({ ...NONE, hasJitter: true, isTold: true })
const budgeted = await simulate({ ...ALL, hasBreaker: false })
const whole = await simulate(ALL)

printTable([
  ['each layer', ...HEAD],
  ['does not retry', ...toCells(await simulate(NONE, { attempts: NO_RETRIES }))],
  ['retries every 100 ms', ...toCells(silent)],
  ['and waits longer each time, by chance', ...toCells(spread)],
  ['and passes its attempt and deadline on', ...toCells(told)],
  ['and has a retry budget', ...toCells(budgeted)],
  ['and the gateway has a circuit breaker', ...toCells(whole)],
])

const rows: string[][] = []
for (const capacity of [1.2, 1.5, 2]) {
  for (const measures of [{ ...ALL, hasBreaker: false }, ALL]) {
    const policy = measures.hasBreaker ? 'all of it' : 'all but the breaker'
    rows.push([String(capacity), policy, ...toCells(await simulate(measures, { capacity }))])
  }
}
printTable([['capacity', 'the layers have', ...HEAD], ...rows])

const picture = drawStorms(
  [
    { label: 'retries every 100 ms', name: 'silent', load: silent.load },
    { label: 'attempts passed on', name: 'told', load: told.load },
    { label: 'and budgets', name: 'budgeted', load: budgeted.load },
    { label: 'and a breaker', name: 'whole', load: whole.load },
  ],
  CAPACITY,
)
writeFileSync(new URL('../docs/retry-storm.svg', import.meta.url), picture)
