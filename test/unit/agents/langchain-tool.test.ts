import { ToolMessage } from '@langchain/core/messages'
import { DynamicStructuredTool, StructuredTool, tool } from '@langchain/core/tools'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

import { callOf, idempotentTool } from '../../../src/agents.ts'
import { answer } from '../client/played-server.ts'
import { made, payBy, playApi, repeated } from './played-tool.ts'

const fields = { name: 'pay', description: 'Pays.', schema: z.object({ order: z.string() }) }
const args = { order: 'o17' }
/** As a model makes it. */
const toolCall = { name: 'pay', args, id: 'call-1', type: 'tool_call' } as const

describe('idempotentTool with LangChain', () => {
  it('adds the note to the message of a call by the model', async () => {
    const api = playApi(made(), repeated())
    const pay = idempotentTool(
      'pay',
      tool((input, config) => payBy(callOf(config), input), fields),
      api.options,
    )
    const first = await pay.invoke(toolCall)
    expect(first).toBeInstanceOf(ToolMessage)
    expect(first.text).toMatch(/^paid\n\nAbout this call: It was executed now\./)
    const second = await pay.invoke({ ...toolCall, id: 'call-2' })
    expect(second.text).toMatch(/^paid\n\nAbout this call: This is the earlier result/)
    const [key] = api.keys()
    expect(api.keys()).toEqual([key, key])
  })

  it('stays the tool that it was', async () => {
    const made_ = tool((input, config) => payBy(callOf(config), input), fields)
    const pay = idempotentTool('pay', made_, playApi(made()).options)
    expect(pay).toBeInstanceOf(DynamicStructuredTool)
    expect(pay).toMatchObject(fields)
    await expect(pay.invoke({ order: 17 } as never)).rejects.toThrow('did not match')
    await expect(made_.invoke(args)).rejects.toThrow('Wrap it with idempotentTool.')
  })

  it('returns and throws as before where code calls it', async () => {
    const api = playApi(made(), answer(502))
    const pay = idempotentTool(
      'pay',
      tool(async (input, config) => {
        const said = await payBy(callOf(config), input)
        if (said !== 'paid') throw new RangeError(said)
        return { said }
      }, fields),
      api.options,
    )
    expect(await pay.invoke(args)).toEqual({ said: 'paid' })
    await expect(pay.invoke(args)).rejects.toMatchObject({
      message: expect.stringMatching(/^status 502\n\nAbout this call/),
      cause: expect.any(RangeError),
    })
  })

  it('makes a message of an error, which would end the run', async () => {
    const pay = idempotentTool(
      'pay',
      tool(async (): Promise<string> => {
        throw new Error('No stock.')
      }, fields),
      { runId: 'run-1' },
    )
    expect((await pay.invoke(toolCall)).text).toMatch(/^No stock\.\n\nAbout this call: It failed/)
  })

  it.each([
    {
      name: 'an object',
      result: { id: 'p1' },
      content: expect.stringContaining('{"id":"p1"}\n\nAbout'),
    },
    {
      name: 'parts of a message',
      result: [{ type: 'text', text: 'paid' }],
      content: [
        { type: 'text', text: 'paid' },
        { type: 'text', text: expect.stringMatching(/^About/) },
      ],
    },
    { name: 'a list', result: [1, 2], content: expect.stringContaining('[1,2]\n\nAbout') },
    {
      name: 'a message of its own',
      result: new ToolMessage({ content: 'own', tool_call_id: 'call-1' }),
      content: 'own',
    },
  ])('adds the note to $name', async ({ result, content }) => {
    const pay = idempotentTool(
      'pay',
      tool(async (input, config) => {
        await payBy(callOf(config), input)
        return result
      }, fields),
      playApi(made()).options,
    )
    const message = await pay.invoke(toolCall)
    expect(message.content).toEqual(content)
  })

  it('leaves the artifact of a result, and has none of an error', async () => {
    const api = playApi(made(), answer(502))
    const pay = idempotentTool(
      'pay',
      tool(
        async (input, config) => {
          const said = await payBy(callOf(config), input)
          if (said !== 'paid') throw new Error(said)
          return [said, { id: 'p1' }]
        },
        { ...fields, responseFormat: 'content_and_artifact' },
      ),
      api.options,
    )
    const first = await pay.invoke(toolCall)
    expect([first.text, first.artifact]).toEqual([
      expect.stringMatching(/^paid\n\nAbout/),
      { id: 'p1' },
    ])
    const second = await pay.invoke(toolCall)
    expect([second.text, second.artifact]).toEqual([
      expect.stringMatching(/^status 502\n\nAbout/),
      undefined,
    ])
  })

  it('leaves an interrupt to LangGraph, and has the same key when the graph goes on', async () => {
    class GraphInterrupt extends Error {
      readonly is_bubble_up = true
    }
    const keys: string[] = []
    const pay = idempotentTool(
      'pay',
      tool((_, config) => {
        if (keys.push(callOf(config).key) === 1) throw new GraphInterrupt('Do you agree?')
        return 'paid'
      }, fields),
      { runId: 'run-1' },
    )
    await expect(pay.invoke(toolCall)).rejects.toBeInstanceOf(GraphInterrupt)
    expect((await pay.invoke(toolCall)).text).toMatch(/^paid/)
    expect(keys[1]).toBe(keys[0])
  })

  it('passes on the events of a tool that streams', async () => {
    const pay = idempotentTool(
      'pay',
      tool(async function* (input, config) {
        yield 'paying'
        const said = await payBy(callOf(config), input)
        if (said !== 'paid') throw new Error(said)
        return said
      }, fields),
      playApi(made(), answer(502)).options,
    )
    const events: unknown[] = []
    const callbacks = [{ handleToolEvent: (event: unknown) => void events.push(event) }]
    const first = await pay.invoke(toolCall, { callbacks })
    expect(first.text).toMatch(/^paid\n\nAbout this call: It was executed now/)
    expect((await pay.invoke(toolCall, { callbacks })).text).toMatch(/^status 502\n\nAbout/)
    expect(events).toEqual(['paying', 'paying'])
  })

  it('wraps a class of its own', async () => {
    class Pay extends StructuredTool<typeof fields.schema> {
      override readonly name = fields.name
      override readonly description = fields.description
      override readonly schema = fields.schema
      readonly #prefix = 'done: '
      protected override async _call(input: typeof args, _: unknown, config: object = {}) {
        return this.#prefix + (await payBy(callOf(config), input))
      }
    }
    const pay = idempotentTool('pay', new Pay(), playApi(made()).options)
    expect((await pay.invoke(toolCall)).text).toMatch(/^done: paid\n\nAbout/)
  })

  it('takes the run from what your code configures', async () => {
    const keyOf = (thread_id: unknown) =>
      idempotentTool(
        'pay',
        tool((_, config) => callOf(config).key, fields),
        { runId: ({ configurable }) => configurable?.['thread_id'] },
      ).invoke(args, { configurable: { thread_id } })
    const key = await keyOf('run-1')
    expect(await keyOf('run-1')).toBe(key)
    expect(await keyOf('run-2')).not.toBe(key)
    await expect(keyOf(undefined)).rejects.toThrow("needs the id of the agent's run")
  })

  it('ends with the call', async () => {
    const pay = idempotentTool(
      'pay',
      tool((_, config) => callOf(config).signal.throwIfAborted(), fields),
      { runId: 'run-1' },
    )
    const left = new AbortController()
    const ended = pay.invoke(toolCall, { signal: left.signal })
    left.abort()
    await expect(ended).rejects.toThrow(/abort/i)
  })
})
