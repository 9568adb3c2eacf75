import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { createWorker, credential, protect } from '../../src/hapax.ts'
import { createOperatedGateway } from './gateway.ts'
import { playOrigin } from './origin.ts'

beforeEach(() => {
  vi.spyOn(console, 'log').mockImplementation(() => {})
  vi.spyOn(env.METRICS, 'writeDataPoint')
})
afterEach(() => vi.restoreAllMocks())

const HOST = 'ops.gateway.test'
const VARS = { HAPAX_ADMIN_TOKEN: 'operator', HAPAX_METRICS_TOKEN: 'prometheus' }
const assets = { fetch: async () => new Response('<html>the page') }

function open(vars: Record<string, string | undefined> = { HAPAX_OPERATORS_HOST: HOST }) {
  const origin = playOrigin(() => new Response('the origin'))
  const app = createOperatedGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect())
  const worker = createWorker(app)
  return {
    origin,
    async ask(url: string, init: RequestInit<IncomingRequestCfProperties> = {}): Promise<Response> {
      const ctx = createExecutionContext()
      const request = new Request<unknown, IncomingRequestCfProperties>(url, init)
      const bindings = { ...env, ...VARS, ASSETS: assets, ...vars }
      const response = await worker.fetch?.(request, bindings as never, ctx)
      if (response === undefined) throw new Error('A worker of a gateway has a fetch handler.')
      await waitOnExecutionContext(ctx)
      return response
    },
  }
}

const read = async (response: Response) => [response.status, await response.text()]

const OPERATORS = [
  { path: '/_hapax/admin/stuck', token: 'operator', status: 200 },
  { path: '/_hapax/admin/openapi.json', token: 'operator', status: 200 },
  { path: '/_hapax/admin', token: 'x', status: 401 },
  { path: '/_hapax/%61dmin/stuck', token: 'x', status: 401 },
  { path: '/_hapax//admin/stuck/', token: 'x', status: 401 },
  { path: '/_hapax/dashboard', token: '', status: 200 },
  { path: '/_hapax/dashboard/assets/a.js', token: '', status: 200 },
  { path: '/_hapax/metrics', token: 'x', status: 401 },
]

const PUBLIC = [
  { path: '/', method: 'GET', status: 200 },
  { path: '/index.html', method: 'GET', status: 200 },
  { path: '/_hapaxed', method: 'GET', status: 200 },
  { path: '/admin', method: 'GET', status: 200 },
  { path: '/payments', method: 'POST', status: 400 },
  { path: '/payments', method: 'OPTIONS', status: 200 },
  { path: '/_hapax/problems', method: 'GET', status: 200 },
  { path: '/_hapax/operations/x', method: 'GET', status: 401 },
  { path: '/_hapax/openapi.json', method: 'GET', status: 200 },
  { path: '/.well-known/idempotency', method: 'GET', status: 200 },
]

describe('HAPAX_OPERATORS_HOST', () => {
  it.each(OPERATORS)('has $path there, and nowhere else', async ({ path, token, status }) => {
    const { ask, origin } = open()
    const headers = { Authorization: `Bearer ${token}` }
    expect((await ask(`https://${HOST}${path}`, { headers })).status).toBe(status)
    for (const host of ['gateway.test', `x.${HOST}`, `${HOST}.evil.test`, `${HOST}:8443`]) {
      const nowhere = await read(await ask(`https://${host}${path}`, { headers }))
      expect({ host, nowhere }).toEqual({ host, nowhere: [404, 'Not found'] })
    }
    expect(origin.requests).toEqual([])
  })

  it.each(PUBLIC)('has no $method $path there, and everywhere else', async (one) => {
    const { ask, origin } = open()
    const init = { method: one.method, headers: { Origin: 'https://shop.test' } }
    expect(await read(await ask(`https://${HOST}${one.path}`, init))).toEqual([404, 'Not found'])
    expect(origin.requests).toEqual([])
    expect((await ask(`https://gateway.test${one.path}`, init)).status).toBe(one.status)
  })

  it('claims nothing there for a request that is protected elsewhere', async () => {
    const { ask, origin } = open()
    const headers = { Authorization: 'Bearer a', 'Idempotency-Key': 'k' }
    expect((await ask(`https://${HOST}/payments`, { method: 'POST', headers })).status).toBe(404)
    expect(origin.requests).toEqual([])
    expect(env.METRICS.writeDataPoint).not.toHaveBeenCalled()
  })

  it.each([
    { configured: 'OPS.Gateway.Test', url: `https://${HOST}` },
    { configured: HOST, url: 'https://OPS.GATEWAY.TEST' },
    { configured: `${HOST}:443`, url: `https://${HOST}` },
    { configured: HOST, url: `https://${HOST}:443` },
    { configured: `${HOST}:8443`, url: `https://${HOST}:8443` },
    { configured: `${HOST}/`, url: `https://${HOST}` },
    { configured: `${HOST}:80`, url: `http://${HOST}` },
    { configured: 'bücher.test', url: 'https://xn--bcher-kva.test' },
    { configured: '[::1]:8787', url: 'http://[0::1]:8787' },
  ])('may be written $configured for $url', async ({ configured, url }) => {
    const { ask } = open({ HAPAX_OPERATORS_HOST: configured })
    expect((await ask(`${url}/_hapax/dashboard`)).status).toBe(200)
    expect((await ask(`${url}/`)).status).toBe(404)
  })

  it.each([`https://${HOST}`, `${HOST}/_hapax`, `a@${HOST}`, 'a b', `${HOST}?`])(
    'lets nobody in anywhere where it is %j, and says so in the log',
    async (configured) => {
      const faults = vi.spyOn(console, 'error').mockImplementation(() => {})
      const { ask } = open({ HAPAX_OPERATORS_HOST: configured })
      for (const host of [HOST, 'gateway.test', 'https']) {
        expect((await ask(`https://${host}/_hapax/dashboard`)).status).toBe(404)
      }
      expect(String(faults.mock.calls[0]?.[0])).toContain('HAPAX_OPERATORS_HOST')
      expect((await ask('https://gateway.test/')).status).toBe(200)
    },
  )

  it.each([undefined, ''])('leaves both on every host where it is %j', async (configured) => {
    const { ask } = open({ HAPAX_OPERATORS_HOST: configured })
    expect((await ask('https://gateway.test/_hapax/dashboard')).status).toBe(200)
    expect(await read(await ask('https://gateway.test/'))).toEqual([200, 'the origin'])
  })
})

describe('what is for operators, on the host of the origin’s pages', () => {
  it('is in no frame, in no other window, and takes no markup', async () => {
    const { headers } = await open({}).ask('https://gateway.test/_hapax/dashboard')
    const policy = headers.get('Content-Security-Policy')
    expect(policy).toContain("frame-ancestors 'none'")
    expect(policy).toContain("require-trusted-types-for 'script'")
    expect(headers.get('Cross-Origin-Opener-Policy')).toBe('same-origin')
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff')
  })

  it.each(['/_hapax/operations/a/result', '/_hapax/dashboard/assets/a.js', '/_hapax/sw.js'])(
    'is under no service worker from %s',
    async (path) => {
      const headers = { 'Service-Worker': 'script' }
      const answer = await open({}).ask(`https://gateway.test${path}`, { headers })
      expect(await read(answer)).toEqual([404, 'Not found'])
    },
  )

  it('leaves the origin its own service workers', async () => {
    const headers = { 'Service-Worker': 'script' }
    const answer = await open({}).ask('https://gateway.test/sw.js', { headers })
    expect(await read(answer)).toEqual([200, 'the origin'])
  })
})
