import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  type ClientEvent,
  createIdempotentFetch,
  type IdempotentFetchOptions,
} from '../../../src/client.ts'
import { answer, lost, type Play, playServer, problem } from './played-server.ts'

afterEach(() => vi.useRealTimers())

const URL = 'https://api.test/payments/17?token=secret'
const payment = { method: 'POST', body: 'a secret' }

/** Events of a call, without what is the same in all of them. */
async function eventsOf(
  plays: readonly Play[],
  more: IdempotentFetchOptions = {},
  init: RequestInit = payment,
) {
  const { options } = playServer(...plays)
  const events: ClientEvent[] = []
  const onEvent = (event: ClientEvent) => events.push(event)
  const send = createIdempotentFetch({ ...options, onEvent, ...more })
  await send(URL, init).catch(() => {})
  const same = { call: 1, method: 'POST', origin: 'https://api.test' }
  return events.map((event) => {
    expect(event).toMatchObject(same)
    return Object.fromEntries(Object.entries(event).filter(([name]) => !(name in same)))
  })
}

describe('onEvent', () => {
  it('tells of each try, its answer, and why another one follows', async () => {
    const headers = { 'Hapax-Error': 'in-progress', 'X-Correlation-Id': 'c-1' }
    const plays = [lost(), answer(503), problem(409, { retry: 'wait' }, headers), answer(201)]
    expect(await eventsOf(plays)).toEqual([
      { type: 'try', attempt: 1 },
      { type: 'lost', attempt: 1, reason: 'network' },
      { type: 'retry', attempt: 1, delayMs: 200, reason: 'network' },
      { type: 'try', attempt: 2 },
      { type: 'answer', attempt: 2, status: 503, problem: null, correlationId: null },
      { type: 'retry', attempt: 2, delayMs: 400, reason: '503' },
      { type: 'try', attempt: 3 },
      { type: 'answer', attempt: 3, status: 409, problem: 'in-progress', correlationId: 'c-1' },
      { type: 'retry', attempt: 3, delayMs: 800, reason: 'in-progress' },
      { type: 'try', attempt: 4 },
      { type: 'answer', attempt: 4, status: 201, problem: null, correlationId: null },
    ])
  })

  it.each([
    { reason: 'attempts', retry: { attempts: 1 } },
    { reason: 'deadline', retry: { deadline: 100 } },
    { reason: 'budget', retry: { budget: { ratio: 0, floor: 1 } }, attempt: 2 },
  ] as const)('tells that it gives up: $reason', async ({ reason, retry, ...last }) => {
    const events = await eventsOf([answer(503), answer(503)], { retry })
    expect(events.at(-1)).toEqual({ type: 'give-up', attempt: 1, reason, ...last })
  })

  it.each([answer(422), problem(409, { retry: 'new-key' }, { 'Hapax-Error': 'key-reused' })])(
    'does not call it giving up when an answer is final',
    async (play) => {
      const events = await eventsOf([play])
      expect(events).toMatchObject([{ type: 'try' }, { type: 'answer' }])
    },
  )

  it('tells of a timeout', async () => {
    vi.useFakeTimers()
    const events = eventsOf([() => new Promise<Response>(() => {})], { retry: { attempts: 1 } })
    await vi.advanceTimersByTimeAsync(40_000)
    expect((await events)[1]).toEqual({ type: 'lost', attempt: 1, reason: 'timeout' })
  })

  it('tells that a try was aborted', async () => {
    const controller = new AbortController()
    const hang = () => {
      controller.abort()
      return new Promise<Response>(() => {})
    }
    const { signal } = controller
    const events = await eventsOf([hang], {}, { ...payment, signal })
    await expect.poll(() => events.at(-1)).toEqual({ type: 'lost', attempt: 1, reason: 'aborted' })
  })

  it('numbers the calls, counts the attempts of the layer before, and tells of polls', async () => {
    const accepted = answer(202, { 'Idempotency-Status': 'accepted', Location: '/op' })
    const { options } = playServer(answer(201), accepted, Response.json({}), answer(200))
    const tries: ClientEvent[] = []
    const onEvent = (event: ClientEvent) => event.type === 'try' && tries.push(event)
    const send = createIdempotentFetch({ ...options, onEvent, followAccepted: true })
    await send(URL, payment)
    await send(URL, { ...payment, headers: { 'Idempotency-Attempt': '2' } })
    expect(tries.map(({ call, method, attempt }) => [call, method, attempt])).toEqual([
      [1, 'POST', 1],
      [2, 'POST', 2],
      [2, 'GET', 1],
      [2, 'GET', 1],
    ])
  })

  it('holds nothing that is secret', async () => {
    const { options, fieldsOf } = playServer(lost(), answer(201))
    const events: ClientEvent[] = []
    const onEvent = (event: ClientEvent) => events.push(event)
    const headers = { Authorization: 'Bearer secret' }
    await createIdempotentFetch({ ...options, onEvent })(URL, { ...payment, headers })
    const [key = ''] = fieldsOf('Idempotency-Key')
    const text = JSON.stringify(events)
    expect(text).toContain('"origin":"https://api.test"')
    expect(text).not.toContain('secret')
    expect(text).not.toContain(key)
  })

  it.each([
    {
      name: 'throws',
      onEvent: () => {
        throw new Error('hook')
      },
    },
    { name: 'rejects', onEvent: () => Promise.reject(new Error('hook')) },
    { name: 'never ends', onEvent: () => new Promise(() => {}) },
  ])('does not harm the call when it $name', async ({ onEvent }) => {
    const { options } = playServer(lost(), answer(201))
    expect((await createIdempotentFetch({ ...options, onEvent })(URL, payment)).status).toBe(201)
  })
})
