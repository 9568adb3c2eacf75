import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import { describe, expect, it, vi } from 'vitest'

import { recordIs } from '../e2e/state.ts'
import { begin, type Reply, send } from './client.ts'
import { eventually, firstAnswers, type Operation, statusOf, useConformance } from './harness.ts'
import { answer, answerInChunks, answerJson, hangUp, type Script, streamed } from './origin.ts'
import { expectProblem, type Slug } from './problem.ts'

// Most of the time is spent waiting, so that all of it is waited for at once.
vi.setConfig({ maxConcurrency: 20 })

const conformance = useConformance()
const ASYNC = { headers: { Prefer: 'respond-async' } }
const OTHER_BODY = { body: '{"amount":6}' }
const LOCATION = /^\/_hapax\/operations\/[\w-]{43}$/
const EVENT_STREAM = 'text/event-stream'
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

const essence = (reply: Reply) => [reply.status, statusOf(reply), reply.text]
const stateOf = (reply: Reply) => (reply.json() as { state: string }).state

interface Asked {
  readonly authorization?: string | null
  readonly headers?: Readonly<Record<string, string>>
}

/** A request for a resource of the gateway itself, by its path. */
const toAsked = (path: string, { authorization = 'Bearer alice', headers }: Asked) => ({
  method: 'GET',
  path,
  headers: { ...(authorization === null ? {} : { Authorization: authorization }), ...headers },
})
const ask = (path: string, asked: Asked = {}) => send(conformance.gateway.url, toAsked(path, asked))
const isEnded = (reply: Reply) => stateOf(reply) !== 'in_progress'
const untilEnded = (location: string) => eventually(() => ask(location), isEnded)

/** The changes of state that came as server-sent events. */
function readEvents(text: string) {
  const fields = (block: string) =>
    Object.fromEntries(
      block.split('\n').map((line) => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon), line.slice(colon + 1).trim()] as const
      }),
    )
  return text
    .split('\n\n')
    .filter((block) => block.startsWith('event:'))
    .map((block) => fields(block))
    .map(({ event, data }) => ({
      event,
      state: (JSON.parse(data ?? '') as { state: string }).state,
    }))
}

/** Sends an operation for whose result its client comes back. @returns Where. */
async function accept(one: Operation): Promise<string> {
  const reply = await one.send(ASYNC)
  expect([reply.status, statusOf(reply)]).toEqual([202, 'accepted'])
  return String(reply.headers.location)
}

describe.concurrent('Prefer: respond-async', () => {
  it('gets 202 at once, and where the result can be read', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const reply = await one.send({ headers: { ...ASYNC.headers, 'X-Correlation-Id': 'async-1' } })
    expect([reply.status, statusOf(reply)]).toEqual([202, 'accepted'])
    expect(reply.headers).toMatchObject({
      location: expect.stringMatching(LOCATION),
      'preference-applied': 'respond-async',
      'content-type': 'application/json',
      'retry-after': expect.stringMatching(/^[1-9]\d*$/),
      'x-correlation-id': 'async-1',
    })
    expect(reply.headers).not.toHaveProperty('idempotent-replayed')
    expect(reply.json()).toEqual({
      id: reply.headers.location?.split('/').at(-1),
      operation: expect.stringMatching(/\/default\/\*$/),
      state: 'in_progress',
      correlationId: 'async-1',
      createdAt: expect.stringMatching(TIME),
      attempts: 1,
    })
    release(answer(201))
  })

  it('gets the same location again for a duplicate, and one call is made', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const location = await accept(one)
    expect(await accept(one)).toBe(location)
    await one.received()
    const joined = one.send()
    await one.afterArrivals()
    release(answer(201, {}, 'done'))
    expect(essence(await joined)).toEqual([201, 'joined', 'done'])
    await untilEnded(location)
    expect(essence(await one.send(ASYNC))).toEqual([201, 'replayed', 'done'])
    expect(one.calls()).toHaveLength(1)
  })

  it('makes no exception of a mismatch, of a missing key or of a missing tenant', async () => {
    const one = conformance.operation('default')
    const location = await accept(one)
    await untilEnded(location)
    expectProblem(await one.send({ ...ASYNC, ...OTHER_BODY }), 'key-reused')
    expectProblem(await one.send({ ...ASYNC, key: null }), 'key-missing')
    expectProblem(await one.send({ ...ASYNC, authorization: null }), 'tenant-missing')
    expect(one.calls()).toHaveLength(1)
  })

  it('with wait=n waits so long for the result itself', async () => {
    const one = conformance.operation('default')
    const reply = await one.send({ headers: { Prefer: 'respond-async, wait=10' } })
    expect(essence(reply)).toEqual([201, 'executed', '1'])
    expect(reply.headers).not.toHaveProperty('location')
    expect(reply.headers).not.toHaveProperty('preference-applied')

    const slow = conformance.operation('default')
    const release = slow.hold()
    const startedAt = performance.now()
    const accepted = await slow.send({ headers: { Prefer: 'wait=1, respond-async' } })
    expect([accepted.status, statusOf(accepted)]).toEqual([202, 'accepted'])
    expect(performance.now() - startedAt).toBeGreaterThan(950)
    release(answer(201))
  })

  it('is not applied to a handler in the Worker, which answers when it is done', async () => {
    const one = conformance.operation('handler')
    const reply = await one.send(ASYNC)
    expect([reply.status, statusOf(reply)]).toEqual([201, 'executed'])
    expect(reply.headers).not.toHaveProperty('preference-applied')
  })
})

describe.concurrent('the location of an operation', () => {
  it('does not reveal the key, and differs by tenant and key', async () => {
    const one = conformance.operation('default')
    const other = conformance.operation('default')
    const alices = await accept(one)
    const bobs = String(
      (await one.send({ ...ASYNC, authorization: 'Bearer bob' })).headers.location,
    )
    const others = await accept(other)
    expect(new Set([alices, bobs, others]).size).toBe(3)
    const digests = [one.key, `alice${one.key}`, `Bearer alice${one.key}`].map((text) =>
      createHash('sha256').update(text).digest('base64url'),
    )
    const forms = [one.key, Buffer.from(one.key).toString('base64url'), ...digests]
    for (const form of forms) expect(alices).not.toContain(form)
    expect((await ask(alices)).text).not.toContain(one.key)
  })

  it('tells the state of a running operation, and when to ask again', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const location = await accept(one)
    const reply = await ask(location)
    expect([reply.status, stateOf(reply)]).toEqual([200, 'in_progress'])
    expect(reply.headers).toMatchObject({
      'content-type': 'application/json',
      'retry-after': expect.stringMatching(/^[1-9]\d*$/),
      'cache-control': 'no-store',
    })
    expect(reply.json()).not.toHaveProperty('result')
    expectProblem(await ask(`${location}/result`), 'in-progress', { word: null })
    release(answer(201))
  })

  it.each([
    { status: 201, state: 'succeeded' },
    { status: 302, state: 'succeeded' },
    { status: 422, state: 'failed' },
  ])('tells that a $status has $state, and where the result is', async ({ status, state }) => {
    const one = conformance.operation('default')
    one.on(answer(status, { 'Content-Type': 'text/plain', 'X-Kept': 'yes' }, 'the result'))
    const location = await accept(one)
    const reply = await untilEnded(location)
    expect(reply.headers).not.toHaveProperty('retry-after')
    const url = `${location}/result`
    expect(reply.json()).toEqual({
      id: location.split('/').at(-1),
      operation: expect.stringMatching(/\/default\/\*$/),
      state,
      correlationId: expect.any(String),
      createdAt: expect.stringMatching(TIME),
      attempts: 1,
      settledAt: expect.stringMatching(TIME),
      expiresAt: expect.stringMatching(TIME),
      result: {
        status,
        headers: expect.objectContaining({ 'content-type': 'text/plain', 'x-kept': 'yes' }),
        url,
      },
    })
    const result = await ask(url)
    expect([result.status, result.text]).toEqual([status, 'the result'])
    expect(result.headers).toMatchObject({
      'x-kept': 'yes',
      'content-type': 'text/plain',
      'idempotent-replayed': 'true',
      age: expect.stringMatching(/^\d+$/),
      'cache-control': 'no-store',
    })
  })

  it('is there for an operation that was not sent so', async () => {
    const one = conformance.operation('default')
    await one.send()
    const id = String(one.calls()[0]?.headers['idempotency-key'])
    expect(stateOf(await ask(`/_hapax/operations/${id}`))).toBe('succeeded')
    expect((await ask(`/_hapax/operations/${id}/result`)).text).toBe('1')
  })

  it.each<{
    name: string
    route: string
    script: Script
    state: string
    reason?: string
    slug: Slug
  }>([
    {
      name: 'a lost answer',
      route: 'default',
      script: hangUp,
      state: 'unknown',
      reason: 'connection-lost',
      slug: 'outcome-unknown',
    },
    {
      name: 'a 500',
      route: 'default',
      script: answer(500),
      state: 'unknown',
      reason: 'origin-answered',
      slug: 'outcome-unknown',
    },
    {
      name: 'an answer over the limit',
      route: 'small-limits',
      script: answerInChunks(200, {}, 'x'.repeat(2000)),
      state: 'succeeded',
      slug: 'snapshot-too-large',
    },
  ])('of $name has no result, and says why', async ({ route, script, state, reason, slug }) => {
    const one = conformance.operation(route)
    one.on(script)
    const location = await accept(one)
    const ended = await untilEnded(location)
    expect(stateOf(ended)).toBe(state)
    expect((ended.json() as { reason?: string }).reason).toBe(reason)
    expectProblem(await ask(`${location}/result`), slug, { word: null })
    expect(one.calls()).toHaveLength(1)
  })

  it('of what has expired says so where the route leaves a tombstone, else nothing', async () => {
    const [kept, gone] = [
      conformance.operation('tombstone'),
      conformance.operation('short-retention'),
    ]
    const [tombstone, nothing] = await Promise.all([accept(kept), accept(gone)])
    const expired = await eventually(
      () => ask(tombstone),
      (reply) => stateOf(reply) === 'expired',
    )
    expect(expired.json()).not.toHaveProperty('result')
    expectProblem(await ask(`${tombstone}/result`), 'key-expired', { word: null })
    const notFound = await eventually(
      () => ask(nothing),
      ({ status }) => status === 404,
    )
    expectProblem(notFound, 'operation-not-found')
  })

  it('of what was not executed is forgotten: the key is free', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const location = await accept(one)
    release(answer(503))
    const reply = await eventually(
      () => ask(location),
      ({ status }) => status === 404,
    )
    expectProblem(reply, 'operation-not-found')
    one.on(answer(201, {}, 'anew'))
    expect(essence(await one.send(OTHER_BODY))).toEqual([201, 'executed', 'anew'])
  })

  it('with Prefer: wait=n is answered as soon as it has ended, or when the time is over', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const location = await accept(one)
    const startedAt = performance.now()
    const early = await ask(location, { headers: { Prefer: 'wait=1' } })
    expect(stateOf(early)).toBe('in_progress')
    expect(performance.now() - startedAt).toBeGreaterThan(950)
    const patient = { headers: { Prefer: 'wait=30' } }
    const state = ask(location, patient)
    const result = ask(`${location}/result`, patient)
    // Both wait by now; what is released comes to them at once.
    await ask(location, { headers: { Prefer: 'wait=1' } })
    const releasedAt = performance.now()
    release(answer(201, {}, 'done'))
    expect(stateOf(await state)).toBe('succeeded')
    expect((await result).text).toBe('done')
    expect(performance.now() - releasedAt).toBeLessThan(25_000)
  })

  it('of an answer over the limit does not leave the origin with the rest of it', async () => {
    const one = conformance.operation('small-limits')
    const finished = Promise.withResolvers<boolean>()
    one.on((response) => {
      response.once('close', () => finished.resolve(response.writableFinished))
      response.writeHead(200)
      response.end(Buffer.alloc(6 * 1024 * 1024, 'abcdefg'))
    })
    await accept(one)
    expect(await Promise.race([finished.promise, sleep(20_000, 'still waiting')])).toBe(true)
  })

  it('of a lost answer under resend and probe says to ask again, and when', async () => {
    const told: unknown[] = []
    for (const route of ['resend', 'probe']) {
      const one = conformance.operation(route)
      one.on(hangUp)
      const location = await accept(one)
      await untilEnded(location)
      const reply = await ask(`${location}/result`)
      const { retry } = reply.json() as { retry: string }
      told.push([reply.status, retry, reply.headers['retry-after']])
    }
    const expected = [409, 'wait', expect.stringMatching(/^[1-9]\d*$/)]
    expect(told).toEqual([expected, expected])
  })

  it('of what is held says nothing of another attempt, and waits for none', async () => {
    const one = conformance.operation('default')
    one.on(hangUp)
    const location = await accept(one)
    await untilEnded(location)
    const startedAt = performance.now()
    const reply = await ask(location, { headers: { Prefer: 'wait=30' } })
    expect(performance.now() - startedAt).toBeLessThan(25_000)
    expect(reply.json()).toMatchObject({ state: 'unknown', reason: 'connection-lost' })
    expect(reply.json()).not.toHaveProperty('nextAttemptAt')
    expect(reply.headers).not.toHaveProperty('retry-after')
  })

  it('goes on while the alarm still recovers it, and says when that is', async () => {
    const one = conformance.operation('probe')
    const release = one.hold()
    const location = await accept(one)
    const { url } = conformance.gateway
    const events = await begin(url, toAsked(location, { headers: { Accept: EVENT_STREAM } }))
    await events.bodyAt(20)
    const { headers: sent } = await one.received()
    const status = `/status/${sent['idempotency-key'] as string}`
    conformance.origin.on(status, answer(200, { 'Idempotency-Result-Status': '201' }, 'done'))
    release(hangUp)
    const unknown = await untilEnded(location)
    const { nextAttemptAt } = unknown.json() as { nextAttemptAt: string }
    expect(unknown.json()).toMatchObject({ state: 'unknown', reason: 'connection-lost' })
    expect(nextAttemptAt).toMatch(TIME)
    const seconds = Number(unknown.headers['retry-after'])
    expect(seconds).toBeGreaterThan(1)
    expect(Math.abs((Date.parse(nextAttemptAt) - Date.now()) / 1_000 - seconds)).toBeLessThan(4)

    const patient = { headers: { Prefer: 'wait=30' } }
    const [state, result] = await Promise.all([
      ask(location, patient),
      ask(`${location}/result`, patient),
    ])
    expect(stateOf(state)).toBe('succeeded')
    expect([result.status, result.text]).toEqual([201, 'done'])
    const states = readEvents((await events.ended).body.toString()).map((event) => event.state)
    expect([states[0], states.at(-1)]).toEqual(['in_progress', 'succeeded'])
    expect([one.calls().length, conformance.origin.callsTo(status).length]).toEqual([1, 1])
  })

  it('shows no cookie, though its result has it', async () => {
    const one = conformance.operation('keep-cookies')
    one.on(answer(201, { 'Set-Cookie': ['a=1', 'b=2'], 'X-Kept': 'yes' }))
    const location = await accept(one)
    const state = await untilEnded(location)
    const { result } = state.json() as { result: { headers: Record<string, string> } }
    expect(result.headers).toMatchObject({ 'x-kept': 'yes' })
    expect(result.headers).not.toHaveProperty('set-cookie')
    expect(state.headers).not.toHaveProperty('set-cookie')
    expect((await ask(`${location}/result`)).all('Set-Cookie')).toEqual(['a=1', 'b=2'])
  })

  it.each([
    { name: 'state', tail: '', headers: {} },
    { name: 'changes', tail: '', headers: { Accept: EVENT_STREAM } },
    { name: 'result', tail: '/result', headers: {} },
  ])('bears the correlation id of who asks: $name', async ({ tail, headers }) => {
    const one = conformance.operation('default')
    const location = await accept(one)
    await untilEnded(location)
    const asked = { headers: { ...headers, 'X-Correlation-Id': 'asked-7' } }
    const reply = await ask(location + tail, asked)
    expect(reply.all('X-Correlation-Id')).toEqual(['asked-7'])
    expect((await ask(location + tail)).headers['x-correlation-id']).toMatch(/^[\da-f-]{36}$/)
  })

  it.each([401, 403])(
    'of a %i is forgotten where the request is stored as well',
    async (status) => {
      const one = conformance.operation('durable-stranger')
      const release = one.hold()
      const location = await accept(one)
      release(answer(status))
      const gone = await eventually(
        () => ask(location),
        (reply) => reply.status === 404,
      )
      expectProblem(gone, 'operation-not-found')
      one.on(answer(201, {}, 'anew'))
      expect(essence(await one.send(OTHER_BODY))).toEqual([201, 'executed', 'anew'])
      expect(one.calls()).toHaveLength(2)
    },
  )

  it('gives the result of an answer that came bit by bit', async () => {
    const one = conformance.operation('default')
    const { script, stream } = streamed(200, { 'Content-Type': 'text/event-stream' })
    firstAnswers(one, script)
    const location = await accept(one)
    await stream.write('data: 1\n\n')
    expect(stateOf(await ask(location))).toBe('in_progress')
    await stream.write('data: 2\n\n')
    await stream.end()
    await untilEnded(location)
    expect((await ask(`${location}/result`)).text).toBe('data: 1\n\ndata: 2\n\n')
  })
})

describe.concurrent('the location, by Accept', () => {
  const csv = answer(200, { 'Content-Type': 'text/csv; charset=utf-8' }, 'a,b\n')

  it.each([
    { accept: 'text/csv', expected: 'the result' },
    { accept: 'TEXT/CSV;q=0.9, text/plain', expected: 'the result' },
    { accept: 'application/json', expected: 'the state' },
    { accept: 'text/csv, application/json', expected: 'the state' },
    { accept: 'text/csv, */*', expected: 'the state' },
    { accept: '*/*', expected: 'the state' },
    { accept: 'text/html', expected: 'the state' },
  ])('$accept gets $expected', async ({ accept: accepts, expected }) => {
    const one = conformance.operation('default')
    one.on(csv)
    const location = await accept(one)
    await untilEnded(location)
    const reply = await ask(location, { headers: { Accept: accepts } })
    expect(reply.status).toBe(200)
    const { 'content-type': type, 'idempotent-replayed': replayed } = reply.headers
    expect({ type, replayed, isResult: reply.text === 'a,b\n' }).toEqual(
      {
        'the result': { type: 'text/csv; charset=utf-8', replayed: 'true', isResult: true },
        'the state': { type: 'application/json', replayed: undefined, isResult: false },
      }[expected],
    )
  })

  it('the kind of the result gets the state as long as there is none', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const location = await accept(one)
    const reply = await ask(location, { headers: { Accept: 'text/csv' } })
    expect([reply.status, stateOf(reply)]).toEqual([200, 'in_progress'])
    release(csv)
  })

  it('text/event-stream tells at once that the outcome is unknown by now', async () => {
    const one = conformance.operation('probe')
    const release = one.hold()
    const location = await accept(one)
    const { url } = conformance.gateway
    const events = await begin(url, toAsked(location, { headers: { Accept: EVENT_STREAM } }))
    const inProgress = await events.bodyAt(20)
    release(hangUp)
    await untilEnded(location)
    const told = events.bodyAt(Buffer.byteLength(inProgress) + 20)
    const text = await Promise.race([told, sleep(20_000, inProgress)])
    events.hangUp()
    expect(readEvents(text).map(({ state }) => state)).toEqual(['in_progress', 'unknown'])
  })

  it('text/event-stream gets every change of state, to the last one', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const location = await accept(one)
    const events = await begin(
      conformance.gateway.url,
      toAsked(location, { headers: { Accept: 'text/event-stream' } }),
    )
    expect(events.status).toBe(200)
    expect(events.headers['content-type']).toMatch(/^text\/event-stream/)
    // The first event comes before anything has changed.
    expect(readEvents(await events.bodyAt(20))).toEqual([{ event: 'state', state: 'in_progress' }])
    release(answerJson(201, { id: 7 }))
    const { isWhole, body } = await events.ended
    expect(isWhole).toBe(true)
    expect(readEvents(body.toString())).toEqual([
      { event: 'state', state: 'in_progress' },
      { event: 'state', state: 'succeeded' },
    ])
    expect(body.toString()).toContain(`"url":"${location}/result"`)
    const later = await ask(location, { headers: { Accept: 'text/event-stream' } })
    expect(readEvents(later.text)).toEqual([{ event: 'state', state: 'succeeded' }])
  })
})

describe.concurrent('an operation of somebody else', () => {
  it.each([
    { name: 'its state', tail: '', headers: {} },
    { name: 'its state, waiting', tail: '', headers: { Prefer: 'wait=30' } },
    { name: 'its changes', tail: '', headers: { Accept: 'text/event-stream' } },
    { name: 'its result', tail: '/result', headers: {} },
  ])('is as if it were not there: $name', async ({ tail, headers }) => {
    const one = conformance.operation('default')
    const release = one.hold()
    const location = await accept(one)
    const bob = { authorization: 'Bearer bob', headers }
    expectProblem(await ask(location + tail, bob), 'operation-not-found')
    release(answer(201, { 'Content-Type': 'text/csv' }, 'secret'))
    await untilEnded(location)
    const later = await ask(location + tail, bob)
    expectProblem(later, 'operation-not-found')
    // The very words that one gets who asks for nothing.
    const never = await ask(`/_hapax/operations/${'x'.repeat(43)}${tail}`, bob)
    expectProblem(never, 'operation-not-found')
    expect((later.json() as { detail: string }).detail).toBe(
      (never.json() as { detail: string }).detail,
    )
    const noCredentials = await ask(location + tail, { authorization: null, headers })
    expectProblem(noCredentials, 'tenant-missing', { word: null })
    const keyAsWell = { ...bob, headers: { ...headers, 'Idempotency-Key': one.key } }
    expectProblem(await ask(location + tail, keyAsWell), 'operation-not-found')
  })
})

// Alone, since the gateway is killed for all of them: once, and then the alarms come.
describe('an accepted operation', () => {
  const OPERATIONS = [
    {
      name: 'sent, under resend',
      route: 'durable',
      expected: { state: 'succeeded', attempts: 2, calls: 2, retry: '201 replayed' },
    },
    {
      name: 'in the middle of a stream, under resend',
      route: 'durable-stream',
      expected: { state: 'succeeded', attempts: 2, calls: 2, retry: '201 replayed' },
    },
    {
      name: 'sent, under resend, and sealed',
      route: 'sealed-durable',
      expected: { state: 'succeeded', attempts: 2, calls: 2, retry: '201 replayed' },
    },
    {
      name: 'not executed, under hold',
      route: 'durable-refused',
      expected: { state: 'succeeded', attempts: 2, calls: 2, retry: '201 replayed' },
    },
    {
      name: 'sent, under hold',
      route: 'durable-hold',
      expected: { state: 'unknown', attempts: 1, calls: 1, retry: '409 unknown' },
    },
    {
      name: 'sent, under probe',
      route: 'durable-probe',
      expected: { state: 'succeeded', attempts: 1, calls: 1, retry: '201 replayed' },
    },
    {
      name: 'sent, on a route that is not durable',
      route: 'resend',
      expected: { state: 'unknown', attempts: 1, calls: 1, retry: '201 executed' },
    },
  ]

  it('is driven to its end without its client across kill -9, where the route is durable', async () => {
    const all = OPERATIONS.map((its) => ({ ...its, one: conformance.operation(its.route) }))
    const at = (route: string) => {
      const found = all.find((its) => its.route === route)?.one
      if (found === undefined) throw new Error(`no operation on ${route}`)
      return found
    }
    const { script, stream } = streamed(200)
    const first: Readonly<Record<string, Script>> = {
      'durable-refused': answer(503),
      'durable-stream': script,
    }
    for (const { one, route } of all) firstAnswers(one, first[route] ?? (() => {}))
    const locations = await Promise.all(all.map(({ one }) => accept(one)))
    await Promise.all(all.map(({ one }) => one.received()))
    await stream.write('half')
    // That it was not executed must be known before the kill.
    await recordIs(conformance.gateway.state, 'POST /durable-refused/*', ({ attempts }) =>
      attempts.some(({ outcome }) => outcome === 'not_executed'),
    )
    await conformance.gateway.kill()
    const status = `/status/${at('durable-probe').calls()[0]?.headers['idempotency-key'] as string}`
    conformance.origin.on(status, answer(200, { 'Idempotency-Result-Status': '201' }, 'call 2'))
    await conformance.gateway.restart()

    // Nobody asks before the alarms have come, so that it is they who have done it.
    const sentAgain = ['durable', 'durable-stream', 'sealed-durable', 'durable-refused'].map(
      (route) => at(route),
    )
    await Promise.all([
      ...sentAgain.map((one) => one.received(2)),
      conformance.origin.received(status),
    ])
    const states = await Promise.all(locations.map((location) => endOf(location)))
    const retries = await Promise.all(all.map(({ one }) => sendLast(one)))
    const results = all.map(({ name }, nth) => {
      return { name, expected: { ...states[nth], ...retries[nth] } }
    })
    expect(results).toEqual(OPERATIONS.map(({ name, expected }) => ({ name, expected })))

    const [sent, again] = at('durable').calls()
    expect(again).toMatchObject({ method: 'POST', path: sent?.path, body: sent?.body })
    expect(again?.headers).toMatchObject({
      'idempotency-key': sent?.headers['idempotency-key'],
      'idempotency-attempt': '2',
      authorization: 'Bearer alice',
    })
    const result = await ask(`${locations[0] ?? ''}/result`)
    expect([result.status, result.text]).toEqual([201, 'call 2'])
    const sealed = await ask(`${locations[2] ?? ''}/result`)
    expectProblem(sealed, 'result-not-kept', { word: null })
  })

  /** The state when the alarm has nothing more to do: it may be at it when its question is seen. */
  async function endOf(location: string) {
    const isOver = (reply: Reply) =>
      isEnded(reply) && !('nextAttemptAt' in (reply.json() as Record<string, unknown>))
    const ended = await eventually(() => ask(location), isOver)
    const { state, attempts } = ended.json() as { state: string; attempts: number }
    return { state, attempts }
  }

  /** Sends the retry of a client that comes back after all. @returns What it got, and the calls before it. */
  async function sendLast(one: Operation) {
    const calls = one.calls().length
    const reply = await one.send()
    const text = reply.status === 201 ? reply.text : 'call 2'
    expect(text).toBe('call 2')
    return { calls, retry: `${reply.status} ${statusOf(reply) ?? ''}` }
  }
})
