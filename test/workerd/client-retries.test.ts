import { exports } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { idempotentTool } from '../../src/agents.ts'
import {
  createIdempotentFetch,
  type IdempotentFetchOptions,
  KeyReusedError,
  readProblem,
} from '../../src/client.ts'
import { createGateway, credential, type PolicyOptions, protect } from '../../src/hapax.ts'
import { clientOf as gatewayClientOf } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

/** A client of the gateway. The network loses the first answers, but only after the gateway gave them. */
function clientOf(lostCount: number, attempts: number) {
  const statuses: (string | null)[] = []
  const send = createIdempotentFetch({
    retry: { attempts, base: 1 },
    async fetch(request) {
      const response = await exports.default.fetch(request)
      statuses.push(response.headers.get('Idempotency-Status'))
      if (statuses.length > lostCount) return response
      await response.arrayBuffer()
      throw new TypeError('Network connection lost.')
    },
  })
  const pay = (amount: number, headers: Record<string, string> = {}) =>
    send('https://gateway.test/payments', {
      method: 'POST',
      body: JSON.stringify({ amount }),
      headers: { Authorization: 'Bearer a', 'Content-Type': 'application/json', ...headers },
    })
  return { pay, statuses }
}

/** An origin with one effect for each request. */
function playPayments() {
  return playOrigin(() => Response.json({ id: crypto.randomUUID() }, { status: 201 }))
}

describe('createIdempotentFetch at the gateway', () => {
  it('has the result of the one execution, though its answer was lost', async () => {
    const { requests } = playPayments()
    const { pay, statuses } = clientOf(1, 2)
    const response = await pay(500)
    expect(response.status).toBe(201)
    expect(await response.json()).toEqual({ id: expect.any(String) })
    expect(statuses).toEqual(['executed', 'replayed'])
    expect(requests).toHaveLength(1)
  })

  it('does not send again what is held', async () => {
    const { requests } = playOrigin(() => new Response('', { status: 500 }))
    const { pay, statuses } = clientOf(0, 4)
    const response = await pay(500)
    expect(response.status).toBe(409)
    expect(response.headers.get('Hapax-Error')).toBe('outcome-unknown')
    expect(statuses).toEqual(['unknown', 'unknown'])
    expect(requests).toHaveLength(1)
  })
})

describe('createIdempotentFetch at the gateway, with options', () => {
  const payment = (amount: number, headers: Record<string, string> = {}) => ({
    method: 'POST',
    body: JSON.stringify({ amount }),
    headers: { Authorization: 'Bearer a', 'Content-Type': 'application/json', ...headers },
  })
  const createSend = (options: IdempotentFetchOptions = {}) => {
    const send = createIdempotentFetch({
      retry: { base: 1 },
      fetch: (request) => exports.default.fetch(request),
      ...options,
    })
    return (init: RequestInit) => send('https://gateway.test/payments', init)
  }

  it('has the result of an accepted operation', async () => {
    const origin = playSlowOrigin(() => new Response('a,b', { status: 201 }))
    const send = createSend({ followAccepted: true })
    const sent = send(payment(7, { Prefer: 'respond-async' }))
    await origin.asked()
    origin.release()
    const response = await sent
    expect([response.status, await response.text()]).toEqual([201, 'a,b'])
    expect(response.headers.get('Idempotent-Replayed')).toBe('true')
    expect(origin.requests).toHaveLength(1)
  })

  it('tells the gateway about its tries', async () => {
    const { requests } = playPayments()
    const deadline = String(Date.now() - 1_000)
    const send = createSend({ throwProblems: true })
    await expect(send(payment(8, { 'X-Request-Deadline': deadline }))).rejects.toMatchObject({
      code: 'origin-timeout',
      retry: 'same-key',
    })
    expect(requests).toEqual([])
  })

  it('rejects with the error of a reused key, and sends no other one', async () => {
    const { requests } = playPayments()
    const send = createSend({ throwProblems: true, key: crypto.randomUUID() })
    await send(payment(5))
    const error: unknown = await send(payment(6)).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(KeyReusedError)
    expect(error).toMatchObject({ code: 'key-reused', retry: 'new-key', pointers: ['/amount'] })
    expect(requests).toHaveLength(1)
  })
})

describe('readProblem at the gateway', () => {
  it.each([
    { form: 'default', policy: {}, headers: {}, detail: 'This key was used' },
    { form: 'ietf', policy: { preset: 'ietf' }, headers: {}, detail: 'This key was used' },
    { form: 'stripe', policy: { preset: 'stripe' }, headers: {}, detail: 'This key was used' },
    { form: 'Markdown', policy: {}, headers: { Accept: 'text/markdown' }, detail: 'key-reused' },
  ] as const)('reads the problems of $form', async ({ form, policy, headers, detail }) => {
    playPayments()
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/payments', protect(policy as PolicyOptions))
    const send = gatewayClientOf(app, '/payments')
    await send(`read-${form}`)
    const error = await readProblem(await send(`read-${form}`, { body: '{}', headers }))
    expect(error).toBeInstanceOf(KeyReusedError)
    expect(error).toMatchObject({ code: 'key-reused', retry: 'new-key', retryable: false })
    expect(error?.message).toContain(detail)
    expect(error?.correlationId).toEqual(expect.any(String))
  })
})

describe('idempotentTool at the gateway', () => {
  it('pays once when the agent calls again, and twice on purpose', async () => {
    const { requests } = playPayments()
    const { pay, statuses } = clientOf(1, 1)
    const options = { runId: crypto.randomUUID() }
    const tool = idempotentTool(
      'pay',
      async ({ amount }: { readonly amount: number }, { key }) => {
        const response = await pay(amount, { 'Idempotency-Key': key })
        return response.json()
      },
      options,
    )
    await expect(tool({ amount: 5 })).rejects.toThrow('Network connection lost.')
    const result = await tool({ amount: 5 })
    expect(await tool({ amount: 5 })).toEqual(result)
    expect(await tool({ amount: 5 }, { ordinal: 2 })).not.toEqual(result)
    expect(statuses).toEqual(['executed', 'replayed', 'replayed', 'executed'])
    expect(requests).toHaveLength(2)
  })
})
