import type { Sample, Scenario } from './rounds.ts'
import { type Spread, spreadOf } from './statistics.ts'

/** One scenario measured by another. */
export interface Comparison {
  readonly figure: string
  readonly of: Scenario
  readonly against: Scenario
}

/** A comparison in numbers. */
export interface Result {
  readonly figure: string
  readonly of: string
  readonly against: string
  readonly requestsPerSecond: readonly [Spread, Spread]
  readonly cpuSecondsPer1000: readonly [Spread, Spread]
  /** Of the first to the second, from the ratio of each round. */
  readonly requestsRatio: Spread
  readonly cpuRatio: Spread
}

/** Compares two scenarios round by round, because the machine is not the same in every round. */
export function toResult(
  { figure, of, against }: Comparison,
  samples: ReadonlyMap<Scenario, readonly Sample[]>,
): Result {
  const ours = samples.get(of) ?? []
  const theirs = samples.get(against) ?? []
  const spread = (read: (sample: Sample) => number) =>
    [spreadOf(ours.map(read)), spreadOf(theirs.map(read))] as const
  const ratio = (read: (sample: Sample) => number) =>
    spreadOf(ours.flatMap((one, round) => (theirs[round] ? read(one) / read(theirs[round]) : [])))
  return {
    figure,
    of: of.name,
    against: against.name,
    requestsPerSecond: spread((sample) => sample.requestsPerSecond),
    cpuSecondsPer1000: spread((sample) => sample.cpuSecondsPer1000),
    requestsRatio: ratio((sample) => sample.requestsPerSecond),
    cpuRatio: ratio((sample) => sample.cpuSecondsPer1000),
  }
}

/** A line of the table: medians, and the quartiles of the ratios. */
export function toRow(result: Result): Record<string, string> {
  const [rate, otherRate] = result.requestsPerSecond
  const [cpu, otherCpu] = result.cpuSecondsPer1000
  return {
    figure: result.figure,
    of: result.of,
    against: result.against,
    'requests/s': `${rate.median.toFixed(0)} : ${otherRate.median.toFixed(0)}`,
    ratio: inWords(result.requestsRatio),
    'CPU s/1000': `${cpu.median.toFixed(3)} : ${otherCpu.median.toFixed(3)}`,
    'CPU ratio': inWords(result.cpuRatio),
  }
}

const inWords = ({ median, low, high }: Spread) =>
  `${median.toFixed(2)} (${low.toFixed(2)}..${high.toFixed(2)})`
