import { env } from 'cloudflare:workers'
import { type Context, Hono } from 'hono'
import { cors } from 'hono/cors'
import { HTTPException } from 'hono/http-exception'

import {
  createGateway,
  credential,
  type GatewayEnv,
  idempotent,
  type PolicyOptions,
  probe,
  protect,
} from '../../../src/hapax.ts'
import { placed, soonOrphaned } from '../../e2e/gateway/placement.ts'

/**
 * Routes by the name of their policy: `/<name>/<anything>`, so that every test has paths of its own
 * and the origin can be scripted by path.
 */
const POLICIES: Readonly<Record<string, PolicyOptions>> = {
  default: {},
  'second-route': {},
  off: { mode: 'off' },
  optional: { required: false },
  'optional-timeout': { required: false, timeout: '2s' },
  'no-wait': { wait: 0 },
  'short-wait': { wait: '300ms' },
  timeout: { timeout: '8s' },
  'short-timeout': { timeout: '2s' },
  'short-timeout-resend': { timeout: '2s', unknown: 'resend' },
  'small-limits': { limits: { request: 64, response: 1024 } },
  'mismatch-422': { mismatchStatus: 422 },
  'mismatch-400': { mismatchStatus: 400 },
  'forward-client': { forwardKey: 'client' },
  'forward-none': { forwardKey: false },
  'keep-cookies': { snapshot: { setCookie: true } },
  sealed: { snapshot: { seal: true } },
  'sealed-durable': { snapshot: { seal: true }, unknown: 'resend', durable: true },
  reauthorize: { reauthorize: '/may-read/{id}?tenant={tenant}' },
  'omit-headers': { snapshot: { omit: ['X-Secret', 'ETag'] } },
  outcomes: {
    outcomes: { '500': 'failed', '5xx': 'not_executed', '409': 'not_executed', '4xx': 'unknown' },
  },
  ignore: { fingerprint: { ignore: ['/trace_id', '/meta/sent_at'] } },
  dates: { fingerprint: { dates: ['/at'] } },
  headers: { fingerprint: { headers: ['X-Account'] } },
  'no-query': { fingerprint: { query: false } },
  resend: { unknown: 'resend' },
  probe: { unknown: probe('/status/{key}', { grace: 0 }) },
  'probe-timeout': { unknown: probe('/status/{key}', { grace: 0 }), timeout: '2s' },
  'probe-names': { unknown: probe('/names/{id}?tenant={tenant}&key={key}', { grace: 0 }) },
  'probe-short-retention': { unknown: probe('/status/{key}', { grace: 0 }), retention: '3s' },
  durable: { unknown: 'resend', durable: true },
  'durable-hold': { durable: true },
  'durable-refused': { durable: true },
  'durable-stranger': { durable: true },
  'durable-stream': { unknown: 'resend', durable: true },
  'durable-probe': { unknown: probe('/status/{key}', { grace: 0 }), durable: true },
  retry: { retry: { attempts: 4, base: '10ms', budget: false } },
  'retry-resend': { unknown: 'resend', retry: { attempts: 3, base: '10ms', budget: false } },
  'retry-not-executed': {
    unknown: 'resend',
    retry: { attempts: 3, base: '10ms', on: ['not_executed'], budget: false },
  },
  'retry-unknown': {
    unknown: 'resend',
    retry: { attempts: 3, base: '10ms', on: ['unknown'], budget: false },
  },
  'retry-deadline': {
    retry: { attempts: 20, base: '1s', cap: '1s', deadline: '600ms', budget: false },
  },
  'retry-long': { retry: { attempts: 20, base: '1s', cap: '1s', budget: false } },
  'retry-budget': { retry: { attempts: 20, base: '1ms', budget: { ratio: 0, floor: 2 } } },
  rate: { limits: { rate: true } },
  'rate-unbound': { limits: { rate: 'NO_SUCH_LIMITER' } },
  'spill-unbound': { snapshot: { spill: 1024 * 1024 } },
  cors: {},
  circuit: { retry: { breaker: { failures: 2, cooldown: '3s' } } },
  'short-retention': { retention: '3s' },
  'resend-short-retention': { unknown: 'resend', retention: '3s' },
  tombstone: { retention: '3s', tombstone: '1h' },
  'short-tombstone': { retention: '3s', tombstone: '3s' },
}

const tenantOf = credential('Authorization')
export const app = createGateway({
  ...placed,
  tenant(c) {
    if (c.req.header('X-Tenant-Fault') !== undefined) throw new Error('the resolver fails')
    return tenantOf(c)
  },
})

const shared = cors({ origin: 'https://shop.example', exposeHeaders: ['Idempotency-Status'] })
app.use('/cors/*', shared)
app.use('/handler-cors/*', shared)

for (const [name, policy] of Object.entries(POLICIES)) {
  app.all(`/${name}/*`, protect({ ...soonOrphaned, ...policy }))
}

// A deployment after the first one: the same route with another policy.
const before = protect()
const after = protect({ unknown: probe('/status/{key}', { grace: 0 }) })
app.post('/redeployed/:case', (c, next) =>
  (c.req.header('X-Deployment') === '2' ? after : before)(c, next),
)

// Handlers tell the origin that they run, so that runs are counted, and may be held, outside.
app.post('/handler/:case', idempotent(), async (c) => {
  const text = await c.req.text()
  const run = await tellOrigin(c)
  c.header('Set-Cookie', 'session=1')
  c.header('X-Handler', 'yes')
  return c.json({ run, received: text }, 201)
})
app.post('/handler-no-wait/:case', idempotent({ wait: 0 }), async (c) =>
  c.json({ run: await tellOrigin(c) }, 201),
)
app.post('/handler-lease/:case', idempotent({ lease: '1s' }), async (c) =>
  c.json({ run: await tellOrigin(c) }, 201),
)
app.post('/handler-optional/:case', idempotent({ required: false }), async (c) =>
  c.json({ run: await tellOrigin(c) }, 201),
)
app.post('/handler-optional-throws/:case', idempotent({ required: false }), async (c) => {
  await tellOrigin(c)
  throw new Error('the handler fails')
})
app.post('/handler-optional-throws-text/:case', idempotent({ required: false }), async (c) => {
  await tellOrigin(c)
  // oxlint-disable-next-line typescript/only-throw-error -- as careless handlers do
  throw 'not an Error'
})
app.post('/handler-cors/:case', idempotent(), async (c) => {
  c.header('Content-Language', 'de')
  return c.json({ run: await tellOrigin(c) }, 201)
})
app.post('/handler-sealed/:case', idempotent({ snapshot: { seal: true } }), async (c) =>
  c.json({ run: await tellOrigin(c) }, 201),
)
app.post('/handler-spill/:case', idempotent({ snapshot: { spill: 1024 * 1024 } }), async (c) =>
  c.json({ run: await tellOrigin(c) }, 201),
)
app.post('/handler-off/:case', idempotent({ mode: 'off' }), async (c) =>
  c.json({ run: await tellOrigin(c) }, 201),
)
app.post('/handler-throws/:case', idempotent(), async (c) => {
  await tellOrigin(c)
  throw new Error('the handler fails')
})
app.post('/handler-throws-resend/:case', idempotent({ unknown: 'resend' }), async (c) => {
  const run = await tellOrigin(c)
  if (run === '1') throw new Error('the handler fails')
  return c.json({ run }, 201)
})
app.post(
  '/handler-probe/:case',
  idempotent({ unknown: probe('/handler-status?key={key}', { grace: 0 }) }),
  async (c) => {
    const run = await tellOrigin(c)
    if (run === '1') throw new Error('the handler fails')
    return c.json({ run }, 201)
  },
)
app.post('/handler-retention/:case', idempotent({ retention: '3s' }), async (c) =>
  c.json({ run: await tellOrigin(c) }, 201),
)
app.post('/handler-exception/:status', idempotent(), async (c) => {
  await tellOrigin(c)
  throw new HTTPException(Number(c.req.param('status')) as 422, { message: 'refused' })
})
app.post('/handler-json/:case', idempotent(), async (c) => {
  const { amount } = await c.req.json<{ amount: number }>()
  await tellOrigin(c)
  return c.json({ amount, again: await c.req.json() }, 201)
})
app.post('/handler-bytes/:case', idempotent(), async (c) => {
  await tellOrigin(c)
  return c.body(new Uint8Array([0, 255, 128, 13, 10]), 200, {
    'Content-Type': 'application/octet-stream',
  })
})
app.post('/handler-empty/:case', idempotent(), async (c) => {
  await tellOrigin(c)
  return c.body(null, 204)
})

app.post('/handler-large/:case', idempotent({ limits: { response: 64 } }), async (c) => {
  await tellOrigin(c)
  return c.text('x'.repeat(100))
})
app.post('/handler-throws-text/:case', idempotent(), async (c) => {
  await tellOrigin(c)
  // oxlint-disable-next-line typescript/only-throw-error -- as careless handlers do
  throw 'not an Error'
})
app.post('/handler-breaks-off/:case', idempotent(), async (c) => {
  await tellOrigin(c)
  return c.body(
    new ReadableStream({
      pull(controller) {
        controller.error(new Error('the body of the handler breaks off'))
      },
    }),
  )
})

// A deployment that must not start, though its app hides the handler behind one of its own.
if (Reflect.has(env, 'BAD_POLICY')) {
  const inner = new Hono<GatewayEnv>()
  inner.onError((_, c) => c.text('of its own', 500))
  inner.post('/:case', protect({ retention: 'for ever' as never }))
  app.route('/inner', inner)
}

/** @returns What the origin answers. */
async function tellOrigin(c: Context<GatewayEnv>): Promise<string> {
  const { pathname } = new URL(c.req.url)
  const answer = await fetch(`${c.env.ORIGIN_URL}/runs${pathname}`, { method: 'POST' })
  return answer.text()
}
