import { describe, expect, it } from 'vitest'

import { parsePolicy, type PolicyOptions, probe } from '../../../src/config/policy.ts'
import { type Answer, NO_TIME } from '../../../src/core/operation/answer.ts'
import type { OriginFault, Outcome } from '../../../src/core/outcome/outcome.ts'
import { isProblem, toVerdict } from '../../../src/http/verdict.ts'

const policyOf = (options: PolicyOptions) => {
  const parsed = parsePolicy(options)
  if (!parsed.ok) throw new Error(parsed.error.join('\n'))
  return parsed.value
}

const TIMED = { fence: 2, timing: NO_TIME }
const WORK = { originCalls: 2, settle: 'taken' } as const
const POLICIES = [
  { unknown: 'hold' },
  { unknown: 'resend' },
  { unknown: probe('/status') },
] as const

const lostOf = (fault: OriginFault, outcome: Outcome, originStatus: number | null = null) =>
  ({ kind: 'lost', fault, outcome, originStatus, ...TIMED, work: WORK }) satisfies Answer

describe('toVerdict', () => {
  it.each([
    { outcome: 'succeeded', expected: 'executed' },
    { outcome: 'failed', expected: 'executed' },
    { outcome: 'not_executed', expected: 'not-executed' },
    { outcome: 'unknown', expected: 'unknown' },
  ] as const)('says $expected of a call after which the operation is $outcome', (row) => {
    const response = { status: 503, headers: [], body: null }
    const { outcome } = row
    const answer: Answer = { kind: 'executed', response, outcome, ...TIMED, work: WORK }
    const verdict = toVerdict(answer, policyOf({}))
    expect(verdict).toMatchObject({ status: row.expected, reply: { status: 503 } })
  })

  it.each(POLICIES.map((options) => ({ name: JSON.stringify(options), options })))(
    'says when to come back wherever it says to wait, under $name',
    ({ options }) => {
      const answers: Answer[] = [
        lostOf('lost', 'unknown'),
        lostOf('timeout', 'unknown'),
        lostOf('not-sent', 'not_executed'),
        { kind: 'in_flight', runningMs: 1_000, ...TIMED },
      ]
      const policy = policyOf(options)
      const problems = answers.map((answer) => toVerdict(answer, policy).reply).filter(isProblem)
      expect(problems).toHaveLength(answers.length)
      const waits = problems.filter(({ retry }) => retry === 'wait')
      expect(waits).toHaveLength(options.unknown === 'hold' ? 1 : 3)
      for (const { retryAfterMs } of waits) expect(retryAfterMs).toBeGreaterThanOrEqual(1_000)
    },
  )

  it.each([
    { kept: 'hold', retry: 'never', hasTime: false, advice: /is held/ },
    { kept: 'probe', retry: 'wait', hasTime: true, advice: /is asked/ },
    { kept: 'resend', retry: 'wait', hasTime: true, advice: /is sent to the origin again/ },
  ] as const)('goes by what is done about it where it is unknown: $kept', (row) => {
    const { kept, retry, hasTime, advice } = row
    const answer: Answer = { kind: 'held', fence: 2, reason: 'origin-timeout', policy: kept }
    for (const options of POLICIES) {
      const { status, reply } = toVerdict(answer, policyOf(options))
      if (!isProblem(reply)) throw new Error('It is a problem.')
      expect(status).toBe('unknown')
      expect(reply).toMatchObject({ slug: 'outcome-unknown', retry })
      expect(reply.retryAfterMs !== null).toBe(hasTime)
      expect(reply.detail).toMatch(/did not answer in time/)
      expect(reply.detail).toMatch(advice)
    }
  })

  it.each([
    {
      name: 'a connection that was lost',
      answer: lostOf('lost', 'unknown'),
      expected: { slug: 'outcome-unknown', status: 502, retry: 'never' },
      detail: /connection to the origin was lost/,
    },
    {
      name: 'a request that could not be made',
      answer: lostOf('not-sent', 'not_executed'),
      expected: { slug: 'origin-unreachable', status: 502, retry: 'same-key' },
      detail: /Nothing could be sent/,
    },
    {
      name: 'a request that could not be made, after a call in doubt',
      answer: lostOf('not-sent', 'unknown'),
      expected: { slug: 'outcome-unknown', status: 502, retry: 'never' },
      detail: /an earlier call may have been executed/,
    },
    {
      name: 'a status that is none of an answer',
      answer: lostOf('bad-status', 'unknown', 600),
      expected: { slug: 'outcome-unknown', status: 502, retry: 'never' },
      detail: /status 600, which cannot be passed on or kept/,
    },
    {
      name: 'such a status, with the word that nothing was executed',
      answer: lostOf('bad-status', 'not_executed', 999),
      expected: { slug: 'origin-unreachable', status: 502, retry: 'same-key' },
      detail: /status 999, .* nothing was executed/,
    },
  ])('tells the first client of $name', ({ answer, expected, detail }) => {
    const { reply, outcome } = toVerdict(answer, policyOf({}))
    expect(reply).toMatchObject({ ...expected, detail: expect.stringMatching(detail) })
    expect(outcome).toBe(answer.outcome)
  })

  it('sends nobody back before the word of the origin counts', () => {
    const until = Date.now() + 20_500
    const held = { kind: 'held', fence: 2, reason: 'origin-timeout', policy: 'probe' } as const
    const { reply } = toVerdict({ ...held, until }, policyOf({}))
    if (!isProblem(reply)) throw new Error('It is a problem.')
    const seconds = Math.round((reply.retryAfterMs ?? 0) / 1_000)
    expect(Date.now() + seconds * 1_000).toBeGreaterThanOrEqual(until)
    expect(reply).toMatchObject({
      retry: 'wait',
      detail: expect.stringMatching(/may still arrive/),
    })
  })

  it.each([
    { reason: 'origin-answered', detail: /answered with a status/ },
    { reason: 'connection-lost', detail: /connection .* lost/ },
    { reason: 'owner-lost', detail: /restarted/ },
    { reason: 'handler-threw', detail: /code .* failed/ },
  ] as const)('says why it is unknown: $reason', ({ reason, detail }) => {
    const answer: Answer = { kind: 'held', fence: 2, reason, policy: 'hold' }
    const { reply } = toVerdict(answer, policyOf({}))
    expect(reply).toMatchObject({ detail: expect.stringMatching(detail) })
  })

  it('has executed nothing for who comes too late', () => {
    const verdict = toVerdict({ kind: 'too_late' }, policyOf({}))
    expect(verdict).toMatchObject({ status: 'rejected', fence: 0, outcome: null, work: null })
    expect(verdict.reply).toMatchObject({ slug: 'origin-timeout', retry: 'same-key' })
  })

  it('sends who comes back to the operation, with what is known of it', () => {
    const view = {
      id: 'operation-1',
      operation: 'POST /payments',
      state: 'in_progress',
      correlationId: 'c',
      createdAt: '2026-01-01T00:00:00.000Z',
      attempts: 1,
    } as const
    const verdict = toVerdict({ kind: 'accepted', fence: 1, view }, policyOf({}))
    expect(verdict.status).toBe('accepted')
    expect(verdict.reply).toMatchObject({ status: 202 })
    if (isProblem(verdict.reply)) throw new Error('It is a response.')
    expect(new Map(verdict.reply.headers).get('location')).toBe('/_hapax/operations/operation-1')
    expect(JSON.parse(new TextDecoder().decode(verdict.reply.body as Uint8Array))).toEqual(view)
  })
})
