import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Handler, MiddlewareHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'

import {
  createGateway,
  createWorker,
  credential,
  type GatewayEnv,
  idempotent,
  mcp,
  type PolicyOptions,
  protect,
  queue,
  type TenantResolver,
  webhook,
} from '../../src/hapax.ts'
import { type Asked, askerOf, refusal } from './ask.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'
import { until } from './until.ts'

let log: MockInstance<typeof console.log>
beforeEach(() => {
  vi.spyOn(env.METRICS, 'writeDataPoint')
  log = vi.spyOn(console, 'log').mockImplementation(() => {})
})
afterEach(() => vi.restoreAllMocks())

const points = () => vi.mocked(env.METRICS.writeDataPoint).mock.calls.map(([point]) => point)
const lines = () => log.mock.calls.map(([line]) => JSON.parse(String(line)))

/** Of the last point: status, problem, what it would have been, and where its key was found. */
const lastSeen = () => {
  const { blobs = [] } = points().at(-1) ?? {}
  return [blobs[2], blobs[3], blobs[9], blobs[10]]
}

let tenants = 0

/** Credentials that no other test has. */
function newTenant(): string {
  tenants += 1
  return `Bearer observe-${tenants}`
}

type Ask = ReturnType<typeof askerOf>

/** Sends JSON to `/payments` as a tenant; a header that is empty is not sent. */
function payerOf(ask: Ask, authorization = newTenant()) {
  return (key: string, { headers, ...asked }: Asked = {}) => {
    const all = {
      Authorization: authorization,
      'Content-Type': 'application/json',
      'Idempotency-Key': key,
      ...headers,
    }
    const sent = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== ''))
    return ask('/payments', { body: '{"amount":1}', ...asked, headers: sent })
  }
}

/** Sends to a gateway that has one route, `/payments`. */
function gatewayWith(
  policy: PolicyOptions,
  tenant: TenantResolver = credential('Authorization'),
): Ask {
  const app = createGateway({ tenant })
  app.on(['GET', 'POST'], '/payments', protect(policy))
  return askerOf(app)
}

const bytesOf = async (message: Request | Response) =>
  Array.from(new Uint8Array(await message.arrayBuffer()))

/** Everything that a client sees of an answer, but for the header that an observed one has more. */
async function seenOf(response: Response) {
  const headers = [...response.headers].filter(([name]) => name !== 'x-correlation-id')
  const { status, statusText } = response
  return { status, statusText, headers, bytes: await bytesOf(response) }
}

/** What an origin that answers so gets, and what the client gets, of a few requests in a row. */
async function throughRoute(
  mode: 'observe' | 'off',
  requests: readonly (() => Asked)[],
  answer: () => Response,
) {
  const arrived: object[] = []
  playOrigin(async (request) => {
    const { method, url, headers } = request
    arrived.push({ method, url, headers: [...headers], bytes: await bytesOf(request) })
    return answer()
  })
  const ask = gatewayWith({ mode, limits: { request: 64 } })
  const answers: Response[] = []
  for (const request of requests) answers.push(await ask('/payments', request()))
  vi.mocked(globalThis.fetch).mockRestore()
  return { answers, arrived, seen: await Promise.all(answers.map(seenOf)) }
}

const BINARY = Uint8Array.from({ length: 64 }, (_, at) => (at * 37) % 256)
const LARGE = `{"text":"${'x'.repeat(100)}"}`
const ours = { Authorization: 'Bearer same-answers', 'Content-Type': 'application/json' }

const jsonOf = (key: string, body = '{"amount":1}') => {
  return (): Asked => ({ body, headers: { ...ours, 'Idempotency-Key': key } })
}

function inPieces(...pieces: readonly string[]): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder()
  return new ReadableStream({
    start(controller) {
      for (const piece of pieces) controller.enqueue(encoder.encode(piece))
      controller.close()
    },
  })
}

const created = () =>
  new Response('{"id":1}', { status: 201, headers: { 'Content-Type': 'application/json' } })

function withCookies(): Response {
  const response = new Response('ok', { headers: { 'Cache-Control': 'public', Link: '</a>' } })
  response.headers.append('Set-Cookie', 'a=1')
  response.headers.append('Set-Cookie', 'b=2; Secure')
  return response
}

describe("a route with mode: 'observe'", () => {
  it.each<{ name: string; requests: (() => Asked)[]; answer?: () => Response }>([
    { name: 'a replay', requests: [jsonOf('replay'), jsonOf('replay')] },
    { name: 'another payload', requests: [jsonOf('other'), jsonOf('other', '{"amount":2}')] },
    { name: 'no key', requests: [() => ({ body: '{}', headers: ours })] },
    { name: 'a bad key', requests: [jsonOf('a, b')] },
    {
      name: 'no credentials',
      requests: [() => ({ body: '{}', headers: { 'Idempotency-Key': 'k' } })],
    },
    { name: 'JSON that does not parse', requests: [jsonOf('broken', '{"a":')] },
    { name: 'a body over the limit', requests: [jsonOf('large', LARGE), jsonOf('large', LARGE)] },
    {
      name: 'a body over the limit that declares no length',
      requests: [() => ({ ...jsonOf('pieces')(), body: inPieces('{"text":"', LARGE, '"}') })],
    },
    {
      name: 'binary both ways',
      requests: [
        () => ({
          body: BINARY,
          headers: { ...ours, 'Content-Type': 'image/png', 'Idempotency-Key': 'binary' },
        }),
      ],
      answer: () => new Response(BINARY, { headers: { 'Content-Type': 'image/png' } }),
    },
    { name: 'no body', requests: [() => ({ headers: { ...ours, 'Idempotency-Key': 'empty' } })] },
    { name: 'GET', requests: [() => ({ method: 'GET', headers: ours })] },
    {
      name: 'a 204',
      requests: [jsonOf('204'), jsonOf('204')],
      answer: () => new Response(null, { status: 204 }),
    },
    {
      name: 'a 500 of the origin',
      requests: [jsonOf('500'), jsonOf('500')],
      answer: () => new Response('broken', { status: 500, statusText: 'Oh no' }),
    },
    {
      name: 'a redirect',
      requests: [jsonOf('302')],
      answer: () => new Response(null, { status: 302, headers: { Location: '/elsewhere' } }),
    },
    { name: 'cookies', requests: [jsonOf('cookies'), jsonOf('cookies')], answer: withCookies },
    {
      name: 'an answer that streams',
      requests: [jsonOf('stream')],
      answer: () => new Response(inPieces('one', 'two')),
    },
  ])('is to client and origin as one that is off: $name', async ({ requests, answer }) => {
    const off = await throughRoute('off', requests, answer ?? created)
    const observed = await throughRoute('observe', requests, answer ?? created)
    expect(observed.seen).toEqual(off.seen)
    expect(observed.arrived).toEqual(off.arrived)
    expect(observed.arrived).toHaveLength(requests.length)
    const ids = observed.answers.map(({ headers }) => headers.get('X-Correlation-Id'))
    expect(ids).toEqual(requests.map(() => expect.any(String)))
  })

  it('sends a duplicate on that comes while the first runs', async () => {
    const origin = playSlowOrigin(() => new Response(`${origin.requests.length}`))
    const pay = payerOf(gatewayWith({ mode: 'observe' }))
    const both = [pay('twins'), pay('twins')]
    await until(() => origin.requests.length === 2)
    origin.release()
    expect((await Promise.all(both)).map(({ status }) => status)).toEqual([200, 200])
    const foreseen = new Set(points().map((point) => point?.blobs?.[9]))
    expect(foreseen).toEqual(new Set(['executed', 'in-progress']))
  })

  it('lets a request through whose caller cannot be told, whatever the reason', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const origin = playOrigin(() => new Response('ok'))
    const ask = gatewayWith({ mode: 'observe', enforce: { percent: 100 } }, () => {
      throw new Error('the resolver is broken')
    })
    expect((await payerOf(ask)('k')).status).toBe(200)
    expect(origin.requests).toHaveLength(1)
    expect(lastSeen()).toEqual(['unprotected', 'tenant-missing', 'rejected', 'header'])
  })

  it('lets a request through that cannot be recorded', async () => {
    const origin = playOrigin(() => new Response('ok'))
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/payments', protect({ mode: 'observe' }))
    const broken = {
      getByName() {
        throw new Error('no object today')
      },
    }
    const answer = await clientOf(app, '/payments')('unrecorded', { env: { OPERATIONS: broken } })
    expect([answer.status, await answer.text()]).toEqual([200, 'ok'])
    expect(origin.requests).toHaveLength(1)
    expect(lastSeen()).toEqual(['unprotected', 'store-unavailable', 'store-fault', 'header'])
  })
})

describe('an observed route with events', () => {
  const sunset = { at: '2027-03-01' } as const
  const events = [
    { on: 'succeeded', to: queue('MISSING') },
    { on: 'failed', to: webhook('https://hooks.test/') },
  ] as const

  it.each([{ name: 'with sunset', sunset }, { name: 'without sunset' }])(
    'needs nothing to deliver them with, $name',
    async (announced) => {
      const origin = playOrigin(created)
      const app = createGateway({ tenant: credential('Authorization') })
      app.post(
        '/payments',
        protect({
          mode: 'observe',
          ...('sunset' in announced ? { sunset } : {}),
          events: [...events],
        }),
      )
      const send = clientOf(app, '/payments')
      const key = crypto.randomUUID()
      const bare = { env: { HAPAX_WEBHOOK_SECRET: undefined } }
      const answers = [await send(key, bare), await send(key, bare)]
      expect(answers.map(({ status }) => status)).toEqual([201, 201])
      expect(lastSeen()).toEqual(['unprotected', '', 'replayed', 'header'])
      expect(origin.requests).toHaveLength(2)
    },
  )
})

describe('an observed route on which observing fails', () => {
  const sunset = { at: '2027-03-01' } as const

  it.each([
    { name: 'with sunset', policy: { sunset } },
    { name: 'without sunset', policy: {} },
  ])('answers as one that is off, and says in the log why, $name', async ({ policy }) => {
    const faults = vi.spyOn(console, 'error').mockImplementation(() => {})
    playOrigin(created)
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/payments', protect({ mode: 'observe', ...policy }))
    const headers = {
      'X-Correlation-Id': 'given',
      Traceparent: `00-${'1'.repeat(32)}-${'2'.repeat(16)}-01`,
    }
    const send = clientOf(app, '/payments')
    // The gateway takes one before any route is asked.
    vi.spyOn(crypto, 'randomUUID')
      .mockImplementation(() => {
        throw new Error('no randomness today')
      })
      .mockReturnValueOnce('0b9c2c9e-8a44-4d5c-9f3e-3f5d6a7b8c9d')
    const answer = await send('unlucky', { headers })
    expect([answer.status, await answer.text()]).toEqual([201, '{"id":1}'])
    expect(word(answer)).toBeNull()
    expect(faults).toHaveBeenCalled()
  })

  it('answers as one that is off where the body was read before, past the gateway', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    for (const mode of ['off', 'observe'] as const) {
      const app = createGateway({ tenant: credential('Authorization') })
      app.use('/payments', async (c, next) => {
        await c.req.raw.text()
        await next()
      })
      app.post('/payments', idempotent({ mode, sunset }), (c) => c.text('done', 201))
      const answer = await payerOf(askerOf(app))('k')
      expect([answer.status, await answer.text()]).toEqual([201, 'done'])
    }
  })
})

describe('an observed route on which a step of observing fails or hangs', () => {
  const never = () => new Promise<never>(() => {})
  const fails = () => {
    throw new Error('broken')
  }
  const granted = { kind: 'granted', claim: { operationId: 'o', fence: 1, claimId: 'c' } }
  const operations = (methods: object) => ({ OPERATIONS: { getByName: () => methods } })
  const metrics = (writeDataPoint: () => void) => ({ METRICS: { writeDataPoint } })

  interface Fault {
    readonly name: string
    readonly env?: Record<string, unknown>
    readonly tenant?: TenantResolver
    readonly authenticate?: MiddlewareHandler
    readonly body?: () => BodyInit
    readonly digest?: () => never | Promise<never>
  }

  const steps: Fault[] = [
    { name: 'the tenant resolver hangs', tenant: never },
    { name: 'the tenant resolver throws', tenant: fails },
    { name: 'who verifies the caller hangs', authenticate: never },
    { name: 'who verifies the caller throws', authenticate: fails },
    { name: 'the digest hangs', digest: never, tenant: () => 'somebody' },
    { name: 'the digest throws', digest: fails, tenant: () => 'somebody' },
    { name: 'the object cannot be named', env: { OPERATIONS: { getByName: fails } } },
    { name: 'the claim hangs', env: operations({ claim: never }) },
    { name: 'the claim throws', env: operations({ claim: fails }) },
    { name: 'the settle hangs', env: operations({ claim: async () => granted, settle: never }) },
    { name: 'the settle throws', env: operations({ claim: async () => granted, settle: fails }) },
    { name: 'the point cannot be written', env: metrics(fails) },
    { name: 'the body stalls', body: () => new ReadableStream({ pull: never }) },
    {
      name: 'the body breaks off',
      body: () => new ReadableStream({ pull: (body) => body.error(new Error('gone')) }),
    },
  ]
  const share = { percent: 1, tenants: ['nobody'] }
  /** `ms`: after so long at the most there is an answer. */
  const policies: { route: string; policy: PolicyOptions; ms: number }[] = [
    { route: 'plain', policy: {}, ms: 1_000 },
    { route: 'with sunset', policy: { sunset: { at: '2027-03-01' } }, ms: 1_000 },
    { route: 'with a share enforced', policy: { enforce: share }, ms: 5_000 },
  ]
  const cases = steps.flatMap((step) => policies.map((one) => ({ ...step, ...one })))

  it.each(cases)('answers as one that is off, $route: $name', async (fault) => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] })
    try {
      if (fault.digest) vi.spyOn(crypto.subtle, 'digest').mockImplementation(fault.digest)
      vi.spyOn(globalThis, 'fetch').mockImplementation(async () => created())
      const { authenticate } = fault
      const tenant = fault.tenant ?? credential('Authorization')
      const app = createGateway({ tenant, ...(authenticate && { authenticate }) })
      app.post('/payments', protect({ mode: 'observe', ...fault.policy }))
      const ctx = createExecutionContext()
      const request = new Request<unknown, IncomingRequestCfProperties>(
        'https://gateway.test/payments',
        {
          method: 'POST',
          headers: { ...ours, 'Idempotency-Key': crypto.randomUUID() },
          body: fault.body?.() ?? '{"amount":1}',
        },
      )
      const answering = createWorker(app).fetch?.(request, { ...env, ...fault.env }, ctx)
      await passSlowly(fault.ms)
      const answer = await answering
      expect([answer?.status, await answer?.text()]).toEqual([201, '{"id":1}'])
      // What goes on behind the answer ends as well, and throws nothing.
      const rest = waitOnExecutionContext(ctx)
      await passSlowly(20_000)
      await rest
    } finally {
      vi.useRealTimers()
    }
  })

  it('counts a request whose outcome could not be stored', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    playOrigin(created)
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/payments', protect({ mode: 'observe' }))
    const broken = operations({ claim: async () => granted, settle: fails })
    await clientOf(app, '/payments')('unsettled', { env: broken })
    expect(lastSeen()).toEqual(['unprotected', '', 'executed', 'header'])
  })
})

/** Lets time go by, and what is under way along with it. */
async function passSlowly(ms: number): Promise<void> {
  for (let at = 0; at < 10; at++) {
    await scheduler.wait(1)
    await vi.advanceTimersByTimeAsync(ms / 10)
  }
}

describe('what is recorded of an observed request', () => {
  it.each<{ name: string; before?: true; key?: string; asked?: Asked; expected: string[] }>([
    { name: 'the first', expected: ['', 'executed', 'header'] },
    { name: 'a repeat', before: true, expected: ['', 'replayed', 'header'] },
    {
      name: 'another payload',
      before: true,
      asked: { body: '{"amount":2}' },
      expected: ['key-reused', 'mismatch', 'header'],
    },
    { name: 'no key', key: '', expected: ['key-missing', 'rejected', 'none'] },
    { name: 'a bad key', key: 'a, b', expected: ['key-invalid', 'rejected', 'header'] },
    {
      name: 'no credentials',
      asked: { headers: { Authorization: '' } },
      expected: ['tenant-missing', 'rejected', 'header'],
    },
    {
      name: 'JSON that does not parse',
      asked: { body: '{' },
      expected: ['payload-invalid', 'rejected', 'header'],
    },
    {
      name: 'a body over the limit',
      asked: { body: LARGE },
      expected: ['payload-too-large', 'rejected', 'header'],
    },
  ])('is $expected for $name', async ({ before, key = 'k', asked, expected }) => {
    playOrigin(created)
    const pay = payerOf(gatewayWith({ mode: 'observe', limits: { request: 64 } }))
    if (before) await pay(key)
    const already = points().length
    await pay(key, asked)
    expect(points()).toHaveLength(already + 1)
    expect(lastSeen()).toEqual(['unprotected', ...expected])
    const [problem, wouldBe, keySource] = expected
    expect(lines().at(-1)).toMatchObject({
      message: 'request',
      operation: 'POST /payments',
      status: 'unprotected',
      httpStatus: 201,
      problem: problem || null,
      wouldBe,
      keySource,
    })
  })

  it.each([
    { status: 400, expected: 'executed' },
    { status: 503, expected: 'not-executed' },
    { status: 500, expected: 'unknown' },
  ])('is $expected after a $status of the origin', async ({ status, expected }) => {
    playOrigin(() => new Response('no', { status }))
    const pay = payerOf(gatewayWith({ mode: 'observe' }))
    await pay('first')
    expect(lastSeen()).toEqual(['unprotected', '', expected, 'header'])
  })

  it('is that a key is free again that nothing came of', async () => {
    playOrigin(() => new Response('no', { status: 503 }))
    const pay = payerOf(gatewayWith({ mode: 'observe' }))
    await pay('freed')
    await pay('freed', { body: '{"amount":2}' })
    expect(lastSeen()).toEqual(['unprotected', '', 'not-executed', 'header'])
  })

  it('has the tenant and the operation that an enforced one would have', async () => {
    playOrigin(created)
    const tenant = newTenant()
    await payerOf(gatewayWith({ mode: 'observe' }), tenant)('named')
    await payerOf(gatewayWith({}), tenant)('named')
    const [observed, enforced] = points().map((point) => [point?.indexes, point?.blobs?.[7]])
    expect(observed).toEqual(enforced)
    expect(observed?.[1]).toMatch(/^[\w-]{43}$/)
  })

  it('is nothing but the missing key where none is required', async () => {
    playOrigin(created)
    await payerOf(gatewayWith({ mode: 'observe', required: false }))('')
    expect(lastSeen()).toEqual(['unprotected', '', 'unprotected', 'none'])
  })

  it('is nothing for a message of an MCP server that is no operation', async () => {
    const origin = playOrigin(created)
    const pay = payerOf(gatewayWith({ mode: 'observe', key: mcp() }))
    await pay('', { body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}' })
    expect(origin.requests).toHaveLength(1)
    expect(points()).toHaveLength(0)
  })

  it('holds no key, no credential and no body', async () => {
    playOrigin(() => new Response('marked-answer'))
    const pay = payerOf(gatewayWith({ mode: 'observe' }), 'Bearer marked-tenant')
    await pay('marked-key', { body: '{"a":"marked-body"}' })
    await pay('marked-key', { body: '{"a":"marked-other"}' })
    expect(JSON.stringify([points(), lines()])).not.toContain('marked')
  })
})

/** Names the tenant by what it says of itself. */
const byName: TenantResolver = (c) => c.req.header('Authorization') ?? null

describe('enforce', () => {
  const enforced = async (ask: Ask, tenant: string, key = 'k') =>
    word(await payerOf(ask, tenant)(key)) !== null

  it('enforces for the tenants that it names, and for nobody else', async () => {
    const origin = playOrigin(created)
    const ask = gatewayWith({ mode: 'observe', enforce: { tenants: ['acme', 'bolt'] } }, byName)
    const [acme, other] = [payerOf(ask, 'acme'), payerOf(ask, 'other')]
    const words = [await acme('named'), await acme('named'), await acme('named', { body: '{}' })]
    expect(words.map(word)).toEqual(['executed', 'replayed', 'mismatch'])
    expect(origin.requests).toHaveLength(1)
    expect(lastSeen()).toEqual(['mismatch', 'key-reused', '', 'header'])
    expect(refusal(await payerOf(ask, 'bolt')(''))).toEqual([400, 'key-missing'])

    const answers = [await other('named'), await other('named'), await other('')]
    expect(answers.map(({ status }) => status)).toEqual([201, 201, 201])
    expect(answers.map(word)).toEqual([null, null, null])
    expect(origin.requests).toHaveLength(4)
  })

  it('names tenants as the metrics have them', async () => {
    playOrigin(created)
    const tenant = newTenant()
    await payerOf(gatewayWith({ mode: 'observe' }), tenant)('read')
    const { tenant: name } = lines()[0] as { tenant: string }
    expect(points()[0]?.blobs?.[5]).toBe(name)
    const ask = gatewayWith({ mode: 'observe', enforce: { tenants: [name] } })
    expect(await enforced(ask, tenant)).toBe(true)
    expect(await enforced(ask, newTenant())).toBe(false)
  })

  const many = Array.from({ length: 24 }, (_, at) => `tenant-${at}`)
  const sharesOf = (percent: number, key: string) => {
    const ask = gatewayWith({ mode: 'observe', enforce: { percent } }, byName)
    return Promise.all(many.map((tenant) => enforced(ask, tenant, `${percent}-${key}`)))
  }

  it.each([
    { percent: 100, expected: true },
    { percent: 0, expected: false },
  ])('with $percent percent is $expected for all', async ({ percent, expected }) => {
    playOrigin(created)
    expect(await sharesOf(percent, 'all')).toEqual(many.map(() => expected))
  })

  it('with 100 percent observes who has no tenant', async () => {
    const origin = playOrigin(created)
    const ask = gatewayWith({ mode: 'observe', enforce: { percent: 100 } })
    const answer = await payerOf(ask, '')('k')
    expect([answer.status, word(answer)]).toEqual([201, null])
    expect(origin.requests).toHaveLength(1)
  })

  it('keeps a tenant on its side, and takes it along when the share grows', async () => {
    playOrigin(created)
    const half = await sharesOf(50, 'first')
    expect(await sharesOf(50, 'second')).toEqual(half)
    const count = half.filter(Boolean).length
    expect(count).toBeGreaterThan(many.length / 6)
    expect(count).toBeLessThan((many.length * 5) / 6)
    const more = await sharesOf(80, 'third')
    expect(more.filter(Boolean).length).toBeGreaterThan(count)
    expect(half.filter((isIn, at) => isIn && !more[at])).toEqual([])
  })

  it('adds named tenants to the share', async () => {
    playOrigin(created)
    const outside = many[(await sharesOf(50, 'look')).indexOf(false)] ?? ''
    const ask = gatewayWith(
      { mode: 'observe', enforce: { percent: 50, tenants: [outside] } },
      byName,
    )
    expect(await enforced(ask, outside)).toBe(true)
  })
})

describe('sunset', () => {
  const sunset = {
    deprecated: '2026-12-01',
    at: '2027-03-01',
    link: 'https://docs.example.com/keys',
  } as const
  const NAMES = ['Deprecation', 'Sunset', 'Hapax-Warning', 'Link']
  const toldBy = ({ headers }: Response) => NAMES.map((name) => headers.get(name))
  const announcementOf = (slug: string) => [
    '@1796083200',
    'Mon, 01 Mar 2027 00:00:00 GMT',
    slug,
    '<https://docs.example.com/keys>; rel="sunset"; type="text/html"',
  ]
  const NOTHING = [null, null, null, null]

  it.each<{ expected: string; key?: string; asked?: Asked }>([
    { expected: 'key-missing', key: '' },
    { expected: 'key-invalid', key: 'a, b' },
    { expected: 'tenant-missing', asked: { headers: { Authorization: '' } } },
    { expected: 'payload-invalid', asked: { body: '{' } },
    { expected: 'payload-too-large', asked: { body: LARGE } },
    { expected: 'key-reused', asked: { body: '{"amount":2}' } },
  ])('announces $expected', async ({ expected, key = 'told', asked }) => {
    const origin = playOrigin(created)
    const pay = payerOf(gatewayWith({ mode: 'observe', sunset, limits: { request: 64 } }))
    await pay('told')
    const answer = await pay(key, asked)
    expect(toldBy(answer)).toEqual(announcementOf(expected))
    expect([answer.status, await answer.text()]).toEqual([201, '{"id":1}'])
    expect([word(answer), answer.headers.get('Hapax-Error')]).toEqual([null, null])
    expect(origin.requests).toHaveLength(2)
  })

  it('announces nothing to a first request, a repeat and a duplicate of one that runs', async () => {
    const origin = playSlowOrigin(() => new Response('ok'))
    const pay = payerOf(gatewayWith({ mode: 'observe', sunset }))
    const both = [pay('good'), pay('good')]
    await until(() => origin.requests.length === 2)
    origin.release()
    const answers = [...(await Promise.all(both)), await pay('good')]
    expect(answers.map(toldBy)).toEqual([NOTHING, NOTHING, NOTHING])
    expect(lastSeen()[2]).toBe('replayed')
  })

  it('leaves everything else of an answer as the origin has sent it', async () => {
    playOrigin(withCookies)
    const off = await seenOf(await payerOf(gatewayWith({ mode: 'off' }))(''))
    const told = await seenOf(await payerOf(gatewayWith({ mode: 'observe', sunset }))(''))
    const added = told.headers.filter(([name]) =>
      ['deprecation', 'sunset', 'hapax-warning', 'link'].includes(name),
    )
    expect(added).toContainEqual(['link', `</a>, ${announcementOf('key-missing')[3]}`])
    const rest = ({ headers }: typeof off) =>
      headers.filter(([name]) => !added.some(([own]) => own === name))
    expect(rest(told)).toEqual(rest(off))
    expect(told.bytes).toEqual(off.bytes)
  })

  it('links the page of the problem where no other is given, and says Deprecation only then', async () => {
    playOrigin(created)
    const answer = await payerOf(gatewayWith({ mode: 'observe', sunset: { at: '2027-03-01' } }))('')
    expect(toldBy(answer)).toEqual([
      null,
      'Mon, 01 Mar 2027 00:00:00 GMT',
      'key-missing',
      '<https://gateway.test/_hapax/problems/key-missing>; rel="sunset"; type="text/html"',
    ])
  })

  it('does not announce to the enforced what they are told already', async () => {
    const origin = playOrigin(created)
    const policy = { mode: 'observe', sunset, enforce: { percent: 100 } } as const
    const answer = await payerOf(gatewayWith(policy))('')
    expect(refusal(answer)).toEqual([400, 'key-missing'])
    expect(toldBy(answer)).toEqual(NOTHING)
    expect(origin.requests).toHaveLength(0)
  })

  it('announces a missing key where a route that enforces does not require it yet', async () => {
    const origin = playOrigin(created)
    const pay = payerOf(gatewayWith({ required: false, sunset }))
    const missing = await pay('')
    expect([missing.status, word(missing)]).toEqual([201, 'unprotected'])
    expect(toldBy(missing)).toEqual(announcementOf('key-missing'))
    const answers = [
      await pay('k'),
      await pay('k'),
      await pay('k', { body: '{}' }),
      await pay('a, b'),
    ]
    expect(answers.map(toldBy)).toEqual(answers.map(() => NOTHING))
    expect(answers.map(word)).toEqual(['executed', 'replayed', 'mismatch', 'rejected'])
    expect(origin.requests).toHaveLength(2)
  })

  it('announces a missing key where a route that observes will not require it at first', async () => {
    playOrigin(created)
    const answer = await payerOf(gatewayWith({ mode: 'observe', required: false, sunset }))('')
    expect(toldBy(answer)).toEqual(announcementOf('key-missing'))
  })
})

describe('observed and enforced records', () => {
  it('never meet: what was observed is executed once more under enforcement', async () => {
    const origin = playOrigin(created)
    const tenant = newTenant()
    const observed = payerOf(gatewayWith({ mode: 'observe' }), tenant)
    const enforced = payerOf(gatewayWith({}), tenant)
    await observed('moving')
    const first = await enforced('moving')
    const again = await enforced('moving')
    expect([word(first), word(again)]).toEqual(['executed', 'replayed'])
    expect(origin.requests).toHaveLength(2)
    await observed('moving')
    expect(lastSeen()).toEqual(['unprotected', '', 'replayed', 'header'])
    expect(origin.requests).toHaveLength(3)
  })

  it('never meet: what was enforced is new to a route that observes', async () => {
    playOrigin(created)
    const tenant = newTenant()
    const enforced = payerOf(gatewayWith({}), tenant)
    await enforced('back')
    await payerOf(gatewayWith({ mode: 'observe' }), tenant)('back', { body: '{"amount":2}' })
    expect(lastSeen()).toEqual(['unprotected', '', 'executed', 'header'])
    expect(word(await enforced('back'))).toBe('replayed')
  })

  it('differ in nothing else: a repeat would be what enforcement makes of it', async () => {
    playOrigin(() => new Response('broken', { status: 500 }))
    const enforced = payerOf(gatewayWith({}))
    await enforced('lost')
    const expected = word(await enforced('lost'))
    const observed = payerOf(gatewayWith({ mode: 'observe' }))
    await observed('lost')
    await observed('lost')
    expect(lastSeen()[2]).toBe(expected)
  })

  it('and what says "not yet" is no end of what is in doubt', async () => {
    const seen = []
    for (const mode of ['enforce', 'observe'] as const) {
      const statuses = [500, 409, 429]
      playOrigin(() => new Response('', { status: statuses.shift() ?? 201 }))
      const send = payerOf(gatewayWith({ mode, unknown: 'resend' }))
      const answers = [await send('doubt'), await send('doubt'), await send('doubt')]
      seen.push(
        mode === 'enforce'
          ? answers.map(word)
          : points()
              .slice(-3)
              .map((point) => point?.blobs?.[9]),
      )
    }
    expect(seen[0]).toEqual(['unknown', 'unknown', 'unknown'])
    expect(seen[1]).toEqual(seen[0])
  })
})

/** Sends to a gateway whose one route runs in the Worker. */
function handledBy(mode: 'observe' | 'off', handler: Handler<GatewayEnv>) {
  const calls = vi.fn(handler)
  const app = createGateway({ tenant: credential('Authorization') })
  app.use('/payments', async (c, next) => {
    c.header('X-Before', 'set')
    await next()
    c.header('X-After', 'set')
  })
  app.post('/payments', idempotent({ mode, limits: { request: 64 } }), (c, next) => calls(c, next))
  return { calls, pay: payerOf(askerOf(app)) }
}

describe("idempotent with mode: 'observe'", () => {
  it('runs the handler every time, each with its own body', async () => {
    const { calls, pay } = handledBy('observe', async (c) => c.json({ got: await c.req.json() }))
    const answers = [await pay('run'), await pay('run'), await pay('run', { body: '{"amount":2}' })]
    expect(await Promise.all(answers.map((answer) => answer.text()))).toEqual([
      '{"got":{"amount":1}}',
      '{"got":{"amount":1}}',
      '{"got":{"amount":2}}',
    ])
    expect(answers.map(word)).toEqual([null, null, null])
    expect(calls).toHaveBeenCalledTimes(3)
    const foreseen = points().map((point) => [point?.blobs?.[2], point?.blobs?.[9]])
    expect(foreseen).toEqual([
      ['unprotected', 'executed'],
      ['unprotected', 'replayed'],
      ['unprotected', 'mismatch'],
    ])
  })

  it.each<{ name: string; key?: string; asked?: () => Asked; handler: Handler<GatewayEnv> }>([
    { name: 'binary', asked: () => ({ body: BINARY }), handler: echo },
    { name: 'a body over the limit', asked: () => ({ body: LARGE }), handler: echo },
    {
      name: 'a body over the limit that declares no length',
      asked: () => ({ body: inPieces(LARGE, LARGE) }),
      handler: echo,
    },
    { name: 'no key', key: '', handler: echo },
    { name: 'a bad key', key: 'a, b', handler: echo },
    { name: 'no credentials', asked: () => ({ headers: { Authorization: '' } }), handler: echo },
    { name: 'a body that nobody reads', handler: (c) => c.body(null, 204) },
    {
      name: 'a handler with headers',
      handler: (c) => c.text('made', 201, { 'X-Before': 'mine', 'Set-Cookie': 'a=1' }),
    },
    {
      name: 'a handler that throws',
      handler: () => {
        throw new Error('broken')
      },
    },
    {
      name: 'a handler that throws an answer',
      handler: () => {
        throw new HTTPException(422, { message: 'no' })
      },
    },
  ])('is to the client as one that is off: $name', async ({ key = 'k', asked, handler }) => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const [off, observed] = [handledBy('off', handler), handledBy('observe', handler)]
    const expected = await seenOf(await off.pay(key, asked?.()))
    expect(await seenOf(await observed.pay(key, asked?.()))).toEqual(expected)
    expect(observed.calls).toHaveBeenCalledTimes(1)
  })

  it('keeps the links of the handler beside what it announces', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    const policy = {
      mode: 'observe',
      sunset: { at: '2027-03-01', link: 'https://a.test/' },
    } as const
    app.post('/payments', idempotent(policy), (c) => c.text('ok', 200, { Link: '</next>' }))
    const pay = payerOf(askerOf(app))
    const links = [await pay(''), await pay('k')].map(({ headers }) => headers.get('Link'))
    expect(links).toEqual(['</next>, <https://a.test/>; rel="sunset"; type="text/html"', '</next>'])
  })

  it('leaves the body to the handler where a middleware has read it before', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    app.use('/payments', async (c, next) => {
      await c.req.json()
      await next()
    })
    app.post('/payments', idempotent({ mode: 'observe' }), async (c) => c.json(await c.req.json()))
    const answer = await payerOf(askerOf(app))('read')
    expect(await answer.text()).toBe('{"amount":1}')
    expect(lastSeen()).toEqual(['unprotected', '', 'executed', 'header'])
  })
})

async function echo(c: Parameters<Handler<GatewayEnv>>[0]): Promise<Response> {
  return new Response(await c.req.arrayBuffer(), { status: 201 })
}
