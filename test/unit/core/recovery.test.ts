import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { decideProbe, expandPath, recoveryDelayMs, toUnstored } from '../../../src/core/recovery.ts'
import type { Reply } from '../../../src/core/reply.ts'
import { durableHoldOf, probeOf, resendOf } from '../../fakes/build.ts'

const answerOf = (status: number, resultStatus: number | null = null): Reply => ({
  kind: 'answer',
  status,
  headers: [],
  directives: { outcome: null, isStorable: true, retentionMs: null, resultStatus },
  body: new Uint8Array(),
})

describe('decideProbe', () => {
  it.each([
    { answer: 200, expected: 'executed' },
    { answer: 204, expected: 'executed' },
    { answer: 299, expected: 'executed' },
    { answer: 300, expected: 'undecided' },
    { answer: 304, expected: 'undecided' },
    { answer: 400, expected: 'undecided' },
    { answer: 401, expected: 'undecided' },
    { answer: 403, expected: 'undecided' },
    { answer: 404, expected: 'not_executed' },
    { answer: 405, expected: 'undecided' },
    { answer: 409, expected: 'undecided' },
    { answer: 410, expected: 'not_executed' },
    { answer: 411, expected: 'undecided' },
    { answer: 429, expected: 'undecided' },
    { answer: 500, expected: 'undecided' },
    { answer: 503, expected: 'undecided' },
  ])('reads $answer as $expected', ({ answer, expected }) => {
    expect(decideProbe(answerOf(answer)).kind).toBe(expected)
  })

  it.each([
    { answer: 401, isRefused: true },
    { answer: 403, isRefused: true },
    { answer: 407, isRefused: true },
    { answer: 429, isRefused: undefined },
  ])('says of $answer whether it refuses who asks: $isRefused', ({ answer, isRefused }) => {
    expect(decideProbe(answerOf(answer))).toEqual({ kind: 'undecided', isRefused })
  })

  it.each([
    { fault: 'not-sent' },
    { fault: 'timeout' },
    { fault: 'lost' },
    { fault: 'bad-status' },
  ] as const)('reads nothing from a question that ended with $fault', ({ fault }) => {
    const reply = { kind: 'fault', fault, originStatus: null } as const
    expect(decideProbe(reply)).toEqual({ kind: 'undecided' })
  })

  it.each([
    { name: 'that the answer names', resultStatus: 422, expected: 422 },
    { name: '200 where it names none', resultStatus: null, expected: 200 },
  ])('gives the result the status $name', ({ resultStatus, expected }) => {
    const reply = answerOf(202, resultStatus)
    expect(decideProbe(reply)).toEqual({ kind: 'executed', status: expected, reply })
  })

  it('says of no other status than 404 and 410 that nothing was executed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 599 }), (status) => {
        const isFreed = decideProbe(answerOf(status, 404)).kind === 'not_executed'
        expect(isFreed).toBe(status === 404 || status === 410)
      }),
    )
  })
})

describe('toUnstored', () => {
  it.each([
    { name: 'held', recovery: durableHoldOf(), expected: { kind: 'hold' } },
    {
      name: 'sent again',
      recovery: resendOf({ isDurable: true }),
      expected: resendOf({ isDurable: false }),
    },
    {
      name: 'asked about',
      recovery: probeOf({ isDurable: true }),
      expected: probeOf({ isDurable: false }),
    },
  ])('leaves of what is $name no stored request', ({ recovery, expected }) => {
    expect(toUnstored(recovery)).toEqual(expected)
  })
})

describe('recoveryDelayMs', () => {
  it.each([
    { count: 0, expected: 5_000 },
    { count: 1, expected: 10_000 },
    { count: 5, expected: 160_000 },
    { count: 6, expected: 300_000 },
    { count: 5_000, expected: 300_000 },
  ])('is $expected ms after $count recoveries', ({ count, expected }) => {
    expect(recoveryDelayMs(count)).toBe(expected)
  })
})

describe('expandPath', () => {
  const names = { key: 'k', tenant: 't', id: 'i' }

  it.each([
    { template: '/by-key/{key}', expected: '/by-key/k' },
    { template: '/{tenant}/{id}?key={key}&again={key}', expected: '/t/i?key=k&again=k' },
    { template: '/status', expected: '/status' },
    { template: '/{other}/{Key}/{}', expected: '/{other}/{Key}/{}' },
  ])('makes $expected of $template', ({ template, expected }) => {
    expect(expandPath(template, names)).toBe(expected)
  })

  it.each([
    { name: 'a path', tenant: '../admin', expected: '/..%2Fadmin' },
    { name: 'a query', tenant: 'a?b=c&d#e', expected: '/a%3Fb%3Dc%26d%23e' },
    { name: 'a placeholder', tenant: '{key}', expected: '/%7Bkey%7D' },
    { name: 'a pattern of replacement', tenant: '$&$1', expected: '/%24%26%241' },
  ])('lets no tenant write $name into it', ({ tenant, expected }) => {
    expect(expandPath('/{tenant}', { ...names, tenant })).toBe(expected)
  })
})
