import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  type IdempotencyObject,
  idempotent,
  type PolicyOptions,
  probe,
  protect,
} from '../../src/hapax.ts'
import { openStoredRequest, sealRequest } from '../../src/platform/stored-request.ts'
import { idOf, objectOf, readRecord } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect(policy))
  return clientOf(app, '/payments')
}

/** Makes the alarm's time come, without waiting for it. */
async function ringAlarm(key: string, afterMs = 6_000): Promise<void> {
  const now = Date.now()
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(now + afterMs)
  await runDurableObjectAlarm(await objectOf(key))
}

async function readStoredText(key: string): Promise<string> {
  const object = await objectOf(key)
  return runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) => {
    const rows = sql.exec<{ bytes: ArrayBuffer }>(
      "SELECT bytes FROM body WHERE belongs_to = 'request'",
    )
    return Array.from(rows, ({ bytes }) => new TextDecoder('latin1').decode(bytes)).join('')
  })
}

const bytesOf = (text: string) => new Uint8Array(new TextEncoder().encode(text))
const created = () => Response.json({ id: 'pay_1' }, { status: 201 })
const broken = () => new Response('oops', { status: 500 })

/** An origin whose side effect may fail, with a status resource beside it. */
function playApi(effect: (request: Request) => Response, status: (request: Request) => Response) {
  const origin = playOrigin((request) =>
    request.method === 'GET' ? status(request) : effect(request),
  )
  return {
    effects: () => origin.requests.filter(({ method }) => method === 'POST'),
    probes: () => origin.requests.filter(({ method }) => method === 'GET'),
  }
}

const PROBE: PolicyOptions = { unknown: probe('/payments/by-key/{key}', { grace: 0 }) }

describe('hold', () => {
  it('executes nothing again, says why in the record, and keeps the evidence', async () => {
    const origin = playOrigin(broken)
    const send = clientWith({})
    const first = await send('held')
    const again = await send('held')
    expect([first.status, word(first)]).toEqual([500, 'unknown'])
    expect([again.status, again.headers.get('Hapax-Error')]).toEqual([409, 'outcome-unknown'])
    expect(origin.requests).toHaveLength(1)
    expect(await readRecord('held')).toMatchObject({
      state: 'unknown',
      reason: 'origin-answered',
      attempts: [
        {
          fence: 1,
          startedAt: expect.any(Number),
          endedAt: expect.any(Number),
          originStatus: 500,
          fault: null,
          outcome: 'unknown',
        },
      ],
    })
  })
})

describe('probe', () => {
  it('answers the next request with what the status resource holds', async () => {
    const api = playApi(broken, () =>
      Response.json({ id: 'pay_7' }, { headers: { 'Idempotency-Result-Status': '201' } }),
    )
    const send = clientWith(PROBE)
    await send('probed')
    const again = await send('probed')
    expect([again.status, word(again), await again.text()]).toEqual([
      201,
      'replayed',
      '{"id":"pay_7"}',
    ])
    expect(word(await send('probed'))).toBe('replayed')
    expect(api.effects()).toHaveLength(1)
    expect(api.probes()).toHaveLength(1)
    const [asked] = api.probes()
    expect(new URL(asked?.url ?? '').pathname).toBe(`/payments/by-key/${await idOf('probed')}`)
    expect(asked?.headers.get('Authorization')).toBe('Bearer tenant-a')
  })

  it('executes again, as the next attempt, what the origin does not know', async () => {
    let isBroken = true
    const api = playApi(
      () => (isBroken ? broken() : created()),
      () => new Response('no such payment', { status: 404 }),
    )
    const send = clientWith(PROBE)
    await send('not-there')
    isBroken = false
    const again = await send('not-there')
    expect([again.status, word(again)]).toEqual([201, 'executed'])
    expect(api.effects().map(({ headers }) => headers.get('Idempotency-Attempt'))).toEqual([
      '1',
      '2',
    ])
  })

  it('stays unknown where the origin cannot tell, and asks once for many requests', async () => {
    const api = playApi(broken, () => new Response('later', { status: 503 }))
    const send = clientWith(PROBE)
    await send('cannot-tell')
    const answers = await Promise.all([
      send('cannot-tell'),
      send('cannot-tell'),
      send('cannot-tell'),
    ])
    expect(answers.map(({ status }) => status)).toEqual([409, 409, 409])
    expect(answers[0]?.headers.get('X-Should-Retry')).toBe('true')
    expect(api.effects()).toHaveLength(1)
    expect(api.probes().length).toBeLessThan(4)
  })

  it('finds out by alarm, without any client, and asks ever more seldom', async () => {
    let isKnown = false
    const api = playApi(broken, () =>
      isKnown ? created() : new Response('later', { status: 503 }),
    )
    const send = clientWith(PROBE)
    await send('alone')
    await ringAlarm('alone')
    expect(await readRecord('alone')).toMatchObject({ state: 'unknown', recoveryCount: 1 })
    isKnown = true
    await ringAlarm('alone', 11_000)
    expect(await readRecord('alone')).toMatchObject({ state: 'succeeded' })
    expect(word(await send('alone'))).toBe('replayed')
    expect(api.effects()).toHaveLength(1)
  })

  it('believes a 404 only where the question bears the credentials of the request', async () => {
    // An origin that hides what a stranger asks for.
    const api = playApi(broken, ({ headers }) =>
      headers.has('Authorization') ? created() : new Response('not found', { status: 404 }),
    )
    const send = clientWith(PROBE)
    await send('hidden')
    await ringAlarm('hidden')
    expect(await readRecord('hidden')).toMatchObject({ state: 'unknown' })
    expect(word(await send('hidden'))).toBe('replayed')
    expect(api.effects()).toHaveLength(1)
  })

  it('executes by alarm what the origin does not know, where the request is stored', async () => {
    let isBroken = true
    const api = playApi(
      () => (isBroken ? broken() : created()),
      () => new Response('no such payment', { status: 404 }),
    )
    const send = clientWith({ ...PROBE, durable: true })
    await send('stored-probe')
    isBroken = false
    await ringAlarm('stored-probe')
    expect(await readRecord('stored-probe')).toMatchObject({ state: 'succeeded', fence: 2 })
    expect(api.probes()[0]?.headers.get('Authorization')).toBe('Bearer tenant-a')
  })

  it('is asked for what was held before the route had it', async () => {
    const api = playApi(broken, created)
    await clientWith({})('redeployed')
    expect(word(await clientWith(PROBE)('redeployed'))).toBe('replayed')
    expect(api.effects()).toHaveLength(1)
  })

  it('asks for an orphan, and settles it', async () => {
    const origin = playSlowOrigin((request) => (request.method === 'GET' ? created() : broken()))
    const send = clientWith(PROBE)
    const first = send('orphan')
    await origin.asked()
    await abortAllDurableObjects()
    await first
    origin.release()
    const again = await send('orphan')
    expect(word(again)).toBe('replayed')
    expect(origin.requests.filter(({ method }) => method === 'POST')).toHaveLength(1)
  })

  it('works for a handler in the Worker, which runs again only when the origin says so', async () => {
    let runs = 0
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/grants', idempotent({ unknown: probe('/grants/{key}', { grace: 0 }) }), (c) => {
      runs += 1
      if (runs === 1) throw new Error('half done')
      return c.text(`run ${runs}`)
    })
    const send = clientOf(app, '/grants')
    playOrigin(() => new Response('no such grant', { status: 404 }))
    expect((await send('handler')).status).toBe(500)
    expect(await (await send('handler')).text()).toBe('run 2')
    expect(word(await send('handler'))).toBe('replayed')
  })
})

describe('resend', () => {
  it('sends a stored request again by alarm, without any client', async () => {
    let isBroken = true
    const bodies: string[] = []
    playOrigin(async (request) => {
      bodies.push(await request.text())
      return isBroken ? broken() : created()
    })
    const send = clientWith({ unknown: 'resend', durable: true })
    await send('stored', { body: '{"amount":42}' })
    isBroken = false
    await ringAlarm('stored')
    expect(await readRecord('stored')).toMatchObject({ state: 'succeeded', fence: 2 })
    expect(bodies).toEqual(['{"amount":42}', '{"amount":42}'])
    expect(await readStoredText('stored')).toBe('')
  })

  it('keeps the stored request sealed where the deployment has a secret, and opens it after a rotation', async () => {
    // Stored and opened by the object, whose environment is the deployment's.
    const stored = {
      request: { method: 'POST', path: '/', headers: [], body: bytesOf('marked-body') },
      sealKey: null,
    }
    const before = { ...env, HAPAX_SEAL_KEY: 'the old secret, 32 characters long' }
    const after = {
      ...env,
      HAPAX_SEAL_KEY: 'the new secret, 32 characters long',
      HAPAX_SEAL_KEY_PREVIOUS: before.HAPAX_SEAL_KEY,
    }
    const sealed = await sealRequest(before, 'id', stored)
    const clear = await sealRequest(env, 'id', stored)
    expect(new TextDecoder('latin1').decode(sealed)).not.toContain('marked')
    expect(await openStoredRequest(before, 'id', sealed)).toEqual(stored)
    expect(await openStoredRequest(after, 'id', sealed)).toEqual(stored)
    expect(await openStoredRequest(after, 'id', clear)).toEqual(stored)
    await expect(openStoredRequest(env, 'id', sealed)).rejects.toThrow(Error)
  })

  it('stays unknown when a later call was not executed but an earlier one may have been', async () => {
    let status = 500
    const origin = playOrigin(() => new Response('no', { status }))
    const send = clientWith({ unknown: 'resend' })
    await send('mixed')
    status = 503
    await send('mixed')
    expect(await readRecord('mixed')).toMatchObject({ state: 'unknown', fence: 2 })
    expect(word(await send('mixed', { body: '{"amount":2}' }))).toBe('mismatch')
    expect(origin.requests).toHaveLength(2)
  })
})

describe('retry', () => {
  const QUICK = { base: '1ms', cap: '2ms' } as const

  it('calls again what was not executed, each call as the next attempt', async () => {
    const origin = playOrigin(({ headers }) =>
      headers.get('Idempotency-Attempt') === '3' ? created() : new Response('', { status: 503 }),
    )
    const send = clientWith({ retry: { attempts: 4, ...QUICK } })
    const response = await send('thrice')
    expect([response.status, word(response)]).toEqual([201, 'executed'])
    expect(origin.requests).toHaveLength(3)
    expect(await readRecord('thrice')).toMatchObject({
      attempts: [
        { outcome: 'not_executed' },
        { outcome: 'not_executed' },
        { outcome: 'succeeded' },
      ],
    })
  })

  it('frees the key when no call was executed', async () => {
    const origin = playOrigin(() => new Response('', { status: 503 }))
    const send = clientWith({ retry: { attempts: 3, ...QUICK } })
    expect(word(await send('never'))).toBe('not-executed')
    expect(origin.requests).toHaveLength(3)
    expect(await readRecord('never')).toBeNull()
  })

  it.each([
    { name: 'what failed', status: 422 },
    { name: 'what is unknown, under hold', status: 500 },
  ])('does not call again $name', async ({ status }) => {
    const origin = playOrigin(() => new Response('', { status }))
    const send = clientWith({ retry: { attempts: 4, ...QUICK } })
    await send(`once-${status}`)
    expect(origin.requests).toHaveLength(1)
  })

  it('counts the attempts of the layer before into its own', async () => {
    const origin = playOrigin(() => new Response('', { status: 503 }))
    const send = clientWith({ retry: { attempts: 4, ...QUICK } })
    await send('outer-attempt', { headers: { 'Idempotency-Attempt': '3' } })
    expect(origin.requests).toHaveLength(2)
  })

  it('begins no call behind the deadline of the request', async () => {
    const origin = playOrigin(() => new Response('', { status: 503 }))
    const send = clientWith({ retry: { attempts: 4, base: '60s', cap: '60s' } })
    vi.spyOn(Math, 'random').mockReturnValue(0.5)
    const deadline = new Date(Date.now() + 20_000).toISOString()
    await send('outer-deadline', { headers: { 'X-Request-Deadline': deadline } })
    expect(origin.requests).toHaveLength(1)
  })

  it('sends nothing when the deadline has passed', async () => {
    const origin = playOrigin(created)
    const send = clientWith({})
    const late = await send('too-late', {
      headers: { 'X-Request-Deadline': '2020-01-01T00:00:00Z' },
    })
    expect([late.status, late.headers.get('Hapax-Error')]).toEqual([504, 'origin-timeout'])
    expect(origin.requests).toHaveLength(0)
  })

  it('opens the circuit after failures in a row, and tries again after the cooldown', async () => {
    let status = 500
    const origin = playOrigin(() => new Response('', { status }))
    const send = clientWith({ retry: { breaker: { failures: 2, cooldown: '10s' } } })
    await send('circuit-1')
    await send('circuit-2')
    const refused = await send('circuit-3')
    expect([refused.status, refused.headers.get('Hapax-Error')]).toEqual([503, 'circuit-open'])
    expect(Number(refused.headers.get('Retry-After'))).toBeGreaterThanOrEqual(1)
    expect(await readRecord('circuit-3')).toBeNull()
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() + 10_001)
    status = 201
    expect((await send('circuit-3')).status).toBe(201)
    expect((await send('circuit-4')).status).toBe(201)
    expect(origin.requests).toHaveLength(4)
  })
})

describe('limits.rate', () => {
  it('refuses new operations over the limit before the claim, and no repeats', async () => {
    const origin = playOrigin(created)
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/payments', protect({ limits: { rate: true } }))
    const send = clientOf(app, '/payments')
    await send('rate-1')
    const object = await objectOf('rate-2')
    await runInDurableObject(object, (instance: IdempotencyObject) => {
      const { env: own } = instance as unknown as { env: { RATE_LIMITER: RateLimit } }
      vi.spyOn(own.RATE_LIMITER, 'limit').mockResolvedValue({ success: false })
    })
    const refused = await send('rate-2')
    expect([refused.status, refused.headers.get('Hapax-Error')]).toEqual([429, 'rate-limited'])
    expect(refused.headers.get('Retry-After')).not.toBeNull()
    expect(await readRecord('rate-2')).toBeNull()
    expect(word(await send('rate-1'))).toBe('replayed')
    expect(origin.requests).toHaveLength(1)
  })
})

describe('onStoreError', () => {
  const failStore = async (key: string) => {
    const object = await objectOf(key)
    return runInDurableObject(object, (_: IdempotencyObject, { storage }) =>
      vi.spyOn(Object.getPrototypeOf(storage), 'transactionSync').mockImplementation(() => {
        throw new Error('disk I/O error')
      }),
    )
  }

  it('forwards without protection, and says so, where the route is open', async () => {
    const origin = playOrigin(
      async (request) => new Response(await request.text(), { status: 201 }),
    )
    const send = clientWith({ onStoreError: 'open' })
    await failStore('open')
    const response = await send('open')
    expect([response.status, word(response)]).toEqual([201, 'unprotected'])
    expect(await response.text()).toBe('{"amount":1}')
    expect(origin.requests).toHaveLength(1)
  })

  it('goes around nothing while the call runs whose repeat it is', async () => {
    const origin = playSlowOrigin(created)
    const send = clientWith({ onStoreError: 'open' })
    const first = send('open-running')
    await origin.asked()
    const spy = await failStore('open-running')
    const repeat = await send('open-running')
    spy.mockRestore()
    origin.release()
    expect([repeat.status, repeat.headers.get('Hapax-Error')]).toEqual([503, 'store-unavailable'])
    expect(word(await first)).toBe('executed')
    expect(origin.requests).toHaveLength(1)
  })

  it('is closed unless the route says otherwise', async () => {
    const origin = playOrigin(created)
    const send = clientWith({})
    await failStore('closed')
    expect((await send('closed')).status).toBe(503)
    expect(origin.requests).toHaveLength(0)
  })
})

describe('what the origin says', () => {
  it.each([
    { says: 'executed', status: 503, words: ['executed', 'replayed'], calls: 1 },
    { says: 'not-executed', status: 500, words: ['not-executed', 'not-executed'], calls: 2 },
  ])('Idempotency-Outcome: $says holds for a $status', async ({ says, status, words, calls }) => {
    const origin = playOrigin(
      () => new Response('', { status, headers: { 'Idempotency-Outcome': says } }),
    )
    const send = clientWith({})
    const key = `says-${says}`
    expect([word(await send(key)), word(await send(key))]).toEqual(words)
    expect(origin.requests).toHaveLength(calls)
  })

  it('Idempotency-Store: max-age takes the place of the retention', async () => {
    playOrigin(() => new Response('', { headers: { 'Idempotency-Store': 'max-age=60' } }))
    const send = clientWith({})
    await send('max-age')
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() + 60_001)
    expect(word(await send('max-age'))).toBe('executed')
  })

  it('Idempotency-Store: no-store keeps that it was executed, and nothing of the answer', async () => {
    const origin = playOrigin(
      () =>
        new Response('card 4242', {
          headers: { 'Idempotency-Store': 'no-store', 'X-Card': '4242' },
        }),
    )
    const send = clientWith({})
    expect(await (await send('no-store')).text()).toBe('card 4242')
    const again = await send('no-store')
    expect([again.status, word(again)]).toEqual([409, 'not-kept'])
    expect(JSON.stringify(await readRecord('no-store'))).not.toContain('4242')
    expect(origin.requests).toHaveLength(1)
  })
})
