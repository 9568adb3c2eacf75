import { afterEach, describe, expect, it, vi } from 'vitest'

import { createGateway, protect } from '../../src/hapax.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

/** One tenant with two users, one of whom may no longer see what the other has made. */
function clientsOf(mayRead: (request: Request) => Response) {
  const origin = playOrigin((request) =>
    request.method === 'GET' ? mayRead(request) : new Response('secret', { status: 201 }),
  )
  const app = createGateway({ tenant: () => 'acme' })
  app.post('/payments', protect({ reauthorize: '/may-read/{id}' }))
  return { origin, send: clientOf(app, '/payments') }
}

describe('reauthorize', () => {
  it('asks the origin with the credentials of the caller before every replay', async () => {
    const { origin, send } = clientsOf(() => new Response('yes'))
    await send('allowed')
    const again = await send('allowed', { headers: { Authorization: 'Bearer other' } })
    expect([word(again), await again.text()]).toEqual(['replayed', 'secret'])
    const asked = origin.requests.filter(({ method }) => method === 'GET')
    expect(asked.map(({ headers }) => headers.get('Authorization'))).toEqual(['Bearer other'])
  })

  it('passes the refusal on, and nothing of the snapshot', async () => {
    const { send } = clientsOf(() => new Response('not yours', { status: 403 }))
    await send('refused')
    const again = await send('refused')
    expect([again.status, word(again), await again.text()]).toEqual([403, 'rejected', 'not yours'])
  })

  it('gives nothing out when the origin cannot be asked', async () => {
    const { send } = clientsOf(() => {
      throw new Error('connection lost')
    })
    await send('unasked')
    const again = await send('unasked')
    expect([again.status, again.headers.get('Hapax-Error')]).toEqual([502, 'origin-unreachable'])
    expect(again.headers.get('X-Should-Retry')).toBe('true')
  })
})
