import { cpuMsOf } from '../process-usage.ts'
import type { Shot } from './connection.ts'
import type { Contender, Running } from './contender.ts'
import { type Length, load, sendEach } from './load.ts'

/** One kind of request to one contender. */
export interface Scenario {
  readonly name: string
  readonly contender: Contender
  /** Sent once, before anything is measured. */
  readonly prepare?: readonly Shot[]
  readonly next: () => Shot
}

/** What a scenario did in one round. */
export interface Sample {
  readonly requestsPerSecond: number
  readonly cpuSecondsPer1000: number
}

/** How long to measure. */
export interface Pace {
  readonly rounds: number
  readonly warmUp: Length
  /** Before each measurement, not counted: wakes the objects that were idle since the last round. */
  readonly leadIn: Length
  readonly measured: Length
}

/**
 * Measures all scenarios in turns, in every other round in the opposite order, so that all meet the
 * same noise and none always comes after the same other.
 *
 * @returns The samples of each scenario, one a round.
 */
export async function measureInTurns(
  scenarios: readonly Scenario[],
  running: ReadonlyMap<Contender, Running>,
  pace: Pace,
): Promise<ReadonlyMap<Scenario, readonly Sample[]>> {
  const samples = new Map(scenarios.map((scenario) => [scenario, [] as Sample[]]))
  for (const scenario of scenarios) await warmUp(scenario, runningOf(scenario, running), pace)
  for (let round = 0; round < pace.rounds; round += 1) {
    for (const scenario of round % 2 === 0 ? scenarios : scenarios.toReversed())
      samples.get(scenario)?.push(await measure(scenario, runningOf(scenario, running), pace))
    process.stderr.write(`round ${round + 1} of ${pace.rounds}\n`)
  }
  return samples
}

function runningOf({ contender }: Scenario, running: ReadonlyMap<Contender, Running>): Running {
  const found = running.get(contender)
  if (found === undefined) throw new Error(`${contender.name} was not started.`)
  return found
}

async function warmUp(scenario: Scenario, { url }: Running, pace: Pace): Promise<void> {
  await sendEach(url, scenario.prepare ?? [])
  await load(url, pace.warmUp, scenario.next)
}

async function measure(scenario: Scenario, running: Running, pace: Pace): Promise<Sample> {
  const { url, pids } = running
  const cpuMs = () => pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0)
  await load(url, pace.leadIn, scenario.next)
  const before = cpuMs()
  const { count, seconds } = await load(url, pace.measured, scenario.next)
  return {
    requestsPerSecond: count / seconds,
    // Milliseconds for one are seconds for a thousand.
    cpuSecondsPer1000: (cpuMs() - before) / count,
  }
}
