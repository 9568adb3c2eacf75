import { cpuMsOf, memoryOf } from '../process-usage.ts'
import { load } from './load.ts'
import type { Scenario } from './rounds.ts'
import { spreadOf } from './statistics.ts'

const STARTS = 3
/** Few enough for all of their objects to be in memory at the end: an idle one stays for 10 s. */
const OPERATIONS = { ms: 0, count: 200 }

/** What a Worker needs to start, and to hold its operations. */
export interface Footprint {
  readonly contender: string
  readonly startMs: number
  readonly startCpuMs: number
  readonly startedMiB: number
  readonly mibPer1000Operations: number
}

/** Measures start-up (medians of some starts) and the memory of new operations. */
export async function measureFootprint(
  { contender, next }: Scenario,
  originUrl: string,
): Promise<Footprint> {
  const starts = []
  for (let start = 0; start < STARTS; start += 1) {
    const { pids, readyMs, stop } = await contender.start(originUrl)
    const cpuMs = pids.reduce((sum, pid) => sum + cpuMsOf(pid), 0)
    starts.push({ readyMs, cpuMs })
    await stop()
  }
  const { url, pids, stop } = await contender.start(originUrl)
  const memory = () => pids.reduce((sum, pid) => sum + memoryOf(pid, 'VmRSS'), 0)
  try {
    const startedMiB = memory()
    // What compiled code and connections need is not the operations'.
    await load(url, OPERATIONS, next)
    const before = memory()
    await load(url, OPERATIONS, next)
    return {
      contender: contender.name,
      startMs: spreadOf(starts.map(({ readyMs }) => readyMs)).median,
      startCpuMs: spreadOf(starts.map(({ cpuMs }) => cpuMs)).median,
      startedMiB,
      mibPer1000Operations: ((memory() - before) / OPERATIONS.count) * 1_000,
    }
  } finally {
    await stop()
  }
}

/** A line of the table. */
export function toFootprintRow(footprint: Footprint) {
  return {
    contender: footprint.contender,
    'start ms': footprint.startMs.toFixed(0),
    'CPU of the start, ms': footprint.startCpuMs.toFixed(0),
    'MiB when started': footprint.startedMiB.toFixed(0),
    'MiB per 1,000 operations': footprint.mibPer1000Operations.toFixed(0),
  }
}
