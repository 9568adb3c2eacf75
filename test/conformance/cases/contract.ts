import { describe, expect, it } from 'vitest'

import type { Reply } from '../client.ts'
import { eventually, type Operation, stateFiles, statusOf, useConformance } from '../harness.ts'
import { answer, answerJson, hangUp } from '../origin.ts'
import { expectProblem, PROBLEMS, type Slug } from '../problem.ts'

const conformance = useConformance()
const OTHER_BODY = { body: '{"amount":6}' }

describe.concurrent('a situation of the contract', () => {
  it('key required and absent: 400 key-missing', async () => {
    const one = conformance.operation('default')
    expectProblem(await one.send({ key: null }), 'key-missing')
    expect(one.calls()).toHaveLength(0)
  })

  it('key malformed: 400 key-invalid', async () => {
    const one = conformance.operation('default')
    expectProblem(await one.send({ key: 'a,b' }), 'key-invalid')
    expect(one.calls()).toHaveLength(0)
  })

  it('no tenant could be resolved: 401 tenant-missing', async () => {
    const one = conformance.operation('default')
    const reply = await one.send({ authorization: null })
    expectProblem(reply, 'tenant-missing')
    // RFC 9110 §15.5.2: a 401 names how to authenticate.
    expect(reply.headers['www-authenticate']).toBe('Bearer')
    expect(one.calls()).toHaveLength(0)
  })

  it('body over the limit of the route: 413 payload-too-large', async () => {
    const one = conformance.operation('small-limits')
    expectProblem(await one.send({ body: JSON.stringify('x'.repeat(63)) }), 'payload-too-large')
    expect(one.calls()).toHaveLength(0)
  })

  it('body not parseable as its content type says: 400 payload-invalid', async () => {
    const one = conformance.operation('default')
    expectProblem(await one.send({ body: '{"amount":' }), 'payload-invalid')
    expect(one.calls()).toHaveLength(0)
  })

  it('mismatch: 409 key-reused', async () => {
    const one = conformance.operation('default')
    await one.send()
    expectProblem(await one.send(OTHER_BODY), 'key-reused')
    expect(one.calls()).toHaveLength(1)
  })

  it.each([{ status: 422 }, { status: 400 }])(
    'mismatch where the route says $status: $status key-reused',
    async ({ status }) => {
      const one = conformance.operation(`mismatch-${status}`)
      await one.send()
      expectProblem(await one.send(OTHER_BODY), 'key-reused', { status })
      expect(one.calls()).toHaveLength(1)
    },
  )

  it('in-flight duplicate, not waited for: 409 in-progress', async () => {
    const one = conformance.operation('no-wait')
    const release = one.hold()
    const first = one.send()
    await one.received()
    expectProblem(await one.send(), 'in-progress')
    release(answerJson(201, {}))
    expect((await first).status).toBe(201)
    expect(one.calls()).toHaveLength(1)
  })

  it('in-flight duplicate, waited too long: 409 in-progress', async () => {
    const one = conformance.operation('short-wait')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const startedAt = performance.now()
    expectProblem(await one.send(), 'in-progress')
    expect(performance.now() - startedAt).toBeGreaterThan(290)
    release(answerJson(201, {}))
    expect((await first).status).toBe(201)
    expect(one.calls()).toHaveLength(1)
  })

  it('outcome unknown and held: 409 outcome-unknown, which says so', async () => {
    const one = conformance.operation('default')
    one.on(answer(500))
    await one.send()
    const reply = await one.send()
    expectProblem(reply, 'outcome-unknown')
    expect(reply.json()).toMatchObject({
      detail: expect.stringMatching(/held .*until the operator .*status resource/),
    })
    expect(one.calls()).toHaveLength(1)
  })

  it.each([
    { name: 'a 500', route: 'default', script: answer(500), reason: /with a status/ },
    { name: 'a lost answer', route: 'default', script: hangUp, reason: /connection .*lost/ },
    { name: 'silence', route: 'short-timeout', script: () => {}, reason: /not answer in time/ },
    { name: 'an error', route: 'handler-throws', script: answer(200), reason: /code .*failed/ },
  ])(
    'outcome unknown after $name: 409, which tells the reason',
    async ({ route, script, reason }) => {
      const one = conformance.operation(route)
      one.on(script)
      await one.send()
      const reply = await one.send()
      expectProblem(reply, 'outcome-unknown')
      expect(reply.json()).toMatchObject({ detail: expect.stringMatching(reason) })
    },
  )

  it('outcome unknown under probe: 409, which says that the origin is asked', async () => {
    const one = conformance.operation('probe')
    one.on(answer(500))
    await one.send()
    conformance.origin.on(
      `/status/${one.calls()[0]?.headers['idempotency-key'] as string}`,
      answer(503),
    )
    const reply = await one.send()
    expectProblem(reply, 'outcome-unknown', { retry: 'wait' })
    expect(reply.json()).toMatchObject({
      detail: expect.stringMatching(/with a status .*origin is asked/),
    })
  })

  it('origin gave no answer in time: 504 origin-timeout', async () => {
    const one = conformance.operation('short-timeout')
    one.hold()
    expectProblem(await one.send(), 'origin-timeout')
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('origin gave no answer in time, and the route resends: retryable', async () => {
    const one = conformance.operation('short-timeout-resend')
    one.hold()
    expectProblem(await one.send(), 'origin-timeout', { retry: 'wait' })
    expect(one.calls()).toHaveLength(1)
  })

  it('answer lost after the request went out: 502 outcome-unknown', async () => {
    const one = conformance.operation('default')
    one.on(hangUp)
    expectProblem(await one.send(), 'outcome-unknown', { status: 502 })
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('answer lost, and the route resends: retryable', async () => {
    const one = conformance.operation('resend')
    one.on(hangUp)
    expectProblem(await one.send(), 'outcome-unknown', { status: 502, retry: 'wait' })
    expect(one.calls()).toHaveLength(1)
  })

  it('too many new operations of this tenant: 429 rate-limited, repeats not counted', async () => {
    const mallory = { authorization: 'Bearer mallory' }
    // Whatever moment a period begins at, 3 in each of two are all that can be let through.
    const all = Array.from({ length: 7 }, () => conformance.operation('rate'))
    const replies: Reply[] = []
    for (const one of all) replies.push(await one.send(mallory))
    const at = replies.findIndex(({ status }) => status !== 201)
    expect(at).toBeGreaterThanOrEqual(3)
    const refused = replies[at]
    if (refused === undefined) throw new Error('nothing was refused')
    expectProblem(refused, 'rate-limited')
    expect(all[at]?.calls()).toHaveLength(0)
    const again = await all[0]?.send(mallory)
    expect(again && statusOf(again)).toBe('replayed')
    expect(statusOf(await conformance.operation('rate').send())).toBe('executed')
  })

  it('stored response too large to have been kept: 409 snapshot-too-large', async () => {
    const one = conformance.operation('small-limits')
    one.on(answer(200, {}, 'x'.repeat(1025)))
    expect((await one.send()).status).toBe(200)
    expectProblem(await one.send(), 'snapshot-too-large')
    expect(one.calls()).toHaveLength(1)
  })
})

// Alone, since it takes the origin away from everybody.
describe('a connection that is refused', () => {
  it('leaves an unknown outcome, since nothing proves that nothing was sent', async () => {
    const one = conformance.operation('default')
    await conformance.origin.close()
    try {
      expectProblem(await one.send(), 'outcome-unknown', { status: 502 })
    } finally {
      await conformance.origin.reopen()
    }
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(0)
  })
})

describe.concurrent('a problem', () => {
  it.each(Object.keys(PROBLEMS) as Slug[])(
    'has a type that resolves to a page: %s',
    async (slug) => {
      const one = conformance.operation('default')
      const { type } = (await one.send({ key: null })).json() as { type: string }
      const url = type.replace('key-missing', slug)
      const page = await fetch(url, { headers: { Accept: 'text/html' } })
      const html = await page.text()
      expect([page.status, page.headers.get('content-type')]).toEqual([
        200,
        expect.stringMatching(/^text\/html/),
      ])
      expect(html).toContain(`<code>${slug}</code>`)
      const markdown = await fetch(url, { headers: { Accept: 'text/markdown' } })
      expect(markdown.headers.get('content-type')).toMatch(/^text\/markdown/)
      expect(await markdown.text()).toMatch(/^# \S/)
    },
  )

  it('of no known name has no page; the known ones are listed', async () => {
    const { url } = conformance.gateway
    expect((await fetch(`${url}/_hapax/problems/no-such-problem`)).status).toBe(404)
    const list = await (await fetch(`${url}/_hapax/problems`)).text()
    for (const slug of Object.keys(PROBLEMS)) {
      expect(list).toContain(`href="/_hapax/problems/${slug}"`)
    }
  })

  it('is Markdown with all of its facts for who accepts text/markdown', async () => {
    const one = conformance.operation('default')
    await one.send()
    const asJson = (await one.send(OTHER_BODY)).json() as Record<string, unknown>
    const reply = await one.send({ ...OTHER_BODY, headers: { Accept: 'text/markdown' } })
    expect([reply.status, reply.headers['content-type']]).toEqual([
      409,
      expect.stringMatching(/^text\/markdown/),
    ])
    expect(reply.headers).toMatchObject({
      'hapax-error': 'key-reused',
      'x-should-retry': 'false',
      'stripe-should-retry': 'false',
      'idempotency-status': 'mismatch',
    })
    const facts = [asJson['title'], asJson['detail'], asJson['type'], 'new-key', '409']
    for (const fact of facts) expect(reply.text).toContain(String(fact))
    expect(reply.text).toContain(String(reply.headers['x-correlation-id']))
  })

  it.each([
    { accept: '*/*' },
    { accept: 'application/json' },
    { accept: 'application/json, text/plain, */*' },
    { accept: 'text/html' },
    { accept: 'application/problem+json, text/markdown;q=0.5' },
    { accept: 'application/json, text/markdown;q=0.5' },
    { accept: '*/*, text/markdown;q=0' },
  ])('is JSON for who accepts $accept', async ({ accept }) => {
    const one = conformance.operation('default')
    expectProblem(await one.send({ key: null, headers: { Accept: accept } }), 'key-missing')
    expect(one.calls()).toHaveLength(0)
  })

  it('is no success for who reads only `error`, as stripe-node does', async () => {
    const one = conformance.operation('default')
    expect((await one.send({ key: null })).json()).toMatchObject({
      error: { type: 'idempotency_error', code: 'key-missing', message: expect.any(String) },
    })
  })

  it('is not for caches', async () => {
    const one = conformance.operation('default')
    expect((await one.send({ key: null })).headers['cache-control']).toBe('no-store')
  })

  it('tells duplicates that are turned away together different times to come back', async () => {
    const one = conformance.operation('no-wait')
    const release = one.hold()
    const startedAt = performance.now()
    const first = one.send()
    await one.received()
    const replies = await Promise.all(Array.from({ length: 30 }, () => one.send()))
    const runningSeconds = (performance.now() - startedAt) / 1_000
    release(answer(201))
    await first
    const seconds = replies.map(({ headers }) => Number(headers['retry-after']))
    expect(Math.min(...seconds)).toBeGreaterThanOrEqual(1)
    // As long as it has run, a second at least, and up to as much again by chance; rounded.
    expect(Math.max(...seconds)).toBeLessThanOrEqual(2 * Math.max(1, runningSeconds) + 0.5)
    expect(new Set(seconds).size).toBeGreaterThan(1)
  })
})

describe.concurrent('every answer on a protected route', () => {
  it.each<{ name: string; route: string; word: string; send(one: Operation): Promise<Reply> }>([
    { name: 'executed', route: 'default', word: 'executed', send: (one) => one.send() },
    {
      name: 'replayed',
      route: 'default',
      word: 'replayed',
      async send(one) {
        await one.send()
        return one.send()
      },
    },
    {
      name: 'without a key where none is required',
      route: 'optional',
      word: 'unprotected',
      send: (one) => one.send({ key: null }),
    },
    {
      name: 'with a key where none is required',
      route: 'optional',
      word: 'executed',
      send: (one) => one.send(),
    },
    {
      name: 'not executed',
      route: 'default',
      word: 'not-executed',
      send(one) {
        one.on(answer(503))
        return one.send()
      },
    },
  ])('bears status and correlation id: $name', async ({ route, word, send: run }) => {
    const reply = await run(conformance.operation(route))
    expect(statusOf(reply)).toBe(word)
    expect(reply.headers['x-correlation-id']).toMatch(/^[\da-f-]{36}$/)
  })

  it('bears the correlation id that the client sent', async () => {
    const one = conformance.operation('default')
    const reply = await one.send({ headers: { 'X-Correlation-Id': 'order-7' } })
    expect(reply.headers['x-correlation-id']).toBe('order-7')
  })

  it('bears the trace id of the client that sent no correlation id', async () => {
    const one = conformance.operation('default')
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
    const reply = await one.send({ headers: { traceparent } })
    expect(reply.headers['x-correlation-id']).toBe('0af7651916cd43dd8448eb211c80319c')
  })

  it('on a replay bears the correlation id of the retry, not of the first request', async () => {
    const one = conformance.operation('default')
    await one.send({ headers: { 'X-Correlation-Id': 'try-1' } })
    const reply = await one.send({ headers: { 'X-Correlation-Id': 'try-2' } })
    expect([statusOf(reply), reply.headers['x-correlation-id']]).toEqual(['replayed', 'try-2'])
  })

  it('on a replay bears Idempotent-Replayed and Age, counted from settling', async () => {
    const one = conformance.operation('default')
    const first = await one.send()
    expect(first.headers).not.toHaveProperty('idempotent-replayed')
    expect(first.headers).not.toHaveProperty('age')
    const second = await one.send()
    expect(second.headers).toMatchObject({ 'idempotent-replayed': 'true', age: '0' })
    const later = await eventually(
      () => one.send(),
      ({ headers }) => headers['age'] !== '0',
    )
    expect(later.headers).toMatchObject({ 'idempotent-replayed': 'true', age: '1' })
  })
})

describe('the key', () => {
  it('is nowhere but in the request: not echoed, not logged, not stored', async () => {
    const key = 'a-key-that-nobody-may-see-0123456789'
    const body = '{"secret":"a-body-that-nobody-may-log"}'
    const one = conformance.operation('default')
    const replies = [
      await one.send({ key, body }),
      await one.send({ key, body }),
      await one.send({ key }),
      await one.send({ key: `"${key}`, body }),
      await one.send({ key, authorization: null, body }),
    ]
    expect(replies.map(({ status }) => status)).toEqual([201, 201, 409, 400, 401])
    for (const { headers, text } of replies) {
      expect(JSON.stringify(headers) + text).not.toContain(key)
    }
    const log = conformance.gateway.log()
    expect(log).toContain(String(replies[0]?.headers['x-correlation-id']))
    expect(log).not.toContain(key)
    expect(log).not.toContain('a-body-that-nobody-may-log')
    const files = stateFiles()
    expect(files.some((file) => file.includes('in_progress') || file.includes('succeeded'))).toBe(
      true,
    )
    expect(files.filter((file) => file.includes(key))).toHaveLength(0)
  })
})
