import { readdirSync } from 'node:fs'

import type { DevServer } from '../demo/dev-server.ts'
import { readProc, readStat } from './process-usage.ts'

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
