import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Handler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { stream } from 'hono/streaming'
import { Webhook } from 'standardwebhooks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { createDigest } from '../../src/core/digest.ts'
import {
  type CloudEvent,
  createGateway,
  credential,
  emit,
  type GatewayEnv,
  type IdempotencyObject,
  header,
  idempotent,
  type PolicyOptions,
  probe,
  protect,
  queue,
  secret,
  webhook,
} from '../../src/hapax.ts'
import { createEventTable } from '../../src/object/event-rows.ts'
import { openStoredBytes } from '../../src/platform/at-rest.ts'
import { idOf, objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'
import { pass, stopClock } from './stopped-clock.ts'
import { until } from './until.ts'

const HOOK = 'https://shop.test/hooks'
const OTHER_HOOK = 'https://bank.test/hooks'
const DAY_MS = 86_400_000
const SETTINGS = env as unknown as Record<string, string | undefined>
const SECRET = SETTINGS['HAPAX_WEBHOOK_SECRET'] ?? ''
const OLD_SECRET = `whsec_${btoa('the secret before the last rotation')}`
const { OUTBOX } = env as unknown as { OUTBOX: Queue }

stopClock()

afterEach(() => {
  delete SETTINGS['HAPAX_WEBHOOK_SECRET_PREVIOUS']
  delete SETTINGS['HAPAX_SEAL_KEY']
  SETTINGS['HAPAX_WEBHOOK_SECRET'] = SECRET
})

/** A key that is named after its test. */
const keyOf = (what: string) => what.replaceAll(/[^\w-]+/g, '-')

/** Makes the alarm come. A second one finds what the first has left. */
const ring = async (key: string) => runDurableObjectAlarm(await objectOf(key))

/** A delivery as its receiver gets it. */
interface Received {
  readonly url: string
  readonly headers: Record<string, string>
  readonly text: string
  readonly redirect: string
}

interface Web {
  readonly origin?: (request: Request) => Response | Promise<Response>
  /** @param nth Counts the deliveries to this URL, from 1. */
  readonly receiver?: (nth: number, request: Request) => Response | Promise<Response>
}

/** Of a known length: it is settled before its client gets it. */
const answer = (status: number) => new Response('x', { status, headers: { 'Content-Length': '1' } })
const created = () => answer(201)
const broken = () => answer(500)
const taken = () => new Response(null, { status: 204 })
const down = () => new Response(null, { status: 503 })

/** Origin and receivers. A body is read here: no other object may read it. */
function playWeb({ origin = created, receiver = taken }: Web = {}) {
  const received: Received[] = []
  const effects: Request[] = []
  playOrigin(async (request) => {
    const { url, redirect } = request
    if (!url.includes('/hooks')) {
      effects.push(request)
      return origin(request)
    }
    const headers = Object.fromEntries(request.headers)
    received.push({ url, headers, text: await request.text(), redirect })
    return receiver(received.filter((one) => one.url === url).length, request)
  })
  return { received, effects }
}

const eventOf = ({ text }: Received) => JSON.parse(text) as CloudEvent
const typesOf = (received: readonly Received[], url = HOOK) =>
  received.filter((one) => one.url === url).map((one) => eventOf(one).type)

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect(policy))
  return clientOf(app, '/payments')
}

function handlerWith(handler: Handler<GatewayEnv>, policy: PolicyOptions = {}) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/reports', idempotent(policy), handler)
  return clientOf(app, '/reports')
}

const onEnd = (url: string): NonNullable<PolicyOptions['events']>[number] => ({
  on: ['succeeded', 'failed'],
  to: webhook(url),
})

interface StoredEvent extends Record<string, SqlStorageValue> {
  readonly head: string
  readonly bytes: ArrayBuffer
  readonly failures: number
  readonly due_at: number
}

/** What the object of an operation holds on its disk. */
async function readObject(id: string) {
  const object = env.OPERATIONS.getByName(id)
  return runInDurableObject(object, async (_: IdempotencyObject, { storage }) => {
    const { sql } = storage
    const isThere = (table: string) =>
      sql.exec('SELECT 1 FROM sqlite_master WHERE name = ?', table).toArray().length > 0
    const alarmAt = await storage.getAlarm()
    if (!isThere('operation')) return { isEmpty: true, states: [], events: [], alarmAt }
    const records = sql.exec<{ record: string }>('SELECT record FROM operation').toArray()
    const events = isThere('event')
      ? sql.exec<StoredEvent>('SELECT * FROM event ORDER BY sequence').toArray()
      : []
    const states = records.map(({ record }) => (JSON.parse(record) as { state: string }).state)
    return { isEmpty: false, states, events, alarmAt }
  })
}
const stored = async (key: string) => readObject(await idOf(key))
const countOf = async (key: string) => (await stored(key)).events.length

/** Lets a table of the object refuse what a condition says, as a full disk would. */
async function refuseWrites(key: string, table: string, condition: string): Promise<void> {
  await runInDurableObject(await objectOf(key), (_: IdempotencyObject, { storage: { sql } }) => {
    if (table === 'event') createEventTable(sql)
    sql.exec(`CREATE TRIGGER refusal BEFORE INSERT ON ${table} WHEN ${condition}
      BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
  })
}
const allowWrites = async (key: string) =>
  runInDurableObject(await objectOf(key), (_: IdempotencyObject, { storage: { sql } }) => {
    sql.exec('DROP TRIGGER refusal')
  })

const directory = () => env.DIRECTORY.getByName('directory')
async function lettersOf(key: string) {
  const operationId = await idOf(key)
  const { entries } = await directory().listLetters({ after: null, limit: 1_000 })
  return entries.filter((letter) => letter.operationId === operationId)
}
async function isStuck(operationId: string) {
  const { entries } = await directory().listStuck({ after: null, limit: 1_000 })
  return entries.some((entry) => entry.operationId === operationId)
}

describe('events of an operation', () => {
  it('are CloudEvents, sent to a webhook and signed with every delivery, until it takes them', async () => {
    const { received } = playWeb({ receiver: (nth) => (nth === 1 ? down() : taken()) })
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const settledAt = new Date().toISOString()
    await clientWith({ events: [onEnd(HOOK)] })('signed', {
      headers: { 'X-Correlation-Id': 'corr-7', traceparent },
    })
    expect(received).toHaveLength(0)
    await ring('signed')
    pass(DAY_MS)
    await ring('signed')
    await ring('signed')
    const [first, second, ...more] = received
    if (first === undefined || second === undefined) throw new Error('not delivered twice')
    expect(more).toEqual([])
    expect(second.text).toBe(first.text)
    expect(second.headers['webhook-id']).toBe(first.headers['webhook-id'])
    expect(second.headers['webhook-timestamp']).not.toBe(first.headers['webhook-timestamp'])
    expect(second.headers['content-type']).toBe('application/cloudevents+json; charset=utf-8')
    const operationId = await idOf('signed')
    const event = new Webhook(SECRET).verify(second.text, second.headers) as CloudEvent
    expect(event).toEqual({
      specversion: '1.0',
      id: expect.stringMatching(new RegExp(`^${operationId}:[\\da-f-]{36}:succeeded$`)),
      source: '/hapax',
      type: 'operation.succeeded',
      time: settledAt,
      subject: operationId,
      datacontenttype: 'application/json',
      data: {
        operation: 'POST /payments',
        operationId,
        state: 'succeeded',
        attempts: 1,
        createdAt: settledAt,
        settledAt,
      },
      correlationid: 'corr-7',
      traceparent,
      tenant: expect.stringMatching(/^[\w-]{43}$/),
    })
    expect(second.headers['webhook-id']).toBe(event.id)
  })

  it.each([
    { status: 201, expected: ['/succeeded', '/ended', '/any'] },
    { status: 422, expected: ['/failed', '/ended', '/any'] },
    { status: 500, expected: ['/unknown', '/any'] },
    { status: 503, expected: [] },
  ])('are those whose rule names the state: $status', async ({ status, expected }) => {
    const { received } = playWeb({ origin: () => answer(status) })
    const send = clientWith({
      events: [
        { on: 'succeeded', to: webhook(`${HOOK}/succeeded`) },
        { on: 'failed', to: webhook(`${HOOK}/failed`) },
        { on: 'unknown', to: webhook(`${HOOK}/unknown`) },
        { on: ['succeeded', 'failed'], to: webhook(`${HOOK}/ended`) },
        { on: ['unknown', 'succeeded', 'failed'], to: webhook(`${HOOK}/any`) },
      ],
    })
    const key = `state-${status}`
    await send(key)
    await ring(key)
    expect(received.map(({ url }) => url.slice(HOOK.length)).toSorted()).toEqual(
      expected.toSorted(),
    )
    expect(await countOf(key)).toBe(0)
  })

  it('are left once, by the request that was executed', async () => {
    const { received } = playWeb()
    const send = clientWith({ events: [onEnd(HOOK)] })
    await send('once')
    expect(word(await send('once'))).toBe('replayed')
    await ring('once')
    await send('once')
    await ring('once')
    expect(received).toHaveLength(1)
  })

  it('go to a queue as JSON', async () => {
    const sent = vi.spyOn(OUTBOX, 'send')
    playWeb()
    await clientWith({ events: [{ on: 'succeeded', to: queue('OUTBOX') }] })('queued')
    await ring('queued')
    expect(sent).toHaveBeenCalledTimes(1)
    const [event, options] = sent.mock.calls[0] ?? []
    expect(event).toMatchObject({ specversion: '1.0', type: 'operation.succeeded' })
    expect(options).toEqual({ contentType: 'json' })
    expect(await countOf('queued')).toBe(0)
  })

  it('wait where the queue does not take them', async () => {
    const sent = vi.spyOn(OUTBOX, 'send').mockRejectedValueOnce(new Error('Queue is overloaded'))
    playWeb()
    await clientWith({ events: [{ on: 'succeeded', to: queue('OUTBOX') }] })('queue-down')
    await ring('queue-down')
    expect(await countOf('queue-down')).toBe(1)
    pass(DAY_MS)
    await ring('queue-down')
    const ids = sent.mock.calls.map(([event]) => (event as CloudEvent).id)
    expect(ids).toEqual([ids[0], ids[0]])
    expect(await countOf('queue-down')).toBe(0)
  })

  it.each(['hold', 'resend'] as const)(
    'are left by no operation that is only observed, and nobody has to look at it: %s',
    async (unknown) => {
      const { received, effects } = playWeb({ origin: broken })
      const events = [{ on: 'unknown', to: webhook(HOOK) }] as const
      const send = clientWith({ mode: 'observe', unknown, events: [...events] })
      await send(`observed-${unknown}`)
      expect(effects).toHaveLength(1)
      const id = createDigest()('observed', await idOf(`observed-${unknown}`))
      const { states, events: waiting } = await readObject(id)
      expect([states.length, waiting.length]).toEqual([1, 0])
      await runDurableObjectAlarm(env.OPERATIONS.getByName(id))
      expect(received).toHaveLength(0)
      expect(await isStuck(id)).toBe(false)
    },
  )

  it.each([
    { what: 'a queue that is not bound', to: queue('ABSENT'), settings: {} },
    { what: 'a binding that is no queue', to: queue('HAPAX_WEBHOOK_SECRET'), settings: {} },
    { what: 'no webhook secret', to: webhook(HOOK), settings: { HAPAX_WEBHOOK_SECRET: '' } },
    { what: 'no secret of its own', to: webhook(HOOK, { secret: 'ABSENT' }), settings: {} },
    {
      what: 'no secret for a header',
      to: webhook(HOOK, { headers: { Authorization: secret('ABSENT') } }),
      settings: {},
    },
  ])('are refused with 500 before anything is done: $what', async ({ what, to, settings }) => {
    const { effects } = playWeb()
    const send = clientWith({ events: [{ on: 'succeeded', to }] })
    const response = await send(keyOf(what), { env: settings })
    expect([response.status, response.headers.get('Hapax-Error')]).toEqual([
      500,
      'gateway-misconfigured',
    ])
    expect(effects).toHaveLength(0)
    expect((await stored(keyOf(what))).isEmpty).toBe(true)
  })

  it('are written with the result, or neither is: an object whose disk refuses the event', async () => {
    const origin = playSlowOrigin(created)
    const send = clientWith({ events: [{ on: 'succeeded', to: queue('OUTBOX') }] })
    const response = send('no-event')
    await origin.asked()
    await refuseWrites('no-event', 'event', '1')
    origin.release()
    expect((await response).status).toBe(201)
    expect(await stored('no-event')).toMatchObject({ states: ['in_progress'], events: [] })
    await allowWrites('no-event')
    await until(async () => (await countOf('no-event')) > 0)
    expect(await stored('no-event')).toMatchObject({ states: ['succeeded'], events: [{}] })
  })

  it('are written with the result, or neither is: an object whose disk refuses the result', async () => {
    const origin = playSlowOrigin(created)
    const send = clientWith({ events: [{ on: 'succeeded', to: queue('OUTBOX') }] })
    const response = send('no-result')
    await origin.asked()
    await refuseWrites('no-result', 'operation', `NEW.record LIKE '%"state":"succeeded"%'`)
    origin.release()
    expect((await response).status).toBe(201)
    expect(await stored('no-result')).toMatchObject({ states: ['in_progress'], events: [] })
    await allowWrites('no-result')
    await until(async () => (await countOf('no-result')) > 0)
    expect(await stored('no-result')).toMatchObject({ states: ['succeeded'], events: [{}] })
  })
})

describe('an unknown outcome', () => {
  it('is told when a Worker has lost its lease, and its late result after that', async () => {
    const { received } = playWeb()
    const gate = Promise.withResolvers<void>()
    let runs = 0
    const send = handlerWith(
      async (c) => {
        runs += 1
        await gate.promise
        return c.json({ ok: true })
      },
      { events: [{ on: ['unknown', 'succeeded'], to: webhook(HOOK) }] },
    )
    const response = send('lease')
    await until(() => runs === 1)
    pass(59_000)
    await ring('lease')
    expect(received).toHaveLength(0)
    pass(1_001)
    await ring('lease')
    expect(typesOf(received)).toEqual(['operation.unknown'])
    gate.resolve()
    expect((await response).status).toBe(200)
    await ring('lease')
    expect(received.map((one) => eventOf(one).data)).toMatchObject([
      { state: 'unknown', reason: 'owner-lost' },
      { state: 'succeeded', attempts: 1 },
    ])
  })

  it('is told by the alarm when the object was lost with its call', async () => {
    const origin = playSlowOrigin(created)
    const send = clientWith({ events: [{ on: 'unknown', to: webhook(HOOK) }] })
    const lost = send('owner-lost')
    await origin.asked()
    await abortAllDurableObjects()
    await lost
    const { received } = playWeb()
    pass(6_000)
    await ring('owner-lost')
    expect(received.map(eventOf)).toMatchObject([
      { type: 'operation.unknown', data: { reason: 'owner-lost' } },
    ])
    expect(await isStuck(await idOf('owner-lost'))).toBe(true)
  })

  it('that the alarm recovers leaves both events, in their order', async () => {
    let isUp = false
    const { received } = playWeb({
      origin: ({ method }) => (method === 'GET' ? created() : broken()),
      receiver: () => (isUp ? taken() : down()),
    })
    const send = clientWith({
      unknown: probe('/payments/by-key/{key}', { grace: 0 }),
      events: [{ on: ['unknown', 'succeeded'], to: webhook(HOOK) }],
    })
    await send('recovered')
    await ring('recovered')
    pass(6_000)
    await ring('recovered')
    expect((await stored('recovered')).states).toEqual(['succeeded'])
    expect(new Set(typesOf(received))).toEqual(new Set(['operation.unknown']))
    isUp = true
    const failed = received.length
    pass(DAY_MS / 2)
    await ring('recovered')
    expect(typesOf(received.slice(failed))).toEqual(['operation.unknown', 'operation.succeeded'])
  })

  it('of every attempt is an event of its own', async () => {
    const { received } = playWeb({ origin: broken })
    const send = clientWith({
      unknown: 'resend',
      events: [{ on: 'unknown', to: webhook(HOOK) }],
    })
    await send('attempts')
    await send('attempts')
    await ring('attempts')
    const events = received.map(eventOf)
    expect(events).toMatchObject([{ data: { attempts: 1 } }, { data: { attempts: 2 } }])
    expect(events[0]?.id).not.toBe(events[1]?.id)
  })
})

describe('order', () => {
  /** An operation that has left two events to each of two recipients. */
  async function leaveTwo(key: string, receiver: NonNullable<Web['receiver']>) {
    let calls = 0
    const web = playWeb({ origin: () => ((calls += 1) === 1 ? broken() : created()), receiver })
    const on = ['unknown', 'succeeded'] as const
    const send = clientWith({
      unknown: 'resend',
      events: [
        { on: [...on], to: webhook(HOOK) },
        { on: [...on], to: webhook(OTHER_HOOK) },
      ],
    })
    await send(key)
    await send(key)
    return web
  }

  it('of an operation and a recipient holds while its first event fails, and holds nobody else back', async () => {
    let isUp = false
    const { received } = await leaveTwo('ordered', (_, { url }) =>
      url === HOOK && !isUp ? down() : taken(),
    )
    await ring('ordered')
    pass(DAY_MS / 4)
    await ring('ordered')
    expect(typesOf(received)).toEqual(['operation.unknown', 'operation.unknown'])
    expect(typesOf(received, OTHER_HOOK)).toEqual(['operation.unknown', 'operation.succeeded'])
    isUp = true
    pass(DAY_MS / 4)
    await ring('ordered')
    expect(typesOf(received).slice(2)).toEqual(['operation.unknown', 'operation.succeeded'])
    expect(typesOf(received, OTHER_HOOK)).toHaveLength(2)
  })

  it('is given up with an event that is dead: those behind it go on', async () => {
    const { received } = await leaveTwo('behind-dead', (nth, { url }) =>
      url === HOOK && nth === 1 ? new Response(null, { status: 410 }) : taken(),
    )
    await ring('behind-dead')
    expect(typesOf(received)).toEqual(['operation.unknown', 'operation.succeeded'])
    expect(await countOf('behind-dead')).toBe(0)
  })

  // Fails as long as the ledger counts as due what stands behind an event that waits.
  it('has those that wait behind a failed event cost no alarm before its time', async () => {
    await leaveTwo('quiet', (_, { url }) =>
      url === HOOK
        ? new Response(null, { status: 503, headers: { 'Retry-After': '900' } })
        : taken(),
    )
    await ring('quiet')
    const { events, alarmAt } = await stored('quiet')
    expect(events).toHaveLength(2)
    expect(alarmAt).toBe(Date.now() + 900_000)
  })
})

// Fails as long as the ledger looks at the first hundred events, whether or not they may go.
it('a hundred events that wait for one recipient hold no other back', async () => {
  const { received } = playWeb({ receiver: (_, { url }) => (url === HOOK ? down() : taken()) })
  const send = handlerWith((c) => {
    for (let n = 1; n <= 101; n += 1) emit(c, { type: 'report.noted', to: webhook(HOOK) })
    emit(c, { type: 'report.filed', to: webhook(OTHER_HOOK) })
    return c.text('ok')
  })
  await send('hundred')
  await ring('hundred')
  expect(typesOf(received)).toHaveLength(1)
  expect(typesOf(received, OTHER_HOOK)).toEqual(['report.filed'])
})

describe('a delivery that fails', () => {
  const retry = { attempts: 5, base: '1s', cap: '4s' } as const

  it('is tried again with delays that double to a bound, and is then a dead letter', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.9999)
    const { received } = playWeb({ receiver: down })
    await clientWith({ events: [{ ...onEnd(HOOK), retry }] })('backoff')
    await ring('backoff')
    for (const [index, delayMs] of [1_000, 2_000, 4_000, 4_000].entries()) {
      const { events, alarmAt } = await stored('backoff')
      expect(events).toMatchObject([{ failures: index + 1, due_at: Date.now() + delayMs }])
      expect(alarmAt).toBe(Date.now() + delayMs)
      pass(delayMs - 1)
      await ring('backoff')
      expect(received).toHaveLength(index + 1)
      pass(1)
      await ring('backoff')
      expect(received).toHaveLength(index + 2)
    }
    expect(await countOf('backoff')).toBe(0)
    expect(await lettersOf('backoff')).toMatchObject([
      {
        from: 'outbox',
        destination: webhook(HOOK),
        type: 'operation.succeeded',
        reason: 'the receiver answered 503',
        attempts: 5,
        at: Date.now(),
      },
    ])
    pass(DAY_MS / 2)
    await ring('backoff')
    expect(received).toHaveLength(5)
  })

  it.each([
    { what: 'seconds', field: () => '120', delayMs: 120_000 },
    { what: 'a date', field: () => new Date(Date.now() + 60_000).toUTCString(), delayMs: 59_000 },
    { what: 'centuries, of which a day counts', field: () => '999999999', delayMs: DAY_MS },
  ])('waits as long as Retry-After says: $what', async ({ what, field, delayMs }) => {
    const { received } = playWeb({
      receiver: (nth) =>
        nth === 1
          ? new Response(null, { status: 429, headers: { 'Retry-After': field() } })
          : taken(),
    })
    const key = keyOf(what)
    await clientWith({ retention: '30d', events: [{ ...onEnd(HOOK), retry }] })(key)
    await ring(key)
    pass(delayMs - 1)
    await ring(key)
    expect(received).toHaveLength(1)
    pass(1_001)
    await ring(key)
    expect(received).toHaveLength(2)
  })

  it('is not tried again where the receiver wants no more: 410', async () => {
    const { received } = playWeb({ receiver: () => new Response(null, { status: 410 }) })
    await clientWith({ events: [onEnd(HOOK)] })('gone')
    await ring('gone')
    expect(await countOf('gone')).toBe(0)
    pass(DAY_MS / 2)
    await ring('gone')
    expect(received).toHaveLength(1)
    expect(await lettersOf('gone')).toMatchObject([
      { reason: 'the receiver answered 410', attempts: 1 },
    ])
  })

  it('is kept in full as a dead letter, one for each destination', async () => {
    const { received } = playWeb({ receiver: () => new Response(null, { status: 410 }) })
    await clientWith({ events: [onEnd(HOOK), onEnd(OTHER_HOOK)] })('two-letters')
    await ring('two-letters')
    const letters = await lettersOf('two-letters')
    expect(letters.map(({ destination }) => destination)).toEqual(
      expect.arrayContaining([webhook(HOOK), webhook(OTHER_HOOK)]),
    )
    for (const { id } of letters) {
      const letter = await directory().letter(id)
      if (letter === null) throw new Error('a letter that is listed is there')
      const bytes = await openStoredBytes(env, 'dead letter', id, letter.bytes)
      expect(new TextDecoder().decode(bytes)).toBe(received[0]?.text)
    }
  })

  it('stays in the object while the directory cannot keep it', async () => {
    playWeb({ receiver: () => new Response(null, { status: 410 }) })
    await runInDurableObject(directory(), (_, { storage: { sql } }) => {
      // As the object makes it with its first event.
      sql.exec(`CREATE TABLE IF NOT EXISTS event (sequence INTEGER PRIMARY KEY, operation_id TEXT NOT NULL,
      head TEXT NOT NULL, bytes BLOB NOT NULL, failures INTEGER NOT NULL, due_at INTEGER NOT NULL)`)
      sql.exec(`CREATE TRIGGER refusal BEFORE INSERT ON letter
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
    })
    await clientWith({ events: [onEnd(HOOK)] })('unburied')
    await ring('unburied')
    await runInDurableObject(directory(), (_, { storage: { sql } }) => {
      sql.exec('DROP TRIGGER refusal')
    })
    expect(await countOf('unburied')).toBe(1)
    expect(await lettersOf('unburied')).toEqual([])
    pass(DAY_MS / 2)
    await ring('unburied')
    expect(await countOf('unburied')).toBe(0)
    expect(await lettersOf('unburied')).toHaveLength(1)
  })

  it('is one that got no answer in 15 s', async () => {
    const timeout = vi.spyOn(AbortSignal, 'timeout')
    timeout.mockImplementation(() => {
      const controller = new AbortController()
      setTimeout(() => controller.abort(new DOMException('too late', 'TimeoutError')), 20)
      return controller.signal
    })
    const { received } = playWeb({
      receiver: (nth, { signal }) =>
        nth === 1
          ? new Promise((_, reject) => {
              signal.addEventListener('abort', () => reject(signal.reason as Error))
            })
          : taken(),
    })
    const fault = vi.spyOn(console, 'error').mockImplementation(() => {})
    await clientWith({ events: [onEnd(HOOK)] })('timeout')
    timeout.mockClear()
    await ring('timeout')
    expect(timeout).toHaveBeenCalledWith(15_000)
    expect(String(fault.mock.lastCall?.[0])).toContain('did not answer in time')
    expect(await countOf('timeout')).toBe(1)
    pass(DAY_MS / 2)
    await ring('timeout')
    expect(received).toHaveLength(2)
    expect(await countOf('timeout')).toBe(0)
  })

  it.each([
    { what: 'queue', to: queue('OUTBOX'), expected: 'the queue did not take it' },
    { what: 'receiver', to: webhook(HOOK), expected: 'the receiver could not be reached' },
  ])('says that it did not arrive, and no more: $what', async ({ what, to, expected }) => {
    const lost = () => Promise.reject(new Error('marked'))
    vi.spyOn(OUTBOX, 'send').mockImplementation(lost)
    playWeb({ receiver: lost })
    const key = `unreached-${what}`
    await clientWith({ events: [{ on: 'succeeded', to, retry: { attempts: 1 } }] })(key)
    await ring(key)
    expect(await lettersOf(key)).toMatchObject([{ reason: expected, destination: to }])
  })

  it('is one whose receiver sends it elsewhere: a redirect is not followed', async () => {
    const { received } = playWeb({
      receiver: (nth) =>
        nth === 1
          ? new Response(null, { status: 307, headers: { Location: OTHER_HOOK } })
          : taken(),
    })
    await clientWith({ events: [onEnd(HOOK)] })('redirect')
    await ring('redirect')
    expect(received.map(({ url, redirect }) => [url, redirect])).toEqual([[HOOK, 'manual']])
    expect(await countOf('redirect')).toBe(1)
  })

  it.each([
    { what: 'the secret has gone since', value: '', expected: 'no secret HAPAX_WEBHOOK_SECRET' },
    { what: 'the secret is none', value: 'hush', expected: 'HAPAX_WEBHOOK_SECRET is not whsec_' },
  ])('says why in its letter: $what', async ({ what, value, expected }) => {
    const { received } = playWeb()
    const key = keyOf(what)
    await clientWith({ events: [{ ...onEnd(HOOK), retry: { attempts: 1 } }] })(key)
    SETTINGS['HAPAX_WEBHOOK_SECRET'] = value
    await ring(key)
    expect(received).toHaveLength(0)
    expect(await lettersOf(key)).toMatchObject([{ reason: expect.stringContaining(expected) }])
  })

  it('whose object dies between sending and marking is sent again, with the same id', async () => {
    let isStanding = true
    const { received } = playWeb({
      receiver: () => (isStanding ? new Promise<Response>(() => {}) : taken()),
    })
    await clientWith({ events: [onEnd(HOOK)] })('unmarked')
    const cut = ring('unmarked').catch(() => {})
    await until(() => received.length === 1)
    await abortAllDurableObjects()
    await cut
    isStanding = false
    await ring('unmarked')
    expect(received).toHaveLength(2)
    expect(received[1]?.text).toBe(received[0]?.text)
    expect(received[1]?.headers['webhook-id']).toBe(received[0]?.headers['webhook-id'])
    pass(DAY_MS / 2)
    await ring('unmarked')
    expect(received).toHaveLength(2)
  })
})

describe('two webhook secrets', () => {
  it('both sign while the receivers change over', async () => {
    SETTINGS['HAPAX_WEBHOOK_SECRET_PREVIOUS'] = OLD_SECRET
    const { received } = playWeb()
    await clientWith({ events: [onEnd(HOOK)] })('rotating')
    await ring('rotating')
    const [{ text, headers } = { text: '', headers: {} }] = received
    for (const one of [SECRET, OLD_SECRET]) {
      expect(new Webhook(one).verify(text, headers)).toMatchObject({ specversion: '1.0' })
    }
    const other = new Webhook(`whsec_${btoa('a secret that nobody has ever used')}`)
    expect(() => other.verify(text, headers)).toThrow('No matching signature')
  })
})

describe('a receiver with a secret of its own', () => {
  const CRM_SECRET = `whsec_${btoa('a secret that the CRM alone knows')}`
  const CRM_TOKEN = 'marked-token'
  const CRM = webhook(HOOK, {
    secret: 'CRM_SECRET',
    headers: { 'X-Team': 'crm', Authorization: secret('CRM_TOKEN', { scheme: 'Bearer' }) },
    keyId: '2026-11',
  })

  beforeEach(() => {
    Object.assign(SETTINGS, { CRM_SECRET, CRM_TOKEN })
  })

  afterEach(() => {
    for (const name of ['CRM_SECRET', 'CRM_SECRET_PREVIOUS', 'CRM_TOKEN']) delete SETTINGS[name]
  })

  it('gets events that no other receiver can forge, with its headers and the id of its key', async () => {
    const { received } = playWeb()
    const events = [{ on: 'succeeded' as const, to: CRM }, onEnd(OTHER_HOOK)]
    await clientWith({ events })('own-secret')
    await ring('own-secret')
    const [crm, bank] = [HOOK, OTHER_HOOK].map((url) => received.find((one) => one.url === url))
    if (crm === undefined || bank === undefined) throw new Error('Somebody got nothing.')
    expect(new Webhook(CRM_SECRET).verify(crm.text, crm.headers)).toEqual(JSON.parse(crm.text))
    expect(() => new Webhook(SECRET).verify(crm.text, crm.headers)).toThrow('No matching')
    expect(new Webhook(SECRET).verify(bank.text, bank.headers)).toEqual(JSON.parse(bank.text))
    expect(crm.headers).toMatchObject({
      authorization: `Bearer ${CRM_TOKEN}`,
      'x-team': 'crm',
      'webhook-key-id': '2026-11',
      'content-type': 'application/cloudevents+json; charset=utf-8',
    })
    expect(bank.headers).not.toHaveProperty('authorization')
    expect(bank.headers).not.toHaveProperty('webhook-key-id')
  })

  it('may change over: the secret before signs as well', async () => {
    SETTINGS['CRM_SECRET_PREVIOUS'] = OLD_SECRET
    const { received } = playWeb()
    await clientWith({ events: [{ on: 'succeeded', to: CRM }] })('own-rotating')
    await ring('own-rotating')
    const [{ text, headers } = { text: '', headers: {} }] = received
    for (const one of [CRM_SECRET, OLD_SECRET]) {
      expect(new Webhook(one).verify(text, headers)).toEqual(JSON.parse(text))
    }
  })

  it.each([
    { what: 'its secret has gone', settings: { CRM_SECRET: '' }, says: 'no secret CRM_SECRET' },
    { what: 'its secret is none', settings: { CRM_SECRET: 'hush' }, says: 'CRM_SECRET is not' },
    { what: 'its token has gone', settings: { CRM_TOKEN: '' }, says: 'no secret CRM_TOKEN' },
    {
      what: 'its token is two lines',
      settings: { CRM_TOKEN: 'marked\ntoken' },
      says: 'CRM_TOKEN cannot be the value of a header',
    },
  ])('is sent nothing where $what, and the letter names it', async ({ what, settings, says }) => {
    const log = vi.spyOn(console, 'error').mockImplementation(() => {})
    const { received } = playWeb()
    const key = keyOf(what)
    await clientWith({ events: [{ on: 'succeeded', to: CRM, retry: { attempts: 1 } }] })(key)
    Object.assign(SETTINGS, settings)
    await ring(key)
    expect(received).toHaveLength(0)
    const letters = await lettersOf(key)
    expect(letters).toMatchObject([{ reason: expect.stringContaining(says), destination: CRM }])
    const said = JSON.stringify([letters, log.mock.calls])
    expect(said).not.toMatch(/marked|hush|a secret that the CRM/)
  })

  it('is stored by the names of its secrets alone', async () => {
    playWeb({ receiver: down })
    await clientWith({ events: [{ on: 'succeeded', to: CRM }] })('own-stored')
    const { events } = await stored('own-stored')
    expect(events[0]?.head).toContain('"secret":"CRM_TOKEN"')
    expect(JSON.stringify(events)).not.toMatch(/marked-token|whsec_/)
  })

  it('is another recipient than the same URL without it: neither holds the other back', async () => {
    const { received } = playWeb({ receiver: (nth) => (nth === 1 ? down() : taken()) })
    const events = [{ on: 'succeeded' as const, to: CRM }, onEnd(HOOK)]
    await clientWith({ events })('own-lane')
    await ring('own-lane')
    expect(received).toHaveLength(2)
    expect(await countOf('own-lane')).toBe(1)
  })
})

describe('a receiver that is not done with an event', () => {
  it.each([301, 307, 308, 404, 409, 423, 425, 429, 500, 503])(
    'gets it again after %d, with the same id',
    async (status) => {
      const { received } = playWeb({
        receiver: (nth) => (nth === 1 ? new Response(null, { status }) : taken()),
      })
      vi.spyOn(console, 'error').mockImplementation(() => {})
      await clientWith({ events: [onEnd(HOOK)] })(`unfinished-${status}`)
      await ring(`unfinished-${status}`)
      pass(DAY_MS / 2)
      await ring(`unfinished-${status}`)
      expect(received).toHaveLength(2)
      expect(await countOf(`unfinished-${status}`)).toBe(0)
    },
  )

  it('gets it again where a 2xx says that nothing was done', async () => {
    const headers = { 'Idempotency-Outcome': 'not-executed' }
    const { received } = playWeb({
      receiver: (nth) => (nth === 1 ? new Response(null, { status: 200, headers }) : taken()),
    })
    vi.spyOn(console, 'error').mockImplementation(() => {})
    await clientWith({ events: [onEnd(HOOK)] })('undone')
    await ring('undone')
    pass(DAY_MS / 2)
    await ring('undone')
    expect(received).toHaveLength(2)
    expect(await countOf('undone')).toBe(0)
  })

  it('is left alone for as long as it asks, also in milliseconds', async () => {
    const headers = { 'Retry-After-Ms': '7200000', 'Retry-After': '1' }
    const { received } = playWeb({
      receiver: (nth) => (nth === 1 ? new Response(null, { status: 429, headers }) : taken()),
    })
    vi.spyOn(console, 'error').mockImplementation(() => {})
    await clientWith({ events: [onEnd(HOOK)] })('pause-ms')
    await ring('pause-ms')
    pass(7_100_000)
    await ring('pause-ms')
    expect(received).toHaveLength(1)
    pass(200_000)
    await ring('pause-ms')
    expect(received).toHaveLength(2)
  })

  it.each([200, 202, 204])('has taken it with %d', async (status) => {
    const { received } = playWeb({ receiver: () => new Response(null, { status }) })
    await clientWith({ events: [onEnd(HOOK)] })(`taken-${status}`)
    await ring(`taken-${status}`)
    expect(received).toHaveLength(1)
    expect(await countOf(`taken-${status}`)).toBe(0)
  })
})

describe('an event that waits', () => {
  it('outlives its operation, and the storage is given back behind it', async () => {
    const { received } = playWeb({ receiver: (nth) => (nth === 1 ? down() : taken()) })
    const retry = { attempts: 3, base: '1h', cap: '1h' } as const
    await clientWith({ retention: '1s', events: [{ ...onEnd(HOOK), retry }] })('outlives')
    await ring('outlives')
    pass(1_001)
    await ring('outlives')
    expect(await stored('outlives')).toMatchObject({ isEmpty: false, states: [], events: [{}] })
    pass(3_600_000)
    await ring('outlives')
    expect(received).toHaveLength(2)
    expect(await stored('outlives')).toMatchObject({ isEmpty: true, alarmAt: null })
  })

  it('is another event than the one of a later life of the key', async () => {
    const { received } = playWeb({ receiver: (nth) => (nth === 1 ? down() : taken()) })
    const send = clientWith({ retention: '1s', events: [onEnd(HOOK)] })
    await send('reborn')
    await ring('reborn')
    pass(1_001)
    expect(word(await send('reborn'))).toBe('executed')
    pass(DAY_MS / 2)
    await ring('reborn')
    const [first, again, second] = received.map((one) => eventOf(one).id)
    expect(received).toHaveLength(3)
    expect(again).toBe(first)
    expect(second).not.toBe(first)
  })

  it('is there after a restart of the object', async () => {
    const { received } = playWeb()
    await clientWith({ events: [onEnd(HOOK)] })('restarted')
    await abortAllDurableObjects()
    await ring('restarted')
    expect(received).toHaveLength(1)
  })
})

// Fails as long as the store makes all of its tables or none.
it('an object of a version without events goes on', async () => {
  playWeb()
  await runInDurableObject(
    await objectOf('older'),
    (_: IdempotencyObject, { storage: { sql } }) => {
      sql.exec(`
      CREATE TABLE operation (id TEXT PRIMARY KEY, record TEXT NOT NULL, due_at INTEGER)
        STRICT, WITHOUT ROWID;
      CREATE TABLE body (operation_id TEXT NOT NULL, belongs_to TEXT NOT NULL, part INTEGER NOT NULL,
        bytes BLOB, spill_key TEXT, PRIMARY KEY (operation_id, belongs_to, part))
        STRICT, WITHOUT ROWID;
      CREATE TABLE garbage (spill_key TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;`)
    },
  )
  expect(word(await clientWith({ events: [onEnd(HOOK)] })('older'))).toBe('executed')
})

describe('emit', () => {
  const NOTED = { type: 'report.noted', data: { n: 2 }, to: webhook(HOOK) }

  it('adds events to a result, in their order, behind the event of the state', async () => {
    const { received } = playWeb()
    const send = handlerWith(
      (c) => {
        const data = { n: 1 }
        emit(c, { type: 'report.requested', subject: 'report/1', data, to: webhook(HOOK) })
        data.n = 9
        emit(c, NOTED)
        return c.json({ ok: true }, 202)
      },
      { events: [onEnd(HOOK)] },
    )
    const headers = { 'X-Correlation-Id': 'corr-8' }
    await send('emits', { headers })
    await send('emits', { headers })
    await ring('emits')
    const id = await idOf('emits')
    expect(received.map(eventOf)).toMatchObject([
      { type: 'operation.succeeded', correlationid: 'corr-8' },
      {
        id: expect.stringMatching(new RegExp(`^${id}:[\\da-f-]{36}:1$`)),
        type: 'report.requested',
        subject: 'report/1',
        data: { n: 1 },
        correlationid: 'corr-8',
        tenant: expect.stringMatching(/^[\w-]{43}$/),
      },
      { id: expect.stringMatching(/:2$/), type: 'report.noted', data: { n: 2 } },
    ])
  })

  it('keeps the order with the events of the route however its destination is written', async () => {
    const { received } = playWeb({ receiver: (nth) => (nth === 1 ? down() : taken()) })
    const send = handlerWith(
      (c) => {
        emit(c, { type: 'report.noted', to: { url: HOOK, to: 'webhook' } })
        return c.text('ok')
      },
      { events: [onEnd(HOOK)] },
    )
    await send('emit-order')
    await ring('emit-order')
    expect(typesOf(received)).toEqual(['operation.succeeded'])
  })

  it.each<{ what: string; handler: Handler<GatewayEnv>; expected: string[] }>([
    { what: '201', handler: (c) => c.text('ok', 201), expected: ['report.noted'] },
    { what: '422', handler: (c) => c.text('no', 422), expected: ['report.noted'] },
    {
      what: 'an HTTPException 409',
      handler: () => {
        throw new HTTPException(409)
      },
      expected: ['report.noted'],
    },
    { what: '500', handler: (c) => c.text('boom', 500), expected: [] },
    { what: '503', handler: (c) => c.text('later', 503), expected: [] },
    {
      what: 'an error',
      handler: () => {
        throw new Error('half done')
      },
      expected: [],
    },
  ])('leaves events with a result alone: $what', async ({ what, handler, expected }) => {
    const { received } = playWeb()
    const send = handlerWith((c, next) => {
      emit(c, NOTED)
      return handler(c, next)
    })
    const key = keyOf(`answer ${what}`)
    await send(key)
    await ring(key)
    expect(typesOf(received)).toEqual(expected)
  })

  it('leaves the events of an answer that streams when it has ended', async () => {
    const { received } = playWeb()
    const gate = Promise.withResolvers<void>()
    const send = handlerWith((c) => {
      emit(c, NOTED)
      return stream(c, async (body) => {
        c.header('Content-Type', 'text/event-stream')
        await body.write('data: 1\n\n')
        await gate.promise
        await body.write('data: 2\n\n')
      })
    })
    const response = await send('streams')
    expect(word(response)).toBe('executed')
    await ring('streams')
    expect(await stored('streams')).toMatchObject({ states: ['in_progress'], events: [] })
    gate.resolve()
    expect(await response.text()).toBe('data: 1\n\ndata: 2\n\n')
    await ring('streams')
    expect(typesOf(received)).toEqual(['report.noted'])
  })

  it('leaves none of an answer that breaks off', async () => {
    const { received } = playWeb()
    const send = handlerWith((c) => {
      emit(c, NOTED)
      let isFirst = true
      const body = new ReadableStream({
        pull(controller) {
          if (!isFirst) throw new Error('broke off')
          isFirst = false
          controller.enqueue(new TextEncoder().encode('data: 1\n\n'))
        },
      })
      return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } })
    })
    const response = await send('breaks')
    await response.text().catch(() => {})
    await until(async () => (await stored('breaks')).states[0] === 'unknown')
    await ring('breaks')
    expect(received).toHaveLength(0)
  })

  it('is written with the result, or neither is: an object whose disk refuses the event', async () => {
    const gate = Promise.withResolvers<void>()
    let runs = 0
    const send = handlerWith(
      async (c) => {
        runs += 1
        await gate.promise
        emit(c, { type: 'report.refused', to: queue('OUTBOX') })
        return c.text('ok')
      },
      { events: [{ on: 'succeeded', to: queue('OUTBOX') }] },
    )
    const response = send('emit-refused')
    await until(() => runs === 1)
    await refuseWrites('emit-refused', 'event', `instr(NEW.bytes, CAST('report.refused' AS BLOB))`)
    gate.resolve()
    expect((await response).status).toBe(200)
    expect(await stored('emit-refused')).toMatchObject({ states: ['in_progress'], events: [] })
    await allowWrites('emit-refused')
    await until(async () => (await countOf('emit-refused')) > 0)
    expect(await stored('emit-refused')).toMatchObject({ states: ['succeeded'], events: [{}, {}] })
    expect(runs).toBe(1)
  })

  it('is not lost with a settle that the platform loses', async () => {
    const { received } = playWeb()
    const send = handlerWith((c) => {
      emit(c, NOTED)
      return c.text('ok')
    })
    let settles = 0
    const OPERATIONS = {
      getByName(name: string) {
        const stub = env.OPERATIONS.getByName(name)
        return {
          claim: (...call: Parameters<typeof stub.claim>) => stub.claim(...call),
          async settle(...call: Parameters<typeof stub.settle>) {
            settles += 1
            if (settles > 1) return stub.settle(...call)
            expect((await stored('settle-lost')).events).toEqual([])
            throw new Error('the platform failed')
          },
        }
      },
    }
    expect((await send('settle-lost', { env: { OPERATIONS } })).status).toBe(200)
    expect(settles).toBe(2)
    await ring('settle-lost')
    expect(typesOf(received)).toEqual(['report.noted'])
  })

  describe('refuses', () => {
    /** What a handler is told that emits this. */
    async function toldOf(key: string, event: unknown): Promise<unknown> {
      let told: unknown = null
      await handlerWith((c) => {
        try {
          emit(c, event as Parameters<typeof emit>[1])
        } catch (error) {
          told = error
        }
        return c.text('ok')
      })(key)
      return told
    }

    it.each([
      { what: 'no type', event: { to: queue('OUTBOX') }, expected: 'needs a type' },
      { what: 'an empty type', event: { type: '', to: queue('OUTBOX') }, expected: 'needs a type' },
      { what: 'no destination', event: { type: 'a' }, expected: 'An event goes to' },
      {
        what: 'a queue without a name',
        event: { type: 'a', to: { to: 'queue' } },
        expected: 'goes',
      },
      { what: 'no URL', event: { type: 'a', to: webhook('shop.test') }, expected: 'goes to' },
      { what: 'a file', event: { type: 'a', to: webhook('file:///etc') }, expected: 'goes to' },
      { what: 'an empty subject', event: { ...NOTED, subject: '' }, expected: 'subject' },
      { what: 'a big integer', event: { ...NOTED, data: { n: 1n } }, expected: 'must be JSON' },
      { what: 'no number', event: { ...NOTED, data: [NaN] }, expected: 'must be JSON' },
      { what: 'a map', event: { ...NOTED, data: new Map([[1, 2]]) }, expected: 'must be JSON' },
      { what: 'a function', event: { ...NOTED, data: () => 1 }, expected: 'must be JSON' },
    ])('$what', async ({ what, event, expected }) => {
      const told = await toldOf(keyOf(`refuses ${what}`), event)
      expect(told).toBeInstanceOf(TypeError)
      expect(String(told)).toContain(expected)
    })

    it('more than a message of Queues may hold, and sends the largest that it takes', async () => {
      const LIMIT = 122_880
      const to = queue('OUTBOX')
      const room = LIMIT - JSON.stringify({ type: 'large', to, data: '' }).length
      const sent = vi.spyOn(OUTBOX, 'send')
      // Two bytes each, one letter in front.
      const data = `x${'é'.repeat((room - 1) / 2)}`.padEnd(0)
      const fits = { type: 'large', to, data: (room - 1) % 2 === 0 ? data : `x${data}` }
      expect(new TextEncoder().encode(JSON.stringify(fits))).toHaveLength(LIMIT)
      expect(await toldOf('fits', fits)).toBeNull()
      await ring('fits')
      expect(await countOf('fits')).toBe(0)
      expect(await sent.mock.results[0]?.value).toBeDefined()
      const told = await toldOf('over', { ...fits, data: `${fits.data}x` })
      expect(String(told)).toContain('at most 122880 bytes')
      expect(await countOf('over')).toBe(0)
    })
  })

  it('is a dead letter, after all its attempts, where its queue is not bound', async () => {
    playWeb()
    const send = handlerWith((c) => {
      emit(c, { type: 'report.noted', to: queue('ABSENT') })
      return c.text('ok')
    })
    await send('unbound')
    for (let attempt = 1; attempt <= 12; attempt += 1) {
      expect(await countOf('unbound')).toBe(1)
      await ring('unbound')
      pass(600_000)
    }
    expect(await countOf('unbound')).toBe(0)
    expect(await lettersOf('unbound')).toMatchObject([
      { reason: 'there is no queue binding ABSENT', attempts: 12, destination: queue('ABSENT') },
    ])
  })

  it('delivers what JSON makes of the data', async () => {
    const { received } = playWeb()
    const at = new Date('2026-11-24T12:00:00Z')
    const money = Object.assign(Object.create({ toJSON: () => '0.05' }) as object, { cents: 5 })
    await handlerWith((c) => {
      emit(c, { ...NOTED, data: { at, money, left: undefined } })
      return c.text('ok')
    })('json')
    await ring('json')
    expect(received.map((one) => eventOf(one).data)).toEqual([
      { at: '2026-11-24T12:00:00.000Z', money: '0.05' },
    ])
  })

  it.each([
    { where: 'on a route without idempotent', isLate: false },
    { where: 'after the handler has answered', isLate: true },
  ])('is refused $where', async ({ isLate }) => {
    playWeb()
    const told = vi.fn()
    const app = createGateway({ tenant: credential('Authorization') })
    const late: (() => void)[] = []
    const emitOrTell = (work: () => void) => {
      try {
        work()
      } catch (error) {
        told(String(error))
      }
    }
    app.post('/plain', (c) => {
      emitOrTell(() => emit(c, NOTED))
      return c.text('ok')
    })
    app.post('/late', idempotent(), (c) => {
      late.push(() => emit(c, NOTED))
      return c.text('ok')
    })
    await clientOf(app, isLate ? '/late' : '/plain')(`refused-${isLate}`)
    for (const work of late) emitOrTell(work)
    expect(told).toHaveBeenCalledWith(expect.stringContaining('behind idempotent()'))
  })

  it.each<{ name: string; policy: PolicyOptions }>([
    { name: 'is off', policy: { mode: 'off' } },
    { name: 'observes', policy: { mode: 'observe' } },
    { name: 'has no key to guard', policy: { required: false, key: header('X-Absent') } },
  ])('is delivered once, or not at all, where a route $name', async ({ name, policy }) => {
    const { received } = playWeb({ receiver: (nth) => (nth === 1 ? taken() : down()) })
    const fault = vi.spyOn(console, 'error').mockImplementation(() => {})
    const send = handlerWith((c) => {
      emit(c, NOTED)
      return c.text('ok')
    }, policy)
    expect((await send(keyOf(name))).status).toBe(200)
    expect(typesOf(received)).toEqual(['report.noted'])
    expect((await send(keyOf(`${name} again`))).status).toBe(200)
    expect(received).toHaveLength(2)
    expect(String(fault.mock.lastCall?.[0])).toContain('the receiver answered 503')
    expect(new Set(received.map((one) => eventOf(one).id)).size).toBe(2)
  })

  it.each<{ name: string; policy: PolicyOptions }>([
    { name: 'is off', policy: { mode: 'off' } },
    { name: 'observes', policy: { mode: 'observe' } },
  ])('is dropped with a handler that throws where a route $name', async ({ name, policy }) => {
    const { received } = playWeb()
    const send = handlerWith((c) => {
      emit(c, NOTED)
      throw new Error('half done')
    }, policy)
    expect((await send(keyOf(`throws ${name}`))).status).toBe(500)
    expect(received).toHaveLength(0)
  })
})

describe('at rest', () => {
  const MARKED = { type: 'report.noted', data: { secret: 'marked' }, to: webhook(HOOK) }

  /** What the object's disk shows of its events. */
  async function readBytes(key: string): Promise<string> {
    const { events } = await stored(key)
    return events.map(({ bytes }) => new TextDecoder('latin1').decode(bytes)).join('\n')
  }
  const emitMarked = () =>
    handlerWith((c) => {
      emit(c, MARKED)
      return c.text('ok')
    })

  it('what was emitted cannot be read where the deployment has a secret, and is delivered', async () => {
    SETTINGS['HAPAX_SEAL_KEY'] = 'a secret of this test, 32 letters'
    const { received } = playWeb({ receiver: () => new Response(null, { status: 410 }) })
    await emitMarked()('sealed')
    expect(await countOf('sealed')).toBe(1)
    expect(await readBytes('sealed')).not.toContain('marked')
    await ring('sealed')
    expect(received.map((one) => eventOf(one).data)).toEqual([{ secret: 'marked' }])
    const [{ id } = { id: '' }] = await lettersOf('sealed')
    const letter = await directory().letter(id)
    if (letter === null) throw new Error('a letter that is listed is there')
    expect(new TextDecoder('latin1').decode(letter.bytes)).not.toContain('marked')
    const opened = await openStoredBytes(env, 'dead letter', id, letter.bytes)
    expect(new TextDecoder().decode(opened)).toBe(received[0]?.text)
  })

  it('is in clear without one', async () => {
    playWeb()
    await emitMarked()('clear')
    expect(await readBytes('clear')).toContain('marked')
  })

  const GONE = 'a secret of this test, 32 letters'
  const PRESENT = 'another secret, and 32 letters too'

  /** An operation whose handler has emitted under a secret that is gone since. */
  async function emitUnder(key: string, handler: Handler<GatewayEnv>) {
    SETTINGS['HAPAX_SEAL_KEY'] = GONE
    await handlerWith(handler, { retention: '60d' })(key, {
      headers: { 'X-Correlation-Id': 'corr-8' },
    })
    SETTINGS['HAPAX_SEAL_KEY'] = PRESENT
  }
  const noted: Handler<GatewayEnv> = (c) => {
    emit(c, MARKED)
    return c.text('ok')
  }
  /** Makes the alarm come so often, each time when it is due. */
  async function ringOn(key: string, times: number): Promise<void> {
    for (let nth = 0; nth < times; nth += 1) {
      await ring(key)
      pass(DAY_MS)
    }
  }

  it('what no present secret opens is delivered where it comes back in time', async () => {
    const { received } = playWeb()
    await emitUnder('unopened', noted)
    await ringOn('unopened', 11)
    expect(received).toHaveLength(0)
    expect(await countOf('unopened')).toBe(1)
    SETTINGS['HAPAX_SEAL_KEY'] = GONE
    await ring('unopened')
    expect(received).toHaveLength(1)
    expect(await lettersOf('unopened')).toEqual([])
  })

  it('what no present secret opens is a dead letter after all its attempts, with its reason', async () => {
    const point = vi.spyOn(env.METRICS, 'writeDataPoint')
    vi.spyOn(console, 'error').mockImplementation(() => {})
    playWeb()
    await emitUnder('dead-sealed', noted)
    const { events } = await stored('dead-sealed')
    await ringOn('dead-sealed', 12)
    expect(await countOf('dead-sealed')).toBe(0)
    const [letter, ...more] = await lettersOf('dead-sealed')
    expect(more).toEqual([])
    expect(letter).toMatchObject({
      from: 'outbox',
      destination: webhook(HOOK),
      type: 'sealed',
      tenant: expect.stringMatching(/^[\w-]{43}$/),
      correlationId: 'corr-8',
      reason: 'it cannot be opened: the secret that it was sealed under is gone',
      attempts: 12,
      isUnopened: true,
    })
    const kept = await directory().letter(letter?.id ?? '')
    expect(kept?.bytes).toEqual(new Uint8Array(events[0]?.bytes ?? new ArrayBuffer(0)))
    const counted = point.mock.calls.flatMap(([one]) =>
      one?.blobs?.[1] === 'EVENT' ? [one.blobs[2]] : [],
    )
    expect(counted).toEqual([...Array<string>(11).fill('retried'), 'dead'])
  })

  it('two events that no secret opens are two letters, and hold back nothing behind them', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const { received } = playWeb()
    await emitUnder('sealed-pair', (c) => {
      emit(c, MARKED)
      emit(c, MARKED)
      return c.text('ok')
    })
    const send = handlerWith(noted)
    await ringOn('sealed-pair', 24)
    expect(await countOf('sealed-pair')).toBe(0)
    expect(await lettersOf('sealed-pair')).toHaveLength(2)
    expect(received).toHaveLength(0)
    await send('sealed-next')
    await ring('sealed-next')
    expect(received).toHaveLength(1)
  })

  it('what is dead and cannot be kept is not delivered again', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const { received } = playWeb({ receiver: down })
    const retry = { attempts: 2 } as const
    await clientWith({ retention: '60d', events: [{ ...onEnd(HOOK), retry }] })('kept-back')
    await runInDurableObject(directory(), (_, { storage: { sql } }) => {
      // As the object makes it with its first event.
      sql.exec(`CREATE TABLE IF NOT EXISTS event (sequence INTEGER PRIMARY KEY, operation_id TEXT NOT NULL,
      head TEXT NOT NULL, bytes BLOB NOT NULL, failures INTEGER NOT NULL, due_at INTEGER NOT NULL)`)
      sql.exec(`CREATE TRIGGER refusal BEFORE INSERT ON letter
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
    })
    await ringOn('kept-back', 5)
    expect(received).toHaveLength(2)
    expect(await countOf('kept-back')).toBe(1)
    await abortAllDurableObjects()
    await runInDurableObject(directory(), (_, { storage: { sql } }) => {
      sql.exec('DROP TRIGGER refusal')
    })
    await ring('kept-back')
    expect(received).toHaveLength(2)
    expect(await countOf('kept-back')).toBe(0)
    expect(await lettersOf('kept-back')).toMatchObject([
      { reason: 'the receiver answered 503', attempts: 2 },
    ])
  })

  it('a queue that never answers holds back nobody else', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {})
    const { setTimeout: wait } = globalThis
    vi.spyOn(globalThis, 'setTimeout').mockImplementation((work: () => void, ms?: number) =>
      wait(work, ms === 15_000 ? 20 : ms),
    )
    vi.spyOn(OUTBOX, 'send').mockReturnValue(new Promise(() => {}))
    const { received } = playWeb()
    await handlerWith((c) => {
      emit(c, { type: 'report.noted', to: queue('OUTBOX') })
      emit(c, { type: 'report.noted', to: webhook(HOOK) })
      return c.text('ok')
    })('queue-hangs')
    await ring('queue-hangs')
    expect(received).toHaveLength(1)
    expect(await stored('queue-hangs')).toMatchObject({ events: [{ failures: 1 }] })
  })

  it('a notice to the operator’s list that cannot be opened is given all the same', async () => {
    playWeb({ origin: broken })
    await clientWith({})('spoilt-notice')
    await runInDurableObject(await objectOf('spoilt-notice'), (_, { storage: { sql } }) => {
      sql.exec("UPDATE event SET bytes = x'01'")
    })
    await ring('spoilt-notice')
    expect(await isStuck(await idOf('spoilt-notice'))).toBe(true)
    expect(await countOf('spoilt-notice')).toBe(0)
  })

  it('a malformed secret of before takes no delivery with it', async () => {
    SETTINGS['HAPAX_WEBHOOK_SECRET_PREVIOUS'] = 'hush'
    const { received } = playWeb()
    await clientWith({ events: [onEnd(HOOK)] })('malformed-previous')
    await ring('malformed-previous')
    const [one] = received
    expect(new Webhook(SECRET).verify(one?.text ?? '', one?.headers ?? {})).toMatchObject({
      type: 'operation.succeeded',
    })
  })
})

describe('a delivery', () => {
  it('is a point and a line with what became of it, and shows nothing of the data', async () => {
    const point = vi.spyOn(env.METRICS, 'writeDataPoint')
    const log = vi.spyOn(console, 'log').mockImplementation(() => {})
    const fault = vi.spyOn(console, 'error').mockImplementation(() => {})
    playWeb({ receiver: (nth) => (nth === 1 ? down() : new Response(null, { status: 410 })) })
    const send = handlerWith((c) => {
      emit(c, { type: 'report.noted', data: { secret: 'marked' }, to: webhook(HOOK) })
      emit(c, { type: 'report.noted', data: { secret: 'marked' }, to: queue('OUTBOX') })
      return c.text('ok')
    })
    await send('counted', { headers: { 'X-Correlation-Id': 'corr-9' } })
    await ring('counted')
    pass(DAY_MS / 2)
    await ring('counted')
    const operationId = await idOf('counted')
    const points = point.mock.calls.flatMap(([one]) => (one?.blobs?.[1] === 'EVENT' ? [one] : []))
    const facts = points.map(({ blobs = [], doubles = [] }) => [blobs[2], doubles[2], doubles[7]])
    expect(facts).toEqual(
      expect.arrayContaining([
        ['retried', 1, 0],
        ['delivered', 1, 0],
        ['dead', 2, DAY_MS / 2],
      ]),
    )
    expect(facts).toHaveLength(3)
    for (const { blobs = [], indexes = [] } of points) {
      expect([blobs[0], blobs[6], blobs[7]]).toEqual(['report.noted', 'corr-9', operationId])
      expect(indexes).toEqual([expect.stringMatching(/^[\w-]{43}$/)])
    }
    const lines = log.mock.calls.map(([line]) => JSON.parse(String(line)) as { method: string })
    expect(lines.filter(({ method }) => method === 'EVENT')).toHaveLength(3)
    const written = JSON.stringify([points, log.mock.calls, fault.mock.calls])
    expect(written).not.toContain('marked')
    expect(written).not.toContain(HOOK)
  })
})

describe('an operation that is erased while its event is on its way', () => {
  it('leaves the event of the key’s next life alone', async () => {
    const gate = Promise.withResolvers<void>()
    const { received } = playWeb({
      receiver: async (nth) => {
        if (nth === 1) await gate.promise
        return taken()
      },
    })
    const send = clientWith({ events: [{ on: 'succeeded', to: webhook(HOOK) }] })
    await send('erased')
    const rung = ring('erased')
    await until(() => received.length === 1)
    await (await objectOf('erased')).operate(await idOf('erased'), { kind: 'erase' })
    pass(1)
    await send('erased')
    gate.resolve()
    await rung
    await until(async () => {
      await ring('erased')
      return received.length === 2
    })
    const [one, other] = received.map((delivery) => eventOf(delivery).id)
    expect(one).not.toBe(other)
  })

  it('is no fault of the alarm', async () => {
    const gate = Promise.withResolvers<void>()
    const { received } = playWeb({
      receiver: async () => {
        await gate.promise
        return taken()
      },
    })
    const send = clientWith({ events: [{ on: 'succeeded', to: webhook(HOOK) }] })
    await send('erased-for-good')
    const rung = ring('erased-for-good')
    await until(() => received.length === 1)
    await (
      await objectOf('erased-for-good')
    ).operate(await idOf('erased-for-good'), { kind: 'erase' })
    gate.resolve()
    expect(await rung).toBe(true)
  })
})
