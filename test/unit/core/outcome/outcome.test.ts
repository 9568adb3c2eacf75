import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  classifyAnswer,
  classifyFault,
  classifyStatus,
  outcomeLeft,
} from '../../../../src/core/outcome/classify.ts'
import {
  isRefusalOfCaller,
  isRefusalOfRequest,
  OUTCOMES,
} from '../../../../src/core/outcome/outcome.ts'

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
      expect(classifyAnswer({ status, directives: { outcome: directive } }, rules)).toBe(expected)
    },
  )

  it.each([{ status: 199 }, { status: 600 }, { status: 999 }])(
    'files $status, which is none of an answer, under unknown, unless the origin says that nothing was executed',
    ({ status }) => {
      const rules = { [status]: 'failed', '6xx': 'succeeded', '9xx': 'not_executed' } as const
      const said = (outcome: 'executed' | 'not-executed' | null) =>
        classifyAnswer({ status, directives: { outcome } }, rules)
      expect(said(null)).toBe('unknown')
      expect(said('executed')).toBe('unknown')
      expect(said('not-executed')).toBe('not_executed')
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

describe('classifyAnswer of an answer that asks for another try', () => {
  const directives = { outcome: null }
  const RETRY_AFTER = ['retry-after', '2'] as const
  const SHOULD = ['x-should-retry', 'true'] as const
  const STRIPE = ['stripe-should-retry', 'True'] as const
  const SHOULD_NOT = ['x-should-retry', 'false'] as const

  it.each([
    { status: 409, headers: [RETRY_AFTER], expected: 'not_executed' },
    { status: 413, headers: [RETRY_AFTER], expected: 'not_executed' },
    { status: 423, headers: [RETRY_AFTER], expected: 'not_executed' },
    { status: 409, headers: [['retry-after-ms', '250']], expected: 'not_executed' },
    { status: 409, headers: [SHOULD], expected: 'not_executed' },
    { status: 409, headers: [STRIPE], expected: 'not_executed' },
    { status: 404, headers: [SHOULD], expected: 'not_executed' },
    { status: 422, headers: [STRIPE], expected: 'not_executed' },
    { status: 409, headers: [], expected: 'failed' },
    { status: 409, headers: [['x-should-retry', 'maybe']], expected: 'failed' },
    { status: 409, headers: [RETRY_AFTER, SHOULD_NOT], expected: 'failed' },
    { status: 409, headers: [SHOULD_NOT, STRIPE], expected: 'failed' },
    { status: 404, headers: [RETRY_AFTER], expected: 'failed' },
    { status: 429, headers: [SHOULD_NOT], expected: 'not_executed' },
    { status: 202, headers: [RETRY_AFTER, SHOULD], expected: 'succeeded' },
    { status: 303, headers: [RETRY_AFTER, SHOULD], expected: 'succeeded' },
    { status: 500, headers: [RETRY_AFTER, SHOULD], expected: 'unknown' },
    { status: 501, headers: [SHOULD], expected: 'failed' },
    { status: 503, headers: [SHOULD_NOT], expected: 'not_executed' },
  ] as const)('files $status with $headers under $expected', ({ status, headers, expected }) => {
    expect(classifyAnswer({ status, headers, directives }, {})).toBe(expected)
  })

  it('believes the route and the origin rather than these headers', () => {
    const facts = { status: 409, headers: [SHOULD], directives }
    expect(classifyAnswer(facts, { '409': 'failed' })).toBe('failed')
    expect(classifyAnswer(facts, { '4xx': 'unknown' })).toBe('unknown')
    expect(classifyAnswer({ ...facts, directives: { outcome: 'executed' } }, {})).toBe('failed')
  })
})

describe('classifyAnswer of what a route has said of the whole answer', () => {
  const facts = { status: 200, directives: { outcome: null } } as const

  it('believes it, and its rules for the status only where it was not asked', () => {
    const said = { outcome: 'failed', isExact: true } as const
    expect(classifyAnswer({ ...facts, said }, {})).toBe('failed')
    expect(classifyAnswer({ ...facts, said: null }, { '200': 'unknown' })).toBe('succeeded')
    expect(classifyAnswer(facts, { '200': 'unknown' })).toBe('unknown')
  })

  it('believes the origin rather than the route', () => {
    const said = { outcome: 'not_executed', isExact: true } as const
    const directives = { outcome: 'executed' } as const
    expect(classifyAnswer({ ...facts, directives, said }, {})).toBe('succeeded')
  })
})

describe('classifyAnswer behind a call that may have been executed', () => {
  const directives = { outcome: null }
  const REFUSED = [307, 308, 401, 403, 406, 407, 408, 412, 415, 417, 421, 423, 425, 426, 428, 429]

  it.each([...REFUSED, 431, 499, 503, 521, 523, 525, 526, 530])(
    'leaves it to the doubt what became of the operation at %s, whatever the range says',
    (status) => {
      for (const rules of [{}, { '3xx': 'failed', '4xx': 'failed', '5xx': 'failed' }] as const) {
        const outcome = classifyAnswer({ status, directives }, rules, true)
        expect(outcome).toBe('not_executed')
        expect(outcomeLeft(outcome, true)).toBe('unknown')
        expect(outcomeLeft(outcome, false)).toBe('not_executed')
      }
    },
  )

  it.each([
    { name: 'a 409', status: 409, rules: {}, expected: 'unknown' },
    { name: 'a 409 of a range', status: 409, rules: { '4xx': 'failed' }, expected: 'unknown' },
    {
      name: 'a 409 that the route names',
      status: 409,
      rules: { '409': 'failed' },
      expected: 'failed',
    },
    {
      name: 'a 429 that the route names',
      status: 429,
      rules: { '429': 'failed' },
      expected: 'failed',
    },
    { name: 'a 404', status: 404, rules: {}, expected: 'failed' },
    { name: 'a 422 of a range', status: 422, rules: { '4xx': 'succeeded' }, expected: 'succeeded' },
    { name: 'a 201', status: 201, rules: {}, expected: 'succeeded' },
    { name: 'a 202', status: 202, rules: {}, expected: 'succeeded' },
    { name: 'a 500', status: 500, rules: {}, expected: 'unknown' },
  ] as const)('files $name under $expected', ({ status, rules, expected }) => {
    expect(classifyAnswer({ status, directives }, rules, true)).toBe(expected)
  })

  it('believes a rule for the body, and the origin', () => {
    const said = { outcome: 'failed', isExact: true } as const
    expect(classifyAnswer({ status: 409, directives, said }, {}, true)).toBe('failed')
    const facts = { status: 409, directives: { outcome: 'executed' } } as const
    expect(classifyAnswer(facts, {}, true)).toBe('failed')
  })

  it('takes a 503 of a proxy for none of an end, whatever the range says', () => {
    const facts = { status: 503, directives, isFromProxy: true }
    expect(classifyAnswer(facts, { '5xx': 'failed' }, true)).toBe('unknown')
  })
})

describe('isRefusalOfRequest', () => {
  it('knows the statuses that only the client can do something about', () => {
    const statuses = Array.from({ length: 900 }, (_, index) => 100 + index)
    const refused = [307, 308, 401, 403, 406, 407, 412, 415, 417, 426, 428, 431]
    expect(statuses.filter(isRefusalOfRequest)).toEqual(refused)
    expect(isRefusalOfRequest(null)).toBe(false)
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
