import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'

/** The origin of a run. */
export interface OriginProcess {
  readonly url: string
  readonly stop: () => void
}

/** Starts the origin that all contenders share. */
export async function startOrigin(): Promise<OriginProcess> {
  const child = fork(path.join(import.meta.dirname, 'origin.ts'))
  const [url] = (await once(child, 'message')) as [string]
  return { url, stop: () => child.disconnect() }
}
