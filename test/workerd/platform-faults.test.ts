import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { createGateway, credential, type PolicyOptions, protect } from '../../src/hapax.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

/** The platform's own failures cannot be made to happen here, so a namespace plays them before it hands over the real stub. */
function failingNamespace(faults: Record<string, boolean>[]) {
  const asked = vi.fn((name: string) => {
    const fault = faults.shift()
    if (fault === undefined) return env.OPERATIONS.getByName(name)
    const fail = () => Promise.reject(Object.assign(new Error('the platform failed'), fault))
    return { execute: fail, claim: fail }
  })
  return { asked, OPERATIONS: { getByName: asked } }
}

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect(policy))
  return clientOf(app, '/payments')
}

const created = () => new Response('done', { status: 201 })

describe('a question that the platform lost', () => {
  it.each([
    { name: 'before it arrived', fault: { retryable: true } },
    { name: 'because the object was reset', fault: { durableObjectReset: true } },
  ])('$name is asked again of a new stub', async ({ name, fault }) => {
    const origin = playOrigin(created)
    const { asked, OPERATIONS } = failingNamespace([fault, fault])
    const response = await clientWith({})(`lost-${name.length}`, { env: { OPERATIONS } })
    expect([response.status, word(response)]).toEqual([201, 'executed'])
    expect(asked).toHaveBeenCalledTimes(3)
    expect(origin.requests).toHaveLength(1)
  })

  it('is given up after three times, and the client may send it again', async () => {
    const { OPERATIONS } = failingNamespace(Array.from({ length: 3 }, () => ({ retryable: true })))
    const response = await clientWith({})('given-up', { env: { OPERATIONS } })
    expect([response.status, response.headers.get('Hapax-Error')]).toEqual([
      503,
      'store-unavailable',
    ])
    expect(response.headers.get('X-Should-Retry')).toBe('true')
  })
})

describe('an overloaded object', () => {
  const OVERLOADED = { overloaded: true, retryable: true }

  it('is left alone', async () => {
    const { asked, OPERATIONS } = failingNamespace([OVERLOADED])
    const response = await clientWith({})('overloaded', { env: { OPERATIONS } })
    expect(response.status).toBe(503)
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThanOrEqual(1)
    expect(asked).toHaveBeenCalledTimes(1)
  })

  it('is not gone around, even where the route is open: its load are requests with this very key', async () => {
    const origin = playOrigin(created)
    const { OPERATIONS } = failingNamespace([OVERLOADED])
    const send = clientWith({ onStoreError: 'open' })
    const response = await send('overloaded-open', { env: { OPERATIONS } })
    expect(response.headers.get('Hapax-Error')).toBe('store-unavailable')
    expect(Number(response.headers.get('Retry-After'))).toBeGreaterThanOrEqual(1)
    expect(origin.requests).toHaveLength(0)
  })
})

it('an object that was lost and then overloaded is not gone around: the first question may have arrived', async () => {
  const origin = playOrigin(created)
  const { OPERATIONS } = failingNamespace([{ retryable: true }, { overloaded: true }])
  const send = clientWith({ onStoreError: 'open' })
  const response = await send('lost-then-overloaded', { env: { OPERATIONS } })
  expect(response.status).toBe(503)
  expect(origin.requests).toHaveLength(0)
})

it('an object that fails in an unknown way is not gone around, even where the route is open', async () => {
  const origin = playOrigin(created)
  const { OPERATIONS } = failingNamespace([{}])
  const send = clientWith({ onStoreError: 'open' })
  const response = await send('unknown-failure', { env: { OPERATIONS } })
  expect(response.status).toBe(503)
  expect(origin.requests).toHaveLength(0)
})
