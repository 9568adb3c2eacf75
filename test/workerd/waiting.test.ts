import { abortAllDurableObjects, createExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Context } from 'hono'
import { afterEach, describe, expect, it, vi } from 'vitest'

import type { OperationGuard } from '../../src/core/operation/operation-guard.ts'
import {
  createGateway,
  createWorker,
  credential,
  type GatewayEnv,
  idempotent,
  type PolicyOptions,
  probe,
} from '../../src/hapax.ts'
import { idOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { until } from './until.ts'

// Longer than a test may take: who waited to the end of it would be seen.
const PATIENT = { headers: { Prefer: 'wait=60' } }

afterEach(() => vi.restoreAllMocks())

/** A Worker whose renewals never arrive, as one that has died: its lease ends. */
const DEAD = {
  OPERATIONS: {
    getByName(name: string): Partial<OperationGuard> {
      const object = env.OPERATIONS.getByName(name) as unknown as OperationGuard
      return {
        claim: (request, caller) => object.claim(request, caller),
        renew: () => Promise.reject(new Error('lost')),
        settle: (call) => object.settle(call),
      }
    },
  },
}

/** A gateway whose first handler stands until it is opened. */
function gatewayWith(policy: PolicyOptions) {
  const opened = Promise.withResolvers<void>()
  const handler = vi.fn(async (c: Context<GatewayEnv>) => {
    const run = handler.mock.calls.length
    if (run === 1) await opened.promise
    return c.text(`run ${run}`)
  })
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/grants', idempotent({ lease: '1s', ...policy }), (c) => handler(c))
  const worker = createWorker(app)
  const send = clientOf(app, '/grants', { isWaiting: false })
  return {
    handler,
    send,
    open: () => opened.resolve(),
    /** Begins the operation of a key in a Worker that is not heard of any more. */
    async loseWorker(key: string): Promise<void> {
      send(key, { env: DEAD }).catch(() => {})
      await until(() => handler.mock.calls.length > 0)
    },
    async get(path: string): Promise<Response> {
      const headers = { Authorization: 'Bearer tenant-a', ...PATIENT.headers }
      const request = new Request<unknown, IncomingRequestCfProperties>(
        `https://gateway.test${path}`,
        { headers },
      )
      const response = await worker.fetch?.(request, env, createExecutionContext())
      if (response === undefined) throw new Error('A worker of a gateway has a fetch handler.')
      return response
    },
  }
}

const sayings = async (responses: readonly Response[]) =>
  Promise.all(responses.map(async (response) => [word(response), await response.text()]))

describe('a request that waits for a Worker that has died', () => {
  it('is told at the end of the lease that the outcome is unknown, and nothing is executed', async () => {
    const { send, handler, loseWorker, open } = gatewayWith({})
    await loseWorker('held')
    const answers = await Promise.all([send('held', PATIENT), send('held', PATIENT)])
    expect(answers.map((answer) => answer.headers.get('Hapax-Error'))).toEqual([
      'outcome-unknown',
      'outcome-unknown',
    ])
    expect(handler).toHaveBeenCalledTimes(1)
    open()
  })

  it('is executed at the end of the lease where the route sends again: one of all that wait', async () => {
    const { send, handler, loseWorker, open } = gatewayWith({ unknown: 'resend' })
    await loseWorker('resent')
    const waiting = Array.from({ length: 8 }, () => send('resent', PATIENT))
    const told = await sayings(await Promise.all(waiting))
    expect(told.map(([, text]) => text)).toEqual(Array(8).fill('run 2'))
    expect(told.filter(([status]) => status === 'executed')).toHaveLength(1)
    expect(handler).toHaveBeenCalledTimes(2)
    open()
    await until(async () => (await (await send('resent')).text()) === 'run 2')
  })

  it.each([
    { origin: 'has executed it', status: 200, runs: 1, text: 'from the origin' },
    { origin: 'has not', status: 404, runs: 2, text: 'run 2' },
  ])('asks at the end of the lease an origin that $origin', async ({ status, runs, text }) => {
    const origin = playOrigin(() => new Response('from the origin', { status }))
    const unknown = probe('/grants/{key}', { grace: 0 })
    const { send, handler, loseWorker, open } = gatewayWith({ unknown })
    const key = `asked-${status}`
    await loseWorker(key)
    const waiting = Array.from({ length: 4 }, () => send(key, PATIENT))
    const told = await sayings(await Promise.all(waiting))
    expect(told.map((one) => one[1])).toEqual(Array(4).fill(text))
    expect(origin.requests).toHaveLength(1)
    expect(handler).toHaveBeenCalledTimes(runs)
    open()
  })

  it('waits on for a Worker that renews its lease, and gets its answer', async () => {
    const { send, handler, open } = gatewayWith({})
    const first = send('renewed')
    await until(() => handler.mock.calls.length > 0)
    const waiting = send('renewed', PATIENT)
    const startedAt = Date.now()
    await until(() => Date.now() > startedAt + 1_500)
    open()
    expect(word(await first)).toBe('executed')
    expect(await sayings([await waiting])).toEqual([['joined', 'run 1']])
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('is told so though the object has restarted and knows of no call', async () => {
    const { send, handler, loseWorker, open } = gatewayWith({})
    await loseWorker('restarted')
    await abortAllDurableObjects()
    const answer = await send('restarted', PATIENT)
    expect(answer.headers.get('Hapax-Error')).toBe('outcome-unknown')
    expect(handler).toHaveBeenCalledTimes(1)
    open()
  })

  it('has no more than its own time', async () => {
    const { send, loseWorker, open } = gatewayWith({ lease: '60s' })
    await loseWorker('own-time')
    const answer = await send('own-time', { headers: { Prefer: 'wait=1' } })
    expect(answer.headers.get('Hapax-Error')).toBe('in-progress')
    open()
  })
})

describe('a question about an operation whose Worker has died', () => {
  it.each([
    { path: '', expected: '"state":"unknown"' },
    { path: '/result', expected: 'outcome-unknown' },
  ])('is answered at the end of the lease: $path', async ({ path, expected }) => {
    const { get, loseWorker, open } = gatewayWith({})
    const key = `asked-about${path.replace('/', '-')}`
    await loseWorker(key)
    const answer = await get(`/_hapax/operations/${await idOf(key)}${path}`)
    expect(await answer.text()).toContain(expected)
    open()
  })
})
