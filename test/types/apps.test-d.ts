/**
 * What compiles in an app that uses Hapax, and what does not. The compiler is the test: here with the
 * sources, and in `test/e2e/package.test.ts` with the declarations of the package.
 */
import { Hono } from 'hono'
import { hc, type InferResponseType } from 'hono/client'
import { validator } from 'hono/validator'

import {
  business,
  consume,
  createGateway,
  createWorker,
  credential,
  type DirectoryObject,
  forward,
  type GatewayEnv,
  hapax,
  type HapaxEnv,
  type HapaxVariables,
  idempotent,
  type IdempotencyObject,
  once,
  type OnceContext,
  type OperationContext,
  passTo,
  probe,
  protect,
  secret,
  service,
  sharded,
  url,
} from '../../src/hapax.ts'
import { operators } from '../../src/operators.ts'

/** The bindings of a project, as Wrangler generates them. */
interface Bindings {
  OPERATIONS: DurableObjectNamespace<IdempotencyObject>
  DIRECTORY: DurableObjectNamespace<DirectoryObject>
  METRICS: AnalyticsEngineDataset
  ASSETS: Fetcher
  ORIGIN_URL: 'https://api.example.com'
  STRIPE_KEY: string
}

interface OwnEnv {
  Bindings: Bindings
  Variables: { account: { readonly id: string } }
}

/** Compiles where both are the same type, and so no `any`. */
type Same<A, B> = [A, B] extends [B, A] ? (0 extends A & 1 ? never : true) : never
const same = <A, B>(proof: Same<A, B>): true => proof

export const isBinding = (env: Bindings): HapaxEnv => env

// An app of one's own keeps its bindings and variables, and gets those of Hapax.
export const own = new Hono<OwnEnv>()
own.use(hapax({ tenant: credential('Authorization') }))
own.post('/payments', protect({ retention: '72h' }))
own.post('/grants', idempotent(), (c) => {
  same<typeof c.var.hapax, OperationContext>(true)
  // @ts-expect-error -- no binding has this name
  void c.env.MISSING
  // @ts-expect-error -- no variable has this name
  void c.var.missing
  const { operationId, attempt, tenant, key } = c.var.hapax
  return c.json({ operationId, attempt, tenant, key, of: c.var.account.id + c.env.STRIPE_KEY })
})
own.all('/crm/*', passTo('crm'))

// The functions in the options know the bindings and variables of an app that is named.
own.use(
  hapax<OwnEnv>({
    tenant: [
      (c) => {
        same<typeof c.var.account, OwnEnv['Variables']['account']>(true)
        return c.var.account.id
      },
      // @ts-expect-error -- no variable has this name
      (c) => c.var.missing,
      credential('Authorization'),
    ],
    authenticate: async (c, next) => {
      c.set('account', { id: c.env.STRIPE_KEY })
      await next()
    },
  }),
)

// The types of the routes survive, for Hono's RPC client.
export const routes = own
  .post(
    '/refunds/:order',
    validator('json', (value: { amount: number }) => value),
    idempotent({ wait: 0 }),
    (c) => {
      const { amount } = c.req.valid('json')
      return c.json({ order: c.req.param('order'), amount }, 201)
    },
  )
  .get('/refunds', (c) => c.json(['r_1']))
export const client = hc<typeof routes>('https://api.example.com')
same<
  InferResponseType<(typeof client.refunds)[':order']['$post'], 201>,
  { order: string; amount: number }
>(true)
// @ts-expect-error -- the amount is a number
void client.refunds[':order'].$post({ param: { order: 'o_1' }, json: { amount: '5' } })

// Nested apps and base paths.
export const outer = new Hono<OwnEnv>().basePath('/v1').route('/', routes)

// A gateway has its own types by default, and those of the app where they are given.
export const gateway = createGateway({ tenant: credential('Authorization') })
same<typeof gateway, Hono<GatewayEnv & HapaxVariables>>(true)
export const generic = createGateway<OwnEnv>({
  tenant: [(c) => c.var.account.id, (c) => c.env.STRIPE_KEY],
  authenticate: async (c, next) => {
    c.set('account', { id: 'a_1' })
    await next()
  },
  placement: sharded({ count: 16, locationHint: 'apac-ne' }),
  jurisdiction: 'us',
  origins: {
    payments: url('https://pay.example.com', { headers: { Authorization: secret('PAY_TOKEN') } }),
    crm: service('CRM'),
  },
})
generic.post('/grants', idempotent(), (c) =>
  c.json({ id: c.var.account.id, key: c.env.STRIPE_KEY }),
)
generic.route('/_hapax', operators(generic))

// A Worker takes any app, and its handlers know the bindings of this app.
export const worker: ExportedHandler<Bindings> = createWorker(own, {
  queue: consume({ 'payment.requested': forward('/payments') }, { tenant: () => 'acme' }),
  scheduled: (_, env) => {
    same<typeof env, Bindings>(true)
  },
})
export const Payments = createWorker(gateway)
export const Generic = createWorker(generic)

// A policy has no other fields and values than those of docs/policy.md.
protect({
  retention: '72h',
  tombstone: 0,
  unknown: 'resend',
  outcomes: { '500': 'failed', '4xx': 'not_executed' },
  retry: { attempts: 3, breaker: false },
  origin: 'payments',
})
// @ts-expect-error -- misspelled
protect({ retension: '72h' })
// @ts-expect-error -- no unit has this name
protect({ retention: '72 hours' })
// @ts-expect-error -- no policy for unknown outcomes has this name
idempotent({ unknown: 'retry' })
// @ts-expect-error -- no outcome has this name
protect({ outcomes: { '500': 'maybe' } })
// @ts-expect-error -- an origin is named, not given
protect({ origin: url('https://pay.example.com') })
// @ts-expect-error -- there is no default tenant
hapax({})
// @ts-expect-error -- no jurisdiction has this name
hapax({ tenant: credential('Authorization'), jurisdiction: 'mars' })
// @ts-expect-error -- `cors` is an option of a gateway
hapax({ tenant: credential('Authorization'), cors: () => {} })

interface Refund {
  readonly order: string
  readonly amount: number
}

// The input and the result of a guarded function are those of the function itself.
const refund = once('refund', { key: business('/order') }, async (input: Refund, context) => {
  same<typeof context.key, string>(true)
  return { id: input.order, amount: input.amount }
})
export async function refundTwice(env: Bindings, context: OnceContext): Promise<void> {
  const first = await refund(env, { order: 'o1', amount: 1 })
  same<typeof first, { id: string; amount: number }>(true)
  await refund(context, { order: 'o1', amount: 1 })
  // @ts-expect-error -- the input lacks its amount
  await refund(env, { order: 'o1' })
}

// With a schema, the result is what that returns.
const booked = once('booking', { result: (stored) => new Date(String(stored)) }, () => '2027-03-01')
export const bookedAt = async (env: Bindings): Promise<Date> => booked(env, {})

// The bindings are named where the function needs them, and a probe knows the input and the result.
once<Refund, string, Bindings>(
  'named',
  { unknown: probe((input: Refund) => ({ executed: true, result: input.order })) },
  (input, { env }) => `${input.order} ${env.STRIPE_KEY}`,
)
// @ts-expect-error -- misspelled
once('wrong', { retension: '72h' }, () => null)
// @ts-expect-error -- a function has no status resource
once('wrong', { unknown: probe('/status') }, () => null)
