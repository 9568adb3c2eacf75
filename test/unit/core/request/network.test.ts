import { describe, expect, it } from 'vitest'

import { toNetwork } from '../../../../src/core/request/network.ts'

describe('toNetwork', () => {
  it.each([
    { address: '203.0.113.7', expected: '203.0.113.7' },
    { address: ' 203.0.113.7 ', expected: '203.0.113.7' },
    { address: '2001:db8:1:2:3:4:5:6', expected: '2001:db8:1:2::/64' },
    { address: '2001:DB8:1:2::1', expected: '2001:db8:1:2::/64' },
    { address: '2001:0db8:0001:0002::', expected: '2001:db8:1:2::/64' },
    { address: '2001:db8::5', expected: '2001:db8:0:0::/64' },
    { address: '::1', expected: '0:0:0:0::/64' },
    { address: '::', expected: '0:0:0:0::/64' },
    { address: '::ffff:203.0.113.7', expected: '203.0.113.7' },
    { address: '', expected: '' },
    { address: 'unknown', expected: 'unknown' },
  ])('names $expected of $address', ({ address, expected }) => {
    expect(toNetwork(address)).toBe(expected)
  })
})
