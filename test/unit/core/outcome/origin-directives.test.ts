import { describe, expect, it } from 'vitest'

import { readOriginDirectives } from '../../../../src/core/outcome/origin-directives.ts'

const NOTHING = { outcome: null, isStorable: true, retentionMs: null, resultStatus: null }
const read = (name: string, value: string) => readOriginDirectives(new Headers([[name, value]]))

describe('readOriginDirectives', () => {
  it('reads nothing where nothing is said', () => {
    expect(readOriginDirectives(new Headers())).toEqual(NOTHING)
  })

  it.each([
    { value: 'executed', outcome: 'executed' },
    { value: 'not-executed', outcome: 'not-executed' },
    { value: ' Not-Executed ', outcome: 'not-executed' },
    { value: 'not_executed', outcome: null },
    { value: 'executed, executed', outcome: null },
    { value: '', outcome: null },
  ])('reads Idempotency-Outcome: $value as $outcome', ({ value, outcome }) => {
    expect(read('Idempotency-Outcome', value)).toEqual({ ...NOTHING, outcome })
  })

  it.each([
    { value: 'no-store', isStorable: false, retentionMs: null },
    { value: 'No-Store', isStorable: false, retentionMs: null },
    { value: 'max-age=60', isStorable: true, retentionMs: 60_000 },
    { value: 'max-age=0', isStorable: true, retentionMs: 1_000 },
    { value: 'max-age=1', isStorable: true, retentionMs: 1_000 },
    { value: 'Max-Age = "60"', isStorable: true, retentionMs: 60_000 },
    { value: 'max-age=999999999', isStorable: true, retentionMs: 999_999_999_000 },
    { value: 'max-age=1000000000', isStorable: true, retentionMs: null },
    { value: 'max-age=-1', isStorable: true, retentionMs: null },
    { value: 'max-age=1.5', isStorable: true, retentionMs: null },
    { value: 'max-age', isStorable: true, retentionMs: null },
    { value: 'no-store, max-age=60', isStorable: false, retentionMs: 60_000 },
    { value: 'x-no-store, s-max-age=60', isStorable: true, retentionMs: null },
    { value: 'no-stores', isStorable: true, retentionMs: null },
    { value: '', isStorable: true, retentionMs: null },
  ])('reads Idempotency-Store: $value', ({ value, isStorable, retentionMs }) => {
    expect(read('Idempotency-Store', value)).toEqual({ ...NOTHING, isStorable, retentionMs })
  })

  it.each([
    { value: '199', resultStatus: null },
    { value: '200', resultStatus: 200 },
    { value: '599', resultStatus: 599 },
    { value: '600', resultStatus: null },
    { value: '2000', resultStatus: null },
    { value: '201 Created', resultStatus: null },
    { value: '', resultStatus: null },
  ])('reads Idempotency-Result-Status: $value as $resultStatus', ({ value, resultStatus }) => {
    expect(read('Idempotency-Result-Status', value)).toEqual({ ...NOTHING, resultStatus })
  })
})
