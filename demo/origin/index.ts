import { type Context, Hono } from 'hono'
import { z } from 'zod'

import { demoBehaviour } from './behaviour.ts'
import type { EffectKind } from './ledger-page.ts'
import type { Ledger } from './ledger.ts'

export { Ledger } from './ledger.ts'

interface DemoBindings {
  LEDGER: DurableObjectNamespace<Ledger>
}

type DemoContext = Context<{ Bindings: DemoBindings }>

const payment = z.looseObject({
  amount: z.int().positive().describe('in minor units'),
  currency: z.string().regex(/^[A-Z]{3}$/, 'three capital letters'),
})
const json = { 'Content-Type': 'application/json' }
const anything = z.looseObject({})
const orderStatus = z.looseObject({ status: z.string().min(1) })

/** A payment and order API as there are many: each request has its effect, repeated or not. */
const api = new Hono<{ Bindings: DemoBindings }>()

api.on(['POST', 'PATCH'], '*', async (c, next) => {
  await ledgerOf(c).countCall(c.req.header('Authorization') ?? '')
  return next()
})
api.on(['POST', 'PATCH'], '*', demoBehaviour())

api.post('/payments', async (c) => {
  const body = payment.safeParse(await jsonOf(c))
  if (!body.success) return invalid(c, body.error)
  const made = await effect(c, 'payment', { ...body.data, id: idOf('pay'), status: 'captured' })
  return c.json(made, 201, { Location: `/payments/${made.id}` })
})

api.get('/payments/by-key/:key', async (c) => {
  const found = await ledgerOf(c).paymentByKey(c.req.param('key'))
  if (found === null) return c.json({ error: 'No payment was made under this key' }, 404)
  // What the answer was when the payment was made, for a gateway that stores this one instead.
  return c.body(found, 200, { ...json, 'Idempotency-Result-Status': '201' })
})

api.get('/payments/:id', async (c) => {
  const found = await ledgerOf(c).paymentById(c.req.param('id'))
  return found === null ? c.notFound() : c.body(found, 200, json)
})

api.post('/orders/:id/finalize', async (c) =>
  c.json(await effect(c, 'finalize', { id: c.req.param('id'), status: 'finalized' })),
)

api.patch('/orders/:id/status', async (c) => {
  const body = orderStatus.safeParse(await jsonOf(c))
  if (!body.success) return invalid(c, body.error)
  return c.json(await effect(c, 'order-status', { ...body.data, id: c.req.param('id') }))
})

api.post('/tickets', (c) => create(c, 'ticket', 'tic'))
api.post('/grants', (c) => create(c, 'grant', 'gra'))

api.get('/ledger', async (c) => c.json(await ledgerOf(c).read()))
api.delete('/ledger', async (c) => {
  await ledgerOf(c).clear()
  return c.body(null, 204)
})

export default api

async function create(c: DemoContext, kind: EffectKind, prefix: string): Promise<Response> {
  const body = anything.safeParse(await jsonOf(c))
  if (!body.success) return invalid(c, body.error)
  return c.json(await effect(c, kind, { ...body.data, id: idOf(prefix) }), 201)
}

async function effect<Answer extends { id: string }>(
  c: DemoContext,
  kind: EffectKind,
  answer: Answer,
): Promise<Answer> {
  const attempt = c.req.header('Idempotency-Attempt')
  const made = {
    kind,
    key: c.req.header('Idempotency-Key') ?? null,
    attempt: attempt === undefined ? null : Number(attempt),
    id: answer.id,
  }
  await ledgerOf(c).record(made, JSON.stringify(answer))
  return answer
}

function ledgerOf(c: DemoContext): DurableObjectStub<Ledger> {
  return c.env.LEDGER.getByName('ledger')
}

function idOf(prefix: string): string {
  return `${prefix}_${crypto.randomUUID()}`
}

/** Undefined when the body is no JSON, which no schema accepts. */
function jsonOf(c: DemoContext): Promise<unknown> {
  return c.req.json<unknown>().catch(() => undefined)
}

function invalid(c: DemoContext, error: z.ZodError): Response {
  return c.json({ error: z.prettifyError(error) }, 422)
}
