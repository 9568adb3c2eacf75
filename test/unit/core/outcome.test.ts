import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  classifyAnswer,
  classifyFault,
  classifyStatus,
  isRefusalOfCaller,
  OUTCOMES,
} from '../../../src/core/outcome.ts'

describe('classifyStatus', () => {
  it.each([
    { expected: 'succeeded', statuses: [200, 201, 202, 204, 299, 300, 302, 304, 306, 309, 399] },
    { expected: 'failed', statuses: [400, 402, 404, 405, 409, 410, 411, 413, 414, 416, 418, 422] },
    { expected: 'failed', statuses: [424, 427, 430, 432, 451, 498] },
    { expected: 'failed', statuses: [501, 505] },
    { expected: 'not_executed', statuses: [307, 308, 401, 403, 406, 407, 408, 412, 415, 417] },
    { expected: 'not_executed', statuses: [421, 423, 425, 426, 428, 429, 431, 499, 503] },
    { expected: 'unknown', statuses: [100, 101, 199, 600, 601, 999] },
    { expected: 'not_executed', statuses: [521, 523, 525, 526, 530] },
    { expected: 'unknown', statuses: [500, 502, 504, 506, 507, 508, 520, 522, 524, 527, 529, 599] },
  ])('files $statuses under $expected', ({ statuses, expected }) => {
    expect(statuses.map((status) => classifyStatus(status))).toEqual(statuses.map(() => expected))
  })

  it.each([
    { when: 'the route names the status', rules: { '500': 'failed' }, expected: 'failed' },
    { when: 'the route names the range', rules: { '5xx': 'failed' }, expected: 'failed' },
    {
      when: 'the route names both',
      rules: { '5xx': 'succeeded', '500': 'failed' },
      expected: 'failed',
    },
    { when: 'the route names another status', rules: { '501': 'failed' }, expected: 'unknown' },
    { when: 'the route names another range', rules: { '4xx': 'failed' }, expected: 'unknown' },
  ] as const)('files 500 under $expected when $when', ({ rules, expected }) => {
    expect(classifyStatus(500, rules)).toBe(expected)
  })

  it.each([
    { status: 200, directive: 'not-executed', expected: 'not_executed' },
    { status: 500, directive: 'not-executed', expected: 'not_executed' },
    { status: 200, directive: 'executed', expected: 'succeeded' },
    { status: 399, directive: 'executed', expected: 'succeeded' },
    { status: 400, directive: 'executed', expected: 'failed' },
    { status: 503, directive: 'executed', expected: 'failed' },
    { status: 500, directive: 'executed', expected: 'failed' },
  ] as const)(
    'believes an origin that says $directive with $status, whatever the route says',
    ({ status, directive, expected }) => {
      const rules = { [status]: 'unknown', '2xx': 'failed' } as const
      expect(classifyStatus(status, rules, directive)).toBe(expected)
    },
  )

  it.each([{ status: 199 }, { status: 600 }, { status: 999 }])(
    'files $status, which is none of an answer, under unknown, unless the origin says that nothing was executed',
    ({ status }) => {
      const rules = { [status]: 'failed', '6xx': 'succeeded', '9xx': 'not_executed' } as const
      expect(classifyStatus(status, rules)).toBe('unknown')
      expect(classifyStatus(status, rules, 'executed')).toBe('unknown')
      expect(classifyStatus(status, rules, 'not-executed')).toBe('not_executed')
    },
  )

  it('files every status there is under exactly one outcome', () => {
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 599 }), (status) => {
        expect(OUTCOMES).toContain(classifyStatus(status))
      }),
    )
  })
})

describe('isRefusalOfCaller', () => {
  it('knows the three statuses that refuse the caller', () => {
    const statuses = Array.from({ length: 900 }, (_, index) => 100 + index)
    expect(statuses.filter(isRefusalOfCaller)).toEqual([401, 403, 407])
    expect(isRefusalOfCaller(null)).toBe(false)
  })
})

describe('classifyAnswer', () => {
  const saidOf = (outcome: 'executed' | 'not-executed' | null) => ({ outcome })

  it.each([
    { name: 'of an origin', isFromProxy: false, expected: 'not_executed' },
    { name: 'of a proxy', isFromProxy: true, expected: 'unknown' },
    {
      name: 'of a proxy, where the route says what it means',
      isFromProxy: true,
      rules: { '503': 'not_executed' },
      expected: 'not_executed',
    },
    {
      name: 'of a proxy, where the route says what the range means',
      isFromProxy: true,
      rules: { '5xx': 'failed' },
      expected: 'failed',
    },
    {
      name: 'of a proxy, where the route speaks of another status',
      isFromProxy: true,
      rules: { '502': 'not_executed' },
      expected: 'unknown',
    },
    {
      name: 'that bears the word of the origin',
      isFromProxy: true,
      said: 'not-executed',
      expected: 'not_executed',
    },
  ] as const)('files a 503 $name under $expected', ({ isFromProxy, expected, ...row }) => {
    const directives = saidOf('said' in row ? row.said : null)
    const rules = 'rules' in row ? row.rules : {}
    expect(classifyAnswer({ status: 503, directives, isFromProxy }, rules)).toBe(expected)
  })
})

describe('classifyFault', () => {
  it.each([
    { fault: 'not-sent', expected: 'not_executed' },
    { fault: 'timeout', expected: 'unknown' },
    { fault: 'lost', expected: 'unknown' },
    { fault: 'bad-status', expected: 'unknown' },
  ] as const)('files a call that ended with $fault under $expected', ({ fault, expected }) => {
    expect(classifyFault(fault)).toBe(expected)
    expect(classifyFault(fault, 'executed')).toBe(expected)
    expect(classifyFault(fault, 'not-executed')).toBe('not_executed')
  })
})
