import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { sleepOnTimer } from '../../../src/client/sleep.ts'

describe('sleepOnTimer', () => {
  beforeEach(() => vi.useFakeTimers())
  afterEach(() => vi.useRealTimers())

  it('ends with its timer', async () => {
    const sleep = sleepOnTimer(1_000, new AbortController().signal)
    await vi.advanceTimersByTimeAsync(1_000)
    await expect(sleep).resolves.toBeUndefined()
  })

  it('leaves no timer behind when the signal is aborted', async () => {
    const controller = new AbortController()
    const sleep = sleepOnTimer(1_000, controller.signal)
    expect(vi.getTimerCount()).toBe(1)
    controller.abort(new Error('enough'))
    await expect(sleep).rejects.toThrow('enough')
    expect(vi.getTimerCount()).toBe(0)
  })

  it('does not begin when the signal is aborted already', async () => {
    const sleep = sleepOnTimer(1_000, AbortSignal.abort(new Error('enough')))
    await expect(sleep).rejects.toThrow('enough')
    expect(vi.getTimerCount()).toBe(0)
  })
})
