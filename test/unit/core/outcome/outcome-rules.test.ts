import { describe, expect, it } from 'vitest'

import {
  judgeAnswer,
  type JudgedAnswer,
  needsBody,
  type OutcomeJudge,
  type OutcomeRules,
} from '../../../../src/core/outcome/outcome-rules.ts'

const answerOf = (json?: unknown, status = 200) => ({ status, headers: new Headers(), json })

describe('judgeAnswer', () => {
  const GRAPHQL: OutcomeRules = {
    '/errors/*/extensions/code': { THROTTLED: 'not_executed', INTERNAL: 'unknown', '*': 'failed' },
  }
  const errorsOf = (...codes: unknown[]) => ({
    errors: codes.map((code) => ({ extensions: { code } })),
  })

  it.each([
    { name: 'a value that is named', json: errorsOf('THROTTLED'), expected: 'not_executed' },
    { name: 'a value that is not named', json: errorsOf('FORBIDDEN'), expected: 'failed' },
    {
      name: 'values that agree',
      json: errorsOf('THROTTLED', 'THROTTLED'),
      expected: 'not_executed',
    },
    {
      name: 'one that frees and one that does not',
      json: errorsOf('THROTTLED', 1),
      expected: 'failed',
    },
    { name: 'one that leaves it open', json: errorsOf('BAD', 'INTERNAL'), expected: 'unknown' },
    { name: 'no item', json: errorsOf(), expected: undefined },
    { name: 'no such member', json: { data: {} }, expected: undefined },
    { name: 'another type on the way', json: { errors: 'THROTTLED' }, expected: undefined },
    { name: 'null', json: null, expected: undefined },
    { name: 'what is no JSON', json: undefined, expected: undefined },
  ])('says $expected of $name', ({ json, expected }) => {
    expect(judgeAnswer([GRAPHQL], answerOf(json))?.outcome).toBe(expected)
  })

  it.each([
    { name: 'all say so', json: errorsOf('THROTTLED', 'THROTTLED'), expected: 'not_executed' },
    { name: 'one is not named', json: errorsOf('THROTTLED', 'BAD'), expected: undefined },
    {
      name: 'one is not there',
      json: { errors: [...errorsOf('THROTTLED').errors, { message: 'm' }] },
      expected: undefined,
    },
  ])('says $expected where a value frees the key and $name', ({ json, expected }) => {
    const rules = { '/errors/*/extensions/code': { THROTTLED: 'not_executed' } } as const
    expect(judgeAnswer([rules], answerOf(json))?.outcome).toBe(expected)
  })

  it.each([
    { value: 'pending', says: 'pending' },
    { value: 'true', says: 'true' },
    { value: true, says: 'true' },
    { value: false, says: 'false' },
    { value: null, says: 'null' },
    { value: 3, says: '3' },
    { value: -1.5, says: '-1.5' },
    { value: '', says: '' },
    { value: {}, says: undefined },
    { value: [], says: undefined },
  ])('compares $value as $says', ({ value, says = 'none' }) => {
    const outcomes = { [says]: 'failed', '*': 'succeeded' } as const
    const { outcome } = judgeAnswer([{ '/a': outcomes }], answerOf({ a: value })) ?? {}
    expect(outcome).toBe(says === 'none' ? 'succeeded' : 'failed')
  })

  it.each([
    { pointer: '/a~1b', json: { 'a/b': 1 } },
    { pointer: '/a~01', json: { 'a~1': 1 } },
    { pointer: '/0', json: [1] },
    { pointer: '/a/1/b', json: { a: [0, { b: 1 }] } },
    { pointer: '/*/b', json: { x: { b: 1 } } },
    { pointer: '/*/*', json: [[1]] },
    { pointer: '/__proto__', json: JSON.parse('{"__proto__":1}') as unknown },
  ])('finds $pointer', ({ pointer, json }) => {
    expect(judgeAnswer([{ [pointer]: { 1: 'failed' } }], answerOf(json))?.outcome).toBe('failed')
  })

  it.each([
    { pointer: '/length', json: [1] },
    { pointer: '/toString', json: {} },
    { pointer: '/__proto__', json: {} },
    { pointer: '/a/length', json: { a: 'text' } },
    { pointer: '/a', json: { a: 2 } },
  ])('finds nothing at $pointer', ({ pointer, json }) => {
    const outcomes = { 1: 'failed' } as const
    expect(judgeAnswer([{ [pointer]: outcomes }], answerOf(json))).toBeNull()
  })

  it.each([
    { rules: { '/a': { x: 'unknown' }, '200': 'failed', '2xx': 'succeeded' }, expected: 'unknown' },
    { rules: { '/a': { y: 'unknown' }, '200': 'failed', '2xx': 'succeeded' }, expected: 'failed' },
    { rules: { '/b': { '*': 'unknown' }, '2xx': 'succeeded' }, expected: 'succeeded' },
    { rules: { '/a': { x: 'failed' }, '/*': { x: 'unknown' } }, expected: 'failed' },
    { rules: { '201': 'failed' }, expected: undefined },
  ] as const)('says $expected by $rules', ({ rules, expected }) => {
    expect(judgeAnswer([rules], answerOf({ a: 'x' }))?.outcome).toBe(expected)
  })

  it('knows whether only the range of the status says it', () => {
    const saidOf = (rules: OutcomeRules) => judgeAnswer([rules], answerOf({ a: 1 }))?.isExact
    expect(saidOf({ '2xx': 'failed' })).toBe(false)
    expect(saidOf({ '200': 'failed' })).toBe(true)
    expect(saidOf({ '/a': { '*': 'failed' } })).toBe(true)
  })

  it('asks rules and functions in their order, and functions with what they need', () => {
    const asked: JudgedAnswer[] = []
    const judges: OutcomeJudge[] = [
      { '500': 'failed' },
      (answer) => {
        asked.push(answer)
        return undefined
      },
      ({ headers }) => (headers.get('x-state') === 'later' ? 'unknown' : undefined),
      { '2xx': 'failed' },
    ]
    const headers = new Headers({ 'X-State': 'later' })
    expect(judgeAnswer(judges, { status: 500, headers, json: {} })?.outcome).toBe('failed')
    expect(judgeAnswer(judges, { status: 201, headers, json: { a: 1 } })?.outcome).toBe('unknown')
    expect(judgeAnswer(judges, { status: 201, headers: new Headers(), text: 'ok' })).toEqual({
      outcome: 'failed',
      isExact: false,
    })
    const texts = asked.map(({ status, body }) => ({ status, body }))
    expect(texts).toEqual([
      { status: 201, body: { a: 1 } },
      { status: 201, body: 'ok' },
    ])
    judgeAnswer(judges, { status: 204, headers: new Headers() })
    expect(asked.at(-1)?.body).toBeNull()
  })
})

describe('needsBody', () => {
  const judge = () => undefined
  const byPointer: OutcomeRules = { '/a': { b: 'failed' } }

  it.each([
    { judges: [{ '200': 'failed' }], essence: 'application/json', isJson: true, expected: false },
    { judges: [byPointer], essence: 'application/json', isJson: true, expected: true },
    { judges: [byPointer], essence: 'text/plain', isJson: false, expected: false },
    { judges: [judge], essence: 'text/plain', isJson: false, expected: true },
    { judges: [judge, byPointer], essence: 'text/event-stream', isJson: false, expected: false },
    { judges: [], essence: 'application/json', isJson: true, expected: false },
  ] as const)('is $expected for $essence with $judges', ({ judges, essence, isJson, expected }) => {
    expect(needsBody(judges, { essence, isJson })).toBe(expected)
  })
})
