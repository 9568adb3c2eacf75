import { describe, expect, it } from 'vitest'

import { isLoopback } from '../../../../src/core/request/loopback.ts'

describe('isLoopback', () => {
  it.each([
    'localhost',
    'LOCALHOST.',
    'api.localhost',
    '127.0.0.1',
    '127.255.255.255',
    '127.1',
    '2130706433',
    '0.0.0.0',
    '[::1]',
    '[::]',
    '[::ffff:127.0.0.1]',
  ])('knows %s as the machine that asks', (host) => {
    expect(isLoopback(new URL(`http://${host}`).hostname)).toBe(true)
  })

  it.each([
    'localhost.example.com',
    'notlocalhost',
    '126.255.255.255',
    '128.0.0.1',
    '127.example.com',
    '127.0.0.1.nip.io',
    '[::2]',
    '[::ffff:128.0.0.1]',
    '192.168.0.1',
  ])('takes %s for another machine', (host) => {
    expect(isLoopback(new URL(`http://${host}`).hostname)).toBe(false)
  })
})
