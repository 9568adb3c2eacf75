import type { Context } from 'hono'

/**
 * Lets work continue after the answer or a disconnect, as long as the platform allows. A failure
 * is left to the code that awaits the work.
 */
export function keepAlive(c: Context, work: Promise<unknown>): void {
  executionCtxOf(c)?.waitUntil(work.catch(() => {}))
}

/** `undefined` if the host of the app provides none. */
export function executionCtxOf(c: Context): Context['executionCtx'] | undefined {
  try {
    return c.executionCtx
  } catch {
    return undefined
  }
}
