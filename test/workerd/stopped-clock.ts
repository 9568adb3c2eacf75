import { afterEach, beforeEach, vi } from 'vitest'

const DAY_MS = 86_400_000

/** Stops the clock a day ahead in each test of a file: no alarm rings, and no lease ends, by itself. */
export function stopClock(): void {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + DAY_MS })
  })

  afterEach(() => {
    vi.useRealTimers()
    vi.restoreAllMocks()
  })
}

/** Moves a stopped clock. */
export const pass = (ms: number) => vi.setSystemTime(Date.now() + ms)
