import type { Context } from 'hono'

/**
 * Lets work go on when the answer is given or the client is gone, for as long as the platform lets
 * it. A failure of it is for whoever awaits the work.
 */
export function keepAlive(c: Context, work: Promise<unknown>): void {
  executionCtxOf(c)?.waitUntil(work.catch(() => {}))
}

/** `undefined` where the host of the app gave it none. */
export function executionCtxOf(c: Context): Context['executionCtx'] | undefined {
  try {
    return c.executionCtx
  } catch {
    return undefined
  }
}
