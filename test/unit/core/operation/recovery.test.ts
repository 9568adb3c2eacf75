import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { expandPath, recoveryDelayMs, toUnstored } from '../../../../src/core/operation/recovery.ts'
import type { Said } from '../../../../src/core/outcome/outcome-rules.ts'
import type { Outcome } from '../../../../src/core/outcome/outcome.ts'
import { decideProbe } from '../../../../src/core/outcome/probe.ts'
import type { Reply } from '../../../../src/core/outcome/reply.ts'
import { durableHoldOf, probeOf, resendOf, rulesOf } from '../../../fakes/build.ts'

type AnswerReply = Extract<Reply, { kind: 'answer' }>

const answerOf = (status: number, resultStatus: number | null = null): AnswerReply => ({
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
    expect(decideProbe(answerOf(answer), rulesOf()).kind).toBe(expected)
  })

  it.each([
    { answer: 401, isRefused: true },
    { answer: 403, isRefused: true },
    { answer: 407, isRefused: true },
    { answer: 429, isRefused: undefined },
  ])('says of $answer whether it refuses who asks: $isRefused', ({ answer, isRefused }) => {
    expect(decideProbe(answerOf(answer), rulesOf())).toEqual({ kind: 'undecided', isRefused })
  })

  it.each([
    { fault: 'not-sent' },
    { fault: 'timeout' },
    { fault: 'lost' },
    { fault: 'bad-status' },
  ] as const)('reads nothing from a question that ended with $fault', ({ fault }) => {
    const reply = { kind: 'fault', fault, originStatus: null } as const
    expect(decideProbe(reply, rulesOf())).toEqual({ kind: 'undecided' })
  })

  it.each([
    { name: 'that the answer names', resultStatus: 422, expected: 422 },
    { name: '200 where it names none', resultStatus: null, expected: 200 },
  ])('gives the result the status $name', ({ resultStatus, expected }) => {
    const reply = answerOf(201, resultStatus)
    expect(decideProbe(reply, rulesOf())).toEqual({
      kind: 'executed',
      status: expected,
      reply,
      said: null,
    })
  })

  const said = (outcome: Outcome): Said => ({ outcome, isExact: true })
  const readOf = (over: Partial<AnswerReply>, rules = rulesOf()) =>
    decideProbe({ ...answerOf(over.status ?? 200), ...over }, rules)

  it.each([
    { name: '202: it is still worked on', over: { status: 202 } },
    { name: '200 with Retry-After', over: { headers: [['retry-after', '5']] } },
    { name: '200 with retry-after-ms', over: { headers: [['retry-after-ms', '5']] } },
    { name: '200 with X-Should-Retry', over: { headers: [['x-should-retry', 'true']] } },
    { name: '404 with Retry-After', over: { status: 404, headers: [['retry-after', '5']] } },
    { name: '200 whose body the route leaves open', over: { said: said('unknown') } },
    { name: '404 whose body the route leaves open', over: { status: 404, said: said('unknown') } },
    { name: '409 whose body says it failed', over: { status: 409, said: said('failed') } },
  ] satisfies { name: string; over: Partial<AnswerReply> }[])(
    'takes no $name for an end',
    ({ over }) => {
      expect(readOf(over).kind).toBe('undecided')
    },
  )

  it.each([
    { resultStatus: 409, expected: 'executed' },
    { resultStatus: 202, expected: 'executed' },
    { resultStatus: 404, expected: 'executed' },
    { resultStatus: 500, expected: 'executed' },
    { resultStatus: 423, expected: 'undecided' },
    { resultStatus: 425, expected: 'undecided' },
    { resultStatus: 429, expected: 'undecided' },
    { resultStatus: 503, expected: 'undecided' },
    { resultStatus: 308, expected: 'not_executed' },
    { resultStatus: 403, expected: 'not_executed' },
    { resultStatus: 412, expected: 'not_executed' },
    { resultStatus: 415, expected: 'not_executed' },
    { resultStatus: 412, rules: { '412': 'failed' }, expected: 'executed' },
    { resultStatus: 429, rules: { '429': 'failed' }, expected: 'executed' },
    { resultStatus: 409, rules: { '409': 'not_executed' }, expected: 'undecided' },
  ] as const)(
    'reads the result $resultStatus as $expected',
    ({ resultStatus, expected, ...row }) => {
      const rules = rulesOf('rules' in row ? { outcomes: row.rules } : {})
      expect(decideProbe(answerOf(200, resultStatus), rules).kind).toBe(expected)
    },
  )

  it('hears of the body that it was not executed, that it failed, or that it succeeded', () => {
    expect(readOf({ said: said('not_executed') })).toEqual({ kind: 'not_executed' })
    for (const outcome of ['failed', 'succeeded'] as const) {
      expect(readOf({ status: 202, said: said(outcome) })).toMatchObject({
        kind: 'executed',
        said: said(outcome),
      })
    }
    expect(readOf({ status: 404, said: said('failed') })).toEqual({ kind: 'not_executed' })
  })

  it('believes the word of the origin, whatever the status', () => {
    const directives = { isStorable: true, retentionMs: null, resultStatus: null }
    const executed = { ...directives, outcome: 'executed' } as const
    const not = { ...directives, outcome: 'not-executed' } as const
    expect(readOf({ status: 404, directives: executed })).toMatchObject({ status: 404, said: null })
    expect(readOf({ status: 202, directives: executed })).toMatchObject({ status: 200 })
    const freed = { kind: 'not_executed', isSaid: true }
    expect(readOf({ status: 200, directives: not })).toEqual(freed)
    expect(readOf({ status: 503, directives: not })).toEqual(freed)
    const lost = { kind: 'fault', fault: 'lost', originStatus: 200 } as const
    expect(decideProbe({ ...lost, directive: 'not-executed' }, rulesOf())).toEqual(freed)
  })

  it('hears when it may be asked again', () => {
    const undecided = { kind: 'undecided', retryAfterMs: 7_000 }
    expect(readOf({ status: 503, retryAfterMs: 7_000 })).toEqual(undecided)
  })

  it('says of no other status than 404 and 410 that nothing was executed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 599 }), (status) => {
        const isFreed = decideProbe(answerOf(status, 404), rulesOf()).kind === 'not_executed'
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
