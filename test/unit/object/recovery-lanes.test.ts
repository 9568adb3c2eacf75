import { describe, expect, it } from 'vitest'

import { RecoveryLanes } from '../../../src/object/recovery-lanes.ts'

/** Begins recoveries that end when the test says so. */
function lanesOf() {
  const lanes = new RecoveryLanes()
  const begun: string[] = []
  const ends = new Map<string, PromiseWithResolvers<void>>()
  const run = (id: string) => {
    const end = Promise.withResolvers<void>()
    return lanes.run(id, () => {
      begun.push(id)
      ends.set(id, end)
      return end.promise
    })
  }
  return {
    begun,
    run,
    end: (id: string) => ends.get(id)?.resolve(),
    fail: (id: string) => ends.get(id)?.reject(new Error('it fails')),
  }
}

describe('RecoveryLanes', () => {
  it('begins two at once, without awaiting anything, and the next when one has ended', async () => {
    const { begun, run, end } = lanesOf()
    const [first] = [run('a'), run('b'), run('c'), run('d')]
    expect(begun).toEqual(['a', 'b'])
    end('a')
    await first
    await expect.poll(() => begun).toEqual(['a', 'b', 'c'])
    end('b')
    await expect.poll(() => begun).toEqual(['a', 'b', 'c', 'd'])
  })

  it('does not begin one twice that waits', async () => {
    const { begun, run, end } = lanesOf()
    void run('a')
    void run('b')
    const waits = run('c')
    await run('c')
    end('a')
    await expect.poll(() => begun).toEqual(['a', 'b', 'c'])
    end('c')
    await waits
    expect(begun).toEqual(['a', 'b', 'c'])
  })

  it('has room again after one that has failed', async () => {
    const { begun, run, fail } = lanesOf()
    const failing = run('a')
    void run('b')
    void run('c')
    fail('a')
    await expect(failing).rejects.toThrow('it fails')
    await expect.poll(() => begun).toEqual(['a', 'b', 'c'])
  })
})
