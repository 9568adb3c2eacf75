import { describe, expect, it } from 'vitest'

import { idempotentTool, type ToolCall, ToolError } from '../../../src/agents.ts'
import { createIdempotentFetch } from '../../../src/client.ts'
import { answer, lost, playServer, problem } from '../client/played-server.ts'
import { made, payBy, playApi, repeated } from './played-tool.ts'

const options = { runId: 'run-1' }

/** A tool that returns what it was told about its call. */
const toolOf = (name = 'pay', runId: string | (() => unknown) = 'run-1') =>
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
    expect(first).toMatchObject({ key: expect.stringMatching(/^[\w-]{43}$/), attempt: 1 })
    expect(again).toMatchObject({ key: first.key, attempt: 2 })
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

  it.each([
    { name: 'an empty id', runId: '' },
    { name: 'a function that finds none', runId: () => undefined },
    { name: 'an id that is no text', runId: () => 17 },
  ])('refuses a run with $name, and says what to do', async ({ runId }) => {
    const error = await toolOf('pay', runId)({}).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(TypeError)
    expect(error).toHaveProperty(
      'message',
      expect.stringContaining("needs the id of the agent's run. Set"),
    )
  })

  it('refuses an ordinal that counts nothing', async () => {
    await expect(toolOf()({}, { ordinal: 0 })).rejects.toThrow('whole number from 1')
    await expect(toolOf()({}, { ordinal: 1.5 })).rejects.toThrow('whole number from 1')
  })

  it('refuses what is no tool', () => {
    expect(() => idempotentTool('pay', { inputSchema: {} }, options)).toThrow(
      'The tool "pay" is neither a function',
    )
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

  it('throws an error for the model, whose cause is that of the tool', async () => {
    const cause = new RangeError('The card has expired.')
    const pay = idempotentTool('pay', () => Promise.reject(cause), options)
    const error = await pay({}).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ToolError)
    expect(error).toMatchObject({ name: 'ToolError', cause })
    expect(error).toHaveProperty(
      'message',
      expect.stringMatching(/^The card has expired\.\n\nAbout this call: It failed/),
    )
  })
})

describe('the fetch of a call', () => {
  const pay = (api: ReturnType<typeof playApi>, retry = {}) =>
    idempotentTool('pay', (input: { order: string }, call) => payBy(call, input), {
      ...api.options,
      retry,
    })

  it('sends the key of the call, and the same one when the call is made again', async () => {
    const api = playApi(made(), repeated())
    const tool = idempotentTool(
      'pay',
      async (input: { order: string }, call) => [call.key, await payBy(call, input)],
      api.options,
    )
    const [key] = await tool({ order: 'o17' })
    await tool({ order: 'o17' })
    expect(api.keys()).toEqual([key, key])
  })

  it('tries again by itself, as the policy says', async () => {
    const api = playApi(answer(502), lost(), made())
    expect(await pay(api, { base: 1, cap: 1 })({ order: 'o17' })).toBe('paid')
    expect(new Set(api.keys()).size).toBe(1)
  })

  it('takes an answer that breaks off for none', async () => {
    const body = new ReadableStream({ pull: (controller) => controller.error(lost()) })
    const api = playApi(new Response(body, made()), repeated())
    expect(await pay(api, { base: 1, cap: 1 })({ order: 'o17' })).toBe('paid')
    expect(api.tries).toHaveLength(2)
  })

  it('hands events on as they come', async () => {
    const events = new ReadableStream({
      start: (controller) => controller.enqueue(new Uint8Array(1)),
    })
    const headers = { 'Content-Type': 'text/event-stream' }
    const api = playApi(new Response(events, { headers }))
    const listen = idempotentTool(
      'listen',
      async (_: object, { fetch }) => {
        const { body } = await fetch('https://api.test/events', { method: 'POST' })
        return (await body?.getReader().read())?.value
      },
      api.options,
    )
    expect(await listen({})).toHaveLength(1)
  })

  it('leaves a key that the request has, and reads without one', async () => {
    const api = playApi(answer(200), answer(201), answer(201))
    const order = idempotentTool(
      'order',
      async (_: object, { fetch }) => {
        await fetch('https://api.test/orders')
        await fetch('https://api.test/orders', {
          method: 'POST',
          headers: { 'Idempotency-Key': 'order-17' },
        })
        await fetch(new Request('https://api.test/orders', { method: 'POST', body: '{}' }))
      },
      api.options,
    )
    await order({})
    expect(api.keys()).toEqual([null, 'order-17', expect.stringMatching(/^[\w-]{43}$/)])
  })

  it('throws for an answer of Hapax itself, which is no result of the API', async () => {
    const document = { detail: 'It is running.', retry: 'wait' }
    const api = playApi(
      problem(409, document, { 'Hapax-Error': 'in-progress', 'Retry-After': '3' }),
    )
    const error = await pay(api, { attempts: 1 })({ order: 'o17' }).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).toMatchObject({
      name: 'ToolError',
      cause: { name: 'InProgressError', code: 'in-progress', retryAfterMs: 3_000 },
    })
  })

  it('ends with the call', async () => {
    const api = playApi(made())
    const signal = AbortSignal.abort(new Error('not wanted any more'))
    await expect(pay(api)({ order: 'o17' }, { signal })).rejects.toThrow(/^not wanted any more$/)
    expect(api.tries).toEqual([])
  })
})
