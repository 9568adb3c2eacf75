import { vi } from 'vitest'

/** Long enough for a busy machine: a second, which is the default, was not. */
const PATIENCE_MS = 10_000

/** Waits for what somebody else brings about. */
export const until = <value>(isThere: () => value | Promise<value>) =>
  vi.waitUntil(isThere, { timeout: PATIENCE_MS })
