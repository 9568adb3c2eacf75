import { afterEach, describe, expect, it, vi } from 'vitest'

import { createGateway, credential, protect } from '../../src/hapax.ts'
import { idOf } from './client.ts'
import { clientOf } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

const ENV = { HAPAX_ADMIN_TOKEN: 'operator-token' }

function open(status: number) {
  const origin = playOrigin(() => new Response('{}', { status }))
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect())
  const pay = clientOf(app, '/payments')
  const ask = (path: string, method: 'GET' | 'POST' | 'DELETE' = 'GET', body?: object) =>
    clientOf(app, `/_hapax/admin${path}`)('-', {
      method,
      env: ENV,
      headers: { Authorization: 'Bearer operator-token' },
      ...(body && { body: JSON.stringify(body) }),
    })
  return { origin, pay, ask }
}

describe('the admin API', () => {
  it('resolves an unknown outcome with a response that retries are answered with', async () => {
    const { pay, ask, origin } = open(500)
    await pay('held')
    const id = await idOf('held')
    await vi.waitUntil(async () => {
      const { entries } = await (await ask('/stuck')).json<{ entries: { id: string }[] }>()
      return entries.some((entry) => entry.id === id)
    })
    const response = { status: 201, headers: { 'X-A': 'b' }, body: '{"id":7}' }
    const done = await ask(`/operations/${id}/resolve`, 'POST', { outcome: 'succeeded', response })
    expect(await done.json()).toMatchObject({ state: 'succeeded', result: { status: 201 } })
    const again = await pay('held')
    expect([again.status, await again.text(), again.headers.get('X-A')]).toEqual([
      201,
      '{"id":7}',
      'b',
    ])
    expect(origin.requests).toHaveLength(1)
  })
})
