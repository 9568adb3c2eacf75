import { describe, expect, it, vi } from 'vitest'

import {
  createIdempotentFetch,
  type IdempotentFetchOptions,
  memoryStore,
} from '../../../src/client.ts'
import { answer, lost, type Play, playServer, problem } from './played-server.ts'

const URL = 'https://api.test/reports'
const report = {
  method: 'POST',
  body: '{"year":2026}',
  headers: { Accept: 'text/csv', Authorization: 'Bearer t', Prefer: 'respond-async' },
}

const accepted = (location = '/_hapax/operations/4yq7') =>
  answer(202, { 'Idempotency-Status': 'accepted', Location: location })
const running = (retryAfter = '2') =>
  Response.json({ state: 'in_progress' }, { headers: { 'Retry-After': retryAfter } })
const ended = () => Response.json({ state: 'succeeded' })

function follow(plays: readonly Play[], more: IdempotentFetchOptions = {}) {
  const server = playServer(...plays)
  const send = createIdempotentFetch({ ...server.options, followAccepted: true, ...more })
  return { ...server, send: () => send(URL, report) }
}

describe('followAccepted', () => {
  it('polls the operation until it has ended, and resolves with its result', async () => {
    const { send, tries } = follow([accepted(), running(), running('3'), ended(), answer(201)])
    const response = await send()
    expect([response.status, await response.text()]).toEqual([201, 'status 201'])
    const state = 'https://api.test/_hapax/operations/4yq7'
    expect(tries.map(({ method, url, at }) => [method, url, at])).toEqual([
      ['POST', URL, 0],
      ['GET', state, 0],
      ['GET', state, 2_000],
      ['GET', state, 5_000],
      ['GET', `${state}/result`, 5_000],
    ])
  })

  it('asks as the caller, for JSON while it polls, and lets the gateway wait', async () => {
    const { send, tries, fieldsOf } = follow([accepted(), ended(), answer(201)])
    await send()
    expect(fieldsOf('Authorization')).toEqual(['Bearer t', 'Bearer t', 'Bearer t'])
    expect(fieldsOf('Accept')).toEqual(['text/csv', 'application/json', 'text/csv'])
    expect(fieldsOf('Prefer').slice(0, 2)).toEqual(['respond-async', 'wait=20'])
    const [key] = fieldsOf('Idempotency-Key')
    expect(fieldsOf('Idempotency-Key')).toEqual([key, key, key])
    expect(tries.map(({ body }) => body)).toEqual([report.body, '', ''])
  })

  it('frees the connection of the 202 when it has the result', async () => {
    const cancel = vi.fn<() => void>()
    const { headers } = accepted()
    const busy = new Response(new ReadableStream({ cancel }), { status: 202, headers })
    await follow([busy, ended(), answer(201)]).send()
    expect(cancel).toHaveBeenCalledTimes(1)
  })

  it('polls once a second at most', async () => {
    const { send, tries } = follow([accepted(), running('0'), ended(), answer(201)])
    await send()
    expect(tries.map(({ at }) => at)).toEqual([0, 0, 1_000, 1_000])
  })

  it('is only done where it was asked for', async () => {
    const { send, tries } = follow([accepted()], { followAccepted: false })
    expect((await send()).status).toBe(202)
    expect(tries).toHaveLength(1)
  })

  it.each([
    { name: 'a 202 of others', play: answer(202, { Location: '/jobs/1' }) },
    {
      name: 'a location that a browser hides',
      play: answer(202, { 'Idempotency-Status': 'accepted' }),
    },
    { name: 'a location of another origin', play: accepted('https://other.test/op') },
  ])('does not follow $name', async ({ play }) => {
    const { send, tries } = follow([play])
    expect((await send()).status).toBe(202)
    expect(tries).toHaveLength(1)
  })

  it('resolves with the 202 when the deadline comes first', async () => {
    const plays = [accepted(), ...Array.from({ length: 9 }, () => running('5'))]
    const { send, tries } = follow(plays, { retry: { deadline: '12s' } })
    const response = await send()
    expect([response.status, await response.text()]).toEqual([202, 'status 202'])
    expect(tries.map(({ at }) => at)).toEqual([0, 0, 5_000, 10_000])
  })

  it('asks again when a poll fails', async () => {
    const { send, tries } = follow([accepted(), lost(), answer(503), ended(), lost(), answer(201)])
    expect((await send()).status).toBe(201)
    expect(tries).toHaveLength(6)
  })

  it('resolves with the problem when there is no result', async () => {
    const missing = () => problem(404, { retry: 'never' }, { 'Hapax-Error': 'operation-not-found' })
    expect((await follow([accepted(), missing()]).send()).status).toBe(404)
    await expect(
      follow([accepted(), missing()], { throwProblems: true }).send(),
    ).rejects.toMatchObject({ code: 'operation-not-found' })
  })

  it('does not say that nothing was executed when a poll has no answer', async () => {
    const plays = [accepted(), lost()]
    const { send } = follow(plays, {
      throwProblems: true,
      retry: { attempts: 1 },
    })
    await expect(send()).rejects.toMatchObject({ code: 'outcome-unknown' })
  })

  it.each([
    { name: 'a result', plays: [ended(), answer(201)], again: false },
    {
      name: 'a problem',
      plays: [problem(404, { retry: 'never' }, { 'Hapax-Error': 'operation-not-found' })],
      again: true,
    },
  ])('keeps the key in the store until there is $name: $again', async ({ plays, again }) => {
    const { send, fieldsOf } = follow([accepted(), ...plays, answer(201)], { store: memoryStore() })
    await send()
    await send()
    const keys = fieldsOf('Idempotency-Key')
    expect(keys.at(-1) === keys[0]).toBe(again)
  })

  it('ends at once when the signal is aborted', async () => {
    const reason = new Error('The user left.')
    const controller = new AbortController()
    const { options } = playServer(accepted(), running())
    const send = createIdempotentFetch({
      ...options,
      followAccepted: true,
      sleep() {
        controller.abort(reason)
        return new Promise(() => {})
      },
    })
    const { signal } = controller
    await expect(send(URL, { ...report, signal })).rejects.toBe(reason)
  })
})
