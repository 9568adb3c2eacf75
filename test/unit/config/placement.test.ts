import { describe, expect, it } from 'vitest'

import { checkPlacement, perKey, sharded } from '../../../src/config/placement.ts'
import { hasShards, isShard, objectNameOf } from '../../../src/core/operation/placement.ts'

const ID = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ'

describe('sharded', () => {
  it('takes a number, or options', () => {
    const before = { kind: 'sharded', count: 16, locationHint: null, previous: null }
    expect(sharded(16)).toEqual(before)
    expect(sharded({ count: 32, previous: 16, locationHint: 'weur' })).toEqual({
      kind: 'sharded',
      count: 32,
      locationHint: 'weur',
      previous: before,
    })
    expect(sharded({ count: 16, previous: perKey() }).previous).toEqual(perKey())
    expect(perKey({ previous: sharded(16) }).previous).toEqual(before)
  })

  it.each([1, 4_096])('takes %i shards', (count) => {
    expect(sharded(count)).toMatchObject({ count })
  })

  it.each([
    { what: 'no shards', make: () => sharded(0), says: /number from 1 to 4096/ },
    { what: 'too many', make: () => sharded(4_097), says: /number from 1 to 4096/ },
    { what: 'a fraction', make: () => sharded(1.5), says: /number from 1 to 4096/ },
    { what: 'a text', make: () => sharded('16' as never), says: /number from 1 to 4096/ },
    { what: 'no count', make: () => sharded({} as never), says: /number from 1 to 4096/ },
    {
      what: 'a region that does not exist',
      make: () => sharded({ count: 16, locationHint: 'mars' as never }),
      says: /locationHint must be one of wnam, /,
    },
    {
      what: 'the same number as before',
      make: () => sharded({ count: 16, previous: 16 }),
      says: /previous must be another number/,
    },
    {
      what: 'a placement that was not made here',
      make: () => sharded({ count: 16, previous: { kind: 'per-key' } as never }),
      says: /previous must be perKey\(\) or sharded\(16\)/,
    },
    {
      what: 'a chain',
      make: () => sharded({ count: 64, previous: sharded({ count: 32, previous: 16 }) }),
      says: /cannot have a previous/,
    },
  ])('refuses $what', ({ make, says }) => {
    expect(make).toThrow(says)
  })
})

describe('checkPlacement', () => {
  it.each(['eu', 'us', 'fedramp', 'fedramp-high'] as const)('takes the jurisdiction %s', (one) => {
    expect(() => checkPlacement({ jurisdiction: one })).not.toThrow()
  })

  it.each([
    { options: { jurisdiction: 'mars' }, says: /jurisdiction must be one of eu, / },
    { options: { jurisdiction: 'toString' }, says: /jurisdiction must be one of eu, / },
    { options: { placement: 'sharded' }, says: /placement must be perKey\(\) or sharded\(16\)/ },
    { options: { placement: { kind: 'per-key' } }, says: /placement must be perKey\(\)/ },
  ])('refuses $options', ({ options, says }) => {
    expect(() => checkPlacement(options as never)).toThrow(says)
  })
})

describe('objectNameOf', () => {
  it('names one object for each key, or a shard', () => {
    expect(objectNameOf(perKey(), ID)).toBe(ID)
    expect(objectNameOf(sharded(1), ID)).toBe('shard:1:0')
    expect(isShard(objectNameOf(sharded(16), ID))).toBe(true)
    expect(isShard(ID)).toBe(false)
  })

  it('spreads ids over all shards, evenly and always the same', async () => {
    const counts = new Map<string, number>()
    const placement = sharded(16)
    for (let nth = 0; nth < 8_000; nth++) {
      const bytes = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(String(nth)))
      const id = Buffer.from(bytes).toString('base64url')
      const name = objectNameOf(placement, id)
      expect(objectNameOf(sharded(16), id)).toBe(name)
      counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    expect(counts.size).toBe(16)
    // Five standard deviations around 500.
    expect(Math.min(...counts.values())).toBeGreaterThan(390)
    expect(Math.max(...counts.values())).toBeLessThan(610)
  })
})

describe('hasShards', () => {
  it.each([
    { placement: perKey(), expected: false },
    { placement: sharded(2), expected: true },
    { placement: perKey({ previous: sharded(2) }), expected: true },
    { placement: sharded({ count: 2, previous: perKey() }), expected: true },
  ])('is $expected for $placement.kind after $placement.previous.kind', (one) => {
    expect(hasShards(one.placement)).toBe(one.expected)
  })
})
