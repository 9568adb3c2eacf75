import {
  generateText,
  jsonSchema,
  type LanguageModel,
  stepCountIs,
  streamText,
  tool,
  type ToolSet,
} from 'ai'
import { convertArrayToReadableStream, MockLanguageModelV3 } from 'ai/test'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

import { callOf, idempotentTool } from '../../../src/agents.ts'
import { answer } from '../client/played-server.ts'
import { made, payBy, playApi, repeated } from './played-tool.ts'

const inputSchema = z.object({ order: z.string(), again: z.int().optional() })

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
}
const toolCalls = { unified: 'tool-calls', raw: undefined } as const
const stop = { unified: 'stop', raw: undefined } as const

/** A model that calls `pay` with each of these inputs, and then says something. */
function createModel(...inputs: readonly object[]) {
  const calls = inputs.map((input, index) => ({
    type: 'tool-call' as const,
    toolCallId: `call-${index}`,
    toolName: 'pay',
    input: JSON.stringify(input),
  }))
  return new MockLanguageModelV3({
    doGenerate: [
      ...calls.map((call) => ({ content: [call], finishReason: toolCalls, usage, warnings: [] })),
      { content: [{ type: 'text', text: 'Done.' }], finishReason: stop, usage, warnings: [] },
    ],
    doStream: [
      ...calls.map((call) => ({
        stream: convertArrayToReadableStream([
          call,
          { type: 'finish' as const, finishReason: toolCalls, usage },
        ]),
      })),
      { stream: convertArrayToReadableStream([{ type: 'finish', finishReason: stop, usage }]) },
    ],
  })
}

const settings = (model: LanguageModel, tools: ToolSet) => ({
  model,
  tools,
  stopWhen: stepCountIs(5),
  prompt: 'Pay order o17.',
})

/** Runs an agent. @returns The outputs of its tool: for the application, and for the model. */
async function play(pay: ToolSet[string], ...inputs: readonly object[]) {
  const { steps, response } = await generateText(settings(createModel(...inputs), { pay }))
  const messages = response.messages.flatMap((message) =>
    message.role === 'tool' ? message.content : [],
  )
  return {
    outputs: steps.flatMap(({ toolResults }) => toolResults.map(({ output }): unknown => output)),
    told: messages.map((part) => (part.type === 'tool-result' ? part.output : null)),
  }
}

const order = { order: 'o17' }

describe('idempotentTool with the AI SDK', () => {
  it('keeps the output as it is, and tells the model beside it what became of the call', async () => {
    const api = playApi(made(), repeated())
    const pay = idempotentTool(
      'pay',
      {
        description: 'Pays an order.',
        inputSchema,
        execute: async (input, { fetch, attempt, toolCallId }) => ({
          said: await payBy({ fetch }, input),
          attempt,
          toolCallId,
        }),
      },
      api.options,
    )
    const { outputs, told } = await play(pay, order, order)
    const [first, second] = [
      { said: 'paid', attempt: 1, toolCallId: 'call-0' },
      { said: 'paid', attempt: 2, toolCallId: 'call-1' },
    ]
    expect(outputs).toEqual([first, second])
    expect(told).toEqual([
      { type: 'text', value: expect.stringMatching(/\n\nAbout this call: It was executed now\./) },
      { type: 'text', value: expect.stringMatching(/\n\nAbout this call: This is the earlier/) },
    ])
    expect(String(Reflect.get(told[0] ?? {}, 'value'))).toContain(JSON.stringify(first))
    const [key] = api.keys()
    expect(api.keys()).toEqual([key, key])
    expect(pay.description).toBe('Pays an order.')
  })

  it('wraps what `tool` has made, whose function finds the call', async () => {
    const api = playApi(made())
    const made_ = tool({ inputSchema, execute: (input, options) => payBy(callOf(options), input) })
    const { outputs, told } = await play(idempotentTool('pay', made_, api.options), order)
    expect(outputs).toEqual(['paid'])
    expect(told).toEqual([{ type: 'text', value: expect.stringMatching(/^paid\n\nAbout/) }])
  })

  it('tells the model after an error what to do, and the run goes on', async () => {
    const api = playApi(answer(502), repeated())
    const pay = idempotentTool(
      'pay',
      {
        inputSchema: jsonSchema<{ order: string }>({ type: 'object' }),
        execute: async (input, { fetch }) => {
          const said = await payBy({ fetch }, input)
          if (said !== 'paid') throw new Error(said)
          return said
        },
      },
      api.options,
    )
    const { told } = await play(pay, order, order)
    expect(told).toEqual([
      { type: 'error-text', value: expect.stringMatching(/^status 502\n\nAbout .* same tool/) },
      { type: 'text', value: expect.stringMatching(/^paid\n\nAbout .* executed 2 minutes ago/) },
    ])
  })

  it.each([
    {
      name: 'text',
      own: { type: 'text' as const, value: 'Paid.' },
      expected: { type: 'text', value: expect.stringMatching(/^Paid\.\n\nAbout/) },
    },
    {
      name: 'an error as JSON',
      own: { type: 'error-json' as const, value: { code: 1 } },
      expected: { type: 'error-text', value: expect.stringMatching(/^{"code":1}\n\nAbout/) },
    },
    {
      name: 'content',
      own: { type: 'content' as const, value: [{ type: 'text' as const, text: 'Paid.' }] },
      expected: {
        type: 'content',
        value: [
          { type: 'text', text: 'Paid.' },
          { type: 'text', text: expect.stringMatching(/^About/) },
        ],
      },
    },
    {
      name: 'a denial',
      own: { type: 'execution-denied' as const, reason: 'no' },
      expected: { type: 'execution-denied', reason: 'no' },
    },
  ])(
    'adds the note to what the tool itself makes for the model: $name',
    async ({ own, expected }) => {
      const pay = idempotentTool(
        'pay',
        tool({
          inputSchema,
          execute: (input, options) => payBy(callOf(options), input),
          toModelOutput: () => own,
        }),
        playApi(made()).options,
      )
      expect((await play(pay, order)).told).toEqual([expected])
    },
  )

  it('streams preliminary outputs', async () => {
    const api = playApi(made())
    const pay = idempotentTool(
      'pay',
      {
        inputSchema,
        async *execute(input, { fetch }): AsyncGenerator<string> {
          yield 'paying'
          yield await payBy({ fetch }, input)
        },
      },
      api.options,
    )
    const { fullStream, response } = streamText(settings(createModel(order), { pay }))
    const seen: unknown[] = []
    for await (const part of fullStream) {
      if (part.type === 'tool-result') seen.push([part.output, part.preliminary === true])
    }
    expect(seen).toEqual([
      ['paying', true],
      ['paid', true],
      ['paid', false],
    ])
    expect(JSON.stringify((await response).messages)).toContain('It was executed now.')
  })

  it('takes the last value of what streams in another way for the output', async () => {
    async function* outputs() {
      yield 'paying'
      yield 'paid'
    }
    const pay = idempotentTool('pay', { inputSchema, execute: () => outputs() }, { runId: 'run-1' })
    expect((await play(pay, order)).outputs).toEqual(['paid'])
  })

  it('ends with the call: `abortSignal` is the signal, and its error stays as it is', async () => {
    const reason = new DOMException('The user left.', 'AbortError')
    const pay = idempotentTool(
      'pay',
      { inputSchema, execute: (_, { signal }) => signal.throwIfAborted() },
      { runId: 'run-1' },
    )
    const options = { toolCallId: 'call-0', abortSignal: AbortSignal.abort(reason) }
    await expect(pay.execute(order, options)).rejects.toBe(reason)
  })

  it('takes the run from `experimental_context`, unless the option says which', async () => {
    const definition = {
      inputSchema,
      execute: async (_: unknown, { key }: { readonly key: string }) => key,
    }
    const keyOf = (options: object, experimental_context?: unknown) =>
      idempotentTool('pay', definition, options).execute(order, {
        toolCallId: 'call-0',
        experimental_context,
      })
    const context = { runId: 'run-1' }
    const key = await keyOf({ runId: 'run-1' })
    expect(await keyOf({}, context)).toBe(key)
    expect(await keyOf({ runId: 'run-2' }, context)).not.toBe(key)
    const runId = ({ experimental_context }: { readonly experimental_context?: unknown }) =>
      (experimental_context as { readonly chat: string }).chat
    expect(await keyOf({ runId }, { chat: 'run-1' })).toBe(key)
    await expect(keyOf({}, { chat: 'run-1' })).rejects.toThrow("needs the id of the agent's run")
  })
})

describe('callOf', () => {
  it('refuses the options of a tool that is not wrapped', () => {
    expect(() => callOf({ toolCallId: 'call-0' })).toThrow('Wrap it with idempotentTool.')
  })
})
