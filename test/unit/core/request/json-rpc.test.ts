import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import {
  answerEvents,
  type JsonRpcCall,
  readCall,
  toAnswerOf,
} from '../../../../src/core/request/json-rpc.ts'

const callOf = (overrides: Partial<JsonRpcCall> = {}): JsonRpcCall => ({
  method: 'tools/call',
  id: '"new"',
  progressToken: '7.0',
  ...overrides,
})

const progressOf = (token: string) =>
  `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":${token},"progress":0.50}}`

/** What comes out of the stream, put in byte by byte or at once. */
async function answerText(
  call: JsonRpcCall,
  text: string,
  size = text.length * 4,
): Promise<string> {
  const bytes = new TextEncoder().encode(text)
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      for (let at = 0; at < bytes.length; at += size) controller.enqueue(bytes.slice(at, at + size))
      controller.close()
    },
  })
  return new Response(source.pipeThrough(answerEvents(call))).text()
}

const identifier = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify(text)),
  fc.double({ noDefaultInfinity: true, noNaN: true }).map((number) => JSON.stringify(number)),
  fc.constantFrom('1.0', '-0', '12345678901234567890', '1E3', String.raw`"\u0061\/"`),
)

describe('readCall', () => {
  it.each([
    {
      name: 'a call with a number',
      text: '{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
      expected: { method: 'tools/call', id: '1', progressToken: null },
    },
    {
      name: 'a call with a progress token',
      text: '{"jsonrpc":"2.0","id":"a","method":"m","params":{"_meta":{"progressToken":"t"}}}',
      expected: { method: 'm', id: '"a"', progressToken: '"t"' },
    },
    {
      name: 'spellings of its own',
      text: String.raw` { "\u0069d" : 1.0e0 , "method":"tools\/call", "params" : {"_meta":{ "progressToken" : 12345678901234567890 }}, "jsonrpc":"2\u002e0" } `,
      expected: { method: 'tools/call', id: '1.0e0', progressToken: '12345678901234567890' },
    },
    {
      name: 'a negative id',
      text: '{"jsonrpc":"2.0","id":-1,"method":"m"}',
      expected: { method: 'm', id: '-1', progressToken: null },
    },
    {
      name: 'empty strings',
      text: '{"jsonrpc":"2.0","id":"","method":""}',
      expected: { method: '', id: '""', progressToken: null },
    },
    {
      name: 'parameters by position',
      text: '{"jsonrpc":"2.0","id":1,"method":"m","params":[{"_meta":{"progressToken":1}}]}',
      expected: { method: 'm', id: '1', progressToken: null },
    },
    {
      name: 'a progress token elsewhere',
      text: '{"jsonrpc":"2.0","id":1,"method":"m","params":{"progressToken":1},"_meta":{"progressToken":2}}',
      expected: { method: 'm', id: '1', progressToken: null },
    },
    {
      name: 'a progress token that is none',
      text: '{"jsonrpc":"2.0","id":1,"method":"m","params":{"_meta":{"progressToken":null}}}',
      expected: { method: 'm', id: '1', progressToken: null },
    },
    {
      name: 'the last of two members of one name',
      text: '{"id":1,"method":"a","jsonrpc":"1.0","id":2,"method":"b","jsonrpc":"2.0"}',
      expected: { method: 'b', id: '2', progressToken: null },
    },
    {
      name: 'arguments that look like a call',
      text: '{"jsonrpc":"2.0","id":1,"method":"m","params":{"arguments":{"id":2,"method":"n","_meta":{"progressToken":3}}}}',
      expected: { method: 'm', id: '1', progressToken: null },
    },
    {
      name: 'members that Object.prototype has',
      text: '{"__proto__":{"id":2},"jsonrpc":"2.0","id":1,"method":"toString"}',
      expected: { method: 'toString', id: '1', progressToken: null },
    },
  ])('reads $name', ({ text, expected }) => {
    expect(readCall(text)).toEqual(expected)
  })

  it.each([
    { name: 'a batch', text: '[{"jsonrpc":"2.0","id":1,"method":"m"}]' },
    { name: 'a notification', text: '{"jsonrpc":"2.0","method":"m"}' },
    { name: 'a response', text: '{"jsonrpc":"2.0","id":1,"result":{}}' },
    { name: 'an id of null', text: '{"jsonrpc":"2.0","id":null,"method":"m"}' },
    { name: 'an id of true', text: '{"jsonrpc":"2.0","id":true,"method":"m"}' },
    { name: 'a last id that is null', text: '{"jsonrpc":"2.0","id":1,"method":"m","id":null}' },
    { name: 'a call with something behind it', text: '{"jsonrpc":"2.0","id":1,"method":"m"}1' },
    { name: 'an id that is an object', text: '{"jsonrpc":"2.0","id":{},"method":"m"}' },
    { name: 'a method that is no string', text: '{"jsonrpc":"2.0","id":1,"method":1}' },
    { name: 'another version', text: '{"jsonrpc":"1.0","id":1,"method":"m"}' },
    { name: 'a version that is a number', text: '{"jsonrpc":2.0,"id":1,"method":"m"}' },
    { name: 'no version', text: '{"id":1,"method":"m"}' },
    { name: 'a call inside a string', text: String.raw`"{\"jsonrpc\":\"2.0\"}"` },
    { name: 'text that is not JSON', text: '{"jsonrpc":"2.0","id":1,"method":"m"' },
    { name: 'no text', text: '' },
  ])('takes no call from $name', ({ text }) => {
    expect(readCall(text)).toBeNull()
  })

  it('keeps the spelling of every id and token', () => {
    fc.assert(
      fc.property(identifier, identifier, (id, progressToken) => {
        const text = `{"jsonrpc":"2.0","id":${id},"method":"m","params":{"_meta":{"progressToken":${progressToken}}}}`
        expect(readCall(text)).toEqual({ method: 'm', id, progressToken })
      }),
    )
  })
})

describe('toAnswerOf', () => {
  it.each([
    {
      name: 'the id of a response',
      message: ' {"result" : {"id":1, "n":1.00}, "id" : 1 ,"jsonrpc":"2.0"}\n',
      expected: ' {"result" : {"id":1, "n":1.00}, "id" : "new" ,"jsonrpc":"2.0"}\n',
    },
    {
      name: 'the id of an error',
      message: '{"jsonrpc":"2.0","id":"old","error":{"code":-32602,"message":"m"}}',
      expected: '{"jsonrpc":"2.0","id":"new","error":{"code":-32602,"message":"m"}}',
    },
    {
      name: 'an id whose name is escaped',
      message: String.raw`{"\u0069d":1,"result":{}}`,
      expected: String.raw`{"\u0069d":"new","result":{}}`,
    },
    {
      name: 'the token of progress',
      message: progressOf('"old"'),
      expected: progressOf('7.0'),
    },
    {
      name: 'the token of progress, the slash escaped',
      message: String.raw`{"method":"notifications\/progress","params":{"progressToken":1}}`,
      expected: String.raw`{"method":"notifications\/progress","params":{"progressToken":7.0}}`,
    },
    {
      name: 'each message of a batch',
      message: `[ {"id":1,"result":[1]} , ${progressOf('1')},{"method":"ping"}, {"id":3,"result":2} ]`,
      expected: `[ {"id":"new","result":[1]} , ${progressOf('7.0')},{"method":"ping"}, {"id":"new","result":2} ]`,
    },
    {
      name: 'the last of two ids',
      message: '{"id":1,"result":1,"id":2}',
      expected: '{"id":1,"result":1,"id":"new"}',
    },
    {
      name: 'the token of progress and not its own id',
      message: '{"id":1,"method":"notifications/progress","params":{"progressToken":2}}',
      expected: '{"id":1,"method":"notifications/progress","params":{"progressToken":7.0}}',
    },
    {
      name: 'what can be read of a batch with other values in it',
      message: '[1,null,[],{"id":1,"result":1}]',
      expected: '[1,null,[],{"id":"new","result":1}]',
    },
  ])('replaces $name', ({ message, expected }) => {
    expect(toAnswerOf(callOf(), message)).toBe(expected)
  })

  it.each([
    { name: 'a request of the server', message: '{"jsonrpc":"2.0","id":1,"method":"ping"}' },
    {
      name: 'another notification',
      message: '{"jsonrpc":"2.0","method":"notifications/message","params":{"progressToken":1}}',
    },
    { name: 'progress without a token', message: '{"method":"notifications/progress"}' },
    { name: 'an error without an id', message: '{"jsonrpc":"2.0","error":{"code":-32700}}' },
    {
      name: 'an error for a call that the server could not read',
      message: '{"jsonrpc":"2.0","error":{"code":-32700},"id":null}',
    },
    { name: 'a message with a method that is no string', message: '{"id":1,"method":null}' },
    { name: 'an id inside', message: '{"result":{"id":1}}' },
    { name: 'a batch in a batch', message: '[[{"id":1,"result":1}]]' },
    { name: 'a batch with a fault', message: '[{"id":1,"result":1},]' },
    { name: 'a response with a fault', message: '{"id":1,"result":tru}' },
    { name: 'a response that goes on', message: '{"id":1,"result":1} {}' },
    { name: 'a scalar', message: '1' },
    { name: 'an empty batch', message: '[ ]' },
    { name: 'no text', message: '' },
    { name: 'plain text', message: 'Bad gateway: "id":1' },
  ])('leaves $name', ({ message }) => {
    expect(toAnswerOf(callOf(), message)).toBe(message)
  })

  it('leaves progress where the call has no token, but not in a batch', () => {
    const call = callOf({ progressToken: null })
    const batch = `[${progressOf('1')},{"id":1,"result":1}]`
    expect(toAnswerOf(call, progressOf('1'))).toBe(progressOf('1'))
    expect(toAnswerOf(call, batch)).toBe('[{"id":"new","result":1}]')
  })

  it('leaves out of a batch what the server asks', () => {
    const asked = '{"id":"s1","method":"elicitation/create"}'
    const batch = `[ ${asked}, {"id":1,"result":1} ,${asked},{"method":"ping"}]`
    expect(toAnswerOf(callOf(), batch)).toBe('[{"id":"new","result":1},{"method":"ping"}]')
  })

  const AGE = { name: '"hapax/replayed"', value: '{"ageSeconds":3}' }
  const MARK = '"hapax/replayed":{"ageSeconds":3}'

  it.each([
    {
      name: 'a result without _meta',
      message: '{"id":1,"result":{ "n":1.00 }}',
      expected: `{"id":"new","result":{"_meta":{${MARK}}, "n":1.00 }}`,
    },
    {
      name: 'an empty result, before its id',
      message: '{"result":{ },"id":1}',
      expected: `{"result":{"_meta":{${MARK}} },"id":"new"}`,
    },
    {
      name: 'a result with _meta of its own',
      message: '{"id":1,"result":{"_meta":{ "a":1.0}}}',
      expected: `{"id":"new","result":{"_meta":{${MARK}, "a":1.0}}}`,
    },
    {
      name: 'a result that is marked already, by a gateway behind this one',
      message: '{"id":1,"result":{"_meta":{"hapax/replayed":{"ageSeconds":1},"a":1}}}',
      expected: `{"id":"new","result":{"_meta":{${MARK},"a":1}}}`,
    },
    {
      name: 'an error without data',
      message: '{"id":1,"error":{"code":1,"message":"m"}}',
      expected: `{"id":"new","error":{"data":{${MARK}},"code":1,"message":"m"}}`,
    },
    {
      name: 'an error with data',
      message: '{"id":1,"error":{"code":1,"data":{"a":1}}}',
      expected: `{"id":"new","error":{"code":1,"data":{${MARK},"a":1}}}`,
    },
    {
      name: 'each response of a batch',
      message: '[{"id":1,"result":{}},{"method":"m"}]',
      expected: `[{"id":"new","result":{"_meta":{${MARK}}}},{"method":"m"}]`,
    },
  ])('marks $name', ({ message, expected }) => {
    expect(toAnswerOf(callOf(), message, { mark: AGE, insteadOfStep: null })).toBe(expected)
  })

  it.each([
    { name: 'a result that is a text', rest: '"result":"{}"' },
    { name: 'a result that is a list', rest: '"result":[{}]' },
    { name: 'a result whose _meta is none', rest: '"result":{"_meta":null}' },
    { name: 'an error whose data is a text', rest: '"error":{"code":1,"data":"d"}' },
    { name: 'neither', rest: '"other":{}' },
  ])('does not mark $name', ({ rest }) => {
    const answer = toAnswerOf(callOf(), `{"id":1,${rest}}`, { mark: AGE, insteadOfStep: null })
    expect(answer).toBe(`{"id":"new",${rest}}`)
  })

  it('gives nobody else a step', () => {
    const step = '{"id":1,"result":{"resultType":"input_required","inputRequests":{}}}'
    const retelling = { mark: AGE, insteadOfStep: '{"wait":true}' }
    expect(toAnswerOf(callOf(), step, retelling)).toBe('{"wait":true}')
    expect(toAnswerOf(callOf(), `[${step}, {"method":"m"}]`, retelling)).toBe(
      '[{"wait":true}, {"method":"m"}]',
    )
    expect(toAnswerOf(callOf(), '{"id":1,"result":{}}', retelling)).toContain(MARK)
  })

  it('changes nothing but the id, which goes back and forth', () => {
    const space = fc.string({ unit: fc.constantFrom(' ', '\t', '\r', '\n'), maxLength: 2 })
    fc.assert(
      fc.property(identifier, identifier, fc.json(), space, (one, other, result, blank) => {
        const response = (id: string) =>
          `${blank}{"jsonrpc":"2.0",${blank}"id":${blank}${id}${blank},"result":${result}}${blank}`
        expect(toAnswerOf(callOf({ id: other }), response(one))).toBe(response(other))
        expect(toAnswerOf(callOf({ id: one }), response(one))).toBe(response(one))
      }),
      { numRuns: 500 },
    )
  })
})

describe('answerEvents', () => {
  const ASKED = 'data: {"jsonrpc":"2.0","id":"s1","method":"sampling/createMessage"}\n\n'

  const stream = (id: string, token: string | null, asked = '') =>
    [
      ': hello\r\nretry: 5\r\n\r\n',
      'id: 0\r\ndata:\r\n\r\n',
      token === null ? '' : `event: message\nid: 1\ndata: ${progressOf(token)}\n\n`,
      asked,
      `event: message\rid: 2\rdata: {"jsonrpc":"2.0",\rdata:  "id":${id},"result":"é😀"}\r\r`,
      'data: [DONE]\n\n',
    ].join('')

  it.each([1, 2, 3, 1000])('answers in chunks of %i bytes', async (size) => {
    const call = callOf({ id: '"é"' })
    const first = stream('1', '"old"', ASKED)
    expect(await answerText(call, first, size)).toBe(stream('"é"', '7.0'))
  })

  it('drops events of progress where the call has no token', async () => {
    const call = callOf({ progressToken: null })
    expect(await answerText(call, stream('1', '"old"'))).toBe(stream('"new"', null))
  })

  it('leaves progress out of a batch where the call has no token', async () => {
    const call = callOf({ progressToken: null })
    expect(await answerText(call, `data: [${progressOf('1')},{"id":1,"result":1}]\n\n`)).toBe(
      'data: [{"id":"new","result":1}]\n\n',
    )
    expect(await answerText(call, `data: [${progressOf('1')}]\n\n`)).toBe('')
  })

  it.each([
    { name: 'no response', text: 'data: {"method":"m"}\n\n', last: true },
    { name: 'nothing', text: '', last: true },
    { name: 'an event that is not complete', text: 'id: 1\ndata: {"id":1,"res', last: true },
    { name: 'a response', text: 'data: {"id":1,"result":1}\n\n', last: false },
    { name: 'an error to nobody', text: 'data: {"id":null,"error":{}}\n\n', last: false },
    { name: 'a batch with one', text: 'data: [{"id":1,"result":1}]\n\n', last: false },
    { name: 'an event too long to read', text: `data: "${'x'.repeat(9e6)}"\n\n`, last: false },
  ])(
    'ends a stream with what it is told only where it was silent: $name',
    async ({ text, last }) => {
      const retelling = { mark: null, insteadOfStep: null, insteadOfSilence: '{"silent":true}' }
      const { body } = new Response(text)
      const events = answerEvents(callOf(), retelling)
      const told = body === null ? '' : await new Response(body.pipeThrough(events)).text()
      expect(told.endsWith('data: {"silent":true}\n\n')).toBe(last)
    },
  )

  it('changes no byte for the call that was answered first', async () => {
    const text = `\uFEFFdata:{"id":1.0,\ndata\ndata: "result":1}\r\r${stream('1.0', '"t"')}data: {"id":2`
    expect(await answerText(callOf({ id: '1.0', progressToken: '"t"' }), text.slice(1))).toBe(
      text.slice(1),
    )
    const bytes = new TextEncoder().encode(text)
    const source = new Response(bytes).body?.pipeThrough(
      answerEvents(callOf({ id: '1.0', progressToken: '"t"' })),
    )
    expect(new Uint8Array(await new Response(source).arrayBuffer())).toEqual(bytes)
  })
  it('answers alike in an event and in a body', async () => {
    const messages = fc.oneof(
      fc.tuple(identifier, fc.json()).map(([id, result]) => `{"id":${id},"result":${result}}`),
      identifier.map(progressOf),
      fc.json(),
    )
    await fc.assert(
      fc.asyncProperty(messages, identifier, async (message, id) => {
        const call = callOf({ id })
        const event = await answerText(call, `data: ${message}\n\n`, 7)
        expect(event).toBe(`data: ${toAnswerOf(call, message)}\n\n`)
      }),
      { numRuns: 300 },
    )
  })
})
