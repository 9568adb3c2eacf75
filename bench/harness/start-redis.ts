import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

import { freePort, isListening, killWithParent } from '../../demo/dev-server.ts'
import { createStateDirectory } from './state-directory.ts'

const LOOK_MS = 20

/** A Redis of its own. */
export interface Redis {
  readonly url: string
  readonly pid: number
  readonly stop: () => Promise<void>
}

/** Whether this machine has Redis. */
export function hasRedis(): boolean {
  return spawnSync('redis-server', ['--version']).status === 0
}

/** Starts Redis with an append-only file, which is what makes it durable, and no snapshots. */
export async function startRedis(appendfsync: 'always' | 'everysec'): Promise<Redis> {
  const dir = createStateDirectory()
  const port = await freePort()
  const options = { bind: '127.0.0.1', port, dir, save: '', appendonly: 'yes', appendfsync }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = spawn('redis-server', args, { detached: true, stdio: 'ignore' })
  const pid = Number(child.pid)
  const guard = killWithParent(pid)
  const closed = once(child, 'close')
  while (!(await isListening(port))) {
    if (child.exitCode !== null) throw new Error(`redis-server ended with ${child.exitCode}.`)
    await sleep(LOOK_MS)
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    pid,
    async stop() {
      child.kill('SIGKILL')
      await closed
      guard.kill('SIGKILL')
      rmSync(dir, { recursive: true, force: true })
    },
  }
}
