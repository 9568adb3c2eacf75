import { once } from 'node:events'

import { describe, expect, it } from 'vitest'

import { open, responseTo } from '../client.ts'
import { firstAnswers, statusOf, toSent, useConformance } from '../harness.ts'
import { answer, answerInChunks, streamed } from '../origin.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()
const MIB = 1024 * 1024

describe.concurrent('a limit of the route', () => {
  it.each([
    { name: 'declared', headers: {} },
    { name: 'sent without a length', headers: { 'Transfer-Encoding': 'chunked' } },
  ])('takes 64 bytes and refuses 65 before anything is stored, $name', async ({ headers }) => {
    const one = conformance.operation('small-limits')
    const text = { 'Content-Type': 'text/plain', ...headers }
    const tooMuch = { headers: text, body: 'x'.repeat(65) }
    expectProblem(await one.send(tooMuch), 'payload-too-large')
    expectProblem(await one.send(tooMuch), 'payload-too-large')
    expect(one.calls()).toHaveLength(0)
    // The key is as new: another payload is no mismatch, and its call is the first.
    const fits = await one.send({ headers: text, body: 'y'.repeat(64) })
    expect([fits.status, statusOf(fits)]).toEqual([201, 'executed'])
    expect(one.calls()[0]?.body).toHaveLength(64)
    expect(one.calls()[0]?.headers['idempotency-attempt']).toBe('1')
    // Refused before the record is asked: neither a replay nor a mismatch.
    expectProblem(await one.send(tooMuch), 'payload-too-large')
    expect(one.calls()).toHaveLength(1)
  })

  it.each([
    { name: 'declared', headers: {} },
    { name: 'sent without a length', headers: { 'Transfer-Encoding': 'chunked' } },
  ])('is 1 MiB of body where the route says nothing, $name', async ({ headers }) => {
    const one = conformance.operation('default')
    const text = { 'Content-Type': 'text/plain', ...headers }
    const body = Buffer.alloc(MIB + 1, 'abc')
    expectProblem(await one.send({ headers: text, body }), 'payload-too-large')
    expect((await one.send({ headers: text, body: body.subarray(1) })).status).toBe(201)
    expect(one.calls().map((call) => call.body.length)).toEqual([MIB])
  })

  it.each([
    { name: 'with a length', framed: answer },
    { name: 'in chunks', framed: answerInChunks },
  ])('keeps a response of 1024 bytes and not one of 1025, $name', async ({ framed }) => {
    const [kept, lost] = [
      conformance.operation('small-limits'),
      conformance.operation('small-limits'),
    ]
    kept.on(framed(200, {}, 'x'.repeat(1024)))
    lost.on(framed(200, {}, 'x'.repeat(1025)))
    await kept.send()
    const second = await kept.send()
    expect([second.status, statusOf(second), second.body.length]).toEqual([200, 'replayed', 1024])
    const whole = await lost.send()
    expect([whole.status, statusOf(whole), whole.body.length]).toEqual([200, 'executed', 1025])
    expectProblem(await lost.send(), 'snapshot-too-large')
    expectProblem(await lost.send({ body: '{}' }), 'key-reused')
    expect(lost.calls()).toHaveLength(1)
  })

  it('leaves the key free that came with a payload that was refused', async () => {
    const one = conformance.operation('default')
    await one.send({ body: '{' })
    expect(statusOf(await one.send())).toBe('executed')
  })
})

describe('an answer over the limit', () => {
  it('goes to the first client whole, byte by byte, and is not kept', async () => {
    const one = conformance.operation('small-limits')
    const body = Buffer.alloc(3 * MIB, 'abcdefghijk')
    one.on(answer(201, { 'Content-Type': 'application/octet-stream', 'X-Kept': 'yes' }, body))
    const first = await one.send()
    expect([first.status, statusOf(first), first.body.equals(body)]).toEqual([
      201,
      'executed',
      true,
    ])
    expectProblem(await one.send(), 'snapshot-too-large')
    expectProblem(await one.send({ body: '{}' }), 'key-reused')
    expect(one.calls()).toHaveLength(1)
  })

  it('of 8 MiB is kept and of one byte more is not, where the route says nothing', async () => {
    const kept = conformance.operation('default')
    const lost = conformance.operation('default')
    const body = Buffer.alloc(8 * MIB + 1, 'abcdefghijk')
    kept.on(answer(200, {}, body.subarray(1)))
    lost.on(answer(200, {}, body))
    expect((await kept.send()).body.equals(body.subarray(1))).toBe(true)
    const second = await kept.send()
    expect([statusOf(second), second.body.equals(body.subarray(1))]).toEqual(['replayed', true])
    expect((await lost.send()).body.equals(body)).toBe(true)
    expectProblem(await lost.send(), 'snapshot-too-large')
  })

  it('is read to its end though its client leaves, and is not executed again', async () => {
    const one = conformance.operation('small-limits')
    const finished = Promise.withResolvers<boolean>()
    one.on((response) => {
      response.once('close', () => finished.resolve(response.writableFinished))
      response.end(Buffer.alloc(6 * MIB, 'abcdefghijk'))
    })
    const leaving = new AbortController()
    const outgoing = open(conformance.gateway.url, {
      ...toSent({ signal: leaving.signal }, one.path, one.key),
    })
    outgoing.on('error', () => {})
    outgoing.end('{"amount":5}')
    const incoming = await responseTo(outgoing)
    incoming.on('error', () => {})
    await once(incoming, 'data')
    leaving.abort()
    expectProblem(await one.send(), 'snapshot-too-large')
    expect(await finished.promise).toBe(true)
    expect(one.calls()).toHaveLength(1)
  })

  it('that breaks off breaks off for the client as well, and is not executed again', async () => {
    const one = conformance.operation('small-limits')
    one.on((response) => {
      response.writeHead(200, { 'Content-Length': String(MIB) })
      response.write(Buffer.alloc(MIB / 2), () => response.destroy())
    })
    const coming = await one.begin()
    expect((await coming.ended).isWhole).toBe(false)
    // That it would not have been kept says nothing of whether it was executed.
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('is settled only at its end', async () => {
    const one = conformance.operation('small-limits')
    const { script, stream } = streamed(200)
    firstAnswers(one, script)
    const first = one.begin()
    await stream.write('x'.repeat(2000))
    const coming = await first
    await coming.bodyAt(2000)
    expectProblem(await one.send({ headers: { Prefer: 'wait=0' } }), 'in-progress')
    await stream.breakOff()
    expect((await coming.ended).isWhole).toBe(false)
    expectProblem(await one.send(), 'outcome-unknown')
    expect(one.calls()).toHaveLength(1)
  })

  it('in chunks goes to the first client whole as well', async () => {
    const one = conformance.operation('small-limits')
    one.on((response) => {
      response.writeHead(200)
      for (let nth = 0; nth < 100; nth += 1) response.write('x'.repeat(100))
      response.end()
    })
    expect((await one.send()).body).toHaveLength(10_000)
    expectProblem(await one.send(), 'snapshot-too-large')
    expect(one.calls()).toHaveLength(1)
  })
})
