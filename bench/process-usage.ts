import { readdirSync, readFileSync } from 'node:fs'

/** Of `/proc/PID/stat`: Linux counts CPU in hundredths of a second, whatever its clock. */
const TICK_MS = 10

/** Reads a file of a process; empty when it has ended. */
export function readProc(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1')
  } catch {
    return ''
  }
}

/** The fields of `/proc/PID/stat` behind the process's name: the first one is its state. */
export function readStat(pid: number): string[] {
  const stat = readProc(pid, 'stat')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/** CPU that a process has used so far, in the kernel too, in milliseconds. */
export function cpuMsOf(pid: number): number {
  const [user, system] = readStat(pid).slice(11, 13).map(Number)
  return ((user ?? Number.NaN) + (system ?? Number.NaN)) * TICK_MS
}

/**
 * CPU that the threads of a process have used so far, in microseconds: for work that is too short for
 * the clock of `cpuMsOf`. Threads that have ended are not counted.
 */
export function cpuUsOf(pid: number): number {
  const threads = readdirSync(`/proc/${pid}/task`)
  const used = threads.map((thread) => readProc(pid, `task/${thread}/schedstat`).split(' ', 1)[0])
  return used.reduce((sum, nanoseconds) => sum + Number(nanoseconds) / 1_000, 0)
}

/** Memory in MiB as `/proc/PID/status` has it: resident now, or at its peak. */
export function memoryOf(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const [, kib] = new RegExp(`${field}:\\s+(\\d+) kB`).exec(readProc(pid, 'status')) ?? []
  return Number(kib) / 1024
}
