import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

import type { Contender, Running } from './contender.ts'
import { type Redis, startRedis } from './start-redis.ts'

/** A library in a process of Node. */
export interface NodeEntry {
  readonly name: string
  /** The file in `bench/handlers`, without its ending. */
  readonly entry: string
  /** How often Redis writes to the disk, where the library needs Redis. */
  readonly appendfsync?: 'always' | 'everysec'
}

/** A contender in Node: its handler, and the Redis that it needs. */
export function inNode(entry: NodeEntry): Contender {
  return { name: entry.name, start: (originUrl) => start(entry, originUrl) }
}

async function start({ entry, appendfsync }: NodeEntry, originUrl: string): Promise<Running> {
  const redis: Redis | null = appendfsync === undefined ? null : await startRedis(appendfsync)
  const file = path.join(import.meta.dirname, '../handlers', `${entry}.ts`)
  const startedAt = performance.now()
  const child = fork(file, [originUrl, redis?.url ?? ''])
  const [url] = (await once(child, 'message')) as [string]
  return {
    url,
    pids: [Number(child.pid), ...(redis ? [redis.pid] : [])],
    readyMs: performance.now() - startedAt,
    async stop() {
      const ended = once(child, 'exit')
      child.kill('SIGKILL')
      await ended
      await redis?.stop()
    },
  }
}
