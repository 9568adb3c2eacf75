import {
  createExecutionContext,
  createMessageBatch,
  reset,
  runDurableObjectAlarm,
  runInDurableObject,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'

import { createDigest } from '../../src/core/digest.ts'
import { type DeadLetter, directoryOf } from '../../src/directory/directory-guard.ts'
import {
  attribute,
  consume,
  createWorker,
  credential,
  type DirectoryObject,
  type GatewayEnv,
  type Handlers,
  header,
  idempotent,
  type IdempotencyObject,
  type PolicyOptions,
  probe,
  protect,
  webhook,
} from '../../src/hapax.ts'
import ADMIN_OPENAPI from '../../src/operators/admin-openapi.json' with { type: 'json' }
import { createAdmin } from '../../src/operators/admin.ts'
import { toStoredBytes } from '../../src/platform/at-rest.ts'
import { idOf, objectOf } from './client.ts'
import { clientOf, word, createOperatedGateway } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'
import { until } from './until.ts'

const TOKEN = 'operator-token-of-this-test'

let log: MockInstance<typeof console.log>
let faults: MockInstance<typeof console.error>
beforeEach(() => {
  log = vi.spyOn(console, 'log').mockImplementation(() => {})
  faults = vi.spyOn(console, 'error').mockImplementation(() => {})
  vi.spyOn(env.METRICS, 'writeDataPoint')
})
afterEach(async () => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  // Or an alarm that is still due would call the origin of a later test.
  await reset()
})

const points = () => vi.mocked(env.METRICS.writeDataPoint).mock.calls.map(([point]) => point)
const lines = () =>
  log.mock.calls.map(([line]) => JSON.parse(String(line)) as Record<string, unknown>)
const audits = () => lines().filter(({ message }) => message === 'audit')
const adminPoints = () => points().filter((point) => point?.blobs?.[1] === 'ADMIN')

type Method = 'GET' | 'POST' | 'DELETE'
interface Answered {
  readonly status: number
  readonly type: string | null
  readonly text: string
  /** The members of a JSON answer. */
  readonly body: Record<string, unknown>
}

/** An operator of a gateway. A body that is text is sent as it is. */
function operatorOf(app: Hono<GatewayEnv>, vars: Record<string, unknown> = {}) {
  return async function ask(
    path: string,
    method: Method = 'GET',
    body?: unknown,
  ): Promise<Answered> {
    const ctx = createExecutionContext()
    const request = new Request<unknown, IncomingRequestCfProperties>(
      `https://gateway.test/_hapax/admin${path}`,
      {
        method,
        headers: { Authorization: `Bearer ${TOKEN}` },
        body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
      },
    )
    const response = await app.fetch(request, { ...env, HAPAX_ADMIN_TOKEN: TOKEN, ...vars }, ctx)
    await waitOnExecutionContext(ctx)
    const text = await response.text()
    const type = response.headers.get('Content-Type')
    const isJson = type !== null && type.includes('json')
    return {
      status: response.status,
      type,
      text,
      body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
    }
  }
}

function gatewayWith(policy: PolicyOptions = {}) {
  const app = createOperatedGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect(policy))
  return {
    pay: clientOf(app, '/payments'),
    payAndLeave: clientOf(app, '/payments', { isWaiting: false }),
    ask: operatorOf(app),
  }
}

/** A gateway whose handler waits for each call to be let go. */
function handlerWith(policy: PolicyOptions = {}) {
  const gates: PromiseWithResolvers<string>[] = []
  const app = createOperatedGateway({ tenant: credential('Authorization') })
  app.post('/grants', idempotent(policy), async (c) => {
    const gate = Promise.withResolvers<string>()
    gates.push(gate)
    return c.text(await gate.promise, 201)
  })
  const grant = clientOf(app, '/grants')
  return {
    grant,
    ask: operatorOf(app),
    gates,
    /** Begins an operation, and waits until its handler runs. */
    async begin(key: string) {
      const count = gates.length
      const answer = grant(key)
      await until(() => gates.length > count)
      return { answer, finish: (text: string) => gates[count]?.resolve(text) }
    },
  }
}

/** Moves the clock of Worker and objects; timers run on. */
function advance(ms: number): void {
  const now = Date.now()
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(now + ms)
}

async function stored(key: string): Promise<{ tables: string[]; alarm: number | null }> {
  return runInDurableObject(await objectOf(key), async (_: IdempotencyObject, { storage }) => {
    const rows = storage.sql.exec<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table'",
    )
    const tables = Array.from(rows, ({ name }) => name).filter((name) => !name.startsWith('_cf'))
    return { tables, alarm: await storage.getAlarm() }
  })
}

const isNothingStored = async (key: string) => {
  const { tables, alarm } = await stored(key)
  return tables.length === 0 && alarm === null
}

const RESPONSE = { status: 201, headers: { 'X-A': 'b' }, body: '{"id":7}' }
const SUCCEEDED = { outcome: 'succeeded', response: RESPONSE }
const NOT_EXECUTED = { outcome: 'not_executed' }
const status = (code: number) => () => new Response('{}', { status: code })

interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly oneOf?: readonly Schema[]
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly additionalProperties?: Schema | boolean
  readonly items?: Schema
}

const openApi = ADMIN_OPENAPI as {
  readonly paths: Readonly<Record<string, Readonly<Record<string, object>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

/** Where a value is not as a schema of the document says, an undocumented member included. */
function faultsOf(value: unknown, schema: Schema, at = ''): string[] {
  if (schema.$ref !== undefined) return faultsOf(value, named(schema.$ref), at)
  if (schema.oneOf) {
    const fits = schema.oneOf.filter((one) => faultsOf(value, one, at).length === 0)
    return fits.length === 1 ? [] : [`${at} is none of its kinds, or two`]
  }
  if (!isOfKind(value, schema)) return [`${at} is ${JSON.stringify(value)}`]
  if (Array.isArray(value)) {
    return value.flatMap((one, index) => faultsOf(one, schema.items ?? {}, `${at}/${index}`))
  }
  return typeof value === 'object' && value !== null ? faultsOfMembers(value, schema, at) : []
}

function isOfKind(value: unknown, schema: Schema): boolean {
  const { const: only = value, enum: values = [value], type = typeOf(value) } = schema
  return only === value && values.includes(value) && [type].flat().includes(typeOf(value))
}

function faultsOfMembers(value: object, { properties, required = [] }: Schema, at: string) {
  if (properties === undefined) return []
  const missing = required.filter((name) => !(name in value))
  const members = Object.entries(value).flatMap(([name, member]) => {
    const known = properties[name]
    return known === undefined
      ? [`${at}/${name} is unheard of`]
      : faultsOf(member, known, `${at}/${name}`)
  })
  return [...missing.map((name) => `${at}/${name} is missing`), ...members]
}

const EMPTY: Schema = { type: 'object', properties: {} }

const named = (ref: string): Schema =>
  ref === 'Empty'
    ? EMPTY
    : (openApi.components.schemas[ref.split('/').at(-1) ?? ''] ?? { enum: [] })

const expectSchema = (name: string, value: unknown) =>
  expect(faultsOf(value, named(name))).toEqual([])

describe('the OpenAPI document of the admin API', () => {
  it('has every route, and no other', () => {
    const routes = createAdmin({})
      .routes.filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method.toLowerCase()} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
    const described = Object.entries(openApi.paths).flatMap(([path, item]) =>
      Object.keys(item).flatMap((method) => (method === 'parameters' ? [] : `${method} ${path}`)),
    )
    expect(described.toSorted()).toEqual(routes.toSorted())
  })

  it('is served to operators', async () => {
    const { body } = await gatewayWith().ask('/openapi.json')
    expect(body).toEqual(JSON.parse(JSON.stringify(openApi)))
  })
})

describe('an operation, looked at by an operator', () => {
  it('is found by its tenant and key, as its header has it or in quotes', async () => {
    playOrigin(status(201))
    const { pay, ask } = gatewayWith()
    await pay('looked-up', { headers: { 'X-Correlation-Id': 'corr-7' } })
    const tenant = createDigest()('credential', 'authorization', 'Bearer tenant-a')
    const id = await idOf('looked-up')
    for (const key of ['looked-up', '"looked-up"', ' looked-up']) {
      const { status: code, body } = await ask('/operations/lookup', 'POST', { tenant, key })
      expect([code, body['id']]).toEqual([200, id])
    }
    const { body } = await ask(`/operations/${id}`)
    expectSchema('Operation', body)
    expect(body).toMatchObject({
      id,
      tenant,
      operation: 'POST /payments',
      state: 'succeeded',
      correlationId: 'corr-7',
      fence: 1,
      result: { status: 201, bodyBytes: 2, body: 'kept', isSealed: false },
      timeline: [
        { what: 'created' },
        { what: 'claimed' },
        { what: 'ended' },
        { what: 'succeeded' },
      ],
    })
  })

  it('is found by the name of its operation, where its key counts within that', async () => {
    playOrigin(status(201))
    const { pay, ask } = gatewayWith({ key: header('webhook-id') })
    await pay('unused', { headers: { 'webhook-id': 'msg_1' } })
    const tenant = createDigest()('credential', 'authorization', 'Bearer tenant-a')
    const statusOf = async (over: object) =>
      (await ask('/operations/lookup', 'POST', { tenant, key: 'msg_1', ...over })).status
    expect(await statusOf({ operation: 'POST /payments' })).toBe(200)
    expect(await statusOf({ operation: 'POST /refunds' })).toBe(404)
    expect(await statusOf({})).toBe(404)
    expect(await statusOf({ operation: 'POST /payments', consumer: 'mails' })).toBe(404)
  })

  it('is found with the name of its operation also where its key counts within the tenant', async () => {
    playOrigin(status(201))
    const { pay, ask } = gatewayWith()
    await pay('named')
    const tenant = createDigest()('credential', 'authorization', 'Bearer tenant-a')
    const statusOf = async (operation: string) =>
      (await ask('/operations/lookup', 'POST', { tenant, key: 'named', operation })).status
    expect(await statusOf('POST /payments')).toBe(200)
    expect(await statusOf('POST /refunds')).toBe(404)
  })

  it.each([
    { name: 'another key', over: { key: 'looked' } },
    { name: 'another tenant', over: { tenant: 'tenant-a' } },
    { name: 'letters moved from one to the other', over: { tenant: 't', key: 'enant-alooked-up' } },
  ])('is not found by $name', async ({ over }) => {
    playOrigin(status(201))
    const { pay, ask } = gatewayWith()
    await pay('looked-up')
    const tenant = createDigest()('credential', 'authorization', 'Bearer tenant-a')
    const asked = { tenant, key: 'looked-up', ...over }
    expect((await ask('/operations/lookup', 'POST', asked)).status).toBe(404)
  })

  it.each([
    { name: 'no body', body: '' },
    { name: 'no JSON', body: '{"tenant":' },
    { name: 'no key', body: { tenant: 't' } },
    { name: 'a key that is a number', body: { tenant: 't', key: 7 } },
    { name: 'a member too many', body: { tenant: 't', key: 'k', id: 'x' } },
    { name: 'a list', body: [{ tenant: 't', key: 'k' }] },
    { name: 'null', body: null },
  ])('says what to send where there is $name', async ({ body }) => {
    const answer = await gatewayWith().ask('/operations/lookup', 'POST', body)
    expect(answer.status).toBe(400)
    expect(answer.body['detail']).toBe('Send { "tenant": "…", "key": "…" } as JSON.')
    expectSchema('Problem', answer.body)
  })

  it('leaves its key in no line, no point, no answer and no object', async () => {
    playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    const key = 'a-key-that-nobody-may-read'
    await pay(key)
    const tenant = createDigest()('credential', 'authorization', 'Bearer tenant-a')
    const found = await ask('/operations/lookup', 'POST', { tenant, key })
    const unknown = await ask('/operations/lookup', 'POST', { tenant, key: `${key}2` })
    await ask('/operations/lookup', 'POST', { tenant, key, more: 1 })
    await ask(`/operations/${key}`)
    await ask(`/operations/${await idOf(key)}/resolve`, 'POST', NOT_EXECUTED)
    expect([found.status, unknown.status]).toEqual([200, 404])
    const all = JSON.stringify([log.mock.calls, faults.mock.calls, points(), found, unknown])
    expect(all).not.toContain(key)
    expect(all).not.toContain(TOKEN)
  })
})

/** Brings an operation into a state. @returns The operator, and what ends whatever still runs. */
const STATES = {
  async none() {
    playOrigin(status(201))
    return { ask: gatewayWith().ask, end: async () => {} }
  },
  async running(key: string) {
    const origin = playSlowOrigin(status(201))
    const { payAndLeave, ask } = gatewayWith()
    const answer = payAndLeave(key)
    await origin.asked()
    return { ask, end: async () => (origin.release(), void (await answer)) }
  },
  async leased(key: string) {
    const { begin, ask } = handlerWith()
    const { answer, finish } = await begin(key)
    return { ask, end: async () => (finish('done'), void (await answer)) }
  },
  async held(key: string) {
    playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    await pay(key)
    return { ask, end: async () => {} }
  },
  async probed(key: string) {
    playOrigin(status(500))
    const { pay, ask } = gatewayWith({ unknown: probe('/payments/by-key/{key}', { grace: 0 }) })
    await pay(key)
    return { ask, end: async () => {} }
  },
  async resent(key: string) {
    playOrigin(status(500))
    const { pay, ask } = gatewayWith({ unknown: 'resend' })
    await pay(key)
    return { ask, end: async () => {} }
  },
  async orphaned(key: string) {
    const { begin, ask } = handlerWith({ lease: '1m' })
    const { answer, finish } = await begin(key)
    advance(61_000)
    return { ask, end: async () => (finish('done'), void (await answer)) }
  },
  async succeeded(key: string) {
    playOrigin(status(201))
    const { pay, ask } = gatewayWith()
    await pay(key)
    return { ask, end: async () => {} }
  },
  async failed(key: string) {
    playOrigin(status(422))
    const { pay, ask } = gatewayWith()
    await pay(key)
    return { ask, end: async () => {} }
  },
  async expired(key: string) {
    playOrigin(status(201))
    const { pay, ask } = gatewayWith({ retention: '1h', tombstone: '1d' })
    await pay(key)
    advance(3_600_001)
    return { ask, end: async () => {} }
  },
}

const ACTIONS = {
  release: { path: '/release', method: 'POST', body: undefined },
  'not executed': { path: '/resolve', method: 'POST', body: NOT_EXECUTED },
  executed: { path: '/resolve', method: 'POST', body: SUCCEEDED },
  erase: { path: '', method: 'DELETE', body: undefined },
} as const

/** Which status each action has, in the order of `ACTIONS`. */
const EXPECTED: Record<keyof typeof STATES, readonly [number, number, number, number]> = {
  none: [404, 404, 404, 404],
  running: [409, 409, 409, 409],
  leased: [200, 409, 409, 204],
  held: [409, 204, 200, 204],
  probed: [409, 204, 200, 204],
  resent: [409, 204, 200, 204],
  orphaned: [409, 204, 200, 204],
  succeeded: [409, 409, 409, 204],
  failed: [409, 409, 409, 204],
  expired: [409, 409, 409, 204],
}

const MATRIX = (Object.keys(STATES) as (keyof typeof STATES)[]).flatMap((state) =>
  (Object.keys(ACTIONS) as (keyof typeof ACTIONS)[]).map((action, index) => ({
    state,
    action,
    expected: EXPECTED[state][index] ?? 0,
  })),
)

describe('an action of an operator', () => {
  it.each(MATRIX)(
    '$action is answered $expected for what is $state',
    async ({ state, action, expected }) => {
      const key = `${state}-${action.replace(' ', '-')}`
      const { ask, end } = await STATES[state](key)
      const id = await idOf(key)
      const before = await ask(`/operations/${id}`)
      log.mockClear()
      const { path, method, body } = ACTIONS[action]
      const answer = await ask(`/operations/${id}${path}`, method, body)
      expect({ status: answer.status, text: answer.text }).toMatchObject({ status: expected })
      const isDone = expected < 300
      expect(audits()).toHaveLength(isDone ? 1 : 0)
      expect(adminPoints()).toHaveLength(isDone ? 1 : 0)
      expectSchema(before.status === 200 ? 'Operation' : 'Problem', before.body)
      const answered = expected === 200 ? 'Operation' : expected === 204 ? 'Empty' : 'Problem'
      expectSchema(answered, answer.body)
      // Freed, an operation is not there any more; refused, it is as it was.
      const after = await ask(`/operations/${id}`)
      const left = { 200: answer.body, 204: after.body }[expected] ?? before.body
      expect(after.body).toEqual(left)
      expect(after.status).toBe(expected === 204 ? 404 : isDone ? 200 : before.status)
      await end()
    },
  )

  it('is not taken twice', async () => {
    const { ask } = await STATES.held('twice')
    const path = `/operations/${await idOf('twice')}/resolve`
    expect((await ask(path, 'POST', SUCCEEDED)).status).toBe(200)
    const again = await ask(path, 'POST', SUCCEEDED)
    expect(again.body['detail']).toBe('Only an unknown outcome is resolved; this one is succeeded.')
    expect(audits()).toHaveLength(1)
  })

  it('of which nobody hears the end is said to be so, in the answer and in the audit', async () => {
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const operated = vi.fn(() => {
      throw Object.assign(new Error('reset'), { durableObjectReset: true, retryable: true })
    })
    const ask = operatorOf(app, { OPERATIONS: { getByName: () => ({ operate: operated }) } })
    const id = await idOf('unheard')
    const answer = await ask(`/operations/${id}`, 'DELETE')
    expect(answer.status).toBe(503)
    expectSchema('Problem', answer.body)
    // A second try would hide what became of the first.
    expect(operated).toHaveBeenCalledTimes(1)
    expect(audits()).toEqual([
      {
        message: 'audit',
        action: 'erased',
        actor: 'token',
        operationId: id,
        result: 'unconfirmed',
      },
    ])
  })
})

describe('release', () => {
  it('leaves it to the policy: what is held is refused, and a late result is still taken', async () => {
    const { begin, grant, ask } = handlerWith()
    const { answer, finish } = await begin('released')
    const { body } = await ask(`/operations/${await idOf('released')}/release`, 'POST')
    expect(body).toMatchObject({ state: 'unknown', reason: 'owner-lost' })
    expect((await grant('released')).headers.get('Hapax-Error')).toBe('outcome-unknown')
    finish('late')
    expect(await (await answer).text()).toBe('late')
    const again = await grant('released')
    expect([word(again), await again.text()]).toEqual(['replayed', 'late'])
  })

  it('lets the next request of a resend route take over, whose result no late owner overwrites', async () => {
    const { begin, grant, ask } = handlerWith({ unknown: 'resend', lease: '10m' })
    const late = await begin('taken-over')
    await ask(`/operations/${await idOf('taken-over')}/release`, 'POST')
    const next = await begin('taken-over')
    late.finish('the late one')
    await late.answer
    next.finish('the next one')
    expect(await (await next.answer).text()).toBe('the next one')
    expect(await (await grant('taken-over')).text()).toBe('the next one')
  })

  it.each([
    { name: 'release', act: 'release', expected: 'outcome-unknown' },
    { name: 'erase', act: 'erase', expected: 'outcome-unknown' },
  ] as const)('of what others wait for: $name tells them at once', async ({ act, expected }) => {
    const key = `waited-${act}`
    const { begin, grant, ask } = handlerWith({ wait: '50s' })
    const { answer, finish } = await begin(key)
    const waiting = grant(key)
    // It waits when its question is with the object.
    await scheduler.wait(200)
    const startedAt = Date.now()
    const { path, method } = ACTIONS[act]
    await ask(`/operations/${await idOf(key)}${path}`, method)
    expect((await waiting).headers.get('Hapax-Error')).toBe(expected)
    expect(Date.now() - startedAt).toBeLessThan(5_000)
    finish('x')
    await answer
  })

  it('puts no doubt on what was not executed and waits to be sent again', async () => {
    const origin = playOrigin(status(503))
    const { payAndLeave, pay, ask } = gatewayWith({ unknown: 'resend', durable: true })
    await payAndLeave('away', { headers: { Prefer: 'respond-async, wait=1' } })
    const id = await idOf('away')
    await until(async () => {
      const { body } = await ask(`/operations/${id}`)
      return body['state'] === 'in_progress' && body['isRunning'] === false
    })
    const answer = await ask(`/operations/${id}/release`, 'POST')
    expect([answer.status, answer.body['detail']]).toEqual([
      409,
      'Nobody holds it: no call of it was executed, and the next one is free to be made.',
    ])
    const calls = origin.requests.length
    await pay('away')
    expect(origin.requests.length).toBe(calls + 1)
  })
})

describe('resolve', () => {
  it('as executed answers every later request with the response, and the origin is not called', async () => {
    const origin = playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    await pay('held')
    const id = await idOf('held')
    await until(async () => {
      const { entries } = (await ask('/stuck')).body as { entries: { id: string }[] }
      return entries.some((entry) => entry.id === id)
    })
    const done = await ask(`/operations/${id}/resolve`, 'POST', SUCCEEDED)
    expect(done.body).toMatchObject({ state: 'succeeded', result: { status: 201, bodyBytes: 8 } })
    expect(done.text).not.toContain('"id":7')
    for (let nth = 0; nth < 2; nth++) {
      const again = await pay('held')
      expect([word(again), again.status, await again.text(), again.headers.get('X-A')]).toEqual([
        'replayed',
        201,
        '{"id":7}',
        'b',
      ])
    }
    expect((await pay('held', { body: '{"amount":2}' })).headers.get('Hapax-Error')).toBe(
      'key-reused',
    )
    expect(origin.requests).toHaveLength(1)
  })

  it('as failed is replayed as a failure', async () => {
    playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    await pay('declined')
    const said = { outcome: 'failed', response: { status: 402, body: 'declined' } }
    const done = await ask(`/operations/${await idOf('declined')}/resolve`, 'POST', said)
    expect(done.body).toMatchObject({ state: 'failed', result: { status: 402 } })
    expect((await pay('declined')).status).toBe(402)
  })

  it('as not executed frees the key: the next request is the first', async () => {
    let isUp = false
    const origin = playOrigin(() => new Response('{}', { status: isUp ? 201 : 500 }))
    const { pay, ask } = gatewayWith()
    await pay('freed')
    const id = await idOf('freed')
    expect((await ask(`/operations/${id}/resolve`, 'POST', NOT_EXECUTED)).status).toBe(204)
    await until(() => isNothingStored('freed'))
    isUp = true
    expect(word(await pay('freed', { body: '{"amount":2}' }))).toBe('executed')
    expect((await ask(`/operations/${id}`)).body['fence']).toBe(1)
    expect(origin.requests).toHaveLength(2)
  })

  it('as not executed lets an accepted durable one go on without its client', async () => {
    let isUp = false
    const origin = playOrigin(({ method }) => {
      return new Response('{}', { status: method === 'GET' ? 404 : isUp ? 201 : 500 })
    })
    const { pay, ask } = gatewayWith({
      unknown: probe('/by-key/{key}', { grace: 0 }),
      durable: true,
    })
    await pay('accepted', { headers: { Prefer: 'respond-async' } })
    const id = await idOf('accepted')
    const { body } = await ask(`/operations/${id}`)
    expect(body).toMatchObject({ state: 'unknown', isAccepted: true, isDurable: true })
    const done = await ask(`/operations/${id}/resolve`, 'POST', NOT_EXECUTED)
    expect([done.status, done.body['state']]).toEqual([200, 'in_progress'])
    isUp = true
    advance(6_000)
    await runDurableObjectAlarm(await objectOf('accepted'))
    const view = await ask(`/operations/${id}`)
    expect(view.body).toMatchObject({ state: 'succeeded', fence: 2 })
    expectSchema('Operation', view.body)
    expect(origin.requests.filter(({ method }) => method === 'POST')).toHaveLength(2)
  })

  it.each([
    { name: 'as executed', said: SUCCEEDED, expected: '{"id":7}' },
    { name: 'as not executed, and executed again', said: NOT_EXECUTED, expected: 'the new one' },
  ])('$name holds against a late owner', async ({ said, expected }) => {
    const key = `late-${said.outcome}`
    const { begin, grant, ask } = handlerWith()
    const late = await begin(key)
    const id = await idOf(key)
    await ask(`/operations/${id}/release`, 'POST')
    await ask(`/operations/${id}/resolve`, 'POST', said)
    if (said.outcome === 'not_executed') {
      const next = await begin(key)
      next.finish('the new one')
      await next.answer
    }
    late.finish('the late one')
    expect(await (await late.answer).text()).toBe('the late one')
    const again = await grant(key)
    expect([word(again), await again.text()]).toEqual(['replayed', expected])
  })

  const odd: {
    name: string
    headers: Record<string, string>
    kept: Record<string, string>
  }[] = [
    { name: 'a length that is wrong', headers: { 'Content-Length': '1' }, kept: {} },
    { name: 'an encoding that it has not', headers: { 'Content-Encoding': 'gzip' }, kept: {} },
    {
      name: 'fields of a connection',
      headers: { Connection: 'X-B', 'X-B': '1', 'Transfer-Encoding': 'chunked' },
      kept: {},
    },
    {
      name: 'what only the gateway says',
      headers: { 'Hapax-Error': 'x', 'Idempotency-Outcome': 'unknown' },
      kept: {},
    },
    { name: 'a cookie', headers: { 'Set-Cookie': 'a=b' }, kept: {} },
    {
      name: 'an age and a date',
      headers: { Age: '5', Date: 'Tue, 24 Nov 2026 00:00:00 GMT' },
      kept: {},
    },
    {
      name: 'a type',
      headers: { 'Content-Type': 'text/plain; charset=utf-8' },
      kept: { 'content-type': 'text/plain; charset=utf-8' },
    },
    { name: 'blanks around a value', headers: { 'X-A': '  b  ' }, kept: { 'x-a': 'b' } },
    { name: 'an empty value', headers: { 'X-A': '' }, kept: { 'x-a': '' } },
    { name: 'a name that objects have', headers: { constructor: 'x' }, kept: { constructor: 'x' } },
  ]
  it.each(odd)(
    'takes a response with $name, and keeps of it what it would of the origin',
    async ({ name, headers, kept }) => {
      playOrigin(status(500))
      const { pay, ask } = gatewayWith()
      const key = `odd-${name.replaceAll(/\W/g, '-')}`
      await pay(key)
      const response = { status: 200, headers, body: 'grüß 🦊' }
      const said = { outcome: 'succeeded', response }
      const done = await ask(`/operations/${await idOf(key)}/resolve`, 'POST', said)
      expect(done.status).toBe(200)
      const again = await pay(key)
      expect([word(again), await again.text()]).toEqual(['replayed', 'grüß 🦊'])
      const own = Object.fromEntries(
        [...again.headers].filter(([field]) => !OF_THE_GATEWAY.has(field)),
      )
      expect(own).toEqual(kept)
    },
  )

  const OF_THE_GATEWAY = new Set([
    'age',
    'cache-control',
    'idempotency-expires',
    'idempotency-status',
    'idempotent-replayed',
    'x-correlation-id',
  ])

  it.each([204, 205, 304])('takes a response of %i without a body', async (code) => {
    playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    await pay(`empty-${code}`)
    const path = `/operations/${await idOf(`empty-${code}`)}/resolve`
    const said = { outcome: 'succeeded', response: { status: code, body: 'x' } }
    expect(await ask(path, 'POST', said)).toMatchObject({
      status: 400,
      body: { detail: `A response with the status ${code} has no body.` },
    })
    expect((await ask(path, 'POST', { ...said, response: { status: code } })).status).toBe(200)
    const again = await pay(`empty-${code}`)
    expect([word(again), again.status, await again.text()]).toEqual(['replayed', code, ''])
  })

  const refused: { name: string; body: unknown }[] = [
    { name: 'nothing', body: '' },
    { name: 'half of a JSON', body: '{"outcome":"not_ex' },
    { name: 'bytes that are no UTF-8 text', body: '\uD800' },
    { name: 'null', body: 'null' },
    { name: 'a list', body: [] },
    { name: 'no outcome', body: {} },
    { name: 'an outcome that nobody knows', body: { outcome: 'unknown' } },
    { name: 'an outcome in capitals', body: { outcome: 'Succeeded', response: RESPONSE } },
    { name: 'executed, without a response', body: { outcome: 'succeeded' } },
    { name: 'not executed, with a response', body: { ...NOT_EXECUTED, response: RESPONSE } },
    { name: 'a member too many', body: { ...SUCCEEDED, force: true } },
    {
      name: 'a member too many in the response',
      body: { ...SUCCEEDED, response: { ...RESPONSE, a: 1 } },
    },
    ...[199, 600, 0, -1, 200.5, '201', null, 1e9].map((code) => ({
      name: `the status ${JSON.stringify(code)}`,
      body: { ...SUCCEEDED, response: { ...RESPONSE, status: code } },
    })),
    ...[
      [],
      'X-A: b',
      null,
      { 'X-A': 1 },
      { 'X-A': ['b'] },
      { 'X A': 'b' },
      { '': 'b' },
      { 'X-A': 'b\r\nX-B: c' },
      { 'X-A': 'b\0' },
      { 'X-A': '€' },
      { 'X-A': 'b', 'x-a': 'c' },
    ].map((headers) => ({
      name: `the headers ${JSON.stringify(headers)}`,
      body: { ...SUCCEEDED, response: { ...RESPONSE, headers } },
    })),
    {
      name: 'a body that is no text',
      body: { ...SUCCEEDED, response: { ...RESPONSE, body: { id: 7 } } },
    },
  ]
  it('says what to send, changes nothing and logs nothing for what cannot be read', async () => {
    const { ask } = await STATES.held('unreadable')
    const id = await idOf('unreadable')
    const before = await ask(`/operations/${id}`)
    log.mockClear()
    for (const { name, body } of refused) {
      const answer = await ask(`/operations/${id}/resolve`, 'POST', body)
      expect({ name, status: answer.status }).toEqual({ name, status: 400 })
      expect(answer.body['detail']).toMatch(/^(Send \{|A header)/)
      expectSchema('Problem', answer.body)
    }
    expect(await ask(`/operations/${id}`)).toEqual(before)
    expect(log).not.toHaveBeenCalled()
  })

  const MAX_BYTES = 8_388_608
  const withSize = (bytes: number) => {
    const frame = JSON.stringify({ outcome: 'succeeded', response: { status: 200, body: '' } })
    return { ...SUCCEEDED, response: { status: 200, body: 'x'.repeat(bytes - frame.length) } }
  }
  it('takes the largest request, and refuses one byte more', async () => {
    playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    await pay('large')
    const path = `/operations/${await idOf('large')}/resolve`
    const over = await ask(path, 'POST', withSize(MAX_BYTES + 1))
    expect([over.status, over.body['title']]).toEqual([413, 'Content Too Large'])
    const largest = withSize(MAX_BYTES)
    expect((await ask(path, 'POST', largest)).status).toBe(200)
    const again = await pay('large')
    expect(await again.text()).toBe(largest.response.body)
  })

  it('takes headers of 32,768 bytes, and refuses one byte more', async () => {
    playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    await pay('wide')
    const path = `/operations/${await idOf('wide')}/resolve`
    const saidOf = (bytes: number) => ({
      outcome: 'succeeded',
      response: { status: 200, headers: { 'X-A': 'x'.repeat(bytes - 3) } },
    })
    expect((await ask(path, 'POST', saidOf(32_769))).status).toBe(400)
    expect((await ask(path, 'POST', saidOf(32_768))).status).toBe(200)
    expect((await pay('wide')).headers.get('X-A')).toHaveLength(32_765)
  })
})

describe('erase', () => {
  it.each(['held', 'succeeded', 'expired', 'resent'] as const)(
    'leaves nothing of what is %s, and its key is new',
    async (state) => {
      const key = `erased-${state}`
      const { ask } = await STATES[state](key)
      await ask(`/operations/${await idOf(key)}`, 'DELETE')
      await until(() => isNothingStored(key))
      playOrigin(status(201))
      const { pay } = gatewayWith()
      expect(word(await pay(key, { body: '{"amount":99}' }))).toBe('executed')
    },
  )

  it('takes the events with it that nobody has taken yet', async () => {
    const origin = playOrigin(
      ({ url }) => new Response('{}', { status: url.includes('hook') ? 503 : 201 }),
    )
    const { pay, ask } = gatewayWith({
      events: [{ on: 'succeeded', to: webhook('https://shop.test/hook') }],
    })
    await pay('erased-events')
    await until(() => origin.requests.length >= 2)
    const id = await idOf('erased-events')
    await until(async () => (await ask(`/operations/${id}`)).body['pendingEvents'] === 1)
    expect((await ask(`/operations/${id}`, 'DELETE')).status).toBe(204)
    await until(() => isNothingStored('erased-events'))
  })

  it('is not undone by a late owner, nor by its events', async () => {
    const { begin, ask } = handlerWith()
    const late = await begin('erased-late')
    await ask(`/operations/${await idOf('erased-late')}`, 'DELETE')
    late.finish('late')
    expect(await (await late.answer).text()).toBe('late')
    expect(await isNothingStored('erased-late')).toBe(true)
  })

  it('lets the next life of a key be, whatever a late owner of the one before does', async () => {
    const { begin, grant, ask } = handlerWith()
    const late = await begin('second-life')
    await ask(`/operations/${await idOf('second-life')}`, 'DELETE')
    const next = await begin('second-life')
    late.finish('the late one')
    await late.answer
    next.finish('the next one')
    await next.answer
    expect(await (await grant('second-life')).text()).toBe('the next one')
  })
})

async function emptyDirectory(): Promise<void> {
  const directory = env.DIRECTORY.getByName('directory')
  await directory.count()
  await runInDurableObject(directory, (_: DirectoryObject, { storage }) => {
    storage.sql.exec('DELETE FROM stuck')
    storage.sql.exec('DELETE FROM letter')
  })
}

interface StuckPage {
  readonly entries: readonly { readonly id: string }[]
  readonly next: number | null
}

describe('the list of what is stuck', () => {
  it('comes in pages, the newest first, and strikes off what is not stuck any more', async () => {
    await emptyDirectory()
    playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    const keys = ['stuck-1', 'stuck-2', 'stuck-3', 'stuck-4', 'stuck-5']
    const list = async (query = '') => {
      const { body } = await ask(`/stuck${query}`)
      expectSchema('StuckPage', body)
      return body as unknown as StuckPage
    }
    const ids: string[] = []
    for (const [index, key] of keys.entries()) {
      await pay(key)
      ids.unshift(await idOf(key))
      await until(async () => (await list()).entries.length === index + 1)
    }
    const read: string[] = []
    let query = '?limit=2'
    for (let page = await list(query); ; page = await list(query)) {
      read.push(...page.entries.map(({ id }) => id))
      if (page.next === null) break
      query = `?limit=2&after=${page.next}`
    }
    expect(read).toEqual(ids)
    expect((await list('?limit=5')).next).toBeNull()
    await ask(`/operations/${ids[1]}/resolve`, 'POST', SUCCEEDED)
    await ask(`/operations/${ids[2]}/resolve`, 'POST', NOT_EXECUTED)
    await ask(`/operations/${ids[3]}`, 'DELETE')
    const left = [ids[0], ids[4]]
    expect((await list()).entries.map(({ id }) => id)).toEqual(left)
    // Not only hidden: whoever counts them counts two.
    await until(async () => (await directoryOf(env).count()).stuck === 2)
  })

  it('says since when, and when something is done about it', async () => {
    await emptyDirectory()
    playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    await pay('aged', { headers: { 'X-Correlation-Id': 'corr-9' } })
    await until(async () => ((await ask('/stuck')).body as unknown as StuckPage).entries.length > 0)
    advance(90_000)
    const { entries } = (await ask('/stuck')).body
    expect(entries).toEqual([
      {
        id: await idOf('aged'),
        tenant: expect.any(String),
        operation: 'POST /payments',
        reason: 'origin-answered',
        correlationId: 'corr-9',
        since: expect.stringMatching(/^\d{4}-.*Z$/),
        ageSeconds: expect.toSatisfy((seconds: number) => seconds >= 90 && seconds < 100),
        nextAttemptAt: null,
      },
    ])
  })

  it('keeps on it what does not answer', async () => {
    await emptyDirectory()
    const operationId = await idOf('silent')
    const entry = {
      operationId,
      tenant: 't',
      operation: 'o',
      reason: 'owner-lost',
      correlationId: 'c',
      since: 0,
    } as const
    await directoryOf(env).list(entry)
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const lost = { getByName: () => ({ examine: () => Promise.reject(new Error('lost')) }) }
    const { body } = await operatorOf(app, { OPERATIONS: lost })('/stuck')
    expectSchema('StuckPage', body)
    expect((body as unknown as StuckPage).entries.map(({ id }) => id)).toEqual([operationId])
  })

  it('keeps on it what is sent again while it is read, and has it still when that has failed', async () => {
    await emptyDirectory()
    const ends = Array.from({ length: 2 }, () => Promise.withResolvers<number>())
    const { requests } = playOrigin(async () => {
      const code = await ends[requests.length - 1]?.promise
      return new Response('{}', { status: code ?? 500 })
    })
    const { pay, ask } = gatewayWith({ unknown: 'resend' })
    const list = async () => {
      const { body } = await ask('/stuck')
      expectSchema('StuckPage', body)
      return body['entries'] as { id: string; isInProgress?: boolean }[]
    }
    ends[0]?.resolve(500)
    await pay('sent-again')
    const id = await idOf('sent-again')
    await until(async () => (await list()).length === 1)
    const again = pay('sent-again')
    await until(() => requests.length === 2)
    expect(await list()).toMatchObject([{ id, isInProgress: true }])
    ends[1]?.resolve(500)
    await again
    const [entry] = await list()
    expect(entry).toMatchObject({ id })
    expect(entry).not.toHaveProperty('isInProgress')
  })

  it('has one that does not answer in its place, and says so; no more than six are asked at once', async () => {
    await emptyDirectory()
    playOrigin(status(500))
    const { pay } = gatewayWith()
    const keys = Array.from({ length: 8 }, (_, index) => `many-${index}`)
    for (const key of keys) await pay(key)
    await until(async () => (await directoryOf(env).count()).stuck === keys.length)
    const hanging = await idOf('many-4')
    let running = 0
    const most: number[] = []
    const getByName = (id: string) => ({
      examine: async () => {
        most.push((running += 1))
        if (id === hanging) return new Promise(() => {})
        const view = await env.OPERATIONS.getByName(id).examine(id)
        running -= 1
        return view
      },
    })
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const { body } = await operatorOf(app, { OPERATIONS: { getByName } })('/stuck')
    expectSchema('StuckPage', body)
    const entries = body['entries'] as { id: string; isLost?: boolean }[]
    expect(entries.map(({ id }) => id)).toEqual(await Promise.all(keys.toReversed().map(idOf)))
    expect(entries.filter(({ isLost }) => isLost).map(({ id }) => id)).toEqual([hanging])
    expect(Math.max(...most)).toBe(6)
  })

  it('is shown also where what is resolved cannot be struck off', async () => {
    await emptyDirectory()
    playOrigin(status(500))
    const { pay, ask } = gatewayWith()
    await pay('unstruck')
    await until(async () => (await directoryOf(env).count()).stuck === 1)
    const id = await idOf('unstruck')
    const directory = directoryOf(env)
    const { entries } = await directory.listStuck({ after: null, limit: 1 })
    const list = async () => ({ entries, next: null })
    const broken = { listStuck: list, strike: () => Promise.reject(new Error('disk I/O error')) }
    const DIRECTORY = { getByName: () => ({ ...broken, count: () => directory.count() }) }
    await ask(`/operations/${id}/resolve`, 'POST', SUCCEEDED)
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const answer = await operatorOf(app, { DIRECTORY })('/stuck')
    expect([answer.status, answer.body['entries']]).toEqual([200, []])
  })

  it.each([
    'limit=0',
    'limit=101',
    'limit=x',
    'limit=1.5',
    'limit=-1',
    'after=x',
    'after=0',
    'after=-1',
    'after=',
  ])('says what to ask for where it is asked for %s', async (query) => {
    const { ask } = gatewayWith()
    for (const path of ['/stuck', '/dead-letters']) {
      const answer = await ask(`${path}?${query}`)
      expect(answer.status).toBe(400)
      expect(answer.body['detail']).toContain('limit is a number from 1 to 100')
    }
  })
})

const HOOK = 'https://shop.test/hooks'

describe('many operations resolved at once', () => {
  async function resolveMany(vars: Record<string, unknown> = {}) {
    await emptyDirectory()
    playOrigin(status(500))
    const { pay } = gatewayWith()
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const ask = operatorOf(app, vars)
    return { pay, ask, change: (body: unknown) => ask('/operations/resolve', 'POST', body) }
  }

  it('have each what came of it, in order, and each is audited as if it were alone', async () => {
    const { pay, ask, change } = await resolveMany()
    for (const key of ['one', 'two', 'done-before']) await pay(key)
    const [one, two, before] = await Promise.all(['one', 'two', 'done-before'].map(idOf))
    await ask(`/operations/${before}/resolve`, 'POST', SUCCEEDED)
    log.mockClear()
    const never = await idOf('never-heard-of')
    const ids = [two, never, before, 'no id', one]
    const answer = await change({ ids, ...SUCCEEDED })
    expect(answer.status).toBe(200)
    expectSchema('Results', answer.body)
    expect(answer.body['results']).toEqual([
      { id: two, result: 'done' },
      { id: never, result: 'not-found' },
      { id: before, result: 'refused', because: expect.stringContaining('Only an unknown') },
      { id: 'no id', result: 'not-found' },
      { id: one, result: 'done' },
    ])
    expect(
      new Set(audits().map(({ action, operationId }) => [action, operationId].join(' '))),
    ).toEqual(new Set([`resolved ${one}`, `resolved ${two}`]))
    expect(word(await pay('one'))).toBe('replayed')
  })

  it('are unconfirmed where an object does not say what became of it', async () => {
    const lost = await idOf('lost')
    const OPERATIONS = {
      getByName: (id: string) =>
        id === lost
          ? { operate: () => Promise.reject(new Error('reset')) }
          : env.OPERATIONS.getByName(id),
    }
    const { pay, change } = await resolveMany({ OPERATIONS })
    await pay('answers')
    const answers = await idOf('answers')
    log.mockClear()
    const { body } = await change({ ids: [lost, answers], ...NOT_EXECUTED })
    expect(body['results']).toEqual([
      { id: lost, result: 'unconfirmed' },
      { id: answers, result: 'done' },
    ])
    expect(audits()).toEqual([
      expect.objectContaining({ operationId: lost, result: 'unconfirmed' }),
      expect.objectContaining({ operationId: answers, action: 'resolved' }),
    ])
  })

  const hundred = Array.from({ length: 101 }, (_, index) => `id-${index}`)
  it.each([
    { what: 'no ids', body: NOT_EXECUTED },
    { what: 'none', body: { ids: [], ...NOT_EXECUTED } },
    { what: 'too many', body: { ids: hundred, ...NOT_EXECUTED } },
    { what: 'one twice', body: { ids: ['a', 'a'], ...NOT_EXECUTED } },
    { what: 'what is no id', body: { ids: [1], ...NOT_EXECUTED } },
    { what: 'no outcome', body: { ids: ['a'] } },
    { what: 'what nobody knows', body: { ids: ['a'], ...NOT_EXECUTED, more: 1 } },
    { what: 'no JSON', body: '{' },
  ])('are refused as a whole with $what', async ({ body }) => {
    const { change } = await resolveMany()
    expect((await change(body)).status).toBe(400)
    expect(audits()).toEqual([])
  })
})

describe('many dead letters at once', () => {
  /** Letters of events, one of them for a receiver that takes nothing, and a message that nobody consumes. */
  async function buryMany() {
    await emptyDirectory()
    const directory = directoryOf(env)
    const bury = async (id: string, url: string) => {
      const event = { id, type: 'a.b', specversion: '1.0', source: '/hapax', tenant: 't' }
      const bytes = new Uint8Array(new TextEncoder().encode(JSON.stringify(event)))
      const names = { type: 'a.b', tenant: 't', operationId: 'o', correlationId: 'c' }
      const destination = webhook(url)
      await directory.bury({
        id,
        from: 'outbox',
        destination,
        reason: 'gone',
        attempts: 1,
        at: 1,
        ...names,
        bytes: await toStoredBytes(env, 'dead letter', id, bytes),
      })
    }
    await bury('taken-1', HOOK)
    await bury('refused', 'https://shop.test/never')
    await bury('taken-2', HOOK)
    const { requests } = playOrigin(
      ({ url }) => new Response(null, { status: url === HOOK ? 204 : 410 }),
    )
    const { ask } = gatewayWith()
    log.mockClear()
    return { ask, requests, left: async () => (await lettersOf(ask)).map(({ id }) => id) }
  }

  it('are replayed: what was taken is gone, and each is audited', async () => {
    const { ask, requests, left } = await buryMany()
    const ids = ['taken-2', 'refused', 'never heard of', 'taken-1']
    const answer = await ask('/dead-letters/replay', 'POST', { ids })
    expect(answer.status).toBe(200)
    expectSchema('Results', answer.body)
    expect(answer.body['results']).toEqual([
      { id: 'taken-2', result: 'done' },
      { id: 'refused', result: 'refused', because: expect.stringContaining('not delivered') },
      { id: 'never heard of', result: 'not-found' },
      { id: 'taken-1', result: 'done' },
    ])
    expect(requests).toHaveLength(3)
    expect(await left()).toEqual(['refused'])
    expect(new Set(audits().map(({ action, letterId }) => [action, letterId].join(' ')))).toEqual(
      new Set(['requeued taken-1', 'requeued taken-2']),
    )
  })

  it('are dropped', async () => {
    const { ask, requests, left } = await buryMany()
    const { body } = await ask('/dead-letters/drop', 'POST', {
      ids: ['refused', 'nothing', 'taken-1'],
    })
    expectSchema('Results', body)
    expect(body['results']).toEqual([
      { id: 'refused', result: 'done' },
      { id: 'nothing', result: 'not-found' },
      { id: 'taken-1', result: 'done' },
    ])
    expect(requests).toHaveLength(0)
    expect(await left()).toEqual(['taken-2'])
    expect(audits().map(({ action }) => action)).toEqual(['dropped', 'dropped'])
  })

  it('are unconfirmed where the directory fails in the middle, and stay', async () => {
    const { left } = await buryMany()
    const directory = directoryOf(env)
    const DIRECTORY = {
      getByName: () => ({
        letter: (id: string) => directory.letter(id),
        dropLetter: (id: string) =>
          id === 'taken-1' ? Promise.reject(new Error('disk I/O error')) : directory.dropLetter(id),
      }),
    }
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const ids = ['taken-1', 'taken-2']
    const { body } = await operatorOf(app, { DIRECTORY })('/dead-letters/drop', 'POST', { ids })
    expect(body['results']).toEqual([
      { id: 'taken-1', result: 'unconfirmed' },
      { id: 'taken-2', result: 'done' },
    ])
    expect(audits()).toContainEqual(
      expect.objectContaining({ letterId: 'taken-1', result: 'unconfirmed' }),
    )
    expect(await left()).toEqual(['refused', 'taken-1'])
  })

  it.each([
    { path: 'replay', body: {} },
    { path: 'replay', body: { ids: [] } },
    { path: 'replay', body: { ids: ['refused'], override: 'yes' } },
    { path: 'drop', body: { ids: ['refused', 'refused'] } },
    { path: 'drop', body: { ids: ['refused'], override: true } },
  ])('are refused as a whole: $path $body', async ({ path, body }) => {
    const { ask, left } = await buryMany()
    expect((await ask(`/dead-letters/${path}`, 'POST', body)).status).toBe(400)
    expect(await left()).toHaveLength(3)
  })
})

async function lettersOf(ask: ReturnType<typeof operatorOf>) {
  const { body } = await ask('/dead-letters')
  expectSchema('DeadLetterPage', body)
  return body['entries'] as { id: string; reason: string; from: string }[]
}

describe('a dead letter of the outbox', () => {
  /** A webhook that wants no more, until it does. */
  async function bury(key: string) {
    await emptyDirectory()
    const hook = { status: 410 }
    const sent: { id: string | null; body: string }[] = []
    playOrigin(async (request) => {
      if (request.url !== HOOK) return new Response('{"id":1}', { status: 201 })
      sent.push({ id: request.headers.get('webhook-id'), body: await request.text() })
      return new Response(null, { status: hook.status })
    })
    const { pay, ask } = gatewayWith({ events: [{ on: 'succeeded', to: webhook(HOOK) }] })
    await pay(key)
    await until(async () => (await lettersOf(ask)).length === 1)
    const [letter] = await lettersOf(ask)
    log.mockClear()
    vi.mocked(env.METRICS.writeDataPoint).mockClear()
    return {
      ask,
      hook,
      sent,
      path: `/dead-letters/${encodeURIComponent(letter?.id ?? '')}`,
      letter,
    }
  }

  it('is shown with the event in it', async () => {
    const { ask, path, letter } = await bury('shown')
    expect(letter).toMatchObject({
      from: 'outbox',
      type: 'operation.succeeded',
      destination: { to: 'webhook', url: HOOK },
      reason: 'the receiver answered 410',
      operationId: await idOf('shown'),
      attempts: 1,
    })
    const { body } = await ask(path)
    expectSchema('DeadLetter', body)
    expect(body).toMatchObject({
      ...letter,
      content: { type: 'operation.succeeded', specversion: '1.0' },
    })
    expect(log).not.toHaveBeenCalled()
  })

  it('is delivered with the same id when it is replayed, and gone', async () => {
    const { ask, path, hook, sent } = await bury('replayed')
    hook.status = 204
    expect(await ask(`${path}/replay`, 'POST')).toMatchObject({ status: 204, text: '' })
    expect(sent).toHaveLength(2)
    expect(sent[1]).toEqual(sent[0])
    expect(sent[0]?.id).toMatch(/^[\w-]{43}:/)
    expect(await lettersOf(ask)).toEqual([])
    expect((await ask(path)).status).toBe(404)
    expect((await ask(`${path}/replay`, 'POST')).status).toBe(404)
    expect(sent).toHaveLength(2)
  })

  it.each([410, 503, 302])('stays when its receiver answers %i again', async (code) => {
    const { ask, path, hook, letter } = await bury(`stays-${code}`)
    hook.status = code
    const answer = await ask(`${path}/replay`, 'POST')
    expect([answer.status, answer.body['detail']]).toEqual([
      409,
      `It was not delivered: the receiver answered ${code}.`,
    ])
    expect(await lettersOf(ask)).toEqual([letter])
    expect(audits()).toEqual([])
    expect(adminPoints()).toEqual([])
  })

  it('is dropped, and nothing is sent', async () => {
    const { ask, path, sent } = await bury('dropped')
    expect((await ask(path, 'DELETE')).status).toBe(204)
    expect((await ask(path, 'DELETE')).status).toBe(404)
    expect(await lettersOf(ask)).toEqual([])
    expect(sent).toHaveLength(1)
  })

  it.each([
    { action: 'requeued', path: '/replay', method: 'POST' },
    { action: 'dropped', path: '', method: 'DELETE' },
  ] as const)('is $action with an audit', async ({ action, path, method }) => {
    const buried = await bury(`audited-${action}`)
    buried.hook.status = 204
    await buried.ask(buried.path + path, method)
    expect(audits()).toEqual([
      {
        message: 'audit',
        action,
        actor: 'token',
        operation: 'operation.succeeded',
        tenant: expect.any(String),
        operationId: await idOf(`audited-${action}`),
        correlationId: expect.any(String),
        letterId: buried.letter?.id,
      },
    ])
    expect(adminPoints().map((point) => point?.blobs?.slice(0, 3))).toEqual([
      ['operation.succeeded', 'ADMIN', action],
    ])
  })
})

const QUEUE = 'work'
const HELD_MESSAGE = { type: 'order.paid', tenant: 'acme', order: 'a-secret-of-the-message' }

/** A Worker that consumes a queue, and its operator. */
function consumerWith(handlers: Handlers) {
  const app = createOperatedGateway({ tenant: credential('Authorization') })
  const queue = consume(handlers, { tenant: attribute('tenant') })
  const worker = createWorker(app, { queue })
  return {
    ask: operatorOf(app),
    async deliver(id: string, body: unknown = HELD_MESSAGE) {
      const batch = createMessageBatch(QUEUE, [{ id, timestamp: new Date(), attempts: 1, body }])
      const ctx = createExecutionContext()
      await worker.queue?.(batch, env, ctx)
      await waitOnExecutionContext(ctx)
    },
  }
}

describe('a dead letter of the inbox', () => {
  beforeEach(emptyDirectory)

  it('is done when it is replayed where a handler has been added, and gone', async () => {
    const before = consumerWith({ 'other.type': async () => {} })
    await before.deliver('m1')
    const handler = vi.fn(async () => ({ ok: true }))
    const { ask } = consumerWith({ 'order.paid': handler })
    expect(await lettersOf(ask)).toMatchObject([
      { id: 'work:m1', from: 'inbox', type: 'order.paid' },
    ])
    const { body } = await ask('/dead-letters/work:m1')
    expectSchema('DeadLetter', body)
    expect(body['content']).toEqual(HELD_MESSAGE)
    expect((await before.ask('/dead-letters/work:m1/replay', 'POST')).body['detail']).toContain(
      'no handler takes messages of this type',
    )
    expect((await ask('/dead-letters/work:m1/replay', 'POST')).status).toBe(204)
    expect(handler).toHaveBeenCalledTimes(1)
    expect(handler).toHaveBeenCalledWith(
      expect.objectContaining({ id: 'm1', queue: QUEUE, body: HELD_MESSAGE }),
      expect.anything(),
    )
    expect(await lettersOf(ask)).toEqual([])
    expect(JSON.stringify([log.mock.calls, points()])).not.toContain('a-secret-of-the-message')
  })

  it('of an unknown outcome stays until that is resolved, and is done then', async () => {
    let isBroken = true
    const handler = vi.fn(async () => {
      if (isBroken) throw new Error('half done')
    })
    const { ask, deliver } = consumerWith({ 'order.paid': handler })
    await deliver('m2')
    const replay = () => ask('/dead-letters/work:m2/replay', 'POST')
    expect((await replay()).body['detail']).toBe('It is not done: outcome-unknown.')
    expect(handler).toHaveBeenCalledTimes(1)
    const { body } = await ask('/dead-letters/work:m2')
    const path = `/operations/${String(body['operationId'])}/resolve`
    expect((await ask(path, 'POST', NOT_EXECUTED)).status).toBe(204)
    isBroken = false
    expect((await replay()).status).toBe(204)
    expect(handler).toHaveBeenCalledTimes(2)
    expect(await lettersOf(ask)).toEqual([])
  })

  it('of what was resolved as executed is done without its handler', async () => {
    const handler = vi.fn(async () => {
      throw new Error('half done')
    })
    const { ask, deliver } = consumerWith({ 'order.paid': handler })
    await deliver('m3')
    const { body } = await ask('/dead-letters/work:m3')
    await ask(`/operations/${String(body['operationId'])}/resolve`, 'POST', SUCCEEDED)
    expect((await ask('/dead-letters/work:m3/replay', 'POST')).status).toBe(204)
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('of what has failed stays: it is known, not done', async () => {
    const handler = vi.fn(async () => {
      throw new HTTPException(422)
    })
    const { ask, deliver } = consumerWith({ 'order.paid': handler })
    await deliver('m4')
    const answer = await ask('/dead-letters/work:m4/replay', 'POST')
    expect([answer.status, answer.body['detail']]).toEqual([409, 'It is not done: failed.'])
    expect(await lettersOf(ask)).toHaveLength(1)
    expect(audits()).toEqual([])
    const { body } = await ask('/dead-letters/work:m4')
    await ask(`/operations/${String(body['operationId'])}`, 'DELETE')
    const forgotten = await ask('/dead-letters/work:m4/replay', 'POST')
    expect(forgotten.status).toBe(409)
    expect(forgotten.body['detail']).toMatch(/^failed: .*\{ "override": true \}.*--override/)
    expect(handler).toHaveBeenCalledTimes(1)
    await ask('/dead-letters/work:m4/replay', 'POST', { override: true })
    expect(handler).toHaveBeenCalledTimes(2)
  })

  it.each([[], { override: 1 }, { override: true, force: true }, 'override', null])(
    'is not replayed on the word %j',
    async (body) => {
      const handler = vi.fn()
      await consumerWith({ 'other.type': handler }).deliver('m6')
      const { ask } = consumerWith({ 'order.paid': handler })
      const answer = await ask('/dead-letters/work:m6/replay', 'POST', body)
      expect([answer.status, answer.body['detail']]).toEqual([
        400,
        'Send no body, or { "override": true } as JSON.',
      ])
      expect(handler).not.toHaveBeenCalled()
    },
  )

  it.each([
    { reason: 'failed' },
    { reason: 'outcome-unknown' },
    { reason: 'retries-exhausted: outcome-unknown' },
    { reason: 'retries-exhausted: unsettled' },
    { reason: 'This key was used for another request. They differ in body, at /amount.' },
  ])('of an earlier version keeps its reason $reason as a decision', async ({ reason }) => {
    const handler = vi.fn()
    await consumerWith({ 'other.type': handler }).deliver('m7')
    const letter = await env.DIRECTORY.getByName('directory').letter('work:m7')
    if (letter === null) throw new Error('It is there.')
    await env.DIRECTORY.getByName('directory').bury({ ...letter, reason })
    const { ask } = consumerWith({ 'order.paid': handler })
    expect((await ask('/dead-letters/work:m7/replay', 'POST')).status).toBe(409)
    expect(handler).not.toHaveBeenCalled()
    const answer = await ask('/dead-letters/work:m7/replay', 'POST', { override: true })
    expect([answer.status, handler.mock.calls.length]).toEqual([204, 1])
  })

  it.each([
    {
      name: 'failed',
      throws: () => {
        throw new HTTPException(422)
      },
    },
    {
      name: 'outcome-unknown',
      throws: () => {
        throw new Error('half done')
      },
    },
    { name: 'mismatch', throws: () => {}, amount: 5 },
  ])(
    'keeps $name as a decision where a replay has come to it',
    async ({ name, throws, amount }) => {
      const event = {
        specversion: '1.0',
        id: name,
        source: '/s',
        type: 'order.paid',
        tenant: 'acme',
      }
      await consumerWith({ 'other.type': async () => {} }).deliver('m9', {
        ...event,
        data: { amount: 500 },
      })
      const handler = vi.fn(throws)
      const { ask, deliver } = consumerWith({ 'order.paid': handler })
      if (amount !== undefined) await deliver('m10', { ...event, data: { amount } })
      const replay = () => ask('/dead-letters/work:m9/replay', 'POST')
      expect((await replay()).status).toBe(409)
      expect(handler).toHaveBeenCalledTimes(1)
      const { body } = await ask('/dead-letters/work:m9')
      expect(body['decision']).toBe(name)
      expect((await ask(`/operations/${String(body['operationId'])}`, 'DELETE')).status).toBe(204)
      expect((await replay()).body['detail']).toContain('--override')
      expect(handler).toHaveBeenCalledTimes(1)
    },
  )

  it.each([
    '[[1',
    '{}',
    '[null]',
    '[5]',
    '[{"queue":1},"work",["Uint8Array",3,0,999],["ArrayBuffer","AAAA"]]',
  ])('that is damaged is shown as it is, and not replayed: %s', async (text) => {
    const handler = vi.fn()
    await consumerWith({ 'other.type': handler }).deliver('m11')
    const letter = await env.DIRECTORY.getByName('directory').letter('work:m11')
    if (letter === null) throw new Error('It is there.')
    const damaged = new Uint8Array(new TextEncoder().encode(text))
    const bytes = await toStoredBytes(env, 'dead letter', letter.id, damaged)
    await env.DIRECTORY.getByName('directory').bury({ ...letter, bytes })
    const { ask } = consumerWith(handler)
    expect((await ask('/dead-letters/work:m11')).status).toBe(200)
    const answer = await ask('/dead-letters/work:m11/replay', 'POST')
    const lost = 'What the message held could not be kept.'
    expect([answer.status, answer.body['detail']]).toEqual([409, lost])
    expect(handler).not.toHaveBeenCalled()
  })

  it('of an unknown outcome takes an override where the directory did not hear of its end', async () => {
    const handler = vi.fn(async () => {
      if (handler.mock.calls.length === 1) throw new Error('half done')
    })
    const { ask, deliver } = consumerWith({ 'order.paid': handler })
    await deliver('m8')
    const { body } = await ask('/dead-letters/work:m8')
    const path = `/operations/${String(body['operationId'])}/resolve`
    const directory = env.DIRECTORY.getByName('directory')
    vi.spyOn(env.DIRECTORY, 'getByName').mockReturnValueOnce({
      undecide: () => Promise.reject(new Error('lost')),
    } as unknown as typeof directory)
    expect((await ask(path, 'POST', NOT_EXECUTED)).status).toBe(204)
    vi.mocked(env.DIRECTORY.getByName).mockRestore()
    expect((await ask('/dead-letters/work:m8/replay', 'POST')).status).toBe(409)
    const answer = await ask('/dead-letters/work:m8/replay', 'POST', { override: true })
    expect([answer.status, handler.mock.calls.length]).toEqual([204, 2])
  })

  it('stays where nothing consumes its queue any more', async () => {
    await consumerWith({ 'other.type': async () => {} }).deliver('m5')
    const { ask } = gatewayWith()
    const answer = await ask('/dead-letters/work:m5/replay', 'POST')
    expect([answer.status, answer.body['detail']]).toEqual([
      409,
      'Nothing consumes the queue work any more.',
    ])
  })

  it.each([
    { name: 'bytes', body: new Uint8Array([0, 255, 1]).buffer, expected: 'AP8B' },
    {
      name: 'many bytes',
      body: new Uint8Array(120_000).buffer,
      expected: expect.stringMatching(/^A{160000}$/),
    },
    { name: 'text', body: 'text', expected: 'text' },
    { name: 'a large number', body: { n: 10n }, expected: '{n:10n}' },
    { name: 'a map', body: new Map([['a', 1]]), expected: 'new Map([["a",1]])' },
    { name: 'null', body: null, expected: null },
  ])('shows $name', async ({ name, body, expected }) => {
    const { ask, deliver } = consumerWith({ 'other.type': async () => {} })
    const id = `shown-${name.replaceAll(' ', '-')}`
    await deliver(id, body)
    const answer = await ask(`/dead-letters/work:${id}`)
    expect(answer.status).toBe(200)
    expect(answer.body['content']).toEqual(expected)
  })

  it('sealed under a secret that is gone is shown without its content, stays, and can be dropped', async () => {
    const { ask } = consumerWith({ 'order.paid': async () => {} })
    const sealedWith = { ...env, HAPAX_SEAL_KEY: 'a secret that is gone, 32 letters' }
    const bytes = new TextEncoder().encode('anything')
    const letter: DeadLetter = {
      id: 'work:sealed',
      from: 'inbox',
      destination: null,
      type: QUEUE,
      tenant: null,
      operationId: null,
      correlationId: null,
      reason: 'r',
      attempts: 1,
      at: 0,
      bytes: await toStoredBytes(sealedWith, 'dead letter', 'work:sealed', new Uint8Array(bytes)),
    }
    await directoryOf(env).bury(letter)
    const shown = await ask('/dead-letters/work:sealed')
    expectSchema('DeadLetter', shown.body)
    expect(shown.body).toMatchObject({ content: null, at: '1970-01-01T00:00:00.000Z' })
    const answer = await ask('/dead-letters/work:sealed/replay', 'POST')
    expect([answer.status, answer.body['detail']]).toEqual([
      409,
      'It was sealed under a secret that this deployment no longer has.',
    ])
    expect(await lettersOf(ask)).toHaveLength(1)
    expect((await ask('/dead-letters/work:sealed', 'DELETE')).status).toBe(204)
  })

  it('that is an event no secret opened is shown and replayed once its secret is back', async () => {
    const GONE = 'a secret that is gone, 32 letters'
    const event = { specversion: '1.0', id: 'e-1', type: 'report.noted', data: { marked: 1 } }
    const text = JSON.stringify(event)
    const received: string[] = []
    playOrigin(async (request) => {
      received.push(await request.text())
      return new Response(null, { status: 204 })
    })
    const letter: DeadLetter = {
      id: 'unopened',
      from: 'outbox',
      destination: webhook('https://shop.test/hooks'),
      type: 'sealed',
      tenant: 't',
      operationId: 'operation-1',
      correlationId: 'c',
      reason: 'it cannot be opened',
      attempts: 12,
      at: 0,
      isUnopened: true,
      bytes: await toStoredBytes(
        { ...env, HAPAX_SEAL_KEY: GONE },
        'event',
        'operation-1',
        new Uint8Array(new TextEncoder().encode(text)),
      ),
    }
    await directoryOf(env).bury(letter)
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const without = operatorOf(app, { HAPAX_SEAL_KEY: 'another secret, 32 letters long' })
    expectSchema('DeadLetterPage', (await without('/dead-letters')).body)
    const shut = await without('/dead-letters/unopened')
    expectSchema('DeadLetter', shut.body)
    expect(shut.body).toMatchObject({ type: 'sealed', isUnopened: true, content: null })
    const refused = await without('/dead-letters/unopened/replay', 'POST')
    expect(refused.status).toBe(409)
    expect(refused.body['detail']).toMatch(
      /no longer has\. Set that secret as HAPAX_SEAL_KEY_PREVIOUS/,
    )
    expect(received).toEqual([])

    const back = operatorOf(app, {
      HAPAX_SEAL_KEY: 'another secret, 32 letters long',
      HAPAX_SEAL_KEY_PREVIOUS: GONE,
    })
    const shown = await back('/dead-letters/unopened')
    expectSchema('DeadLetter', shown.body)
    expect(shown.body).toMatchObject({ type: 'report.noted', content: event })
    expect((await back('/dead-letters/unopened/replay', 'POST')).status).toBe(204)
    expect(received).toEqual([text])
    expect((await back('/dead-letters/unopened')).status).toBe(404)
  })

  it('that is an event no secret opened can be dropped', async () => {
    const { ask } = gatewayWith()
    const bytes = new Uint8Array([1, 2, 3])
    await directoryOf(env).bury({
      id: 'unopened-dropped',
      from: 'outbox',
      destination: webhook('https://shop.test/hooks'),
      type: 'sealed',
      tenant: null,
      operationId: 'operation-1',
      correlationId: null,
      reason: 'it cannot be opened',
      attempts: 12,
      at: 0,
      isUnopened: true,
      bytes,
    })
    expect((await ask('/dead-letters/unopened-dropped', 'DELETE')).status).toBe(204)
    expect((await ask('/dead-letters/unopened-dropped')).status).toBe(404)
  })

  it.each(['x', 'work:none', '%00', '..', "'; DROP TABLE letter; --"])(
    'is not found under the name %s',
    async (id) => {
      const { ask } = gatewayWith()
      const path = `/dead-letters/${encodeURIComponent(id)}x`
      expect((await ask(path)).status).toBe(404)
      expect((await ask(`${path}/replay`, 'POST')).status).toBe(404)
      expect((await ask(path, 'DELETE')).status).toBe(404)
    },
  )
})

describe('the audit', () => {
  it.each([
    { action: 'released', state: 'leased', act: 'release' },
    { action: 'resolved', state: 'held', act: 'executed' },
    { action: 'resolved', state: 'resent', act: 'not executed' },
    { action: 'erased', state: 'succeeded', act: 'erase' },
  ] as const)(
    'names who has $action what ($act), once, and holds no secret',
    async ({ action, state, act }) => {
      const key = `audited-${act.replace(' ', '-')}`
      const { ask, end } = await STATES[state](key)
      const id = await idOf(key)
      const { path, method, body } = ACTIONS[act]
      await ask(`/operations/${id}${path}`, method, body)
      const operation = state === 'leased' ? 'POST /grants' : 'POST /payments'
      expect(audits()).toEqual([
        {
          message: 'audit',
          action,
          actor: 'token',
          operation,
          tenant: expect.stringMatching(/^[\w-]{43}$/),
          operationId: id,
          correlationId: expect.any(String),
        },
      ])
      expect(adminPoints().map((point) => point?.blobs?.slice(0, 3))).toEqual([
        [operation, 'ADMIN', action],
      ])
      expect(adminPoints()[0]?.blobs?.[7]).toBe(id)
      const all = JSON.stringify([log.mock.calls, faults.mock.calls, points()])
      for (const secret of [TOKEN, key, RESPONSE.body]) expect(all).not.toContain(secret)
      await end()
    },
  )

  it('names the token that is to go', async () => {
    await STATES.held('rotated')
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const ask = operatorOf(app, { HAPAX_ADMIN_TOKEN: 'new', HAPAX_ADMIN_TOKEN_PREVIOUS: TOKEN })
    await ask(`/operations/${await idOf('rotated')}`, 'DELETE')
    expect(audits()).toMatchObject([{ action: 'erased', actor: 'token-previous' }])
  })

  it('has nothing of who only looks', async () => {
    const { ask } = await STATES.held('looked-at')
    const id = await idOf('looked-at')
    log.mockClear()
    vi.mocked(env.METRICS.writeDataPoint).mockClear()
    const reads = [
      '/openapi.json',
      `/operations/${id}`,
      '/stuck',
      '/dead-letters',
      '/dead-letters/x',
    ]
    for (const path of reads) await ask(path)
    await ask('/operations/lookup', 'POST', { tenant: 't', key: 'k' })
    expect(log).not.toHaveBeenCalled()
    expect(points()).toEqual([])
  })
})
