import { exports } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { idempotentTool } from '../../src/agents.ts'
import { createIdempotentFetch } from '../../src/client.ts'
import { playOrigin } from './origin.ts'

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
