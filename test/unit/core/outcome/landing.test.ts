import { describe, expect, it } from 'vitest'

import type { HeaderField } from '../../../../src/core/operation/snapshot.ts'
import {
  decideLanding,
  decideProbeLanding,
  toSettlement,
} from '../../../../src/core/outcome/landing.ts'
import type { OriginDirectives } from '../../../../src/core/outcome/origin-directives.ts'
import type { Reply } from '../../../../src/core/outcome/reply.ts'
import { KEEP, rulesOf } from '../../../fakes/build.ts'

type AnswerReply = Extract<Reply, { kind: 'answer' }>

const BODY = Uint8Array.from([111, 107])
const HEADERS: HeaderField[] = [
  ['content-type', 'text/plain'],
  ['date', 'Thu, 01 Jan 2026 00:00:00 GMT'],
  ['set-cookie', 'a=1'],
]

const directivesOf = (over: Partial<OriginDirectives> = {}): OriginDirectives => ({
  outcome: null,
  isStorable: true,
  retentionMs: null,
  resultStatus: null,
  ...over,
})

const answerOf = (over: Partial<AnswerReply> = {}): AnswerReply => ({
  kind: 'answer',
  status: 201,
  headers: HEADERS,
  directives: directivesOf(),
  body: BODY,
  ...over,
})

describe('decideLanding', () => {
  it.each([
    { status: 201, outcome: 'succeeded' },
    { status: 422, outcome: 'failed' },
  ])('keeps a $status for every repeat, and gives it to those who wait', ({ status, outcome }) => {
    const rules = rulesOf({ corsOrigin: 'https://a.test' })
    const kept = {
      status,
      headers: [['content-type', 'text/plain']],
      corsOrigin: 'https://a.test',
    }
    expect(decideLanding(answerOf({ status }), rules)).toEqual({
      outcome,
      settlement: {
        outcome,
        snapshot: { ...kept, bodyBytes: 2, body: 'kept' },
        retentionMs: null,
        evidence: { originStatus: status, fault: null },
      },
      end: { kind: 'response', outcome, ...kept, body: BODY },
    })
  })

  it.each([
    {
      status: 500,
      settlement: { outcome: 'unknown', reason: 'origin-answered' },
    },
    { status: 503, settlement: { outcome: 'not_executed', coversAll: false } },
  ])('gives a $status to those who wait, and keeps no snapshot of it', ({ status, settlement }) => {
    const landing = decideLanding(answerOf({ status }), rulesOf())
    expect(landing.settlement).toEqual({
      ...settlement,
      evidence: { originStatus: status, fault: null },
    })
    expect(landing.outcome).toBe(settlement.outcome)
    expect(landing.end).toMatchObject({ kind: 'response', status, body: BODY })
  })

  it.each([
    {
      fault: 'not-sent',
      originStatus: null,
      settlement: { outcome: 'not_executed', coversAll: false },
    },
    {
      fault: 'timeout',
      originStatus: 201,
      settlement: { outcome: 'unknown', reason: 'origin-timeout' },
    },
    {
      fault: 'lost',
      originStatus: null,
      settlement: { outcome: 'unknown', reason: 'connection-lost' },
    },
    {
      fault: 'bad-status',
      originStatus: 600,
      settlement: { outcome: 'unknown', reason: 'origin-answered' },
    },
  ] as const)(
    'tells those who wait of a call that ended with $fault, and keeps what came of it',
    ({ fault, originStatus, settlement }) => {
      expect(decideLanding({ kind: 'fault', fault, originStatus }, rulesOf())).toEqual({
        outcome: settlement.outcome,
        settlement: { ...settlement, evidence: { originStatus, fault } },
        end: { kind: 'fault', fault, outcome: settlement.outcome, originStatus },
      })
    },
  )

  it('frees the key of a status that nobody could be given, where the origin says so of every call', () => {
    const silence = { kind: 'fault', fault: 'bad-status', originStatus: 999 } as const
    const landing = decideLanding({ ...silence, directive: 'not-executed' }, rulesOf())
    expect(landing).toMatchObject({
      settlement: { outcome: 'not_executed', coversAll: true },
      end: { kind: 'fault', outcome: 'not_executed', originStatus: 999 },
    })
  })

  it('leaves it open what a 503 of a proxy means, and gives it to those who wait', () => {
    const reply = { ...answerOf({ status: 503 }), isFromProxy: true }
    expect(decideLanding(reply, rulesOf())).toMatchObject({
      outcome: 'unknown',
      settlement: { outcome: 'unknown', reason: 'origin-answered' },
      end: { kind: 'response', status: 503, outcome: 'unknown' },
    })
  })

  it('keeps no body where there is none', () => {
    const landing = decideLanding(answerOf({ status: 204, body: new Uint8Array() }), rulesOf())
    expect(landing.settlement).toMatchObject({ snapshot: { bodyBytes: 0, body: 'none' } })
  })

  it('keeps status and headers of a result that is too large, and says so to those who wait', () => {
    const landing = decideLanding(answerOf({ body: new ReadableStream() }), rulesOf())
    expect(landing.outcome).toBe('succeeded')
    expect(landing.settlement).toMatchObject({
      snapshot: { status: 201, headers: [['content-type', 'text/plain']], body: 'omitted' },
    })
    expect(landing.end).toEqual({ kind: 'too_large' })
  })

  it.each([
    {
      name: "the route's rule for the status",
      reply: answerOf({ status: 409 }),
      rules: rulesOf({ outcomes: { '409': 'not_executed' } }),
      expected: 'not_executed',
    },
    {
      name: 'the word of the origin',
      reply: answerOf({ status: 500, directives: directivesOf({ outcome: 'executed' }) }),
      rules: rulesOf({ outcomes: { '500': 'not_executed' } }),
      expected: 'failed',
    },
  ] as const)('obeys $name', ({ reply, rules, expected }) => {
    const landing = decideLanding(reply, rules)
    expect(landing).toMatchObject({ outcome: expected, settlement: { outcome: expected } })
  })

  it('keeps the cookies that the policy asks for, for those who wait as well', () => {
    const rules = rulesOf({ snapshot: { ...KEEP, setCookie: true, omit: ['content-type'] } })
    const headers = [['set-cookie', 'a=1']]
    expect(decideLanding(answerOf(), rules)).toMatchObject({
      settlement: { snapshot: { headers } },
      end: { headers },
    })
  })

  it('frees the key of every call where the origin itself says that nothing was executed', () => {
    const directives = directivesOf({ outcome: 'not-executed' })
    const { outcome, settlement } = decideLanding(answerOf({ directives }), rulesOf())
    expect(outcome).toBe('not_executed')
    expect(settlement).toMatchObject({ outcome: 'not_executed', coversAll: true })
  })

  it('remembers what is not to be stored, without headers and body', () => {
    const directives = directivesOf({ isStorable: false })
    const { settlement, end } = decideLanding(answerOf({ directives }), rulesOf())
    expect(settlement).toMatchObject({
      outcome: 'succeeded',
      snapshot: { status: 201, headers: [], bodyBytes: 0, body: 'omitted' },
    })
    expect(end).toEqual({ kind: 'too_large', omittedFor: 'no-store' })
  })

  it('keeps a result for as long as the origin says', () => {
    const directives = directivesOf({ retentionMs: 60_000 })
    const { settlement } = decideLanding(answerOf({ directives }), rulesOf())
    expect(settlement).toMatchObject({ retentionMs: 60_000 })
  })
})

describe('toSettlement', () => {
  const headOf = (over: Partial<OriginDirectives> = {}) => ({
    status: 201,
    headers: HEADERS,
    directives: directivesOf(over),
  })
  const KEPT_HEADERS = [['content-type', 'text/plain']]

  it.each([
    {
      name: 'a body',
      bodyBytes: 2,
      said: {},
      snapshot: { headers: KEPT_HEADERS, bodyBytes: 2, body: 'kept' },
    },
    {
      name: 'an answer without a body',
      bodyBytes: 0,
      said: {},
      snapshot: { headers: KEPT_HEADERS, bodyBytes: 0, body: 'none' },
    },
    {
      name: 'a body over the limit',
      bodyBytes: null,
      said: {},
      snapshot: { headers: KEPT_HEADERS, bodyBytes: 0, body: 'omitted' },
    },
    {
      name: 'a body that is not to be stored',
      bodyBytes: 2,
      said: { isStorable: false },
      snapshot: { headers: [], bodyBytes: 0, body: 'omitted', omittedFor: 'no-store' },
    },
    {
      name: 'an empty answer that is not to be stored',
      bodyBytes: 0,
      said: { isStorable: false },
      snapshot: { headers: [], bodyBytes: 0, body: 'omitted', omittedFor: 'no-store' },
    },
    {
      name: 'a body over the limit that is not to be stored either',
      bodyBytes: null,
      said: { isStorable: false },
      snapshot: { headers: [], bodyBytes: 0, body: 'omitted', omittedFor: 'no-store' },
    },
  ])('keeps of $name what the route and the origin allow', ({ bodyBytes, said, snapshot }) => {
    const rules = rulesOf({ corsOrigin: 'https://a.test' })
    expect(toSettlement(headOf(said), 'succeeded', bodyBytes, rules)).toEqual({
      outcome: 'succeeded',
      snapshot: { status: 201, corsOrigin: 'https://a.test', ...snapshot },
      retentionMs: null,
      evidence: { originStatus: 201, fault: null },
    })
  })

  it.each([{ isStorable: true }, { isStorable: false }])(
    'keeps it for as long as the origin says, storable or not: $isStorable',
    ({ isStorable }) => {
      const head = headOf({ isStorable, retentionMs: 60_000 })
      expect(toSettlement(head, 'failed', 2, rulesOf())).toMatchObject({
        outcome: 'failed',
        retentionMs: 60_000,
      })
    },
  )

  it('keeps of a collected answer what it keeps of the same one that streams', () => {
    const { settlement } = decideLanding(answerOf(), rulesOf())
    expect(toSettlement(answerOf(), 'succeeded', BODY.byteLength, rulesOf())).toEqual(settlement)
  })
})

describe('decideLanding behind a call that may have been executed', () => {
  const land = (over: Partial<AnswerReply>) => decideLanding(answerOf(over), rulesOf(), true)

  it('leaves the operation unknown at a call that was not executed, and tells so of that call', () => {
    expect(land({ status: 429, retryAfterMs: 2_000 })).toMatchObject({
      outcome: 'unknown',
      settlement: {
        outcome: 'not_executed',
        coversAll: false,
        evidence: { originStatus: 429, fault: null, retryAfterMs: 2_000 },
      },
      end: { outcome: 'unknown', status: 429 },
    })
  })

  it('leaves it unknown at a 409', () => {
    const { outcome, settlement, end } = land({ status: 409 })
    expect([outcome, settlement.outcome]).toEqual(['unknown', 'unknown'])
    expect(end).toMatchObject({ outcome: 'unknown', status: 409 })
  })

  it('leaves it unknown where nothing could be sent', () => {
    const fault = { kind: 'fault', fault: 'not-sent', originStatus: null } as const
    const landing = decideLanding(fault, rulesOf(), true)
    expect([landing.outcome, landing.settlement.outcome]).toEqual(['unknown', 'not_executed'])
    expect(landing.end).toMatchObject({ outcome: 'unknown' })
  })

  it.each([
    {
      name: 'the origin says that no call was',
      over: { status: 409, directives: directivesOf({ outcome: 'not-executed' }) },
      expected: 'not_executed',
    },
    { name: 'an end comes', over: { status: 201 }, expected: 'succeeded' },
    { name: 'it is refused for good', over: { status: 422 }, expected: 'failed' },
  ] as const)('files it under $expected where $name', ({ over, expected }) => {
    expect(land(over).outcome).toBe(expected)
  })
})

describe('decideProbeLanding', () => {
  it.each(['failed', 'succeeded'] as const)(
    'believes a route that says %s of the body',
    (outcome) => {
      const landing = decideProbeLanding(answerOf(), 200, rulesOf(), { outcome, isExact: true })
      expect(landing).toMatchObject({ outcome, settlement: { snapshot: { status: 200 } } })
    },
  )

  it.each([
    { status: 200, outcome: 'succeeded' },
    { status: 201, outcome: 'succeeded' },
    { status: 422, outcome: 'failed' },
    { status: 500, outcome: 'failed' },
    { status: 503, outcome: 'failed' },
  ])('files a result with $status under $outcome: it was executed', ({ status, outcome }) => {
    const reply = answerOf({ status: 200 })
    const landing = decideProbeLanding(reply, status, rulesOf({ outcomes: { '2xx': 'unknown' } }))
    expect(landing).toMatchObject({
      outcome,
      settlement: { outcome, snapshot: { status, bodyBytes: 2, body: 'kept' } },
      end: { kind: 'response', outcome, status, body: BODY },
    })
  })

  it('was executed all the same where the result is over the limit, and says so to those who wait', () => {
    const landing = decideProbeLanding(answerOf({ body: new ReadableStream() }), 201, rulesOf())
    expect(landing).toMatchObject({
      outcome: 'succeeded',
      settlement: {
        outcome: 'succeeded',
        snapshot: { status: 201, headers: [['content-type', 'text/plain']], body: 'omitted' },
      },
      end: { kind: 'too_large' },
    })
  })

  it('was executed, whatever word for the operation comes with the result', () => {
    const directives = directivesOf({ outcome: 'not-executed' })
    const landing = decideProbeLanding(answerOf({ directives }), 201, rulesOf())
    expect(landing.settlement.outcome).toBe('succeeded')
  })

  it('obeys what the status resource says about keeping it', () => {
    const directives = directivesOf({ isStorable: false, retentionMs: 60_000 })
    const landing = decideProbeLanding(answerOf({ directives }), 200, rulesOf())
    expect(landing).toMatchObject({
      settlement: { retentionMs: 60_000, snapshot: { headers: [], bodyBytes: 0, body: 'omitted' } },
      end: { kind: 'too_large', omittedFor: 'no-store', retentionMs: 60_000 },
    })
  })
})
