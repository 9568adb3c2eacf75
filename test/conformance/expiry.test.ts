import { describe, expect, it, vi } from 'vitest'

import type { Reply } from './client.ts'
import { eventually, firstAnswers, type Operation, statusOf, useConformance } from './harness.ts'
import { answer, hangUp } from './origin.ts'
import { expectProblem } from './problem.ts'

// Most of the time is spent waiting, so that all of it is waited for at once.
vi.setConfig({ maxConcurrency: 20 })

const conformance = useConformance()
const OTHER_BODY = { body: '{"amount":6}' }

const essence = (reply: Reply) => [reply.status, statusOf(reply), reply.text]
const untilExecuted = (one: Operation) =>
  eventually(
    () => one.send(),
    (reply) => statusOf(reply) === 'executed',
  )
const untilExpired = (one: Operation) =>
  eventually(
    () => one.send(),
    ({ status }) => status === 410,
  )

/** Sends the same request again and again for as long as that, and then once more. */
async function keepsSending(one: Operation, forMs: number): Promise<readonly Reply[]> {
  const endsAt = performance.now() + forMs
  const replies: Reply[] = []
  await eventually(
    async () => {
      const reply = await one.send()
      replies.push(reply)
      return reply
    },
    () => performance.now() > endsAt,
  )
  return [...replies, await one.send()]
}

describe.concurrent('retention', () => {
  it('lasts as long as the route says: a replay before, a new operation after', async () => {
    const one = conformance.operation('short-retention')
    const sentAt = performance.now()
    await one.send()
    expect(essence(await one.send())).toEqual([201, 'replayed', '1'])
    expect(essence(await untilExecuted(one))).toEqual([201, 'executed', '2'])
    expect(performance.now() - sentAt).toBeGreaterThanOrEqual(3_000)
    expect(one.calls()).toHaveLength(2)
    expect(one.calls()[1]?.headers['idempotency-attempt']).toBe('1')
  })

  it('counts from settling, however slow the origin was', async () => {
    const one = conformance.operation('short-retention')
    const release = one.hold()
    const first = one.send()
    await one.received()
    // Longer than the retention.
    expectProblem(await one.send({ headers: { Prefer: 'wait=4' } }), 'in-progress')
    const releasedAt = performance.now()
    release(answer(201, {}, 'late'))
    expect(essence(await first)).toEqual([201, 'executed', 'late'])
    expect(essence(await one.send())).toEqual([201, 'replayed', 'late'])
    one.on(answer(201, {}, 'anew'))
    expect(essence(await untilExecuted(one))).toEqual([201, 'executed', 'anew'])
    expect(performance.now() - releasedAt).toBeGreaterThanOrEqual(3_000)
    expect(one.calls()).toHaveLength(2)
  })

  it('does not begin while a call runs: a duplicate is still in flight, another payload a mismatch', async () => {
    const one = conformance.operation('short-retention')
    const release = one.hold()
    const first = one.send()
    await one.received()
    expectProblem(await one.send({ headers: { Prefer: 'wait=4' } }), 'in-progress')
    expectProblem(await one.send(OTHER_BODY), 'key-reused')
    const second = one.send()
    await one.afterArrivals()
    release(answer(201, {}, 'done'))
    expect(essence(await first)).toEqual([201, 'executed', 'done'])
    expect(essence(await second)).toEqual([201, 'joined', 'done'])
    expect(one.calls()).toHaveLength(1)
  })

  it('does not begin while a handler in the Worker runs', async () => {
    const one = conformance.operation('handler-retention')
    const release = one.hold()
    const first = one.send()
    await one.received()
    expectProblem(await one.send({ headers: { Prefer: 'wait=4' } }), 'in-progress')
    release(answer(200, {}, 'run 1'))
    expect(statusOf(await first)).toBe('executed')
    expect(essence(await one.send())).toEqual([201, 'replayed', '{"run":"run 1"}'])
    one.on(answer(200, {}, 'run 2'))
    expect(essence(await untilExecuted(one))).toEqual([201, 'executed', '{"run":"run 2"}'])
    expect(one.calls()).toHaveLength(2)
  })

  it('over, the key is free for another payload, whose answer is what is replayed', async () => {
    const one = conformance.operation('short-retention')
    firstAnswers(one, answer(200, { 'X-First': 'yes' }, 'a longer body than the second'))
    await one.send()
    expectProblem(await one.send(OTHER_BODY), 'key-reused')
    const other = await eventually(
      () => one.send(OTHER_BODY),
      ({ status }) => status !== 409,
    )
    expect(essence(other)).toEqual([201, 'executed', 'call 2'])
    const replay = await one.send(OTHER_BODY)
    expect(essence(replay)).toEqual([201, 'replayed', 'call 2'])
    expect(replay.headers).not.toHaveProperty('x-first')
    expectProblem(await one.send(), 'key-reused')
    expect(one.calls()).toHaveLength(2)
  })

  it('is that of the origin where it says max-age, shorter than the route', async () => {
    const one = conformance.operation('default')
    firstAnswers(one, answer(201, { 'Idempotency-Store': 'max-age=3' }, 'for three seconds'))
    const sentAt = performance.now()
    await one.send()
    expect(essence(await one.send())).toEqual([201, 'replayed', 'for three seconds'])
    expect(essence(await untilExecuted(one))).toEqual([201, 'executed', 'call 2'])
    expect(performance.now() - sentAt).toBeGreaterThanOrEqual(3_000)
  })

  it('is a second at least, where the origin says max-age=0', async () => {
    const one = conformance.operation('default')
    firstAnswers(one, answer(201, { 'Idempotency-Store': 'max-age=0' }, 'for a moment'))
    const sentAt = performance.now()
    await one.send()
    expect(essence(await untilExecuted(one))).toEqual([201, 'executed', 'call 2'])
    expect(performance.now() - sentAt).toBeGreaterThanOrEqual(1_000)
  })

  it('is that of the origin where it says max-age, longer than the route', async () => {
    const one = conformance.operation('short-retention')
    firstAnswers(one, answer(201, { 'Idempotency-Store': 'max-age=60' }, 'for a minute'))
    await one.send()
    const replies = await keepsSending(one, 4_000)
    expect(new Set(replies.map((reply) => essence(reply).join(' ')))).toEqual(
      new Set(['201 replayed for a minute']),
    )
    expect(one.calls()).toHaveLength(1)
  })
})

describe.concurrent('a tombstone', () => {
  it('refuses a late retry, whatever its payload, and then the key is new again', async () => {
    const one = conformance.operation('short-tombstone')
    const sentAt = performance.now()
    await one.send()
    expect(essence(await one.send())).toEqual([201, 'replayed', '1'])
    expectProblem(await untilExpired(one), 'key-expired')
    expect(performance.now() - sentAt).toBeGreaterThanOrEqual(3_000)
    expectProblem(await one.send(OTHER_BODY), 'key-expired')
    expectProblem(await one.send({ path: '/second-route/tombstone' }), 'key-expired')
    expect(one.calls()).toHaveLength(1)

    const again = await eventually(
      () => one.send(OTHER_BODY),
      ({ status }) => status !== 410,
    )
    expect(performance.now() - sentAt).toBeGreaterThanOrEqual(6_000)
    expect(essence(again)).toEqual([201, 'executed', '2'])
    expect(essence(await one.send(OTHER_BODY))).toEqual([201, 'replayed', '2'])
    expect(one.calls()).toHaveLength(2)
  })

  it('stands as long as the route says', async () => {
    const one = conformance.operation('tombstone')
    await one.send()
    expectProblem(await untilExpired(one), 'key-expired')
    const replies = await keepsSending(one, 4_000)
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([410]))
    expect(one.calls()).toHaveLength(1)
  })

  it('is not left of a key that was freed', async () => {
    const one = conformance.operation('tombstone')
    one.on(answer(503))
    const replies = await keepsSending(one, 4_000)
    expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([503]))
  })
})

describe.concurrent('an unknown outcome', () => {
  it.each([
    { name: 'held', route: 'short-retention' },
    { name: 'held where the route leaves tombstones', route: 'tombstone' },
  ])('that is $name does not expire', async ({ route }) => {
    const one = conformance.operation(route)
    one.on(hangUp)
    await one.send()
    for (const reply of await keepsSending(one, 4_000)) expectProblem(reply, 'outcome-unknown')
    expectProblem(await one.send(OTHER_BODY), 'key-reused')
    expect(one.calls()).toHaveLength(1)
  })

  it('that the origin cannot tell does not expire, and is settled when it can', async () => {
    const one = conformance.operation('probe-short-retention')
    one.on(hangUp)
    await one.send()
    const status = `/status/${one.calls()[0]?.headers['idempotency-key'] as string}`
    conformance.origin.on(status, answer(500))
    for (const reply of await keepsSending(one, 4_000)) {
      expectProblem(reply, 'outcome-unknown', { retry: 'wait' })
    }
    conformance.origin.on(status, answer(200, {}, 'done'))
    expect(essence(await one.send())).toEqual([200, 'replayed', 'done'])
    // From here its retention counts.
    one.on(answer(201, {}, 'anew'))
    expect(essence(await one.send())).toEqual([200, 'replayed', 'done'])
    expect(essence(await untilExecuted(one))).toEqual([201, 'executed', 'anew'])
  })

  it('that may be sent again is forgotten after the retention', async () => {
    const one = conformance.operation('resend-short-retention')
    one.on(answer(500))
    await one.send()
    expectProblem(await one.send(OTHER_BODY), 'key-reused')
    one.on(answer(201, {}, 'anew'))
    const other = await eventually(
      () => one.send(OTHER_BODY),
      ({ status }) => status !== 409,
    )
    expect(essence(other)).toEqual([201, 'executed', 'anew'])
    expect(one.calls()[1]?.headers['idempotency-attempt']).toBe('1')
  })
})
