import {
  abortAllDurableObjects,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import type { Handler } from 'hono'
import { beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'

import {
  createGateway,
  credential,
  type GatewayEnv,
  type IdempotencyObject,
  idempotent,
  type PolicyOptions,
  probe,
  protect,
} from '../../src/hapax.ts'
import { objectOf, readRecord } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { pass, stopClock } from './stopped-clock.ts'
import { until } from './until.ts'

const DAY_MS = 86_400_000

let logged: MockInstance<typeof console.error>

stopClock()

beforeEach(() => {
  logged = vi.spyOn(console, 'error').mockImplementation(() => {})
})

const ring = async (key: string) => runDurableObjectAlarm(await objectOf(key))

let keys = 0
const newKey = () => `outcome-${(keys += 1)}`

/** Records of one operation are judged by every route of its name: each test has its own. */
let routes = 0

function clientWith(policy: PolicyOptions, handler?: Handler<GatewayEnv>) {
  const app = createGateway({ tenant: credential('Authorization') })
  const path = `/things/${(routes += 1)}`
  if (handler === undefined) app.post(path, protect(policy))
  else app.post(path, idempotent(policy), handler)
  return clientOf(app, path)
}

type Said = readonly [status: number, headers?: Record<string, string>, body?: unknown]

const toResponse = ([status, headers = {}, body = { status }]: Said) =>
  status === 307 || status === 308
    ? new Response(null, { status, headers })
    : Response.json(body, { status, headers })

/** An origin that answers with one after the other, the last one for ever; it is asked about the rest by GET. */
function playAnswers(answers: readonly Said[], statuses: readonly Said[] = []) {
  let calls = 0
  let questions = 0
  playOrigin(({ method }) => {
    const said =
      method === 'GET'
        ? statuses[Math.min(questions++, statuses.length - 1)]
        : answers[Math.min(calls++, answers.length - 1)]
    return toResponse(said ?? [500])
  })
  return { calls: () => calls, questions: () => questions }
}

const said = async (response: Response) => [response.status, word(response), await response.text()]

const rowsOf = (...answers: readonly Said[]) => answers.map((answer) => ({ answer }))

/** What says "not yet" or "not now". */
const NO_ENDS = rowsOf([409], [409, { 'Retry-After': '1' }], [412], [423], [425], [429], [503])

describe('after a call that may have been executed', () => {
  const RESEND: PolicyOptions = { unknown: 'resend' }
  const DONE: Said = [201, {}, { id: 'pay_1' }]

  it.each(NO_ENDS)('$answer is no end: the next request asks again', async ({ answer: noEnd }) => {
    const origin = playAnswers([[500], noEnd, noEnd, DONE])
    const send = clientWith(RESEND)
    const key = newKey()
    const answers = []
    for (let count = 0; count < 5; count++) answers.push(await said(await send(key)))
    const [status] = noEnd
    expect(answers).toEqual([
      [500, 'unknown', '{"status":500}'],
      [status, 'unknown', JSON.stringify({ status })],
      [status, 'unknown', JSON.stringify({ status })],
      [201, 'executed', '{"id":"pay_1"}'],
      [201, 'replayed', '{"id":"pay_1"}'],
    ])
    expect(origin.calls()).toBe(4)
  })

  it('is in doubt since the first one, however often it is asked', async () => {
    playAnswers([[500], [409]])
    const send = clientWith(RESEND)
    await send('since')
    const since = Date.now()
    pass(60_000)
    await send('since')
    pass(60_000)
    await send('since')
    expect(await readRecord('since')).toMatchObject({
      state: 'unknown',
      settledAt: since,
      expiresAt: since + DAY_MS,
      recoveryCount: 2,
    })
  })

  it.each([{ noEnd: 409 }, { noEnd: 429 }])(
    'a $noEnd is tried again within the request',
    async ({ noEnd }) => {
      const origin = playAnswers([[502], [noEnd], [noEnd], DONE])
      const send = clientWith({ ...RESEND, retry: { attempts: 4, base: 1, budget: false } })
      expect(await said(await send(newKey()))).toEqual([201, 'executed', '{"id":"pay_1"}'])
      expect(origin.calls()).toBe(4)
    },
  )

  it('leaves it unknown where no end comes within the request', async () => {
    const origin = playAnswers([[502], [409]])
    const send = clientWith({ ...RESEND, retry: { attempts: 2, base: 1, budget: false } })
    expect([word(await send('no-end')), word(await send('no-end'))]).toEqual(['unknown', 'unknown'])
    expect(origin.calls()).toBe(4)
  })

  it.each(NO_ENDS)('$answer does not end the recovery by alarm', async ({ answer: noEnd }) => {
    const origin = playAnswers([[500], noEnd, noEnd, DONE])
    const send = clientWith({ ...RESEND, durable: true })
    const key = newKey()
    await send(key)
    for (let count = 0; count < 3; count++) {
      pass(600_000)
      await ring(key)
    }
    expect(origin.calls()).toBe(4)
    expect(await said(await send(key))).toEqual([201, 'replayed', '{"id":"pay_1"}'])
  })

  it('a 409 of a handler is no end either', async () => {
    const statuses = [500, 409, 409, 201] as const
    let runs = 0
    const send = clientWith(RESEND, (c) => c.json({ runs }, statuses[runs++] ?? 201))
    const words = []
    for (let count = 0; count < 5; count++) words.push(word(await send('handler')))
    expect(words).toEqual(['unknown', 'unknown', 'unknown', 'executed', 'replayed'])
    expect(runs).toBe(4)
  })

  it('a 409 of unknown length is no end, and is not recorded as one', async () => {
    let calls = 0
    playOrigin(() => {
      calls += 1
      if (calls === 1) return new Response('oops', { status: 500 })
      const { readable, writable } = new TransformStream()
      const writer = writable.getWriter()
      void writer.write(new TextEncoder().encode('outstanding')).then(() => writer.close())
      return new Response(readable, { status: calls < 4 ? 409 : 201 })
    })
    const send = clientWith(RESEND)
    const answers = []
    for (let count = 0; count < 5; count++) answers.push(await said(await send('streams')))
    expect(answers.map(([status, verdict]) => [status, verdict])).toEqual([
      [500, 'unknown'],
      [409, 'unknown'],
      [409, 'unknown'],
      [201, 'executed'],
      [201, 'replayed'],
    ])
  })

  it('tells those who have waited for it that it is unknown', async () => {
    const released = Promise.withResolvers<void>()
    let calls = 0
    playOrigin(async () => {
      calls += 1
      if (calls === 1) return new Response('oops', { status: 500 })
      await released.promise
      return toResponse([409])
    })
    const send = clientWith(RESEND)
    await send('joins')
    const again = send('joins')
    await until(() => calls === 2)
    const joined = send('joins')
    await new Promise((resolve) => setTimeout(resolve, 100))
    released.resolve()
    expect([word(await again), word(await joined)]).toEqual(['unknown', 'joined'])
    expect(await readRecord('joins')).toMatchObject({ state: 'unknown' })
  })

  it.each([
    { name: 'a rule for the very status', policy: { outcomes: { '409': 'failed' } }, headers: {} },
    {
      name: 'a rule for the body',
      policy: { outcomes: { '/status': { 409: 'failed' } } },
      headers: {},
    },
    { name: 'the origin', policy: {}, headers: { 'Idempotency-Outcome': 'executed' } },
  ] as const)('$name still says what a 409 means', async ({ policy, headers }) => {
    const key = newKey()
    playAnswers([[500], [409, headers]])
    const send = clientWith({ ...RESEND, ...policy })
    await send(key)
    expect([word(await send(key)), word(await send(key))]).toEqual(['executed', 'replayed'])
  })

  it('a rule for the range does not', async () => {
    playAnswers([[500], [409], [422]])
    const send = clientWith({ ...RESEND, outcomes: { '4xx': 'failed' } })
    const words = []
    for (let count = 0; count < 4; count++) words.push(word(await send('range')))
    expect(words).toEqual(['unknown', 'unknown', 'executed', 'replayed'])
  })

  it('and without one a 409 is an end, and so is what follows a call that was not executed', async () => {
    playAnswers([[409]])
    const first = clientWith(RESEND)
    expect([word(await first('plain')), word(await first('plain'))]).toEqual([
      'executed',
      'replayed',
    ])
    playAnswers([[503], [409]])
    const second = clientWith({ ...RESEND, retry: { attempts: 2, base: 1 } })
    expect([word(await second('after')), word(await second('after'))]).toEqual([
      'executed',
      'replayed',
    ])
  })
})

describe('the status resource', () => {
  const PROBED: PolicyOptions = { unknown: probe('/status/{key}', { grace: 0 }) }

  it.each([
    { name: '202', status: [202, {}] },
    { name: '409', status: [409, {}] },
    { name: '425', status: [425, {}] },
    { name: '503', status: [503, {}] },
    { name: 'Retry-After', status: [200, { 'Retry-After': '5' }] },
    { name: '404 with Retry-After', status: [404, { 'Retry-After': '5' }] },
    { name: 'a result of 429', status: [200, { 'Idempotency-Result-Status': '429' }] },
    { name: 'a body that the route leaves open', status: [200, {}, { state: 'pending' }] },
  ] as { name: string; status: Said }[])('says with $name that there is no end', async (row) => {
    const { status } = row
    const key = newKey()
    const origin = playAnswers([[500], [201]], [status, status, [200, {}, { state: 'done' }]])
    const send = clientWith({ ...PROBED, outcomes: { '/state': { pending: 'unknown' } } })
    await send(key)
    const held = await send(key)
    expect([held.status, held.headers.get('Hapax-Error')]).toEqual([409, 'outcome-unknown'])
    pass(DAY_MS / 2)
    await ring(key)
    expect(await readRecord(key)).toMatchObject({ state: 'unknown' })
    expect(await said(await send(key))).toEqual([200, 'replayed', '{"state":"done"}'])
    expect([origin.calls(), origin.questions()]).toEqual([1, 3])
  })

  it.each([
    { state: 'declined', expected: [200, 'replayed', '{"state":"declined"}'], outcome: 'failed' },
    { state: 'done', expected: [200, 'replayed', '{"state":"done"}'], outcome: 'succeeded' },
  ])('says with its body that it has $outcome', async ({ state, expected, outcome }) => {
    playAnswers([[500]], [[200, {}, { state }]])
    const send = clientWith({ ...PROBED, outcomes: { '/state': { declined: 'failed' } } })
    await send(state)
    expect(await said(await send(state))).toEqual(expected)
    expect(await readRecord(state)).toMatchObject({ state: outcome })
  })

  it('says with its body, or by the word of the origin, that nothing was executed', async () => {
    const rules: PolicyOptions = { outcomes: { '/state': { none: 'not_executed' } } }
    const byBody = playAnswers([[500], [201]], [[200, {}, { state: 'none' }]])
    const one = clientWith({ ...PROBED, ...rules })
    await one('by-body')
    expect([word(await one('by-body')), byBody.calls()]).toEqual(['executed', 2])
    const byWord = playAnswers([[500], [201]], [[200, { 'Idempotency-Outcome': 'not-executed' }]])
    const other = clientWith({ unknown: probe('/status/{key}', { grace: '1h' }) })
    await other('by-word')
    expect([word(await other('by-word')), byWord.calls()]).toEqual(['executed', 2])
  })

  it('is not asked again by the alarm before it wants to be', async () => {
    const origin = playAnswers([[500]], [[503, { 'Retry-After': '600' }], [200]])
    const send = clientWith(PROBED)
    await send('later')
    pass(6_000)
    await ring('later')
    expect(origin.questions()).toBe(1)
    pass(599_000)
    await ring('later')
    expect(origin.questions()).toBe(1)
    pass(2_000)
    await ring('later')
    expect(origin.questions()).toBe(2)
    expect(await readRecord('later')).toMatchObject({ state: 'succeeded' })
  })
})

describe('an answer that was refused before anything ran', () => {
  const LATER = { 'Retry-After': '1' }
  const ELSEWHERE = { Location: '/elsewhere' }

  it.each(
    rowsOf(
      ...[307, 308].map((status): Said => [status, ELSEWHERE]),
      ...[406, 412, 415, 417, 421, 426, 428, 431, 499].map((status): Said => [status]),
      ...[409, 413, 423].map((status): Said => [status, LATER]),
      [409, { 'X-Should-Retry': 'true' }],
      [409, { 'Stripe-Should-Retry': 'true' }],
    ),
  )('leaves the key free: $answer', async ({ answer }) => {
    const origin = playAnswers([answer, [201]])
    const send = clientWith({})
    const key = newKey()
    const [first, again] = [await send(key), await send(key, { body: '{"amount":2}' })]
    const [status, headers] = answer
    expect([first.status, word(first)]).toEqual([status, 'not-executed'])
    expect(first.headers.get('Location')).toBe(headers?.['Location'] ?? null)
    expect([again.status, word(again)]).toEqual([201, 'executed'])
    expect(origin.calls()).toBe(2)
  })

  it.each(rowsOf([303, ELSEWHERE], [409], [413], [404, LATER], [202, LATER]))(
    'and what is none is stored: $answer',
    async ({ answer }) => {
      const origin = playAnswers([answer])
      const send = clientWith({})
      const key = newKey()
      expect([word(await send(key)), word(await send(key))]).toEqual(['executed', 'replayed'])
      expect(origin.calls()).toBe(1)
    },
  )

  it('is not sent again by the gateway where only the client can mend it', async () => {
    const origin = playAnswers([[412]])
    const send = clientWith({ retry: { attempts: 3, base: 1 } })
    expect(word(await send('mended'))).toBe('not-executed')
    expect(origin.calls()).toBe(1)
  })
})

describe('retry', () => {
  const waits = () => vi.spyOn(scheduler, 'wait').mockImplementation(async (ms) => void pass(ms))

  it.each([
    { name: 'Retry-After', headers: { 'Retry-After': '3' }, minimumMs: 3_000 },
    {
      name: 'retry-after-ms',
      headers: { 'Retry-After': '9', 'retry-after-ms': '1500' },
      minimumMs: 1_500,
    },
  ])('waits for as long as $name says', async ({ headers, minimumMs }) => {
    const waited = waits()
    const origin = playAnswers([[429, headers], [429, headers], [201]])
    const send = clientWith({ retry: { attempts: 3, deadline: '20s', base: 100, cap: 200 } })
    expect([word(await send(newKey())), origin.calls()]).toEqual(['executed', 3])
    const pauses = waited.mock.calls.map(([ms]) => ms).filter((ms) => ms === minimumMs)
    expect(pauses).toHaveLength(2)
  })

  it('gives the client the answer at once where that is behind its deadline', async () => {
    const origin = playAnswers([[429, { 'Retry-After': '30' }], [201]])
    const send = clientWith({ retry: { attempts: 3, deadline: '20s' } })
    const answer = await send('too-late')
    expect([answer.status, answer.headers.get('Retry-After')]).toEqual([429, '30'])
    expect([word(answer), origin.calls()]).toEqual(['not-executed', 1])
  })

  it('stops where the origin says that there is to be no other try', async () => {
    const origin = playAnswers([[503, { 'X-Should-Retry': 'false' }], [201]])
    const send = clientWith({ retry: { attempts: 3, base: 1 } })
    expect([word(await send('stops')), origin.calls()]).toEqual(['not-executed', 1])
  })

  it('by alarm does not come before the origin wants to be asked again', async () => {
    const origin = playAnswers([[503, { 'Retry-After': '600' }], [201]])
    const send = clientWith({ durable: true, wait: 0 })
    await send('released', { headers: { Prefer: 'respond-async' } })
    await until(() => origin.calls() === 1)
    pass(599_000)
    await ring('released')
    expect(origin.calls()).toBe(1)
    pass(2_000)
    await ring('released')
    expect(origin.calls()).toBe(2)
  })
})

describe('outcomes by body', () => {
  const THROTTLED = { errors: [{ extensions: { code: 'THROTTLED' } }] }
  const GRAPHQL: PolicyOptions = {
    outcomes: {
      '/errors/*/extensions/code': { THROTTLED: 'not_executed', '*': 'failed' },
      '/state': { pending: 'unknown' },
    },
  }

  it('are told from the answer, also where it is streamed', async () => {
    const origin = playAnswers([
      [200, {}, THROTTLED],
      [200, {}, { data: {} }],
    ])
    const send = clientWith(GRAPHQL)
    expect(await said(await send('throttled'))).toEqual([
      200,
      'not-executed',
      JSON.stringify(THROTTLED),
    ])
    expect([word(await send('throttled')), word(await send('throttled'))]).toEqual([
      'executed',
      'replayed',
    ])
    expect(origin.calls()).toBe(2)
  })

  it('hold for a handler as well, and for what it answers bit by bit', async () => {
    let runs = 0
    const send = clientWith(GRAPHQL, () => {
      const text = JSON.stringify((runs += 1) === 1 ? THROTTLED : { state: 'pending' })
      const headers = { 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' }
      return new Response(new Blob([text]).stream(), { headers })
    })
    expect(word(await send('by-handler'))).toBe('not-executed')
    const open = await send('by-handler')
    expect([word(open), await open.text()]).toEqual(['unknown', '{"state":"pending"}'])
    expect((await send('by-handler')).headers.get('Hapax-Error')).toBe('outcome-unknown')
  })

  it('read what is encoded, and give it out as it came', async () => {
    const encoded = await new Response(
      new Blob([JSON.stringify(THROTTLED)]).stream().pipeThrough(new CompressionStream('gzip')),
    ).arrayBuffer()
    playOrigin(
      () =>
        new Response(encoded, {
          headers: { 'Content-Type': 'application/problem+json', 'Content-Encoding': 'gzip' },
          encodeBody: 'manual',
        }),
    )
    const send = clientWith(GRAPHQL)
    const answer = await send('encoded', { headers: { 'Accept-Encoding': 'gzip' } })
    expect([word(answer), answer.headers.get('Content-Encoding')]).toEqual(['not-executed', 'gzip'])
  })

  it.each([
    { name: 'another type', type: 'text/plain', text: JSON.stringify(THROTTLED) },
    { name: 'what does not parse', type: 'application/json', text: '{"errors":' },
    { name: 'a stream of events', type: 'text/event-stream', text: JSON.stringify(THROTTLED) },
    { name: 'nothing', type: 'application/json', text: '' },
  ])('say nothing of $name', async ({ type, text }) => {
    const key = newKey()
    playOrigin(() => new Response(text, { headers: { 'Content-Type': type } }))
    const send = clientWith(GRAPHQL)
    const words = [await send(key), await send(key)].map((answer) => word(answer))
    expect(words).toEqual(['executed', 'replayed'])
  })

  it('say nothing of what is over the limit, which is not kept either', async () => {
    playOrigin(() => Response.json({ ...THROTTLED, pad: 'x'.repeat(200) }))
    const send = clientWith({ ...GRAPHQL, limits: { response: 100 } })
    const answer = await send('over')
    expect([word(answer), (await answer.text()).length > 100]).toEqual(['executed', true])
    expect((await send('over')).headers.get('Hapax-Error')).toBe('snapshot-too-large')
  })

  it('hold for a large answer of a handler, which is stored whole', async () => {
    const text = JSON.stringify({ state: 'done', pad: 'x'.repeat(2_000_000) })
    const headers = { 'Content-Type': 'application/json' }
    const send = clientWith(GRAPHQL, () => new Response(text, { headers }))
    const answers = [await said(await send('large')), await said(await send('large'))]
    expect(answers).toEqual([
      [200, 'executed', text],
      [200, 'replayed', text],
    ])
  })

  it('are in the record: after a restart the alarm judges by them', async () => {
    const origin = playAnswers([[500], [200, {}, { state: 'pending' }], [200, {}, { state: 'ok' }]])
    const send = clientWith({ ...GRAPHQL, unknown: 'resend', durable: true })
    await send('restart')
    await abortAllDurableObjects()
    for (const state of ['unknown', 'succeeded']) {
      pass(600_000)
      await ring('restart')
      expect(await readRecord('restart')).toMatchObject({ state })
    }
    expect(origin.calls()).toBe(3)
  })
})

describe('outcomes by a function', () => {
  it('are asked where the policy is deployed, by origin, handler and alarm', async () => {
    const outcomes: PolicyOptions['outcomes'] = [
      { '404': 'not_executed' },
      ({ status, headers, body }) => {
        if (headers.get('x-later') !== null) return 'unknown'
        return status === 200 && body === 'declined' ? 'failed' : undefined
      },
    ]
    playOrigin(() => new Response('declined'))
    const send = clientWith({ outcomes })
    expect([word(await send('function')), word(await send('function'))]).toEqual([
      'executed',
      'replayed',
    ])
    expect(await readRecord('function')).toMatchObject({ state: 'failed' })

    const handled = clientWith({ outcomes }, (c) => c.text('ok', 200, { 'X-Later': '1' }))
    expect(word(await handled('by-function'))).toBe('unknown')

    const alarmed = clientWith({ outcomes, unknown: 'resend', durable: true })
    playOrigin(() => new Response('oops', { status: 500 }))
    await alarmed('function-alarm')
    playOrigin(() => new Response('declined'))
    pass(600_000)
    await ring('function-alarm')
    expect(await readRecord('function-alarm')).toMatchObject({ state: 'failed' })
  })

  it.each([
    {
      name: 'throws',
      judge: () => {
        throw new Error('no')
      },
    },
    { name: 'gives no outcome', judge: () => 'maybe' },
    { name: 'is asynchronous', judge: async () => 'failed' },
    // What would be left unhandled fails the run of all tests.
    {
      name: 'fails asynchronously',
      judge: async () => {
        throw new Error('no')
      },
    },
  ])('leave it open where it $name', async ({ judge }) => {
    playOrigin(() => new Response('ok'))
    const send = clientWith({ outcomes: judge as never })
    expect(word(await send(newKey()))).toBe('unknown')
    expect(JSON.stringify(logged.mock.calls)).toContain('a function in outcomes failed')
  })

  it('leave it open where no route has the operation any more', async () => {
    const send = clientWith({ outcomes: () => undefined, unknown: 'resend', durable: true })
    const key = newKey()
    playAnswers([[500], [201]])
    await send(key)
    await runInDurableObject(await objectOf(key), (_: IdempotencyObject, { storage: { sql } }) =>
      sql.exec(
        "UPDATE operation SET record = json_set(record, '$.recovery.rules.judgedBy.operation', 'POST /gone')",
      ),
    )
    await evictDurableObject(await objectOf(key))
    pass(600_000)
    await ring(key)
    expect(await readRecord(key)).toMatchObject({
      state: 'unknown',
      attempts: [{ originStatus: 500 }, { originStatus: 201 }],
    })
    expect(word(await send(key))).toBe('executed')
  })
})
