import type { MiddlewareHandler } from 'hono'
import { cors } from 'hono/cors'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createWorker,
  credential,
  type PolicyOptions,
  protect,
  repeatability,
} from '../../src/hapax.ts'
import { askerOf, type ProblemBody, refusal } from './ask.ts'
import { clientOf, word, createOperatedGateway } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const PRESETS = ['default', 'ietf', 'stripe'] as const
type Preset = (typeof PRESETS)[number]

/** @param before What stands before the route, as CORS does. */
function appWith(policy: PolicyOptions, before?: MiddlewareHandler) {
  const app = createOperatedGateway({ tenant: credential('Authorization') })
  if (before !== undefined) app.use(before)
  app.post('/payments', protect(policy))
  return app
}

const OWN = { Authorization: 'Bearer presets', 'Content-Type': 'application/json' }

interface Situation {
  readonly app: ReturnType<typeof appWith>
  readonly answer: Response
  /** How often the origin was called. */
  readonly calls: number
}

/** What a situation has that is not of the situation itself. */
interface Around {
  readonly headers?: Record<string, string>
  readonly before?: MiddlewareHandler
}

/** Brings a route of a preset into a situation, each with a key of its own. */
const SITUATIONS = {
  async missing(preset: Preset, { headers, before }: Around = {}): Promise<Situation> {
    const origin = playOrigin(() => new Response('ok'))
    const app = appWith({ preset }, before)
    const ask = askerOf(app)
    const answer = await ask('/payments', { body: '{}', headers: { ...OWN, ...headers } })
    return { app, answer, calls: origin.requests.length }
  },
  async mismatch(preset: Preset, { headers, before }: Around = {}): Promise<Situation> {
    const origin = playOrigin(() => new Response('ok', { status: 201 }))
    const app = appWith({ preset }, before)
    const send = clientOf(app, '/payments')
    const key = crypto.randomUUID()
    await send(key, { body: '{"amount":1}' })
    const answer = await send(key, { body: '{"amount":2}', ...(headers && { headers }) })
    return { app, answer, calls: origin.requests.length }
  },
  async inFlight(preset: Preset, { headers, before }: Around = {}): Promise<Situation> {
    const origin = playSlowOrigin(() => new Response('ok', { status: 201 }))
    const app = appWith({ preset, wait: 0 }, before)
    const send = clientOf(app, '/payments')
    const key = crypto.randomUUID()
    const first = send(key)
    await origin.asked()
    const answer = await send(key, headers && { headers })
    origin.release()
    expect((await first).status).toBe(201)
    return { app, answer, calls: origin.requests.length }
  },
  async expired(preset: Preset, { headers, before }: Around = {}): Promise<Situation> {
    const origin = playOrigin(() => new Response('ok', { status: 201 }))
    const policy: PolicyOptions = { preset, retention: '1h', tombstone: '1d' }
    const app = appWith(policy, before)
    const send = clientOf(app, '/payments')
    const key = crypto.randomUUID()
    await send(key)
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() + 3_600_001)
    const answer = await send(key, headers && { headers })
    return { app, answer, calls: origin.requests.length }
  },
}

type SituationName = keyof typeof SITUATIONS

const SLUGS = {
  missing: 'key-missing',
  mismatch: 'key-reused',
  inFlight: 'in-progress',
  expired: 'key-expired',
} as const satisfies Record<SituationName, string>

/** Problem documents of the default preset and of the IETF draft's. */
const DOCUMENTS: readonly {
  preset: Preset
  situation: SituationName
  status: number
  retry: string
  calls: number
}[] = [
  { preset: 'default', situation: 'missing', status: 400, retry: 'never', calls: 0 },
  { preset: 'default', situation: 'mismatch', status: 409, retry: 'new-key', calls: 1 },
  { preset: 'default', situation: 'inFlight', status: 409, retry: 'wait', calls: 1 },
  { preset: 'default', situation: 'expired', status: 410, retry: 'new-key', calls: 1 },
  { preset: 'ietf', situation: 'missing', status: 400, retry: 'never', calls: 0 },
  { preset: 'ietf', situation: 'mismatch', status: 422, retry: 'new-key', calls: 1 },
  { preset: 'ietf', situation: 'inFlight', status: 409, retry: 'wait', calls: 1 },
  { preset: 'ietf', situation: 'expired', status: 410, retry: 'new-key', calls: 1 },
]

/** What Stripe's own API says, and what `doc_url` and `message` stand beside. */
const STRIPE: readonly {
  situation: SituationName
  status: number
  error: Record<string, string>
  shouldRetry: string
}[] = [
  {
    situation: 'missing',
    status: 400,
    error: { type: 'invalid_request_error' },
    shouldRetry: 'false',
  },
  {
    situation: 'mismatch',
    status: 400,
    error: { type: 'idempotency_error' },
    shouldRetry: 'false',
  },
  {
    situation: 'inFlight',
    status: 409,
    error: { type: 'idempotency_error', code: 'idempotency_key_in_use' },
    shouldRetry: 'true',
  },
  { situation: 'expired', status: 410, error: { type: 'idempotency_error' }, shouldRetry: 'false' },
]

describe('preset', () => {
  it.each(DOCUMENTS)(
    '$preset answers $status with a problem document when the key is $situation',
    async ({ preset, situation, status, retry, calls: expected }) => {
      const { answer, calls } = await SITUATIONS[situation](preset)
      const slug = SLUGS[situation]
      expect(refusal(answer)).toEqual([status, slug])
      expect(answer.headers.get('Content-Type')).toBe('application/problem+json')
      const isRetryable = retry === 'wait'
      expect(answer.headers.get('X-Should-Retry')).toBe(String(isRetryable))
      expect(answer.headers.has('Retry-After')).toBe(isRetryable)
      const document = await answer.json<ProblemBody>()
      expect(document).toMatchObject({
        type: `https://gateway.test/_hapax/problems/${slug}`,
        title: expect.any(String),
        status,
        detail: expect.any(String),
        message: document.detail,
        instance: `/payments#${answer.headers.get('X-Correlation-Id')}`,
        retry,
        retryable: isRetryable,
        correlationId: answer.headers.get('X-Correlation-Id'),
        error: { type: 'idempotency_error', code: slug, message: document.detail },
      })
      expect(calls).toBe(expected)
    },
  )

  it.each(STRIPE)(
    'stripe answers $status with $error when the key is $situation',
    async ({ situation, status, error, shouldRetry }) => {
      const { answer, calls } = await SITUATIONS[situation]('stripe')
      const slug = SLUGS[situation]
      expect(refusal(answer)).toEqual([status, slug])
      expect(answer.headers.get('Content-Type')).toBe('application/json')
      expect(answer.headers.get('Stripe-Should-Retry')).toBe(shouldRetry)
      expect(await answer.json()).toEqual({
        error: {
          ...error,
          message: expect.stringMatching(/\w{3}/),
          doc_url: `https://gateway.test/_hapax/problems/${slug}`,
        },
      })
      expect(calls).toBe(situation === 'missing' ? 0 : 1)
    },
  )

  it.each(Object.keys(SITUATIONS) as SituationName[])(
    'ietf links the page of the problem when the key is %s, and no other preset does',
    async (situation) => {
      const { answer } = await SITUATIONS[situation]('ietf')
      const page = `https://gateway.test/_hapax/problems/${SLUGS[situation]}`
      expect(answer.headers.get('Link')).toBe(`<${page}>; rel="describedby"; type="text/html"`)
      vi.useRealTimers()
      for (const preset of ['default', 'stripe'] as const) {
        expect((await SITUATIONS[situation](preset)).answer.headers.has('Link')).toBe(false)
        vi.useRealTimers()
      }
    },
  )

  it('ietf links a page that is there', async () => {
    const { answer } = await SITUATIONS.missing('ietf')
    const page = /<([^>]+)>/.exec(answer.headers.get('Link') ?? '')?.[1] ?? ''
    const ask = askerOf(appWith({ preset: 'ietf' }))
    const read = await ask(new URL(page).pathname, { method: 'GET' })
    expect([read.status, read.headers.get('Content-Type')]).toEqual([
      200,
      expect.stringMatching(/^text\/html/),
    ])
  })

  it.each(PRESETS)('%s leaves the answers of the origin as they are', async (preset) => {
    const body = '{"error":{"type":"card_error"}}'
    const origin = playOrigin(
      () => new Response(body, { status: 402, headers: { 'Content-Type': 'application/json' } }),
    )
    const send = clientOf(appWith({ preset }), '/payments')
    const answers = [await send(`origin-${preset}`), await send(`origin-${preset}`)]
    for (const answer of answers) {
      expect([answer.status, await answer.text()]).toEqual([402, body])
      expect(answer.headers.get('Hapax-Error')).toBeNull()
      expect(answer.headers.has('Link')).toBe(false)
    }
    expect(answers.map(word)).toEqual(['executed', 'replayed'])
    expect(origin.requests).toHaveLength(1)
  })

  it.each(PRESETS)('%s answers in Markdown who asks for it', async (preset) => {
    const { answer } = await SITUATIONS.mismatch(preset, { headers: { Accept: 'text/markdown' } })
    expect(answer.headers.get('Content-Type')).toBe('text/markdown; charset=utf-8')
    expect(await answer.text()).toMatch(/^# Idempotency-Key was used for another request\n/)
  })
})

describe('a problem under stripe', () => {
  it('says in its message where the requests differ', async () => {
    const { answer } = await SITUATIONS.mismatch('stripe')
    const { error } = await answer.json<ProblemBody>()
    expect(error.message).toContain('/amount')
  })

  it('is an api_error where the origin was silent', async () => {
    playOrigin(
      ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(new Error('aborted')))
        }),
    )
    const send = clientOf(appWith({ preset: 'stripe', timeout: '50ms' }), '/payments')
    const silent = await send('stripe-silent')
    expect(refusal(silent)).toEqual([504, 'origin-timeout'])
    expect(await silent.json()).toMatchObject({ error: { type: 'api_error' } })
  })

  it.each([
    { name: 'no credentials', headers: { Authorization: '' }, body: '{}', status: 401 },
    { name: 'no JSON', headers: {}, body: '{', status: 400 },
  ])('with $name has Stripe’s shape too', async ({ headers, body, status }) => {
    const send = clientOf(appWith({ preset: 'stripe' }), '/payments')
    const refused = await send('stripe-shape', { headers, body })
    expect(refused.status).toBe(status)
    expect(Object.keys(await refused.json<object>())).toEqual(['error'])
  })
})

/** The part of JSON Schema that the document is written in. */
interface Schema {
  readonly $ref?: string
  readonly type?: string
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly enum?: readonly unknown[]
  readonly schema?: Schema
  readonly content?: Readonly<Record<string, Schema>>
}

interface Document {
  readonly paths: Record<string, Record<string, { responses: Record<string, Schema> }>>
  readonly components: Record<string, Record<string, Schema>>
}

/** What of a value a schema does not say, or says otherwise. */
function faultsOf(
  document: Document,
  given: Schema | undefined,
  value: unknown,
  at = '',
): string[] {
  const schema = given?.$ref === undefined ? given : componentOf(document, given.$ref)
  if (schema === undefined) return [`${at}: not described`]
  const isOther = schema.enum !== undefined && !schema.enum.includes(value)
  if (isOther || schema.type !== typeOf(value)) return [`${at}: is ${String(value)}`]
  const inside = Object.entries(Object(typeof value === 'object' ? value : {}) as object)
  const missing = (schema.required ?? []).filter((key) => !Object.hasOwn(Object(value), key))
  return [
    ...missing.map((key) => `${at}/${key}: missing`),
    ...inside.flatMap(([key, part]) =>
      faultsOf(document, schema.items ?? schema.properties?.[key], part, `${at}/${key}`),
    ),
  ]
}

function componentOf({ components }: Document, ref: string): Schema | undefined {
  const [, , section = '', name = ''] = ref.split('/')
  return components[section]?.[name]
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

/** Further answers, of which the contract has the status and the schema of the preset. */
const OTHERS: Readonly<Record<string, (preset: Preset) => Promise<Omit<Situation, 'calls'>>>> = {
  'without credentials': (preset) => sendTo(preset, {}, { headers: { Authorization: '' } }),
  'no JSON': (preset) => sendTo(preset, {}, { body: '{' }),
  'too large': (preset) => sendTo(preset, { limits: { request: 1 } }),
  'no key of the format': (preset) => sendTo(preset, { keyFormat: 'uuid' }),
  'lost on the way': (preset) => sendTo(preset, {}, {}, () => Promise.reject(new Error('lost'))),
}

async function sendTo(
  preset: Preset,
  policy: PolicyOptions,
  options: Parameters<ReturnType<typeof clientOf>>[1] = {},
  answer: Parameters<typeof playOrigin>[0] = () => new Response('ok'),
) {
  playOrigin(answer)
  const app = appWith({ preset, ...policy })
  const send = clientOf(app, '/payments')
  return { app, answer: await send(`schema ${crypto.randomUUID()}`.replace(' ', '-'), options) }
}

/** What a route of the document answers with, by its media type. */
function contentOf(document: Document, status: number): Readonly<Record<string, Schema>> {
  const response = document.paths['/payments']?.['post']?.responses[String(status)]
  return componentOf(document, response?.$ref ?? '')?.content ?? {}
}

describe('the OpenAPI document', () => {
  const CASES = [...Object.entries(SITUATIONS), ...Object.entries(OTHERS)]

  it.each(PRESETS.flatMap((preset) => CASES.map(([name, bring]) => ({ preset, name, bring }))))(
    'says of $preset what is answered when the request is $name',
    async ({ preset, bring }) => {
      const { app, answer } = await bring(preset)
      vi.useRealTimers()
      expect(answer.headers.get('Hapax-Error')).not.toBeNull()
      const read = await askerOf(app)('/_hapax/openapi.json', { method: 'GET' })
      const document = await read.json<Document>()
      const content = contentOf(document, answer.status)
      const type = answer.headers.get('Content-Type') ?? ''
      expect(Object.keys(content)).toEqual([type, 'text/markdown'])
      expect(faultsOf(document, content[type]?.schema, await answer.json())).toEqual([])
    },
  )
})

describe('mismatchStatus', () => {
  it.each(
    PRESETS.flatMap((preset) => ([409, 422, 400] as const).map((status) => ({ preset, status }))),
  )('is $status under $preset where the route says so', async ({ preset, status }) => {
    const origin = playOrigin(() => new Response('ok'))
    const send = clientOf(appWith({ preset, mismatchStatus: status }), '/payments')
    const key = `over-${preset}-${status}`
    await send(key)
    const reused = await send(key, { body: '{}' })
    expect(refusal(reused)).toEqual([status, 'key-reused'])
    expect(origin.requests).toHaveLength(1)
  })

  it('is of the mismatch alone: in-flight stays 409, missing stays 400', async () => {
    const origin = playSlowOrigin(() => new Response('ok'))
    const app = appWith({ mismatchStatus: 422, wait: 0 })
    const send = clientOf(app, '/payments')
    const first = send('alone')
    await origin.asked()
    expect(refusal(await send('alone'))).toEqual([409, 'in-progress'])
    expect(refusal(await send('alone', { body: '{}' }))).toEqual([422, 'key-reused'])
    const keyless = await askerOf(app)('/payments', { body: '{}', headers: OWN })
    expect(refusal(keyless)).toEqual([400, 'key-missing'])
    origin.release()
    await first
  })

  it('is no other status', () => {
    const policy = { mismatchStatus: 418 } as unknown as PolicyOptions
    expect(() => createWorker(appWith(policy))).toThrow(/POST \/payments[^]*mismatchStatus: /)
  })
})

describe('Access-Control-Expose-Headers', () => {
  const SHOP = 'https://shop.test'
  const CROSS = { Origin: SHOP }
  const OWN_NAMES = ['Hapax-Error', 'Idempotency-Status', 'Retry-After', 'X-Correlation-Id']
  const TOLD_NAMES = ['Hapax-Warning', 'Deprecation', 'Sunset', 'Link']
  const exposed = (response: Response) =>
    (response.headers.get('Access-Control-Expose-Headers') ?? '').split(', ')
  const NOTHING = ['']

  /** An origin that lets the shop read its answers. */
  const playSharing = (headers: Record<string, string> = {}) =>
    playOrigin(() => new Response('ok', { headers: { ...ALLOWED, ...headers } }))
  const ALLOWED = { 'Access-Control-Allow-Origin': SHOP }

  it.each(Object.keys(SITUATIONS) as SituationName[])(
    'is on a problem that CORS in front lets a script read when the key is %s',
    async (situation) => {
      const around = { headers: CROSS, before: cors({ origin: SHOP }) }
      const { answer } = await SITUATIONS[situation]('default', around)
      expect(answer.headers.get('Access-Control-Allow-Origin')).toBe(SHOP)
      expect(exposed(answer)).toEqual(expect.arrayContaining(OWN_NAMES))
    },
  )

  it.each(Object.keys(SITUATIONS) as SituationName[])(
    'is not on a problem that no script may read when the key is %s',
    async (situation) => {
      const { answer } = await SITUATIONS[situation]('default', { headers: CROSS })
      expect(exposed(answer)).toEqual(NOTHING)
    },
  )

  it('is what CORS in front says, where it says it', async () => {
    const before = cors({ origin: SHOP, exposeHeaders: ['X-Mine'] })
    const { answer } = await SITUATIONS.missing('default', { headers: CROSS, before })
    expect(exposed(answer)).toEqual(['X-Mine'])
  })

  it('is on what was executed and replayed, where the origin shares it', async () => {
    const origin = playSharing()
    const send = clientOf(appWith({}), '/payments')
    const first = await send('exposed', { headers: CROSS })
    const again = await send('exposed', { headers: CROSS })
    expect([word(first), word(again)]).toEqual(['executed', 'replayed'])
    expect(exposed(first)).toEqual(expect.arrayContaining(OWN_NAMES))
    expect(exposed(again)).toEqual(expect.arrayContaining([...OWN_NAMES, 'Idempotent-Replayed']))
    expect(origin.requests).toHaveLength(1)
  })

  it.each([{ required: false }, { mode: 'observe' }] as const)(
    'is on what is announced with %j',
    async (policy) => {
      playSharing()
      const sunset = { deprecated: '2026-12-01', at: '2027-03-01' }
      const ask = askerOf(appWith({ ...policy, sunset }))
      const told = await ask('/payments', { body: '{}', headers: { ...OWN, ...CROSS } })
      expect(told.headers.get('Hapax-Warning')).toBe('key-missing')
      expect(exposed(told)).toEqual(expect.arrayContaining(TOLD_NAMES))
    },
  )

  it('is on what says whether a repeatable request was accepted', async () => {
    playSharing()
    const ask = askerOf(appWith({ key: repeatability() }))
    const headers = {
      'Repeatability-Request-ID': crypto.randomUUID(),
      'Repeatability-First-Sent': new Date().toUTCString(),
    }
    const told = await ask('/payments', { body: '{}', headers: { ...OWN, ...CROSS, ...headers } })
    expect(told.headers.get('Repeatability-Result')).toBe('accepted')
    expect(exposed(told)).toContain('Repeatability-Result')
  })

  it('is not on a replay to another origin than the one it was shared with', async () => {
    playSharing()
    const send = clientOf(appWith({}), '/payments')
    await send('exposed-other', { headers: CROSS })
    const other = await send('exposed-other', { headers: { Origin: 'https://other.test' } })
    const plain = await send('exposed-other')
    expect([word(other), word(plain)]).toEqual(['replayed', 'replayed'])
    expect([exposed(other), exposed(plain)]).toEqual([NOTHING, NOTHING])
  })

  it('adds to what the origin exposes, once', async () => {
    playSharing({ 'Access-Control-Expose-Headers': 'X-Payment' })
    const send = clientOf(appWith({}), '/payments')
    const first = exposed(await send('adds', { headers: CROSS }))
    const again = exposed(await send('adds', { headers: CROSS }))
    expect(first).toEqual(expect.arrayContaining(['X-Payment', ...OWN_NAMES]))
    expect(again).toEqual(first)
    expect(new Set(first).size).toBe(first.length)
  })

  it('is not on a route that is not protected', async () => {
    playSharing()
    const answer = await askerOf(appWith({}))('/other', { method: 'GET', headers: CROSS })
    expect([answer.status, exposed(answer)]).toEqual([200, NOTHING])
  })
})

describe('cors', () => {
  const SHOP = 'https://shop.test'
  const shared = () =>
    createOperatedGateway({
      tenant: credential('Authorization'),
      cors: cors({ origin: SHOP, allowHeaders: ['Authorization', 'Prefer'] }),
    })
  const allowed = (response: Response) => response.headers.get('Access-Control-Allow-Origin')
  const exposed = (response: Response) =>
    (response.headers.get('Access-Control-Expose-Headers') ?? '').split(', ')

  /** A gateway with a route that is asked asynchronously, and where its operation is. */
  async function accepted() {
    const origin = playSlowOrigin(() => new Response('done', { status: 201 }))
    const app = shared()
    app.post('/payments', protect())
    const ask = askerOf(app)
    const send = clientOf(app, '/payments', { isWaiting: false })
    const headers = { Origin: SHOP, Prefer: 'respond-async' }
    const answer = await send(crypto.randomUUID(), { headers })
    const path = answer.headers.get('Location') ?? ''
    origin.release()
    return { ask, answer, path }
  }

  it('lets a script ask for its operation: preflight, state, result and problems', async () => {
    const { ask, answer, path } = await accepted()
    expect([answer.status, allowed(answer)]).toEqual([202, SHOP])
    expect(exposed(answer)).toEqual(expect.arrayContaining(['Location', 'Preference-Applied']))
    const preflight = await ask(path, {
      method: 'OPTIONS',
      headers: { Origin: SHOP, 'Access-Control-Request-Method': 'GET' },
    })
    expect([preflight.status, allowed(preflight)]).toEqual([204, SHOP])
    expect(preflight.headers.get('Access-Control-Allow-Headers')).toBe('Authorization,Prefer')
    const own = { Authorization: 'Bearer tenant-a', Origin: SHOP }
    const asked = [
      await ask(path, { method: 'GET', headers: { ...own, Prefer: 'wait=5' } }),
      await ask(`${path}/result`, { method: 'GET', headers: own }),
      await ask(path, { method: 'GET', headers: { ...own, Authorization: 'Bearer other' } }),
      await ask(path, { method: 'GET', headers: { Origin: SHOP } }),
    ]
    expect(asked.map((one) => [one.status, allowed(one)])).toEqual([
      [200, SHOP],
      [201, SHOP],
      [404, SHOP],
      [401, SHOP],
    ])
    for (const one of asked) expect(exposed(one)).toContain('X-Correlation-Id')
    for (const one of asked.slice(2)) expect(exposed(one)).toContain('Hapax-Error')
  })

  it('lets no other origin, and changes nothing for who has none', async () => {
    const { ask, path } = await accepted()
    const own = { Authorization: 'Bearer tenant-a' }
    const other = await ask(path, { method: 'GET', headers: { ...own, Origin: 'https://x.test' } })
    const plain = await ask(path, { method: 'GET', headers: own })
    expect([other, plain].map((one) => [one.status, allowed(one)])).toEqual([
      [200, null],
      [200, null],
    ])
  })

  it('stands before every route of the app and before the pages of problems', async () => {
    playOrigin(() => new Response('ok'))
    const app = shared()
    app.post('/payments', protect())
    const ask = askerOf(app)
    const headers = { Origin: SHOP }
    const answers = [
      await ask('/payments', { headers }),
      await ask('/elsewhere', { headers }),
      await ask('/payments', { method: 'OPTIONS', headers }),
      await ask('/_hapax/problems/key-reused', { method: 'GET', headers }),
    ]
    expect(answers.map((one) => [one.status, allowed(one)])).toEqual([
      [400, SHOP],
      [200, SHOP],
      [204, SHOP],
      [200, SHOP],
    ])
  })

  it.each(['/_hapax/admin/stuck', '/_hapax/metrics', '/_hapax/dashboard'])(
    'does not share what is for operators: %s',
    async (path) => {
      const ask = askerOf(shared())
      const answer = await ask(path, { method: 'GET', headers: { Origin: SHOP } })
      expect(allowed(answer)).toBeNull()
      const preflight = await ask(path, { method: 'OPTIONS', headers: { Origin: SHOP } })
      expect(allowed(preflight)).toBeNull()
    },
  )

  it('leaves the contract open to everybody', async () => {
    const ask = askerOf(shared())
    for (const path of ['/.well-known/idempotency', '/_hapax/openapi.json']) {
      const answer = await ask(path, { method: 'GET', headers: { Origin: 'https://x.test' } })
      expect([answer.status, allowed(answer)]).toEqual([200, '*'])
    }
  })
})
