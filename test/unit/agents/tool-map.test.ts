import { tool } from 'ai'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'

import { answerToolCall, callOf, idempotentTools } from '../../../src/agents.ts'
import { answer } from '../client/played-server.ts'
import { made, payBy, type Payment, playApi, repeated } from './played-tool.ts'

const options = { runId: 'run-1' }

describe('idempotentTools', () => {
  it('wraps each tool by its name', async () => {
    const api = playApi(made(), made(), made())
    const tools = idempotentTools(
      {
        pay: async (input: Payment, call) => payBy(call, input),
        refund: async (input: Payment, { fetch }) => (await payBy({ fetch }, input)).length,
        book: tool({
          inputSchema: z.object({ order: z.string() }),
          execute: (input, own) => payBy(callOf(own), input),
        }),
      },
      api.options,
    )
    const order = { order: 'o17' }
    const paid: string = await tools.pay(order)
    const refunded: number = await tools.refund(order)
    const booked = await tools.book.execute?.(order, { toolCallId: 'call-1', messages: [] })
    expect([paid, refunded, booked]).toEqual(['paid', 4, 'paid'])
    expect(new Set(api.keys()).size).toBe(3)
  })
})

describe('answerToolCall', () => {
  const pay = (...plays: readonly Response[]) => {
    const api = playApi(...plays)
    return idempotentTools(
      {
        pay: async (input: Payment, { fetch }) => {
          const said = await payBy({ fetch }, input)
          if (said !== 'paid') throw new Error(said)
          return { said }
        },
      },
      api.options,
    )
  }

  it('answers with the result and what became of the call', async () => {
    const tools = pay(answer(502), repeated())
    const call = { name: 'pay', arguments: '{"order":"o17"}' }
    expect(await answerToolCall(tools, call)).toMatch(/^status 502\n\nAbout this call: The answer/)
    expect(await answerToolCall(tools, call)).toMatch(
      /^{"said":"paid"}\n\nAbout this call: This is the earlier result/,
    )
  })

  it('takes arguments as text, as a value, and none', async () => {
    const tools = idempotentTools({ show: (input: object) => input }, options)
    const answerOf = (value: unknown) => answerToolCall(tools, { name: 'show', arguments: value })
    expect(await answerOf('{"a":1}')).toBe('{"a":1}')
    expect(await answerOf({ a: 2 })).toBe('{"a":2}')
    expect(await answerOf('')).toBe('{}')
    expect(await answerOf(' ')).toContain('{}')
    expect(await answerOf('null')).toContain('You made the same call before.')
    expect(await answerOf(undefined)).toContain('{}')
  })

  it('answers with a result that is no JSON', async () => {
    const tools = idempotentTools({ count: () => 17n, rest: () => undefined }, options)
    expect(await answerToolCall(tools, { name: 'count', arguments: '{}' })).toBe('17')
    expect(await answerToolCall(tools, { name: 'rest', arguments: '{}' })).toBe('')
  })

  it.each([
    { name: 'no tool of this name', call: { name: 'constructor', arguments: '{}' } },
    { name: 'arguments that break off', call: { name: 'pay', arguments: '{"order":' } },
  ])('tells the model what is wrong with its call: $name', async ({ call }) => {
    expect(await answerToolCall(pay(), call)).toContain('Nothing was executed.')
  })

  it('throws what the model cannot mend', async () => {
    const tools = idempotentTools({ pay: () => 'paid' }, { runId: () => undefined })
    const call = { name: 'pay', arguments: '{}' }
    await expect(answerToolCall(tools, call)).rejects.toThrow("needs the id of the agent's run")
    const reason = new Error('not wanted any more')
    const tool_ = idempotentTools(
      { pay: (_: object, { signal }) => signal.throwIfAborted() },
      options,
    )
    const signal = AbortSignal.abort(reason)
    await expect(answerToolCall(tool_, call, { signal })).rejects.toBe(reason)
  })
})
