import { describe, expect, it } from 'vitest'

import { retry, type RetryContext, type RetryTry } from '../../../src/client/retry.ts'
import { createError } from '../../../src/core/hapax-error.ts'
import { NotExecuted } from '../../../src/core/outcome/not-executed.ts'
import type { RetryOptions } from '../../../src/core/retry/retry-options.ts'

const START = Date.UTC(2026, 10, 29)

/**
 * Work that ends in one way after the other, on a clock that only waiting moves on. By chance, each
 * delay is the longest that its bound allows.
 */
function play(...ends: readonly unknown[]) {
  const tries: (Omit<RetryTry, 'signal'> & { readonly at: number })[] = []
  let now = START
  const context = {
    now: () => now,
    random: () => 1 - Number.EPSILON,
    async sleep(ms) {
      now += ms
    },
  } satisfies RetryContext
  const work = async ({ attempt, deadlineAt }: RetryTry) => {
    const end = ends[tries.length]
    tries.push({ attempt, deadlineAt: deadlineAt - START, at: now - START })
    if (end instanceof Error) throw end
    return end
  }
  const run = (policy: RetryOptions, more: RetryContext = {}) =>
    retry(policy, work, { ...context, ...more })
  return { run, tries, at: () => tries.map(({ at }) => at), context }
}

const busy = (retryAfter?: RetryOptions['base']) =>
  new NotExecuted('Busy.', retryAfter === undefined ? {} : { retryAfter })

const problem = (retryWord: 'wait' | 'same-key' | 'new-key' | 'never', retryAfterMs = 0) =>
  createError({ code: 'any', detail: 'Any.', retry: retryWord, retryAfterMs })

describe('retry', () => {
  it('returns the first result, and calls no more', async () => {
    const { run, tries } = play('done', 'done again')
    expect(await run({})).toBe('done')
    expect(tries).toEqual([{ attempt: 1, deadlineAt: 60_000, at: 0 }])
  })

  it('calls again after NotExecuted, with delays that double up to the cap', async () => {
    const { run, at, tries } = play(busy(), busy(), busy(), busy(), 'done')
    expect(await run({ attempts: 5, base: '1s', cap: '3s' })).toBe('done')
    expect(at()).toEqual([0, 1_000, 3_000, 6_000, 9_000])
    expect(tries.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5])
  })

  it('calls not before the error asks for it', async () => {
    const { run, at } = play(busy('20s'), problem('wait', 10_000), problem('same-key'), 'done')
    expect(await run({ base: '1s' })).toBe('done')
    expect(at()).toEqual([0, 20_000, 30_000, 34_000])
  })

  it('throws the last error when all attempts are used up', async () => {
    const last = busy()
    const { run, tries } = play(busy(), busy(), last, 'too late')
    await expect(run({ attempts: 3 })).rejects.toBe(last)
    expect(tries).toHaveLength(3)
  })

  it('begins no try after the deadline, and does not wait for it in vain', async () => {
    const far = busy('10s')
    const { run, at } = play(busy('9s'), far, 'too late')
    await expect(run({ deadline: '15s' })).rejects.toBe(far)
    expect(at()).toEqual([0, 9_000])
  })

  it.each([
    { name: 'any other error', error: new Error('Lost.') },
    { name: 'a problem that needs a new key', error: problem('new-key') },
    { name: 'a problem for which there is nothing to do', error: problem('never') },
  ])('throws $name at once, because the work may have been done', async ({ error }) => {
    const { run, tries } = play(error, 'done twice')
    await expect(run({})).rejects.toBe(error)
    expect(tries).toHaveLength(1)
  })

  it('calls again after other errors where it is told to', async () => {
    const retryIf = (error: unknown) => error instanceof Error && error.message === 'Lost.'
    const { run, tries } = play(new Error('Lost.'), 'done')
    expect(await run({}, { retryIf })).toBe('done')
    expect(tries).toHaveLength(2)
    const never = problem('never')
    await expect(play(never).run({}, { retryIf: () => true })).rejects.toBe(never)
  })

  it('knows errors of another copy of the package by their form', async () => {
    const other = Object.assign(new Error('Busy.'), { name: 'NotExecuted', retryAfterMs: 5_000 })
    const wait = Object.assign(new Error('Wait.'), { retryable: true, retryAfterMs: 5_000 })
    const { run, at } = play(other, wait, 'done')
    expect(await run({})).toBe('done')
    expect(at()).toEqual([0, 5_000, 10_000])
  })

  it('counts the attempts and the deadline of the layer before', async () => {
    const outer = new Headers({
      'Idempotency-Attempt': '3',
      'X-Request-Deadline': String(START + 50_000),
    })
    const { run, tries } = play(busy(), busy(), 'too late')
    await expect(run({ attempts: 4 }, { outer })).rejects.toThrow('Busy.')
    expect(tries.map(({ deadlineAt }) => deadlineAt)).toEqual([50_000, 50_000])
  })

  it('shares the budget among all calls with the same policy', async () => {
    const policy: RetryOptions = { attempts: 3, budget: { ratio: 0, floor: 2 } }
    const first = play(busy(), busy(), 'done')
    expect(await first.run(policy)).toBe('done')
    const second = play(busy(), 'not paid')
    await expect(second.run(policy)).rejects.toThrow('Busy.')
    expect(await play(busy(), 'done').run({ ...policy })).toBe('done')
  })

  it('refuses a policy that is wrong', async () => {
    await expect(play('done').run({ attempts: 0 })).rejects.toThrow(/^retry\.attempts/)
  })
})

describe('the signal of retry', () => {
  it('is that of the work, and ends the wait between two tries', async () => {
    const controller = new AbortController()
    const { run, tries } = play(busy(), 'too late')
    const sleep: RetryContext['sleep'] = (_, signal) => {
      controller.abort(new Error('enough'))
      return Promise.reject(signal?.reason as Error)
    }
    await expect(run({}, { signal: controller.signal, sleep })).rejects.toThrow('enough')
    expect(tries).toHaveLength(1)
  })

  it('that is aborted before the first try lets none begin', async () => {
    const { run, tries } = play('done')
    await expect(run({}, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    )
    expect(tries).toEqual([])
  })

  it('does not lose the result of a try that is running', async () => {
    const controller = new AbortController()
    const work = async ({ signal }: RetryTry) => {
      controller.abort()
      return signal.aborted ? 'done' : 'not told'
    }
    expect(await retry({}, work, { signal: controller.signal })).toBe('done')
  })

  it('that is aborted during a try lets no other one begin', async () => {
    const controller = new AbortController()
    let tries = 0
    const work = () => {
      tries += 1
      controller.abort(new Error('enough'))
      throw busy()
    }
    await expect(retry({}, work, { signal: controller.signal })).rejects.toThrow('enough')
    expect(tries).toBe(1)
  })
})
