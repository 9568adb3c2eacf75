import { describe, expect, it } from 'vitest'

import type { Coming } from '../client.ts'
import { firstAnswers, type Operation, statusOf, useConformance } from '../harness.ts'
import { answer, type Streamed, streamed } from '../origin.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()
const MIB = 1024 * 1024
const EVENTS = { 'Content-Type': 'text/event-stream' }

/** Begins an operation whose answer the test writes; a later call gets a 201. */
function beginStream(
  one: Operation,
  headers: Readonly<Record<string, string>> = EVENTS,
): { readonly first: Promise<Coming>; readonly stream: Streamed } {
  const { script, stream } = streamed(200, headers)
  firstAnswers(one, script)
  return { first: one.begin(), stream }
}

describe.concurrent('an answer of unknown length', () => {
  it('goes to the first client as it comes, while it is recorded', async () => {
    const one = conformance.operation('default')
    const { first, stream } = beginStream(one)
    await stream.write('one ')
    const coming = await first
    expect([coming.status, statusOf(coming)]).toEqual([200, 'executed'])
    expect(coming.headers).toMatchObject({ 'transfer-encoding': 'chunked', ...lower(EVENTS) })
    // The origin has not ended its answer yet.
    expect(await coming.bodyAt(4)).toBe('one ')
    await stream.write('two')
    expect(await coming.bodyAt(7)).toBe('one two')
    await stream.end()
    expect(await coming.ended).toEqual({ isWhole: true, body: Buffer.from('one two') })

    const replay = await one.send()
    expect([replay.status, statusOf(replay), replay.text]).toEqual([200, 'replayed', 'one two'])
    expect(replay.headers).toMatchObject({ 'content-length': '7', ...lower(EVENTS) })
    expect(replay.headers).not.toHaveProperty('transfer-encoding')
    expect(one.calls()).toHaveLength(1)
  })

  it('goes to a duplicate from its beginning, which then follows', async () => {
    const one = conformance.operation('default')
    const { first, stream } = beginStream(one, { ...EVENTS, 'Set-Cookie': 'a=1' })
    await stream.write('one ')
    const coming = await first
    const joined = await one.begin()
    expect([joined.status, statusOf(joined)]).toEqual([200, 'joined'])
    expect(joined.headers).toMatchObject(lower(EVENTS))
    expect(joined.headers).not.toHaveProperty('set-cookie')
    expect(joined.headers).not.toHaveProperty('idempotent-replayed')
    expect(joined.headers).not.toHaveProperty('age')
    expect(await joined.bodyAt(4)).toBe('one ')
    await stream.write('two')
    expect(await joined.bodyAt(7)).toBe('one two')
    await stream.end()
    for (const { ended } of [coming, joined]) {
      expect(await ended).toEqual({ isWhole: true, body: Buffer.from('one two') })
    }
    expect(one.calls()).toHaveLength(1)
  })

  it('goes to a duplicate that waited for its headers', async () => {
    const one = conformance.operation('default')
    const release = one.hold()
    const first = one.begin()
    await one.received()
    const second = one.begin()
    await one.afterArrivals()
    const { script, stream } = streamed(200, EVENTS)
    release(script)
    await stream.write('one ')
    const both = await Promise.all([first, second])
    expect(both.map(statusOf)).toEqual(['executed', 'joined'])
    for (const coming of both) expect(await coming.bodyAt(4)).toBe('one ')
    await stream.end()
    for (const { ended } of both) {
      expect(await ended).toEqual({ isWhole: true, body: Buffer.from('one ') })
    }
  })

  it('is in progress until its end: another payload is a mismatch, who does not wait is told so', async () => {
    const one = conformance.operation('default')
    const { first, stream } = beginStream(one)
    await stream.write('one')
    const coming = await first
    expectProblem(await one.send({ body: '{"amount":6}' }), 'key-reused')
    expectProblem(await one.send({ headers: { Prefer: 'wait=0' } }), 'in-progress')
    await stream.end()
    await coming.ended
    expect(statusOf(await one.send())).toBe('replayed')
  })

  it('breaks off for all of its clients where the origin does, and is held', async () => {
    const one = conformance.operation('default')
    const { first, stream } = beginStream(one)
    await stream.write('half')
    const coming = await first
    const joined = await one.begin()
    await joined.bodyAt(4)
    await stream.breakOff()
    expect([statusOf(coming), statusOf(joined)]).toEqual(['executed', 'joined'])
    for (const { ended } of [coming, joined]) {
      expect(await ended).toEqual({ isWhole: false, body: Buffer.from('half') })
    }
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('is recorded to its end though its client leaves', async () => {
    const one = conformance.operation('default')
    const { first, stream } = beginStream(one)
    await stream.write('one ')
    const coming = await first
    await coming.bodyAt(4)
    coming.hangUp()
    await stream.write('two')
    await stream.end()
    const second = await one.send()
    expect([second.status, second.text]).toEqual([200, 'one two'])
    expect(statusOf(second)).toMatch(/^(?:joined|replayed)$/)
    expect(one.calls()).toHaveLength(1)
  })

  it('goes on to the first client alone where it grows over the limit of the route', async () => {
    const one = conformance.operation('small-limits')
    const { first, stream } = beginStream(one)
    await stream.write('x'.repeat(1000))
    const coming = await first
    const joined = await one.begin()
    await joined.bodyAt(1000)
    const rest = 'y'.repeat(2000)
    await stream.write(rest)
    await stream.end()
    expect(await coming.ended).toEqual({
      isWhole: true,
      body: Buffer.from('x'.repeat(1000) + rest),
    })
    expect([statusOf(joined), (await joined.ended).isWhole]).toEqual(['joined', false])
    expectProblem(await one.send(), 'snapshot-too-large')
    expect(one.calls()).toHaveLength(1)
  })

  it('is for the first client only where the origin says no-store', async () => {
    const one = conformance.operation('default')
    const { first, stream } = beginStream(one, { ...EVENTS, 'Idempotency-Store': 'no-store' })
    await stream.write('secret')
    const coming = await first
    expectProblem(await one.send(), 'result-not-kept')
    await stream.end()
    expect(await coming.ended).toEqual({ isWhole: true, body: Buffer.from('secret') })
    expectProblem(await one.send(), 'result-not-kept')
    expect(one.calls()).toHaveLength(1)
  })
})

describe.concurrent('an answer of known length', () => {
  it('over 1 MiB goes to the first client as it comes', async () => {
    const one = conformance.operation('default')
    const half = Buffer.alloc(MIB, 'abcdefg')
    const { first, stream } = beginStream(one, { 'Content-Length': String(2 * MIB) })
    await stream.write(half)
    const coming = await first
    await coming.bodyAt(MIB)
    const joined = await one.begin()
    expect([statusOf(coming), statusOf(joined)]).toEqual(['executed', 'joined'])
    for (const { headers } of [coming, joined]) {
      expect(headers['content-length']).toBe(String(2 * MIB))
    }
    await stream.write(half)
    await stream.end()
    const whole = Buffer.concat([half, half])
    for (const { ended } of [coming, joined]) {
      const { isWhole, body } = await ended
      expect([isWhole, body.equals(whole)]).toEqual([true, true])
    }
    const replay = await one.send()
    expect([statusOf(replay), replay.body.equals(whole)]).toEqual(['replayed', true])
    expect(replay.headers['content-length']).toBe(String(2 * MIB))
  })

  it('over 1 MiB breaks off for the client where the origin does, and is held', async () => {
    const one = conformance.operation('default')
    const { first, stream } = beginStream(one, { 'Content-Length': String(2 * MIB) })
    await stream.write(Buffer.alloc(MIB, 'abcdefg'))
    const coming = await first
    await coming.bodyAt(MIB)
    await stream.breakOff()
    expect([statusOf(coming), (await coming.ended).isWhole]).toEqual(['executed', false])
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('up to 1 MiB is collected first: one that breaks off is a problem', async () => {
    const one = conformance.operation('default')
    const { script, stream } = streamed(200, { 'Content-Length': String(MIB) })
    firstAnswers(one, script)
    const first = one.send()
    await stream.write(Buffer.alloc(MIB / 2, 'abcdefg'))
    await stream.breakOff()
    expectProblem(await first, 'outcome-unknown', { status: 502 })
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })
})

describe.concurrent('an answer whose outcome is not certain', () => {
  it.each([500, 503])(
    'is collected first, in chunks as well, so that a %i is tried again',
    async (status) => {
      const one = conformance.operation('retry-resend')
      const { script, stream } = streamed(status)
      firstAnswers(one, script)
      const first = one.send()
      await stream.write('no')
      await stream.end()
      const reply = await first
      expect([reply.status, statusOf(reply), reply.text]).toEqual([201, 'executed', 'call 2'])
      one.on(answer(500))
      expect(statusOf(await one.send())).toBe('replayed')
    },
  )
})

const lower = (headers: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
