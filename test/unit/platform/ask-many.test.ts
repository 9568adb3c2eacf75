import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { askMany } from '../../../src/platform/ask-many.ts'

beforeEach(() => {
  vi.useFakeTimers()
  vi.spyOn(console, 'error').mockImplementation(() => {})
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const never = () => new Promise<never>(() => {})

describe('askMany', () => {
  it('has what each has answered in its place, and the lost ones in theirs', async () => {
    const asked = askMany(['a', 'hangs', 'b', 'fails'], async (item) => {
      if (item === 'hangs') return never()
      if (item === 'fails') throw new Error('overloaded')
      return item.toUpperCase()
    })
    await vi.advanceTimersByTimeAsync(3_000)
    expect(await asked).toEqual([
      { kind: 'answered', answer: 'A' },
      { kind: 'lost', isAsked: true },
      { kind: 'answered', answer: 'B' },
      { kind: 'lost', isAsked: true },
    ])
  })

  it('asks six at once, and the next as soon as one of them is done', async () => {
    let running = 0
    const most: number[] = []
    const items = Array.from({ length: 20 }, (_, index) => index)
    const asked = askMany(items, async (item) => {
      most.push((running += 1))
      await new Promise((resolve) => void setTimeout(resolve, 100 + item))
      running -= 1
      return item
    })
    await vi.runAllTimersAsync()
    expect((await asked).map((one) => one.kind === 'answered' && one.answer)).toEqual(items)
    expect(Math.max(...most)).toBe(6)
  })

  it('asks nobody any more when the time for all is over, and says of which', async () => {
    const begun: number[] = []
    const asked = askMany(
      [0, 1, 2, 3],
      (item) => {
        begun.push(item)
        return never()
      },
      { atOnce: 1, limitMs: 400, inAllMs: 1_000 },
    )
    await vi.advanceTimersByTimeAsync(1_200)
    expect((await asked).map((one) => one.kind === 'lost' && one.isAsked)).toEqual([
      true,
      true,
      true,
      false,
    ])
    expect(begun).toEqual([0, 1, 2])
  })

  it('has nothing to say of nothing', async () => {
    expect(await askMany([], never)).toEqual([])
  })
})
