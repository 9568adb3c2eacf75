import { tracing } from 'cloudflare:workers'
import { afterEach, expect, it, vi } from 'vitest'

import { createGateway, credential, protect } from '../../src/hapax.ts'
import { clientOf } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

it('makes spans of the way of a request, and tells them nothing secret', async () => {
  playOrigin(() => new Response('{"ok":true}', { status: 201 }))
  const attributes: [string, unknown][] = []
  const names: string[] = []
  const span = {
    isTraced: true,
    setAttributes: (all: Record<string, unknown>) => attributes.push(...Object.entries(all)),
  }
  vi.spyOn(tracing, 'enterSpan').mockImplementation(((name: string, work: Function) => {
    names.push(name)
    return work(span)
  }) as never)
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect())
  const response = await clientOf(app, '/payments')('a-secret-key', { body: '{"card":"4242"}' })
  expect(response.status).toBe(201)
  expect(names).toEqual(expect.arrayContaining(['hapax object', 'hapax call', 'hapax executed']))
  const told = JSON.stringify(attributes)
  for (const secret of ['a-secret-key', '4242', 'tenant-a']) expect(told).not.toContain(secret)
  expect(Object.fromEntries(attributes)).toMatchObject({
    'hapax.operation': 'POST /payments',
    'hapax.status': 'executed',
    'hapax.correlation_id': response.headers.get('X-Correlation-Id'),
  })
})
