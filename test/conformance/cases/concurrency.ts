import { describe, expect, it } from 'vitest'

import { statusOf, tally, useConformance } from '../harness.ts'
import { answer, answerInChunks, answerJson, hangUp, streamed } from '../origin.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()

describe('100 duplicates at once', () => {
  it('make one call, and all get the same bytes', async () => {
    const one = conformance.operation('default')
    const bytes = Buffer.from([0, 1, 254, 255, 10])
    const release = one.hold()
    const sent = Array.from({ length: 100 }, () => one.send())
    await one.received()
    await one.afterArrivals()
    release(answer(201, { 'Content-Type': 'application/octet-stream' }, bytes))
    const replies = await Promise.all(sent)

    expect(replies.map(({ status }) => status)).toEqual(Array(100).fill(201))
    expect(replies.filter(({ body }) => body.equals(bytes))).toHaveLength(100)
    expect(tally(replies)).toEqual({ executed: 1, joined: 99 })
    expect(one.calls()).toHaveLength(1)
  })

  it('make one call of an origin that answers at once', async () => {
    const one = conformance.operation('default')
    const replies = await Promise.all(Array.from({ length: 100 }, () => one.send()))
    expect(replies.map(({ text }) => text)).toEqual(Array(100).fill('1'))
    expect(replies.filter((reply) => statusOf(reply) === 'executed')).toHaveLength(1)
    expect(one.calls()).toHaveLength(1)
  })

  it('make one call that is lost, and all are told so', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const sent = Array.from({ length: 100 }, () => one.send())
    await one.received()
    await one.afterArrivals()
    release(hangUp)
    const replies = await Promise.all(sent)
    for (const reply of replies) {
      expectProblem(reply, 'outcome-unknown', { status: 502, word: statusOf(reply) ?? '' })
    }
    expect(tally(replies)).toEqual({ joined: 99, unknown: 1 })
    expect(one.calls()).toHaveLength(1)
  })

  it('of 100 operations make 100 calls', async () => {
    const all = Array.from({ length: 100 }, () => conformance.operation('default'))
    // Longer than the default: on a busy machine a hundred calls at once may need that.
    const patient = { headers: { Prefer: 'wait=60' } }
    const sent = all.flatMap((one) => [one.send(patient), one.send(patient)])
    const replies = await Promise.all(sent)
    expect(replies.map(({ status, text }) => `${status} ${text}`)).toEqual(Array(200).fill('201 1'))
    expect(all.map((one) => one.calls().length)).toEqual(Array(100).fill(1))
  })
})

describe.concurrent('an in-flight duplicate', () => {
  it('waits for the running call by default', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const second = one.send()
    await one.afterArrivals()
    release(answer(201, { 'Set-Cookie': 'a=1', 'X-Kept': 'yes' }, 'done'))

    expect((await first).headers['set-cookie']).toEqual(['a=1'])
    const joined = await second
    expect([joined.status, statusOf(joined), joined.text]).toEqual([201, 'joined', 'done'])
    expect(joined.headers['x-kept']).toBe('yes')
    expect(joined.headers).not.toHaveProperty('idempotent-replayed')
    expect(joined.headers).not.toHaveProperty('age')
    expect(joined.headers).not.toHaveProperty('set-cookie')
  })

  it('gets Set-Cookie where the policy keeps it', async () => {
    const one = conformance.operation('keep-cookies')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const second = one.send()
    await one.afterArrivals()
    release(answer(201, { 'Set-Cookie': ['a=1', 'b=2'] }))
    await first
    const joined = await second
    expect([statusOf(joined), joined.headers['set-cookie']]).toEqual(['joined', ['a=1', 'b=2']])
  })

  it('is answered at once where the wait is 0', async () => {
    const one = conformance.operation('no-wait')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const startedAt = performance.now()
    expectProblem(await one.send(), 'in-progress')
    expect(performance.now() - startedAt).toBeLessThan(9_000)
    release(answer(201))
    await first
  })

  it('waits where the policy says 0 and it prefers to wait', async () => {
    const one = conformance.operation('no-wait')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const second = one.send({ headers: { Prefer: 'wait=20' } })
    await one.afterArrivals()
    release(answer(201, {}, 'done'))
    await first
    const joined = await second
    expect([joined.status, statusOf(joined), joined.text]).toEqual([201, 'joined', 'done'])
  })

  it.each([
    { prefer: 'wait=1' },
    { prefer: 'respond-later, wait=1' },
    { prefer: 'WAIT = 1; foo=bar' },
  ])('waits as long as it prefers where that is less: Prefer: $prefer', async ({ prefer }) => {
    const one = conformance.operation('default')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const startedAt = performance.now()
    expectProblem(await one.send({ headers: { Prefer: prefer } }), 'in-progress')
    const waitedMs = performance.now() - startedAt
    release(answer(201))
    await first
    expect(waitedMs).toBeGreaterThan(950)
    expect(waitedMs).toBeLessThan(9_000)
  })

  it('waits longer than the policy where it prefers that', async () => {
    const one = conformance.operation('short-wait')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const patient = one.send({ headers: { Prefer: 'wait=20' } })
    // Three waits of the policy pass one after the other.
    for (let nth = 0; nth < 3; nth += 1) expectProblem(await one.send(), 'in-progress')
    release(answer(201, {}, 'done'))
    await first
    const joined = await patient
    expect([joined.status, statusOf(joined), joined.text]).toEqual([201, 'joined', 'done'])
  })

  it('with another payload is a mismatch before it is in-flight', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const first = one.send()
    await one.received()
    expectProblem(await one.send({ body: '{"amount":6}' }), 'key-reused')
    release(answer(201))
    expect(statusOf(await first)).toBe('executed')
    expect(one.calls()).toHaveLength(1)
  })

  it('gets the answer that nothing was executed for, and the key is free', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const second = one.send()
    await one.afterArrivals()
    release(answer(503, {}, 'busy'))
    expect(statusOf(await first)).toBe('not-executed')
    const joined = await second
    expect([joined.status, statusOf(joined), joined.text]).toEqual([503, 'joined', 'busy'])
    one.on(answer(201, {}, 'done'))
    const third = await one.send()
    expect([third.status, statusOf(third), third.text]).toEqual([201, 'executed', 'done'])
    expect(one.calls()).toHaveLength(2)
  })

  it('is told at once where the answer says that it will be over the limit', async () => {
    const one = conformance.operation('small-limits')
    const { script, stream } = streamed(200, { 'Content-Length': '2000000' })
    const release = one.hold()
    const first = one.begin()
    await one.received()
    const second = one.send()
    await one.afterArrivals()
    release(script)
    await stream.write('x')
    // The first client still gets its answer.
    expectProblem(await second, 'snapshot-too-large')
    await stream.write('x'.repeat(1_999_999))
    await stream.end()
    const { ended } = await first
    expect((await ended).body).toHaveLength(2_000_000)
    expectProblem(await one.send(), 'snapshot-too-large')
    expect(one.calls()).toHaveLength(1)
  })

  it('sees an answer over the limit break off that does not say its length', async () => {
    const one = conformance.operation('small-limits')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const second = one.begin()
    await one.afterArrivals()
    release(answerInChunks(200, {}, 'x'.repeat(1025)))
    expect((await first).body).toHaveLength(1025)
    const joined = await second
    expect([statusOf(joined), (await joined.ended).isWhole]).toEqual(['joined', false])
    expectProblem(await one.send(), 'snapshot-too-large')
    expect(one.calls()).toHaveLength(1)
  })

  it('gets every byte of an answer that is stored in several rows', async () => {
    const one = conformance.operation('default')
    const bytes = Buffer.alloc(2.5 * 1024 * 1024, 'abcdefg')
    const release = one.hold()
    const first = one.send()
    await one.received()
    const second = one.send()
    await one.afterArrivals()
    release(answer(200, {}, bytes))
    expect((await first).body.equals(bytes)).toBe(true)
    const joined = await second
    expect([statusOf(joined), joined.body.equals(bytes)]).toEqual(['joined', true])
  })
})

describe.concurrent('the first client', () => {
  it('may leave: the call goes on and its result is there for the retry', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const leaving = new AbortController()
    const first = one.send({ signal: leaving.signal })
    await one.received()
    leaving.abort()
    await expect(first).rejects.toThrow(/abort/i)
    const second = one.send()
    await one.afterArrivals()
    release(answerJson(201, { id: 7 }))
    const joined = await second
    expect([joined.status, statusOf(joined), joined.json()]).toEqual([201, 'joined', { id: 7 }])
    const third = await one.send()
    expect([statusOf(third), third.json()]).toEqual(['replayed', { id: 7 }])
    expect(one.calls()).toHaveLength(1)
  })
})
