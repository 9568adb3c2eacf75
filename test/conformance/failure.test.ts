import { describe, expect, it } from 'vitest'

import { type Reply, send } from './client.ts'
import {
  eventually,
  firstAnswers,
  type Operation,
  statusOf,
  tally,
  useConformance,
} from './harness.ts'
import { answer, answerJson, hangUp, type Script } from './origin.ts'
import { expectProblem } from './problem.ts'

const conformance = useConformance()
const OTHER_BODY = { body: '{"amount":6}' }
const DERIVED = /^[\w-]{43}$/

const essence = (reply: Reply) => [reply.status, statusOf(reply), reply.text]
/** The key that the origin got with the first call. */
const keyAtOrigin = (one: Operation) => String(one.calls()[0]?.headers['idempotency-key'])
const attemptsOf = (one: Operation) =>
  one.calls().map(({ headers }) => headers['idempotency-attempt'])
const keysOf = (one: Operation) =>
  new Set(one.calls().map(({ headers }) => headers['idempotency-key']))

/** Sends an operation whose answer is lost. @returns Where the origin is asked about it. */
async function lose(one: Operation): Promise<string> {
  firstAnswers(one, hangUp)
  expectProblem(await one.send(), 'outcome-unknown', { status: 502, retry: 'wait' })
  return `/status/${keyAtOrigin(one)}`
}

/** How an answer may be lost, by the moment. */
const LOST: readonly { readonly name: string; readonly script: Script }[] = [
  { name: 'before the headers', script: hangUp },
  {
    name: 'after the headers',
    script(response) {
      response.writeHead(200, { 'Content-Length': '100' })
      response.flushHeaders()
      response.write('', () => response.destroy())
    },
  },
  {
    name: 'within the body',
    script(response) {
      response.writeHead(200, { 'Content-Length': '100' })
      response.write('half', () => response.destroy())
    },
  },
  {
    name: 'within the body of what would have been a refusal',
    script(response) {
      response.writeHead(503, { 'Content-Length': '100' })
      response.write('half', () => response.destroy())
    },
  },
  {
    name: 'within the chunked body of a 500',
    script(response) {
      response.writeHead(500)
      response.write('half', () => response.destroy())
    },
  },
]

/** An answer that streams to the client until it breaks off. */
const breakOff: Script = (response) => {
  response.writeHead(200)
  response.write('half', () => response.destroy())
}
const BROKEN = { isWhole: false, body: Buffer.from('half') }
/** Sends a request whose answer begins, and breaks off. */
async function begins(one: Operation) {
  const coming = await one.begin()
  return [coming.status, statusOf(coming), await coming.ended]
}

/** Where an origin may fall silent. */
const SILENT: readonly { readonly name: string; readonly script: Script }[] = [
  { name: 'before its headers', script: () => {} },
  {
    name: 'after its headers',
    script(response) {
      response.writeHead(200, { 'Content-Length': '100' })
      response.flushHeaders()
    },
  },
  {
    name: 'within its body',
    script(response) {
      response.writeHead(200, { 'Content-Length': '100' })
      response.write('half')
    },
  },
]

describe.concurrent('recovery without a client', () => {
  it('comes 5 s after by alarm: a durable request is sent again, a status resource is asked', async () => {
    const durable = conformance.operation('durable')
    const forgetful = conformance.operation('resend')
    const probed = conformance.operation('probe')
    const held = conformance.operation('default')
    for (const one of [durable, forgetful, held]) firstAnswers(one, hangUp)
    const lostAt = performance.now()
    await Promise.all([
      durable.send({ headers: { 'X-Custom': 'kept' } }),
      forgetful.send(),
      held.send(),
    ])
    const status = await lose(probed)
    conformance.origin.on(status, answer(200, { 'Idempotency-Result-Status': '201' }, 'done'))

    await Promise.all([durable.received(2), conformance.origin.received(status)])
    expect(performance.now() - lostAt).toBeGreaterThan(4_500)
    const [first, again] = durable.calls()
    expect(again).toMatchObject({ method: first?.method, path: first?.path, body: first?.body })
    expect(again?.headers).toMatchObject({
      authorization: 'Bearer alice',
      'content-type': 'application/json',
      'x-custom': 'kept',
      'idempotency-attempt': '2',
    })
    expect(keysOf(durable).size).toBe(1)

    const result = await eventually(
      () => durable.send(),
      (reply) => statusOf(reply) === 'replayed',
    )
    expect(essence(result)).toEqual([201, 'replayed', 'call 2'])
    const probeResult = await eventually(
      () => probed.send(),
      (reply) => statusOf(reply) === 'replayed',
    )
    expect(essence(probeResult)).toEqual([201, 'replayed', 'done'])
    expect([durable, forgetful, held, probed].map((one) => one.calls().length)).toEqual([
      2, 1, 1, 1,
    ])
  })
})

describe.concurrent('recovery by alarm through a status resource', () => {
  it('leaves it open after a 404 where the request is not stored, until a client asks', async () => {
    const one = conformance.operation('probe')
    const status = await lose(one)
    conformance.origin.on(status, answer(404))
    await conformance.origin.received(status)
    // The alarm has been told; it believes nothing but a 2xx, since nobody vouches for who asks.
    const location = `/_hapax/operations/${keyAtOrigin(one)}`
    const state = await eventually(() => askAsAlice(location), isUnknown)
    expect(state.json()).toMatchObject({ nextAttemptAt: expect.any(String) })
    expect(one.calls()).toHaveLength(1)
    expect(essence(await one.send())).toEqual([201, 'executed', 'call 2'])
    expect(conformance.origin.callsTo(status)).toHaveLength(2)
  })

  it('sends it again after a 404 where the request is stored', async () => {
    const one = conformance.operation('durable-probe')
    const status = await lose(one)
    conformance.origin.on(status, answer(404))
    await one.received(2)
    const [asked] = conformance.origin.callsTo(status)
    expect(asked?.headers).toMatchObject({ authorization: 'Bearer alice' })
    const replay = await eventually(
      () => one.send(),
      (reply) => statusOf(reply) === 'replayed',
    )
    expect(essence(replay)).toEqual([201, 'replayed', 'call 2'])
    expect([attemptsOf(one), keysOf(one).size]).toEqual([['1', '2'], 1])
  })

  const askAsAlice = (path: string) => {
    const headers = { Authorization: 'Bearer alice' }
    return send(conformance.gateway.url, { method: 'GET', path, headers })
  }
  const isUnknown = (reply: Reply) => (reply.json() as { state: string }).state === 'unknown'
})

describe.concurrent('an answer that is lost', () => {
  it.each(
    LOST.flatMap((lost) => [
      { ...lost, route: 'default' },
      { ...lost, route: 'retry' },
    ]),
  )('$name is held under $route: never a second call', async ({ script, route }) => {
    const one = conformance.operation(route)
    firstAnswers(one, script)
    expectProblem(await one.send(), 'outcome-unknown', { status: 502 })
    expectProblem(await one.send(), 'outcome-unknown')
    expectProblem(await one.send({ headers: { Prefer: 'wait=1' } }), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it.each(LOST)('$name is sent again under resend', async ({ script }) => {
    const one = conformance.operation('resend')
    firstAnswers(one, script)
    expectProblem(await one.send(), 'outcome-unknown', { status: 502, retry: 'wait' })
    expect(essence(await one.send())).toEqual([201, 'executed', 'call 2'])
    expect(essence(await one.send())).toEqual([201, 'replayed', 'call 2'])
    expect([attemptsOf(one), keysOf(one).size]).toEqual([['1', '2'], 1])
  })

  it.each(LOST)('$name is asked about under probe', async ({ script }) => {
    const one = conformance.operation('probe')
    firstAnswers(one, script)
    expectProblem(await one.send(), 'outcome-unknown', { status: 502, retry: 'wait' })
    conformance.origin.on(`/status/${keyAtOrigin(one)}`, answer(200, {}, 'done'))
    expect(essence(await one.send())).toEqual([200, 'replayed', 'done'])
    expect(one.calls()).toHaveLength(1)
  })

  it.each(['default', 'retry'])(
    'in the middle of a stream breaks off for the client and is held under %s',
    async (route) => {
      const one = conformance.operation(route)
      firstAnswers(one, breakOff)
      expect(await begins(one)).toEqual([200, 'executed', BROKEN])
      expectProblem(await one.send(), 'outcome-unknown')
      expectProblem(await one.send({ headers: { Prefer: 'wait=1' } }), 'outcome-unknown')
      expectProblem(await one.send(OTHER_BODY), 'key-reused')
      expect(one.calls()).toHaveLength(1)
    },
  )

  it.each(['resend', 'retry-resend'])(
    'in the middle of a stream is sent again by the next request under %s',
    async (route) => {
      const one = conformance.operation(route)
      firstAnswers(one, breakOff)
      expect(await begins(one)).toEqual([200, 'executed', BROKEN])
      expect(essence(await one.send())).toEqual([201, 'executed', 'call 2'])
      expect(essence(await one.send())).toEqual([201, 'replayed', 'call 2'])
      expect([attemptsOf(one), keysOf(one).size]).toEqual([['1', '2'], 1])
    },
  )

  it('in the middle of a stream is asked about under probe', async () => {
    const one = conformance.operation('probe')
    firstAnswers(one, breakOff)
    expect(await begins(one)).toEqual([200, 'executed', BROKEN])
    conformance.origin.on(`/status/${keyAtOrigin(one)}`, answer(200, {}, 'done'))
    expect(essence(await one.send())).toEqual([200, 'replayed', 'done'])
    expect(one.calls()).toHaveLength(1)
  })

  it('is a mismatch for another payload', async () => {
    const one = conformance.operation('default')
    one.on(hangUp)
    await one.send()
    expectProblem(await one.send(OTHER_BODY), 'key-reused')
    expect(one.calls()).toHaveLength(1)
  })
})

describe.concurrent('an origin that is silent', () => {
  it.each(SILENT)('$name: 504, and held', async ({ script }) => {
    const one = conformance.operation('short-timeout')
    firstAnswers(one, script)
    const startedAt = performance.now()
    expectProblem(await one.send(), 'origin-timeout')
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_990)
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it.each(SILENT)('$name: 504, and sent again under resend', async ({ script }) => {
    const one = conformance.operation('short-timeout-resend')
    firstAnswers(one, script)
    expectProblem(await one.send(), 'origin-timeout', { retry: 'wait' })
    expect(essence(await one.send())).toEqual([201, 'executed', 'call 2'])
    expect(attemptsOf(one)).toEqual(['1', '2'])
  })

  it('in the middle of a stream: the body breaks off, and it is held', async () => {
    const one = conformance.operation('short-timeout')
    one.on((response) => {
      response.writeHead(200)
      response.write('half')
    })
    const startedAt = performance.now()
    expect(await begins(one)).toEqual([200, 'executed', BROKEN])
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(1_990)
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('is not listened to when it answers too late', async () => {
    const one = conformance.operation('short-timeout')
    const release = one.hold()
    expectProblem(await one.send(), 'origin-timeout')
    release(answer(200))
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('has the timeout anew with every chunk', async () => {
    const one = conformance.operation('short-timeout')
    one.on(async (response) => {
      response.writeHead(200)
      // Ten silences of 250 ms: longer than the timeout of 2 s, none of them on its own.
      for (let nth = 0; nth < 10; nth += 1) {
        response.write('x')
        await new Promise((resolve) => setTimeout(resolve, 250))
      }
      response.end('y')
    })
    const startedAt = performance.now()
    expect(essence(await one.send())).toEqual([200, 'executed', `${'x'.repeat(10)}y`])
    expect(performance.now() - startedAt).toBeGreaterThan(2_400)
  })
})

describe.concurrent('a duplicate that waits', () => {
  /** Sends a request and two duplicates, which wait, and then lets the origin act. */
  async function joinThree(one: Operation, script: Script): Promise<readonly Reply[]> {
    let isReleased = false
    const waiting = Promise.withResolvers<void>()
    one.on(async (response, request, nth) => {
      if (!isReleased) await waiting.promise
      return (nth === 1 ? script : answer(201, {}, `call ${nth}`))(response, request, nth)
    })
    const first = one.send()
    await one.received()
    const others = [one.send(), one.send()]
    await one.afterArrivals()
    isReleased = true
    waiting.resolve()
    return Promise.all([first, ...others])
  }

  it.each(LOST)('is told that the answer was lost $name', async ({ script }) => {
    const one = conformance.operation('default')
    const replies = await joinThree(one, script)
    expect(replies.map(statusOf)).toEqual(['unknown', 'joined', 'joined'])
    for (const reply of replies) {
      expectProblem(reply, 'outcome-unknown', { status: 502, word: statusOf(reply) ?? '' })
    }
    expect(one.calls()).toHaveLength(1)
  })

  it('is told to come again where the lost call may be sent again', async () => {
    const one = conformance.operation('resend')
    const [, ...joined] = await joinThree(one, hangUp)
    for (const reply of joined) {
      expectProblem(reply, 'outcome-unknown', { status: 502, retry: 'wait', word: 'joined' })
    }
    expect(one.calls()).toHaveLength(1)
    expect(essence(await one.send())).toEqual([201, 'executed', 'call 2'])
  })

  it('is told that the origin was silent', async () => {
    // The duplicates must come before it ends, on a busy machine as well.
    const one = conformance.operation('timeout')
    const replies = await joinThree(one, () => {})
    expect(replies.map(statusOf)).toEqual(['unknown', 'joined', 'joined'])
    for (const reply of replies) {
      expectProblem(reply, 'origin-timeout', { word: statusOf(reply) ?? '' })
    }
    expect(one.calls()).toHaveLength(1)
  })

  it('gets the 500 that came back', async () => {
    const one = conformance.operation('default')
    const replies = await joinThree(one, answer(500, { 'X-Kept': 'yes' }, 'broken'))
    expect(replies.map(essence)).toEqual([
      [500, 'unknown', 'broken'],
      [500, 'joined', 'broken'],
      [500, 'joined', 'broken'],
    ])
    for (const { headers } of replies) {
      expect(headers).toMatchObject({ 'x-kept': 'yes' })
      expect(headers).not.toHaveProperty('hapax-error')
    }
    expect(one.calls()).toHaveLength(1)
  })

  it.each([
    { name: 'a refusal', route: 'retry', script: answer(503) },
    { name: 'a lost answer, under resend', route: 'retry-resend', script: hangUp },
  ])('waits on while the gateway itself tries again after $name', async ({ route, script }) => {
    const one = conformance.operation(route)
    const replies = await joinThree(one, script)
    expect(replies.map(essence)).toEqual([
      [201, 'executed', 'call 2'],
      [201, 'joined', 'call 2'],
      [201, 'joined', 'call 2'],
    ])
    expect(one.calls()).toHaveLength(2)
  })
})

describe.concurrent('probe', () => {
  it('answers with what the origin says was the result, from then on', async () => {
    const one = conformance.operation('probe')
    const status = await lose(one)
    conformance.origin.on(status, answerJson(200, { id: 7 }))
    const second = await one.send()
    expect([second.status, statusOf(second), second.json()]).toEqual([200, 'replayed', { id: 7 }])
    expect(second.headers).toMatchObject({
      'content-type': 'application/json',
      'idempotent-replayed': 'true',
      age: '0',
    })
    const third = await one.send()
    expect([third.status, statusOf(third), third.json()]).toEqual([200, 'replayed', { id: 7 }])
    expectProblem(await one.send(OTHER_BODY), 'key-reused')
    expect(conformance.origin.callsTo(status)).toHaveLength(1)
    expect(one.calls()).toHaveLength(1)
  })

  it.each([
    { answered: 200, says: '201', expected: 201 },
    { answered: 206, says: '402', expected: 402 },
    { answered: 200, says: '500', expected: 500 },
    { answered: 203, says: undefined, expected: 200 },
    { answered: 202, says: '201', expected: 201 },
    { answered: 200, says: '99', expected: 200 },
    { answered: 200, says: 'created', expected: 200 },
  ])(
    'answers with $expected where $answered says Idempotency-Result-Status: $says',
    async ({ answered, says, expected }) => {
      const one = conformance.operation('probe')
      const status = await lose(one)
      const headers = says === undefined ? {} : { 'Idempotency-Result-Status': says }
      conformance.origin.on(status, answer(answered, headers, 'the result'))
      const replies = [await one.send(), await one.send()]
      for (const reply of replies) {
        expect(essence(reply)).toEqual([expected, 'replayed', 'the result'])
        expect(reply.headers).not.toHaveProperty('idempotency-result-status')
      }
      expect(one.calls()).toHaveLength(1)
    },
  )

  it('answers a 204 without a body', async () => {
    const one = conformance.operation('probe')
    const status = await lose(one)
    conformance.origin.on(status, answer(200, { 'Idempotency-Result-Status': '204' }))
    expect(essence(await one.send())).toEqual([204, 'replayed', ''])
    expect(essence(await one.send())).toEqual([204, 'replayed', ''])
  })

  it.each([404, 410])('that gets a %i executes again, as attempt 2', async (notFound) => {
    const one = conformance.operation('probe')
    const status = await lose(one)
    conformance.origin.on(status, answer(notFound))
    expect(essence(await one.send())).toEqual([201, 'executed', 'call 2'])
    expect(essence(await one.send())).toEqual([201, 'replayed', 'call 2'])
    expect([attemptsOf(one), keysOf(one).size]).toEqual([['1', '2'], 1])
    expect(one.calls()[1]?.body.toString()).toBe('{"amount":5}')
    expect(conformance.origin.callsTo(status)).toHaveLength(1)
  })

  it('that gets a 404 leaves the key free where the second call is not executed either', async () => {
    const one = conformance.operation('probe')
    firstAnswers(one, hangUp, answer(503))
    await one.send()
    conformance.origin.on(`/status/${keyAtOrigin(one)}`, answer(404))
    expect(statusOf(await one.send())).toBe('not-executed')
    expect(essence(await one.send(OTHER_BODY))).toEqual([201, 'executed', 'call 3'])
  })

  it('that gets a 404 leaves another doubt where the second call is lost as well', async () => {
    const one = conformance.operation('probe')
    firstAnswers(one, hangUp, hangUp)
    await one.send()
    const status = `/status/${keyAtOrigin(one)}`
    conformance.origin.on(status, answer(404))
    expectProblem(await one.send(), 'outcome-unknown', { status: 502, retry: 'wait' })
    conformance.origin.on(status, answer(200, {}, 'done'))
    expect(essence(await one.send())).toEqual([200, 'replayed', 'done'])
    expect(one.calls()).toHaveLength(2)
  })

  it.each<{ name: string; script: Script }>([
    { name: '302', script: answer(302, { Location: '/default/elsewhere' }) },
    { name: '401', script: answer(401) },
    { name: '403', script: answer(403) },
    { name: '409', script: answer(409) },
    { name: '429', script: answer(429, { 'Retry-After': '1' }) },
    { name: '500', script: answer(500) },
    { name: '503', script: answer(503) },
    { name: 'lost answer', script: hangUp },
    ...LOST.slice(1, 3).map(({ name, script }) => ({ name: `lost answer ${name}`, script })),
    { name: 'lost answer within a chunked body', script: breakOff },
  ])('that gets a $name decides nothing: 409, to be tried again', async ({ script }) => {
    const one = conformance.operation('probe')
    const status = await lose(one)
    conformance.origin.on(status, script)
    for (const nth of [1, 2]) {
      const reply = await one.send()
      expectProblem(reply, 'outcome-unknown', { retry: 'wait' })
      expect(reply.headers['x-should-retry']).toBe('true')
      expect(conformance.origin.callsTo(status)).toHaveLength(nth)
    }
    expectProblem(await one.send(OTHER_BODY), 'key-reused')
    expect(one.calls()).toHaveLength(1)

    conformance.origin.on(status, answer(200, {}, 'done'))
    expect(essence(await one.send())).toEqual([200, 'replayed', 'done'])
    expect(one.calls()).toHaveLength(1)
  })

  it('that gets no answer in time decides nothing', async () => {
    const one = conformance.operation('probe-timeout')
    conformance.origin.on(await lose(one), () => {})
    expectProblem(await one.send(), 'outcome-unknown', { retry: 'wait' })
    expect(one.calls()).toHaveLength(1)
  })

  it('asks with the credentials of the caller, under the key that the origin got', async () => {
    const one = conformance.operation('probe')
    const status = await lose(one)
    conformance.origin.on(status, answer(404))
    await one.send({
      headers: { Cookie: 'session=1', 'X-Api-Version': '7', 'X-Correlation-Id': 'retry-7' },
    })
    const [asked] = conformance.origin.callsTo(status)
    expect(keyAtOrigin(one)).toMatch(DERIVED)
    expect(asked).toMatchObject({ method: 'GET', path: status })
    expect(asked?.body).toHaveLength(0)
    expect(asked?.headers).toMatchObject({
      authorization: 'Bearer alice',
      cookie: 'session=1',
      'x-api-version': '7',
      'x-correlation-id': 'retry-7',
    })
    expect(asked?.headers).not.toHaveProperty('content-type')
    expect(asked?.headers).not.toHaveProperty('idempotency-attempt')
  })

  it('does not ask under the conditions of the request', async () => {
    const one = conformance.operation('probe')
    const status = await lose(one)
    conformance.origin.on(status, answer(200))
    await one.send({ headers: { 'If-None-Match': '*', 'If-Match': '"v1"', Range: 'bytes=0-1' } })
    const headers = conformance.origin.callsTo(status)[0]?.headers ?? {}
    const conditions = Object.keys(headers).filter((name) => /^(?:if-|range$)/.test(name))
    expect(conditions).toEqual([])
  })

  it('names operation and tenant where the route asks for that', async () => {
    const [alices, bobs] = [
      conformance.operation('probe-names'),
      conformance.operation('probe-names'),
    ]
    const bob = { authorization: 'Bearer bob' }
    const tenants: string[] = []
    for (const { one, as } of [
      { one: alices, as: {} },
      { one: bobs, as: bob },
    ]) {
      firstAnswers(one, hangUp)
      await one.send(as)
      const key = keyAtOrigin(one)
      await one.send(as)
      const [asked] = conformance.origin.callsTo(`/names/${key}`)
      const { searchParams } = new URL(asked?.path ?? '', 'http://origin')
      expect(searchParams.get('key')).toBe(key)
      tenants.push(searchParams.get('tenant') ?? '')
    }
    expect(tenants).toEqual([expect.stringMatching(DERIVED), expect.stringMatching(DERIVED)])
    expect(new Set(tenants).size).toBe(2)
    expect(tenants.join()).not.toMatch(/alice|bob/)
  })

  it('is asked once for duplicates at once, which get the result', async () => {
    const one = conformance.operation('probe')
    const status = await lose(one)
    const release = conformance.origin.hold(status)
    const sent = Array.from({ length: 10 }, () => one.send())
    await conformance.origin.received(status)
    await one.afterArrivals()
    release(answer(200, {}, 'done'))
    const replies = await Promise.all(sent)
    expect(replies.map(({ status: code, text }) => `${code} ${text}`)).toEqual(
      Array(10).fill('200 done'),
    )
    expect(tally(replies)).toEqual({ replayed: 1, joined: 9 })
    expect(conformance.origin.callsTo(status)).toHaveLength(1)
    expect(one.calls()).toHaveLength(1)
  })

  it('makes one call of duplicates at once, where nothing was executed', async () => {
    const one = conformance.operation('probe')
    const status = await lose(one)
    const release = conformance.origin.hold(status)
    const sent = Array.from({ length: 10 }, () => one.send())
    await conformance.origin.received(status)
    await one.afterArrivals()
    release(answer(404))
    const replies = await Promise.all(sent)
    expect(replies.map(({ status: code, text }) => `${code} ${text}`)).toEqual(
      Array(10).fill('201 call 2'),
    )
    expect(tally(replies)).toEqual({ executed: 1, joined: 9 })
    expect(conformance.origin.callsTo(status)).toHaveLength(1)
    expect(one.calls()).toHaveLength(2)
  })

  it('is not asked about what is known', async () => {
    const one = conformance.operation('probe')
    firstAnswers(one, answer(422))
    const replies = [await one.send(), await one.send()]
    expect(replies.map(statusOf)).toEqual(['executed', 'replayed'])
    expect(conformance.origin.callsTo(`/status/${keyAtOrigin(one)}`)).toHaveLength(0)
  })

  it('is asked about a handler in the Worker that threw', async () => {
    const one = conformance.operation('handler-probe')
    conformance.origin.on('/handler-status', (response, request, nth) =>
      answer(nth === 1 ? 503 : 404)(response, request, nth),
    )
    const first = await one.send()
    expect([first.status, statusOf(first)]).toEqual([500, 'unknown'])
    expectProblem(await one.send(), 'outcome-unknown', { retry: 'wait' })
    expect(essence(await one.send())).toEqual([201, 'executed', '{"run":"2"}'])
    expect(statusOf(await one.send())).toBe('replayed')
    const asked = conformance.origin.callsTo('/handler-status')
    expect(asked.map(({ path }) => path)).toEqual(
      Array(2).fill(expect.stringMatching(/^\/handler-status\?key=[\w-]{43}$/)),
    )
  })

  it('resolves what was held before the route had it', async () => {
    const one = conformance.operation('redeployed')
    firstAnswers(one, hangUp)
    expectProblem(await one.send(), 'outcome-unknown', { status: 502 })
    expectProblem(await one.send(), 'outcome-unknown')
    conformance.origin.on(`/status/${keyAtOrigin(one)}`, answer(200, {}, 'done'))
    const third = await one.send({ headers: { 'X-Deployment': '2' } })
    expect(essence(third)).toEqual([200, 'replayed', 'done'])
    expect(one.calls()).toHaveLength(1)
  })
})

describe.concurrent('resend', () => {
  it('goes on until something certain comes back', async () => {
    const one = conformance.operation('resend')
    firstAnswers(one, hangUp, answer(500, {}, 'broken'), hangUp, answer(422, {}, 'no'))
    expectProblem(await one.send(), 'outcome-unknown', { status: 502, retry: 'wait' })
    expect(essence(await one.send())).toEqual([500, 'unknown', 'broken'])
    expectProblem(await one.send(), 'outcome-unknown', { status: 502, retry: 'wait' })
    expect(essence(await one.send())).toEqual([422, 'executed', 'no'])
    expect(essence(await one.send())).toEqual([422, 'replayed', 'no'])
    expect([attemptsOf(one), keysOf(one).size]).toEqual([['1', '2', '3', '4'], 1])
  })

  it.each([
    { name: 'over two requests', route: 'resend', scripts: [answer(500), answer(503)], sends: 2 },
    {
      name: 'over the calls of one request',
      route: 'retry-resend',
      scripts: [answer(500), answer(503), answer(503)],
      sends: 1,
    },
  ])(
    'is in doubt as before when nothing was executed by the last call: $name',
    async ({ route, scripts, sends }) => {
      const one = conformance.operation(route)
      firstAnswers(one, ...scripts)
      let last = await one.send()
      for (let nth = 1; nth < sends; nth += 1) last = await one.send()
      expect(last.status).toBe(503)
      // The first call may have been executed, so the key is not free.
      expectProblem(await one.send(OTHER_BODY), 'key-reused')
      const next = scripts.length + 1
      expect(essence(await one.send())).toEqual([201, 'executed', `call ${next}`])
      expect(attemptsOf(one).at(-1)).toBe(String(next))
      expect(keysOf(one).size).toBe(1)
    },
  )

  it('says that the outcome is unknown when nothing was executed by the last call', async () => {
    const one = conformance.operation('resend')
    firstAnswers(one, answer(500), answer(503, {}, 'busy'))
    await one.send()
    expect(essence(await one.send())).toEqual([503, 'unknown', 'busy'])
  })

  it('frees the key when the origin itself says that nothing was executed', async () => {
    const one = conformance.operation('resend')
    firstAnswers(one, answer(500), answer(500, { 'Idempotency-Outcome': 'not-executed' }))
    expect(statusOf(await one.send())).toBe('unknown')
    expect(statusOf(await one.send())).toBe('not-executed')
    expect(essence(await one.send(OTHER_BODY))).toEqual([201, 'executed', 'call 3'])
  })
})

describe.concurrent('retry', () => {
  it('is not made where the route does not say so', async () => {
    const one = conformance.operation('default')
    firstAnswers(one, answer(503))
    expect((await one.send()).status).toBe(503)
    expect(one.calls()).toHaveLength(1)
  })

  it('is made until an attempt is executed, under one key', async () => {
    const one = conformance.operation('retry')
    firstAnswers(one, answer(503), answer(429))
    expect(essence(await one.send())).toEqual([201, 'executed', 'call 3'])
    expect(essence(await one.send())).toEqual([201, 'replayed', 'call 3'])
    expect([attemptsOf(one), keysOf(one).size]).toEqual([['1', '2', '3'], 1])
    expect(one.calls().map(({ body }) => body.toString())).toEqual(Array(3).fill('{"amount":5}'))
  })

  it('ends with the attempts: the client gets the last answer, and the key is free', async () => {
    const one = conformance.operation('retry')
    firstAnswers(one, ...Array<Script>(3).fill(answer(503)), answer(503, {}, 'the last'))
    expect(essence(await one.send())).toEqual([503, 'not-executed', 'the last'])
    expect(one.calls()).toHaveLength(4)
    expect(essence(await one.send(OTHER_BODY))).toEqual([201, 'executed', 'call 5'])
  })

  it.each([
    { name: 'a 500', script: answer(500, {}, 'broken') },
    { name: 'a lost answer', script: hangUp },
  ])('is not made after $name where the outcome is held', async ({ script }) => {
    const one = conformance.operation('retry')
    firstAnswers(one, answer(503), script)
    expect(statusOf(await one.send())).toBe('unknown')
    expectProblem(await one.send(), 'outcome-unknown')
    expect(attemptsOf(one)).toEqual(['1', '2'])
  })

  it.each([200, 302, 400, 409, 422, 501])('is not made after a %i', async (status) => {
    const one = conformance.operation('retry-resend')
    firstAnswers(one, answer(status))
    expect((await one.send()).status).toBe(status)
    expect(one.calls()).toHaveLength(1)
  })

  it('is made after an unknown outcome under resend, so that its client sees nothing of it', async () => {
    const one = conformance.operation('retry-resend')
    firstAnswers(one, hangUp, answer(500))
    expect(essence(await one.send())).toEqual([201, 'executed', 'call 3'])
    expect([attemptsOf(one), keysOf(one).size]).toEqual([['1', '2', '3'], 1])
  })

  it.each([
    { route: 'retry-not-executed', status: 503, calls: 3 },
    { route: 'retry-not-executed', status: 500, calls: 1 },
    { route: 'retry-unknown', status: 503, calls: 1 },
    { route: 'retry-unknown', status: 500, calls: 3 },
  ])('is made on what the route says: $route, $status', async ({ route, status, calls }) => {
    const one = conformance.operation(route)
    one.on(answer(status))
    expect((await one.send()).status).toBe(status)
    expect(one.calls()).toHaveLength(calls)
  })

  it('is made where the origin says that nothing was executed, not where it says the contrary', async () => {
    const refused = conformance.operation('retry')
    firstAnswers(refused, answer(500, { 'Idempotency-Outcome': 'not-executed' }))
    expect(essence(await refused.send())).toEqual([201, 'executed', 'call 2'])
    const done = conformance.operation('retry')
    firstAnswers(done, answer(503, { 'Idempotency-Outcome': 'executed' }, 'done'))
    expect(essence(await done.send())).toEqual([503, 'executed', 'done'])
    expect(done.calls()).toHaveLength(1)
  })

  it('ends with the deadline of the route', async () => {
    const one = conformance.operation('retry-deadline')
    one.on(answer(503))
    expect((await one.send()).status).toBe(503)
    expect(one.calls().length).toBeLessThan(20)
  })

  it.each([
    { name: 'in epoch milliseconds', at: (ms: number) => String(ms) },
    { name: 'as a date-time', at: (ms: number) => new Date(ms).toISOString() },
  ])('ends with the X-Request-Deadline of the client, $name', async ({ at }) => {
    const one = conformance.operation('retry-long')
    one.on(answer(503))
    const headers = { 'X-Request-Deadline': at(Date.now() + 2_000) }
    expect((await one.send({ headers })).status).toBe(503)
    expect(one.calls().length).toBeLessThan(20)
  })

  it('and the first call are not made when the deadline of the client has passed', async () => {
    const one = conformance.operation('default')
    const late = await one.send({ headers: { 'X-Request-Deadline': String(Date.now() - 1_000) } })
    expectProblem(late, 'origin-timeout', { retry: 'same-key', word: 'rejected' })
    expect(one.calls()).toHaveLength(0)
    expect(essence(await one.send(OTHER_BODY))).toEqual([201, 'executed', '1'])
  })

  it.each(['default', 'handler'])(
    'that has passed costs nothing that is known already, under %s',
    async (route) => {
      const late = { headers: { 'X-Request-Deadline': String(Date.now() - 1_000) } }
      const fresh = conformance.operation(route)
      expectProblem(await fresh.send(late), 'origin-timeout', {
        retry: 'same-key',
        word: 'rejected',
      })
      expect(fresh.calls()).toHaveLength(0)
      const settled = conformance.operation(route)
      await settled.send()
      const replay = await settled.send(late)
      expect([replay.status, statusOf(replay)]).toEqual([201, 'replayed'])
      expectProblem(await settled.send({ ...late, ...OTHER_BODY }), 'key-reused')
      const running = conformance.operation(route)
      const release = running.hold()
      const first = running.send()
      await running.received()
      expectProblem(await running.send(late), 'in-progress')
      release(answer(201))
      expect(statusOf(await first)).toBe('executed')
    },
  )

  it('that has passed says of what is held that it is held, and sends nothing again', async () => {
    const late = { headers: { 'X-Request-Deadline': String(Date.now() - 1_000) } }
    const held = conformance.operation('default')
    held.on(hangUp)
    await held.send()
    expectProblem(await held.send(late), 'outcome-unknown')
    const resent = conformance.operation('resend')
    firstAnswers(resent, hangUp)
    await resent.send()
    expectProblem(await resent.send(late), 'origin-timeout', {
      retry: 'same-key',
      word: 'rejected',
    })
    expect(resent.calls()).toHaveLength(1)
    expect(essence(await resent.send())).toEqual([201, 'executed', 'call 2'])
  })

  it('that has passed begins no call after a status resource either', async () => {
    const one = conformance.operation('probe')
    conformance.origin.on(await lose(one), answer(404))
    await one.send({ headers: { 'X-Request-Deadline': String(Date.now() - 1_000) } })
    expect(one.calls()).toHaveLength(1)
  })

  it('counts the attempts of the layer before: they add up and do not multiply', async () => {
    const expected = [
      { attempt: '1', calls: 4 },
      { attempt: '3', calls: 2 },
      { attempt: '4', calls: 1 },
      { attempt: '9', calls: 1 },
      { attempt: 'x', calls: 4 },
    ]
    for (const { attempt, calls } of expected) {
      const one = conformance.operation('retry')
      one.on(answer(503))
      await one.send({ headers: { 'Idempotency-Attempt': attempt } })
      expect({ attempt, calls: one.calls().length }).toEqual({ attempt, calls })
      // What the origin gets is this layer's own.
      expect(attemptsOf(one)[0]).toBe('1')
    }
  })
})

describe.concurrent('the deadline of a client', () => {
  it('bounds how long a duplicate waits', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const startedAt = performance.now()
    const headers = { 'X-Request-Deadline': String(Date.now() + 500) }
    expectProblem(await one.send({ headers }), 'in-progress')
    expect(performance.now() - startedAt).toBeGreaterThan(400)
    expect(performance.now() - startedAt).toBeLessThan(9_000)
    release(answer(201))
    expect(statusOf(await first)).toBe('executed')
  })
})

// One after the other, since the circuit is of the origin and all of these operations share it.
describe.concurrent('the circuit of an origin', () => {
  const open = async (): Promise<void> => {
    for (let nth = 0; nth < 2; nth += 1) {
      const one = conformance.operation('circuit')
      one.on(answer(500))
      expect((await one.send()).status).toBe(500)
    }
  }
  const untilClosed = (one: Operation) =>
    eventually(
      () => one.send(),
      (reply) => reply.headers['hapax-error'] !== 'circuit-open',
    )

  it(
    'opens after failures in a row: 503 without a call, and nothing is remembered',
    { concurrent: false },
    async () => {
      const settled = conformance.operation('circuit')
      await settled.send()
      const running = conformance.operation('circuit')
      const release = running.hold()
      const first = running.send()
      await running.received()
      const begunAt = performance.now()
      await open()

      const one = conformance.operation('circuit')
      const refused = await one.send()
      expectProblem(refused, 'circuit-open')
      // The cooldown, and up to as much again by chance.
      expect(Number(refused.headers['retry-after'])).toBeLessThanOrEqual(6)
      expectProblem(await one.send(OTHER_BODY), 'circuit-open')
      expect(one.calls()).toHaveLength(0)

      // What needs no call of the origin is answered as ever.
      expect(essence(await settled.send())).toEqual([201, 'replayed', '1'])
      expectProblem(await running.send({ headers: { Prefer: 'wait=0' } }), 'in-progress')
      // A route without a circuit is not concerned.
      expect(statusOf(await conformance.operation('default').send())).toBe('executed')

      // A call that began before tells nothing of the cooldown, so it ends after it.
      expect(essence(await untilClosed(one))).toEqual([201, 'executed', '1'])
      expect(performance.now() - begunAt).toBeGreaterThan(2_900)
      release(answer(201))
      expect(statusOf(await first)).toBe('executed')
      expect(statusOf(await conformance.operation('circuit').send())).toBe('executed')
    },
  )

  it(
    'opens again when the call after the cooldown fails as well',
    { concurrent: false },
    async () => {
      await open()
      const one = conformance.operation('circuit')
      firstAnswers(one, answer(502))
      expect((await untilClosed(one)).status).toBe(502)
      const other = conformance.operation('circuit')
      expectProblem(await other.send(), 'circuit-open')
      expect(essence(await untilClosed(other))).toEqual([201, 'executed', '1'])
    },
  )

  it(
    'stays closed where a success comes in between, and where the origin only refuses',
    { concurrent: false },
    async () => {
      for (const status of [500, 201, 500, 422, 500, 404, 500, 200]) {
        const one = conformance.operation('circuit')
        one.on(answer(status))
        expect((await one.send()).status).toBe(status)
      }
    },
  )
})

describe.concurrent('Idempotency-Store of the origin', () => {
  it('no-store: the answer is for the first client only, and nobody executes again', async () => {
    const one = conformance.operation('default')
    firstAnswers(one, answer(201, { 'Idempotency-Store': 'no-store', 'X-Secret': 's' }, 'secret'))
    const first = await one.send()
    expect(essence(first)).toEqual([201, 'executed', 'secret'])
    expect(first.headers).not.toHaveProperty('idempotency-store')
    const second = await one.send()
    expectProblem(second, 'result-not-kept')
    expect(JSON.stringify(second.headers) + second.text).not.toContain('secret')
    expectProblem(await one.send(OTHER_BODY), 'key-reused')
    expect(one.calls()).toHaveLength(1)
  })

  it('no-store: a duplicate that waited does not get the answer either', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const second = one.send()
    await one.afterArrivals()
    release(answer(201, { 'Idempotency-Store': 'no-store' }, 'secret'))
    expect(essence(await first)).toEqual([201, 'executed', 'secret'])
    expectProblem(await second, 'result-not-kept')
    expect(one.calls()).toHaveLength(1)
  })

  it('changes nothing of a key that was freed', async () => {
    const one = conformance.operation('default')
    firstAnswers(one, answer(503, { 'Idempotency-Store': 'no-store' }))
    expect(statusOf(await one.send())).toBe('not-executed')
    expect(essence(await one.send())).toEqual([201, 'executed', 'call 2'])
  })

  it('that is not understood counts as not said', async () => {
    const one = conformance.operation('default')
    firstAnswers(one, answer(201, { 'Idempotency-Store': 'max-age=soon, private' }, 'kept'))
    await one.send()
    expect(essence(await one.send())).toEqual([201, 'replayed', 'kept'])
  })
})

// Alone, since every call of any operation pays into the budget of their origin.
describe('the retry budget of an origin', () => {
  it('is used up by retries: then the first answer is the last', async () => {
    const one = conformance.operation('retry-budget')
    one.on(answer(503))
    await one.send()
    // Two of its own, and what routes with the default have left in the bucket: ten at the most.
    expect(one.calls().length).toBeGreaterThanOrEqual(3)
    expect(one.calls().length).toBeLessThanOrEqual(11)
    const other = conformance.operation('retry-budget')
    other.on(answer(503))
    expect((await other.send()).status).toBe(503)
    expect(other.calls()).toHaveLength(1)
  })
})
