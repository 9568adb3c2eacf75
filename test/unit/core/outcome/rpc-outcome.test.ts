import { describe, expect, it } from 'vitest'

import {
  asksForMore,
  findResponse,
  judgeResponse,
  judgeSilence,
} from '../../../../src/core/outcome/rpc-outcome.ts'

const RESULT = { jsonrpc: '2.0', id: 1, result: { content: [] } }
const errorOf = (code: unknown) => ({ id: 1, error: { code, message: 'm' } })

describe('findResponse', () => {
  it.each([
    { name: 'a result', answer: RESULT, id: '1' },
    { name: 'an id that is written in another way', answer: RESULT, id: '1.0e0' },
    { name: 'an escaped id', answer: { id: 'a', result: {} }, id: String.raw`"\u0061"` },
    { name: 'an error', answer: errorOf(1), id: '1' },
    { name: 'a result beside an error of null', answer: { ...RESULT, error: null }, id: '1' },
    { name: 'a result of null', answer: { id: 1, result: null }, id: '1' },
    {
      name: 'an error of a server that could not read the id',
      answer: { ...errorOf(-32_700), id: null },
      id: '1',
    },
    { name: 'an invalid request, without an id', answer: { error: { code: -32_600 } }, id: '1' },
  ])('finds $name', ({ answer, id }) => {
    expect(findResponse(answer, id)).toBe(answer)
    expect(findResponse([{ method: 'ping' }, answer], id)).toBe(answer)
  })

  it.each([
    { name: 'another id', answer: { ...RESULT, id: 2 } },
    { name: 'the id as a text', answer: { ...RESULT, id: '1' } },
    { name: 'an id of null', answer: { ...RESULT, id: null } },
    { name: 'an error of the server without an id', answer: { error: { code: -32_603 } } },
    { name: 'a request of the server with the same id', answer: { id: 1, method: 'ping' } },
    { name: 'a notification', answer: { method: 'notifications/message', params: RESULT } },
    { name: 'neither result nor error', answer: { id: 1 } },
    { name: 'an error of null alone', answer: { id: 1, error: null } },
    { name: 'a batch in a batch', answer: [[RESULT]] },
    { name: 'an empty batch', answer: [] },
    { name: 'a text', answer: 'ok' },
    { name: 'null', answer: null },
  ])('finds none in $name', ({ answer }) => {
    expect(findResponse(answer, '1')).toBeNull()
  })
})

describe('judgeResponse', () => {
  it.each([
    { name: 'a result', response: RESULT, expected: 'succeeded' },
    { name: 'a result that is not an object', response: { result: 'done' }, expected: 'succeeded' },
    {
      name: 'a complete result',
      response: { result: { resultType: 'complete', inputRequests: {} } },
      expected: 'succeeded',
    },
    {
      name: 'a task',
      response: { result: { task: { taskId: 't', status: 'working' } } },
      expected: 'succeeded',
    },
    {
      name: 'a task of an extension',
      response: { result: { resultType: 'task' } },
      expected: 'succeeded',
    },
    { name: 'an error of the tool', response: { result: { isError: true } }, expected: 'failed' },
    {
      name: 'a tool that says that it has none',
      response: { result: { isError: false } },
      expected: 'succeeded',
    },
    {
      name: 'a result that asks for input',
      response: { result: { resultType: 'input_required', requestState: 's' } },
      expected: 'step',
    },
    {
      name: 'the same without a type',
      response: { result: { inputRequests: { a: {} } } },
      expected: 'step',
    },
    {
      name: 'the same under a type of a draft',
      response: { result: { resultType: 'incomplete', inputRequests: { a: {} } } },
      expected: 'step',
    },
    { name: 'an error without a code', response: { error: {} }, expected: 'unknown' },
    { name: 'an error that is a text', response: { error: 'oops' }, expected: 'unknown' },
    { name: 'a code that is a text', response: errorOf('-32602'), expected: 'unknown' },
  ])('takes $name for $expected', ({ response, expected }) => {
    expect(judgeResponse(response, 200)).toBe(expected)
  })

  it.each([
    { code: -32_700, expected: 'not_executed' },
    { code: -32_600, expected: 'not_executed' },
    { code: -32_601, expected: 'not_executed' },
    { code: -32_602, expected: 'not_executed' },
    { code: -32_603, expected: 'unknown' },
    { code: -32_604, expected: 'unknown' },
    { code: -32_042, expected: 'step' },
    { code: -32_022, expected: 'not_executed' },
    { code: -32_021, expected: 'not_executed' },
    { code: -32_020, expected: 'not_executed' },
    { code: -32_019, expected: 'unknown' },
    { code: -32_002, expected: 'failed' },
    { code: -32_000, expected: 'unknown' },
    { code: -31_999, expected: 'failed' },
    { code: -32_768, expected: 'unknown' },
    { code: -32_769, expected: 'failed' },
    { code: 0, expected: 'failed' },
    { code: 1001, expected: 'failed' },
    { code: 402, expected: 'failed' },
    { code: 429, expected: 'not_executed' },
    { code: 503, expected: 'not_executed' },
    { code: 500, expected: 'unknown' },
    { code: 600, expected: 'failed' },
  ])('takes the code $code for $expected', ({ code, expected }) => {
    expect(judgeResponse(errorOf(code), 200)).toBe(expected)
  })

  it.each([
    { status: 404, code: -32_001, expected: 'not_executed' },
    { status: 400, code: -32_000, expected: 'not_executed' },
    { status: 400, code: -32_603, expected: 'unknown' },
    { status: 429, code: -32_603, expected: 'not_executed' },
    { status: 503, code: -32_000, expected: 'not_executed' },
    { status: 503, code: -32_603, expected: 'unknown' },
    { status: 500, code: -32_000, expected: 'unknown' },
    { status: 500, code: -32_603, expected: 'unknown' },
    { status: 500, code: -32_602, expected: 'not_executed' },
    { status: 400, code: 1001, expected: 'failed' },
    { status: 500, code: 1001, expected: 'unknown' },
  ])('takes $code under $status for $expected', ({ status, code, expected }) => {
    expect(judgeResponse(errorOf(code), status)).toBe(expected)
  })
})

describe('judgeSilence', () => {
  it.each([
    { status: 200, expected: 'unknown' },
    { status: 202, expected: 'unknown' },
    { status: 204, expected: 'unknown' },
    { status: 302, expected: 'not_executed' },
    { status: 400, expected: 'not_executed' },
    { status: 404, expected: 'not_executed' },
    { status: 409, expected: 'not_executed' },
    { status: 500, expected: 'unknown' },
    { status: 501, expected: 'failed' },
    { status: 503, expected: 'not_executed' },
  ])('takes $status without a response for $expected', ({ status, expected }) => {
    expect(judgeSilence({ status })).toBe(expected)
  })

  it('proves nothing that a proxy says', () => {
    expect(judgeSilence({ status: 503, isFromProxy: true })).toBe('unknown')
    expect(judgeSilence({ status: 501, isFromProxy: true })).toBe('failed')
  })
})

describe('asksForMore', () => {
  it('knows a step from a result and from a request', () => {
    const result = { resultType: 'input_required' }
    expect(asksForMore({ id: 1, result })).toBe(true)
    expect(asksForMore(errorOf(-32_042))).toBe(true)
    expect(asksForMore({ id: 1, method: 'm', result })).toBe(false)
    expect(asksForMore(RESULT)).toBe(false)
  })
})
