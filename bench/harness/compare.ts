import type { Contender, Running } from './contender.ts'
import { type Comparison, type Result, toResult } from './report.ts'
import { measureInTurns, type Pace } from './rounds.ts'

/** Starts all contenders of some comparisons, measures them in turns, and stops them. */
export async function compareInTurns(
  comparisons: readonly Comparison[],
  originUrl: string,
  pace: Pace,
): Promise<Result[]> {
  if (comparisons.length === 0) return []
  const scenarios = new Set(comparisons.flatMap(({ of, against }) => [against, of]))
  const running = new Map<Contender, Running>()
  try {
    for (const { contender } of scenarios)
      if (!running.has(contender)) running.set(contender, await contender.start(originUrl))
    const samples = await measureInTurns([...scenarios], running, pace)
    return comparisons.map((comparison) => toResult(comparison, samples))
  } finally {
    await Promise.all([...running.values()].map(({ stop }) => stop()))
  }
}
