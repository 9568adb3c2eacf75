import { readdirSync, readFileSync } from 'node:fs'

import type { DevServer } from '../demo/dev-server.ts'

/** Finds the workerd that runs the gateway in the server's process group; the other one is wrangler's proxy. */
export function gatewayPidOf({ pid, port }: DevServer): number {
  const found = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .find((candidate) => {
      const command = readProc(candidate, 'cmdline')
      const isGateway = command.includes('workerd\0serve') && !command.includes(`:${port}\0`)
      // The third field behind the name, which may hold blanks (proc(5)).
      return isGateway && Number(readStat(candidate)[2]) === pid
    })
  if (found === undefined)
    throw new Error('There is no workerd in the process group of the server.')
  return found
}

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
