import { describe, expect, it } from 'vitest'

import { idempotentTool, type ToolCall } from '../../../src/agents.ts'
import { createIdempotentFetch } from '../../../src/client.ts'
import { answer, lost, playServer } from '../client/played-server.ts'

const options = { runId: 'run-1' }

/** A tool that returns what it was told about its call. */
const toolOf = (name = 'pay', runId: string | (() => string) = 'run-1') =>
  idempotentTool(name, (_: unknown, call) => call, { runId })

const keyOf = async (call: Promise<ToolCall>) => (await call).key

describe('idempotentTool', () => {
  it('hands the arguments on and returns the result', async () => {
    const add = idempotentTool('add', async ({ a, b }: { a: number; b: number }) => a + b, options)
    expect(await add({ a: 2, b: 3 })).toBe(5)
  })

  it('gives the same intent the same key, and counts the calls', async () => {
    const pay = toolOf()
    const first = await pay({ order: 'o17', amount: 500 })
    const again = await pay({ amount: 500, order: 'o17', note: undefined })
    expect(first).toEqual({ key: expect.stringMatching(/^[\w-]{43}$/), attempt: 1 })
    expect(again).toEqual({ key: first.key, attempt: 2 })
  })

  it('gives the same key in another process, and in every later version', async () => {
    expect(await keyOf(toolOf()({ order: 'o17' }))).toBe(
      '8dV3Vt0lLNwLCRPHclJ4toFzwEtYBQzupvV0kBizOrg',
    )
  })

  it('gives every other intent another key', async () => {
    const calls = [
      toolOf()({ a: 1 }),
      toolOf()({ a: 2 }),
      toolOf()({ a: '1' }),
      toolOf()(undefined),
      toolOf()(null),
      toolOf()({ a: 1 }, { ordinal: 2 }),
      toolOf('refund')({ a: 1 }),
      toolOf('pay', 'run-2')({ a: 1 }),
      toolOf('1', 'run-pay')({ a: 1 }),
    ]
    const keys = await Promise.all(calls.map(keyOf))
    expect(new Set(keys).size).toBe(calls.length)
  })

  it('does it again on purpose by ordinal, of which the first is 1', async () => {
    const pay = toolOf()
    const first = await keyOf(pay({ a: 1 }))
    expect(await keyOf(pay({ a: 1 }, { ordinal: 1 }))).toBe(first)
    expect(await pay({ a: 1 }, { ordinal: 2 })).toMatchObject({ attempt: 1 })
  })

  it('asks a function for the run at each call', async () => {
    let runId = 'run-1'
    const pay = toolOf('pay', () => runId)
    const first = await keyOf(pay({}))
    runId = 'run-2'
    expect(await keyOf(pay({}))).not.toBe(first)
  })

  it.each([
    { name: 'a function', input: () => 1, says: 'must be JSON' },
    { name: 'NaN', input: { a: Number.NaN }, says: 'must be JSON' },
    { name: 'a date', input: { at: new Date(0) }, says: 'must be JSON' },
  ])('refuses $name in the arguments', async ({ input, says }) => {
    await expect(toolOf()(input)).rejects.toThrow(says)
  })

  it('refuses a run without an id, and an ordinal that counts nothing', async () => {
    await expect(toolOf('pay', '')({})).rejects.toThrow("needs the id of the agent's run")
    await expect(toolOf()({}, { ordinal: 0 })).rejects.toThrow('whole number from 1')
    await expect(toolOf()({}, { ordinal: 1.5 })).rejects.toThrow('whole number from 1')
  })

  it('lets an agent call again after a 502 with the key of the first call', async () => {
    const server = playServer(answer(502), lost(), answer(201))
    const send = createIdempotentFetch({ ...server.options, retry: { attempts: 1 } })
    const pay = idempotentTool(
      'pay',
      async (input: { readonly order: string }, { key }) => {
        const headers = { 'Idempotency-Key': key }
        const { status } = await send('https://api.test/payments', {
          method: 'POST',
          headers,
          body: JSON.stringify(input),
        })
        return status
      },
      options,
    )
    expect(await pay({ order: 'o17' })).toBe(502)
    await expect(pay({ order: 'o17' })).rejects.toThrow('fetch failed')
    expect(await pay({ order: 'o17' })).toBe(201)
    expect(new Set(server.fieldsOf('Idempotency-Key')).size).toBe(1)
  })
})
