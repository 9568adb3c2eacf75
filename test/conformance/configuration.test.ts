import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type Gateway, startGateway } from '../e2e/server.ts'
import { send } from './client.ts'
import { config, toSent, useConformance } from './harness.ts'
import { expectProblem } from './problem.ts'

const conformance = useConformance()

describe.concurrent('what a deployment lacks', () => {
  it.each([
    {
      name: 'the rate-limiting binding of the route',
      route: 'rate-unbound',
      reason: /rate-limiting binding NO_SUCH_LIMITER/,
    },
    { name: 'the bucket of the route', route: 'spill-unbound', reason: /an R2 bucket/ },
    { name: 'the bucket of a handler’s route', route: 'handler-spill', reason: /an R2 bucket/ },
  ])(
    'is 500 gateway-misconfigured, and nothing is sent or remembered: $name',
    async ({ route, reason }) => {
      const one = conformance.operation(route)
      expectProblem(await one.send(), 'gateway-misconfigured')
      expectProblem(await one.send({ body: '{"amount":6}' }), 'gateway-misconfigured')
      expect(one.calls()).toHaveLength(0)
      // The operator finds the reason, under the id that the client was told.
      await conformance.gateway.written(reason)
    },
  )

  it.each(['default', 'handler'])(
    'is found likewise where the resolver of tenants throws: %s',
    async (route) => {
      const one = conformance.operation(route)
      const reply = await one.send({ headers: { 'X-Tenant-Fault': '1' } })
      expectProblem(reply, 'gateway-misconfigured')
      expect(reply.text).not.toContain('the resolver fails')
      expect(one.calls()).toHaveLength(0)
      expect((await one.send()).status).toBe(201)
    },
  )
})

describe.concurrent('the resource of an operation', () => {
  it.each(['', '/result'])(
    'is 500 gateway-misconfigured where the resolver of tenants throws: %s',
    async (tail) => {
      const reply = await send(conformance.gateway.url, {
        method: 'GET',
        path: `/_hapax/operations/${'x'.repeat(43)}${tail}`,
        headers: { Authorization: 'Bearer alice', 'X-Tenant-Fault': '1' },
      })
      expect(reply.headers['hapax-error']).toBe('gateway-misconfigured')
      expectProblem(reply, 'gateway-misconfigured', { word: null })
    },
  )
})

describe('a deployment without origin and without secret', () => {
  const state = mkdtempSync(path.join(tmpdir(), 'hapax-bare-'))
  let bare: Gateway | undefined
  beforeAll(async () => {
    const vars = { HAPAX_SEAL_KEY: '' }
    bare = await startGateway({ origin: { url: '' }, config, persistTo: state, vars })
  })
  afterAll(async () => {
    await bare?.stop()
    rmSync(state, { recursive: true, force: true })
  })

  it.each([
    { name: 'forwards nothing', route: 'default', key: 'k' },
    { name: 'forwards nothing without a key', route: 'optional', key: null },
    { name: 'runs no handler whose answer cannot be sealed', route: 'handler-sealed', key: 'k' },
  ])('$name: 500 gateway-misconfigured', async ({ route, key }) => {
    const reply = await send(bare?.url ?? '', toSent({ key }, `/${route}/1`, 'k'))
    expectProblem(reply, 'gateway-misconfigured')
    expect(reply.headers['cache-control']).toBe('no-store')
  })
})

describe('a deployment with a bad policy', () => {
  it('does not start, though an app inside the app hides the route', async () => {
    const state = mkdtempSync(path.join(tmpdir(), 'hapax-bad-'))
    const { origin } = conformance
    try {
      const start = startGateway({ origin, config, persistTo: state, vars: { BAD_POLICY: '1' } })
      await expect(start).rejects.toThrow(/policy of .* is not valid:\s+retention:/)
    } finally {
      rmSync(state, { recursive: true, force: true })
    }
  })
})
