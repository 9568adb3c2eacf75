import { describe, expect, it } from 'vitest'

import {
  createIdempotentFetch,
  HapaxError,
  InProgressError,
  KeyReusedError,
  OutcomeUnknownError,
  readProblem,
} from '../../../src/client.ts'
import { answer, lost, type Play, playServer, problem } from './played-server.ts'

const URL = 'https://api.test/payments'
const payment = { method: 'POST', body: '{"amount":500}' }

const document = { detail: 'It is running.', retry: 'wait', correlationId: 'c-1' }
const running = {
  'Hapax-Error': 'in-progress',
  'X-Should-Retry': 'true',
  'Retry-After': '2',
  'X-Correlation-Id': 'c-1',
}

describe('readProblem', () => {
  it.each([
    {
      form: 'a problem document',
      response: problem(409, document, running),
      detail: 'It is running.',
    },
    {
      form: 'an error of Stripe',
      response: Response.json(
        { error: { type: 'idempotency_error', message: 'It is running.' } },
        { status: 409, headers: running },
      ),
      detail: 'It is running.',
    },
    {
      form: 'an error of JSON-RPC',
      response: Response.json(
        {
          jsonrpc: '2.0',
          id: 7,
          error: { code: 409, message: 'It is running. Wait.', data: document },
        },
        { headers: running },
      ),
      detail: 'It is running.',
    },
    {
      form: 'Markdown',
      response: new Response('# It runs', { status: 409, headers: running }),
      detail: 'in-progress',
    },
  ])('reads $form', async ({ response, detail }) => {
    const error = await readProblem(response)
    expect(error).toBeInstanceOf(InProgressError)
    expect(error).toMatchObject({
      code: 'in-progress',
      retry: 'wait',
      retryable: true,
      retryAfterMs: 2_000,
      correlationId: 'c-1',
      message: `${detail} Wait, then send the same request again with the same key.`,
    })
    expect(await response.text()).not.toBe('')
  })

  it('knows where the two payloads differ', async () => {
    const members = { retry: 'new-key', pointers: ['/amount'] }
    const error = await readProblem(problem(409, members, { 'Hapax-Error': 'key-reused' }))
    expect(error).toBeInstanceOf(KeyReusedError)
    expect(error).toMatchObject({ pointers: ['/amount'] })
  })

  it.each([
    { code: 'key-reused', headers: { 'X-Should-Retry': 'false' }, retry: 'new-key' },
    { code: 'key-expired', headers: { 'X-Should-Retry': 'false' }, retry: 'new-key' },
    { code: 'outcome-unknown', headers: { 'X-Should-Retry': 'false' }, retry: 'never' },
    { code: 'origin-unreachable', headers: { 'X-Should-Retry': 'true' }, retry: 'same-key' },
    { code: 'a-new-problem', headers: {}, retry: 'never' },
  ])('finds the word for $code in the headers alone: $retry', async ({ code, headers, retry }) => {
    const response = answer(409, { 'Hapax-Error': code, ...headers })
    expect(await readProblem(response)).toMatchObject({ code, retry })
  })

  it('is null for what is no problem of Hapax, also for a problem document of others', async () => {
    expect(await readProblem(answer(200))).toBeNull()
    expect(await readProblem(problem(409, { retry: 'wait' }))).toBeNull()
  })

  it('reads one whose body was read already', async () => {
    const response = problem(409, document, running)
    await response.text()
    expect(await readProblem(response)).toMatchObject({ code: 'in-progress', retry: 'wait' })
  })
})

describe('throwProblems', () => {
  const sendWith = (...plays: Play[]) => {
    const { options } = playServer(...plays)
    const retry = { attempts: 2 }
    return createIdempotentFetch({ ...options, retry, throwProblems: true })
  }

  it('rejects with the error of a problem', async () => {
    const members = { detail: 'Held.', retry: 'never' }
    const send = sendWith(problem(409, members, { 'Hapax-Error': 'outcome-unknown' }))
    const error: unknown = await send(URL, payment).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(OutcomeUnknownError)
    expect(error).toBeInstanceOf(HapaxError)
    expect(error).toMatchObject({ code: 'outcome-unknown', retry: 'never', retryable: false })
  })

  it('rejects with the error of the last try', async () => {
    const inProgress = () => problem(409, document, running)
    await expect(sendWith(inProgress, inProgress)(URL, payment)).rejects.toMatchObject({
      name: 'InProgressError',
      retryAfterMs: 2_000,
    })
  })

  it('resolves with what is no problem of Hapax', async () => {
    expect((await sendWith(answer(422))(URL, payment)).status).toBe(422)
    expect((await sendWith(answer(503), answer(503))(URL, payment)).status).toBe(503)
    expect((await sendWith(answer(201))(URL, payment)).status).toBe(201)
  })

  it('says that the outcome is unknown where the last try had no answer', async () => {
    const error: unknown = await sendWith(answer(503), lost())(URL, payment).catch(
      (thrown: unknown) => thrown,
    )
    expect(error).toBeInstanceOf(OutcomeUnknownError)
    expect(error).toMatchObject({
      retry: 'same-key',
      cause: expect.objectContaining({ message: 'fetch failed' }),
    })
  })

  it('does not say so of a request that changes nothing', async () => {
    await expect(sendWith(lost(), lost())(URL)).rejects.toThrow(TypeError)
  })

  it('rejects with the reason of the signal as ever', async () => {
    const reason = new Error('The user left.')
    const sent = sendWith()(URL, { ...payment, signal: AbortSignal.abort(reason) })
    await expect(sent).rejects.toBe(reason)
  })
})
