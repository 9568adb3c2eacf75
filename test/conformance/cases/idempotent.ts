import { gzipSync } from 'node:zlib'

import { describe, expect, it } from 'vitest'

import { statusOf, tally, useConformance } from '../harness.ts'
import { answer, answerJson } from '../origin.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()

describe.concurrent('a handler in the Worker', () => {
  it('runs once, and every repeat is answered with what it answered', async () => {
    const one = conformance.operation('handler')
    const first = await one.send()
    expect([first.status, statusOf(first)]).toEqual([201, 'executed'])
    expect(first.json()).toEqual({ run: '1', received: '{"amount":5}' })
    expect(first.headers).toMatchObject({ 'x-handler': 'yes', 'set-cookie': ['session=1'] })

    const second = await one.send()
    expect([second.status, statusOf(second)]).toEqual([201, 'replayed'])
    expect(second.body.equals(first.body)).toBe(true)
    expect(second.headers).toMatchObject({
      'x-handler': 'yes',
      'content-type': first.headers['content-type'],
      'idempotent-replayed': 'true',
      age: expect.stringMatching(/^\d$/),
    })
    expect(second.headers).not.toHaveProperty('set-cookie')
    expect(one.calls()).toHaveLength(1)
  })

  it('can read the body, and read it again', async () => {
    const one = conformance.operation('handler-json')
    const first = await one.send({ body: '{"amount":7.0}' })
    expect(first.json()).toEqual({ amount: 7, again: { amount: 7 } })
  })

  it('can read a body of 1 MiB', async () => {
    const one = conformance.operation('handler')
    const body = 'x'.repeat(1024 * 1024)
    const reply = await one.send({ body, headers: { 'Content-Type': 'text/plain' } })
    expect(reply.json()).toEqual({ run: '1', received: body })
  })

  it('runs without a body', async () => {
    const one = conformance.operation('handler')
    const reply = await one.send({ body: '', headers: { 'Content-Type': 'text/plain' } })
    expect(reply.json()).toEqual({ run: '1', received: '' })
  })

  it('may answer with bytes, which are replayed', async () => {
    const one = conformance.operation('handler-bytes')
    const [first, second] = [await one.send(), await one.send()]
    const expected = Buffer.from([0, 255, 128, 13, 10])
    expect([first.body.equals(expected), second.body.equals(expected)]).toEqual([true, true])
    expect(statusOf(second)).toBe('replayed')
  })

  it('may answer without a body, which is replayed', async () => {
    const one = conformance.operation('handler-empty')
    const [first, second] = [await one.send(), await one.send()]
    expect([first.status, second.status, second.body.length]).toEqual([204, 204, 0])
    expect(statusOf(second)).toBe('replayed')
    expect(one.calls()).toHaveLength(1)
  })

  it('runs once for 50 duplicates at once, which all get its answer', async () => {
    const one = conformance.operation('handler')
    const release = one.hold()
    const sent = Array.from({ length: 50 }, () => one.send())
    await one.received()
    await one.afterArrivals()
    release(answer(200, {}, 'run 1'))
    const replies = await Promise.all(sent)
    expect(new Set(replies.map(({ text }) => text))).toEqual(
      new Set(['{"run":"run 1","received":"{\\"amount\\":5}"}']),
    )
    expect(tally(replies)).toEqual({ executed: 1, joined: 49 })
    expect(one.calls()).toHaveLength(1)
  })

  it('answers a duplicate at once where the wait is 0', async () => {
    const one = conformance.operation('handler-no-wait')
    const release = one.hold()
    const first = one.send()
    await one.received()
    expectProblem(await one.send(), 'in-progress')
    release(answer(200, {}, 'run 1'))
    expect((await first).json()).toEqual({ run: 'run 1' })
  })

  it('keeps its claim for longer than its lease, which is renewed', async () => {
    const one = conformance.operation('handler-lease')
    const release = one.hold()
    const first = one.send()
    await one.received()
    // Passes three leases, and then asks again whether the claim stands.
    expectProblem(await one.send({ headers: { Prefer: 'wait=3' } }), 'in-progress')
    expectProblem(await one.send({ headers: { Prefer: 'wait=0' } }), 'in-progress')
    release(answer(200, {}, 'run 1'))
    expect(statusOf(await first)).toBe('executed')
    expect(statusOf(await one.send())).toBe('replayed')
    expect(one.calls()).toHaveLength(1)
  })

  it('that throws leaves an unknown outcome, which is held', async () => {
    const one = conformance.operation('handler-throws')
    const first = await one.send()
    expect([first.status, statusOf(first)]).toEqual([500, 'unknown'])
    expect(first.text).not.toContain('the handler fails')
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('that throws tells those who wait that the outcome is unknown', async () => {
    const one = conformance.operation('handler-throws')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const second = one.send()
    await one.afterArrivals()
    release(answer(200))
    expect((await first).status).toBe(500)
    expectProblem(await second, 'outcome-unknown', { status: 502, word: 'joined' })
  })

  it('that throws runs again where the route says that this is safe', async () => {
    const one = conformance.operation('handler-throws-resend')
    expect(statusOf(await one.send())).toBe('unknown')
    const second = await one.send()
    expect([second.status, statusOf(second), second.json()]).toEqual([
      201,
      'executed',
      { run: '2' },
    ])
    expect(statusOf(await one.send())).toBe('replayed')
    expect(one.calls()).toHaveLength(2)
  })

  it.each([
    { name: 'throws what is no Error', route: 'handler-throws-text' },
    { name: 'answers with a body that breaks off', route: 'handler-breaks-off' },
  ])('that $name leaves an unknown outcome as well', async ({ route }) => {
    const one = conformance.operation(route)
    expect(statusOf(await one.send())).toBe('unknown')
    expectProblem(await one.send({ headers: { Prefer: 'wait=0' } }), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('may answer with more than the limit, which only the first client gets', async () => {
    const one = conformance.operation('handler-large')
    const first = await one.send()
    expect([first.status, statusOf(first), first.text]).toEqual([200, 'executed', 'x'.repeat(100)])
    expectProblem(await one.send(), 'snapshot-too-large')
    expect(one.calls()).toHaveLength(1)
  })

  it('that throws an HTTPException has answered with its status', async () => {
    const one = conformance.operation('handler-exception', '422')
    const [first, second] = [await one.send(), await one.send()]
    expect([first.status, first.text, statusOf(first)]).toEqual([422, 'refused', 'executed'])
    expect([second.status, second.text, statusOf(second)]).toEqual([422, 'refused', 'replayed'])
    expect(one.calls()).toHaveLength(1)
  })

  it('that throws an HTTPException of 503 has executed nothing', async () => {
    const one = conformance.operation('handler-exception', '503')
    const [first, second] = [await one.send(), await one.send()]
    expect([first, second].map(statusOf)).toEqual(['not-executed', 'not-executed'])
    expect(one.calls()).toHaveLength(2)
  })

  it('runs on when its client leaves, whose retry gets its answer', async () => {
    const one = conformance.operation('handler')
    const release = one.hold()
    const leaving = new AbortController()
    const first = one.send({ signal: leaving.signal })
    await one.received()
    leaving.abort()
    await expect(first).rejects.toThrow(/abort/i)
    const second = one.send()
    await one.afterArrivals()
    release(answerJson(200, 'run 1'))
    const joined = await second
    expect([joined.status, statusOf(joined)]).toEqual([201, 'joined'])
    expect(joined.json()).toEqual({ run: '"run 1"', received: '{"amount":5}' })
    expect(statusOf(await one.send())).toBe('replayed')
    expect(one.calls()).toHaveLength(1)
  })

  it.each([
    { name: 'without a key', over: { key: null }, slug: 'key-missing' as const },
    { name: 'with a malformed key', over: { key: 'a,b' }, slug: 'key-invalid' as const },
    { name: 'without credentials', over: { authorization: null }, slug: 'tenant-missing' as const },
    {
      name: 'with JSON that does not parse',
      over: { body: '{' },
      slug: 'payload-invalid' as const,
    },
  ])('does not run $name', async ({ over, slug }) => {
    const one = conformance.operation('handler')
    expectProblem(await one.send(over), slug)
    expect(one.calls()).toHaveLength(0)
  })

  it('does not run for another payload under its key', async () => {
    const one = conformance.operation('handler')
    await one.send()
    expectProblem(await one.send({ body: '{"amount":6}' }), 'key-reused')
    expect(one.calls()).toHaveLength(1)
  })

  it('runs every time without a key where none is required', async () => {
    const one = conformance.operation('handler-optional')
    const replies = [await one.send({ key: null }), await one.send({ key: null })]
    expect(replies.map(statusOf)).toEqual(['unprotected', 'unprotected'])
    expect(replies.map((reply) => reply.json())).toEqual([{ run: '1' }, { run: '2' }])
  })

  it('that throws answers 500 without a key where none is required', async () => {
    const one = conformance.operation('handler-optional-throws')
    const reply = await one.send({ key: null })
    expect([reply.status, statusOf(reply)]).toEqual([500, 'unprotected'])
    expect(reply.text).not.toContain('the handler fails')
    expect(one.calls()).toHaveLength(1)
  })

  it('that throws what is no Error answers 500 without a key as well', async () => {
    const one = conformance.operation('handler-optional-throws-text')
    const reply = await one.send({ key: null })
    expect(one.calls()).toHaveLength(1)
    expect([reply.status, statusOf(reply), reply.headers['hapax-error']]).toEqual([
      500,
      'unprotected',
      undefined,
    ])
  })

  it('runs every time where the mode is off', async () => {
    const one = conformance.operation('handler-off')
    const replies = [await one.send(), await one.send()]
    expect(replies.map(statusOf)).toEqual([undefined, undefined])
    expect(one.calls()).toHaveLength(2)
  })
})

describe.concurrent('behind a middleware that sets headers, as cors does', () => {
  const CORS = {
    'access-control-allow-origin': 'https://shop.example',
    'access-control-expose-headers': 'Idempotency-Status',
    vary: expect.stringMatching(/origin/i) as string,
  }
  const shop = { headers: { Origin: 'https://shop.example' } }

  it.each(['handler-cors', 'cors'])(
    'executed, replayed and refused answers have them: %s',
    async (route) => {
      const one = conformance.operation(route)
      const replies = [
        await one.send({ ...shop, key: null }),
        await one.send({ ...shop, authorization: null }),
        await one.send(shop),
        await one.send(shop),
        await one.send({ ...shop, body: '{"amount":6}' }),
      ]
      expect(replies.map(statusOf)).toEqual([
        'rejected',
        'rejected',
        'executed',
        'replayed',
        'mismatch',
      ])
      for (const { headers } of replies) expect(headers).toMatchObject(CORS)
      const [, , first, replay] = replies
      expect(replay?.headers['content-language']).toBe(first?.headers['content-language'])
      expect(replay?.all('Access-Control-Allow-Origin')).toHaveLength(1)
      expect(one.calls()).toHaveLength(1)
    },
  )

  it('the bytes of the origin are as they came, compressed ones as well', async () => {
    const one = conformance.operation('cors')
    const body = gzipSync('{"id":7}')
    one.on(answer(201, { 'Content-Encoding': 'gzip', 'Content-Type': 'application/json' }, body))
    const accepts = { headers: { ...shop.headers, 'Accept-Encoding': 'gzip' } }
    const replies = [await one.send(accepts), await one.send(accepts)]
    expect(replies.map(statusOf)).toEqual(['executed', 'replayed'])
    for (const reply of replies) {
      expect([reply.headers['content-encoding'], reply.body.equals(body)]).toEqual(['gzip', true])
    }
  })
})
