import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import { readCorrelation } from '../../../../src/core/request/correlation.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const TRACEPARENT = `00-${TRACE_ID}-00f067aa0ba902b7-01`

const UUIDS = ['11111111-2222-4333-8444-555555555555', '66666666-7777-4888-9999-aaaaaaaaaaaa']

/** Gives the UUIDs above, one after the other. */
function counted(): () => string {
  let next = 0
  return () => UUIDS[next++ % UUIDS.length] ?? ''
}

describe('readCorrelation', () => {
  it.each([
    {
      when: 'the client sends one',
      headers: { 'X-Correlation-Id': 'order-42', traceparent: TRACEPARENT },
      expected: 'order-42',
    },
    { when: 'there is a trace', headers: { traceparent: TRACEPARENT }, expected: TRACE_ID },
    { when: 'there is nothing', headers: {}, expected: UUIDS[0] },
    {
      when: 'it has 128 letters',
      headers: { 'X-Correlation-Id': 'x'.repeat(128) },
      expected: 'x'.repeat(128),
    },
    {
      when: 'it has 129 letters',
      headers: { 'X-Correlation-Id': 'x'.repeat(129) },
      expected: UUIDS[0],
    },
    { when: 'it is empty', headers: { 'X-Correlation-Id': '' }, expected: UUIDS[0] },
    {
      when: 'it is not fit for a log line, and there is a trace',
      headers: { 'X-Correlation-Id': '{"a":1}', traceparent: TRACEPARENT },
      expected: TRACE_ID,
    },
  ])('names the request $expected when $when', ({ headers, expected }) => {
    expect(readCorrelation(new Headers(headers), counted()).correlationId).toBe(expected)
  })

  it('hands an incoming trace on as it came', () => {
    const headers = new Headers({ traceparent: TRACEPARENT, 'X-Correlation-Id': 'order-42' })
    expect(readCorrelation(headers, counted()).traceparent).toBe(TRACEPARENT)
  })

  it.each([
    { name: 'no trace', traceparent: '' },
    { name: 'a trace id of zeros', traceparent: `00-${'0'.repeat(32)}-00f067aa0ba902b7-01` },
    { name: 'a parent id of zeros', traceparent: `00-${TRACE_ID}-${'0'.repeat(16)}-01` },
    { name: 'capital letters', traceparent: TRACEPARENT.toUpperCase() },
    { name: 'a short trace id', traceparent: `00-${TRACE_ID.slice(1)}-00f067aa0ba902b7-01` },
    { name: 'two traces, joined', traceparent: `${TRACEPARENT}, ${TRACEPARENT}` },
  ])('starts a trace of its own for $name', ({ traceparent }) => {
    const correlation = readCorrelation(new Headers({ traceparent }), counted())
    expect(correlation).toEqual({
      correlationId: UUIDS[0],
      traceparent: '00-11111111222243338444555555555555-9999aaaaaaaaaaaa-01',
    })
  })

  it('is fit for a log line and a header, whatever comes in', () => {
    const value = fc.string({
      unit: fc.integer({ min: 0x20, max: 0xff }).map((c) => String.fromCharCode(c)),
    })
    fc.assert(
      fc.property(value, value, (own, traceparent) => {
        const headers = new Headers({ 'X-Correlation-Id': own, traceparent })
        const correlation = readCorrelation(headers, counted())
        expect(correlation.correlationId).toMatch(/^[\w.:=+/-]{1,128}$/)
        expect(correlation.traceparent).toMatch(/^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}$/)
      }),
    )
  })
})
