import { describe, expect, it } from 'vitest'

import { send } from '../client.ts'
import { firstAnswers, type Operation, stateFiles, statusOf, useConformance } from '../harness.ts'
import { answer, answerInChunks, hangUp, streamed } from '../origin.ts'
import { expectProblem } from '../problem.ts'

const conformance = useConformance()
const alice = { Authorization: 'Bearer alice' }

/** What the origin got as its key, which is the id of the operation. */
const idOf = (one: Operation) => String(one.calls()[0]?.headers['idempotency-key'])
const operationAt = (id: string, headers: Readonly<Record<string, string>> = {}) =>
  send(conformance.gateway.url, {
    method: 'GET',
    path: `/_hapax/operations/${id}`,
    headers: { ...alice, ...headers },
  })

describe.concurrent('a sealed snapshot', () => {
  it.each([
    { name: 'with a length', framed: answer },
    { name: 'in chunks', framed: answerInChunks },
  ])('is replayed as any other, $name', async ({ framed }) => {
    const one = conformance.operation('sealed')
    const body = Buffer.alloc(1.5 * 1024 * 1024, 'abcdefg')
    one.on(framed(201, { 'X-Kept': 'yes', 'Content-Type': 'text/plain' }, body))
    expect((await one.send()).body.equals(body)).toBe(true)
    const replay = await one.send()
    expect([replay.status, statusOf(replay), replay.body.equals(body)]).toEqual([
      201,
      'replayed',
      true,
    ])
    expect(replay.headers).toMatchObject({ 'x-kept': 'yes', 'content-type': 'text/plain' })
    expectProblem(await one.send({ body: '{"amount":6}' }), 'key-reused')
    expect(one.calls()).toHaveLength(1)
  })

  it('is nowhere on the disk in clear, head and body', async () => {
    const [sealed, open] = [conformance.operation('sealed'), conformance.operation('default')]
    for (const [one, mark] of [
      [sealed, 'sealed-away'],
      [open, 'left-open'],
    ] as const) {
      one.on(answer(201, { 'X-Mark': `header-${mark}` }, `body-${mark}`))
      await one.send()
    }
    const files = stateFiles()
    const isStored = (text: string) => files.some((file) => file.includes(text))
    expect([isStored('header-left-open'), isStored('body-left-open')]).toEqual([true, true])
    expect([isStored('header-sealed-away'), isStored('body-sealed-away')]).toEqual([false, false])
  })

  it('opens at /result for who brings the key, and tells nobody else what it holds', async () => {
    const one = conformance.operation('sealed')
    one.on(answer(201, { 'X-Secret': 's' }, 'secret'))
    await one.send()
    const id = idOf(one)
    const state = await operationAt(id)
    const url = `/_hapax/operations/${id}/result`
    expect(state.json()).toMatchObject({ state: 'succeeded', result: { url } })
    expect((state.json() as { result: object }).result).toEqual({ url })
    expect(state.text).not.toContain('x-secret')
    expectProblem(await operationAt(`${id}/result`), 'result-not-kept', { word: null })
    const wrongKey = { 'Idempotency-Key': 'another' }
    expectProblem(await operationAt(`${id}/result`, wrongKey), 'result-not-kept', { word: null })
    const result = await operationAt(`${id}/result`, { 'Idempotency-Key': one.key })
    expect([result.status, result.text, result.headers['x-secret']]).toEqual([201, 'secret', 's'])
  })
})

describe.concurrent('reauthorize', () => {
  const askedOf = (one: Operation) => conformance.origin.callsTo(`/may-read/${idOf(one)}`)
  const allow = (one: Operation, status: number, headers = {}, body = '') =>
    conformance.origin.on(`/may-read/${idOf(one)}`, answer(status, headers, body))

  it('asks the origin with the credentials of the caller before a replay, not before a first call', async () => {
    const one = conformance.operation('reauthorize')
    await one.send()
    expect(askedOf(one)).toHaveLength(0)
    allow(one, 204)
    const replay = await one.send({ headers: { Cookie: 'session=2' } })
    expect([replay.status, statusOf(replay), replay.text]).toEqual([201, 'replayed', '1'])
    const [asked] = askedOf(one)
    expect(asked).toMatchObject({
      method: 'GET',
      path: expect.stringMatching(/^\/may-read\/[\w-]{43}\?tenant=[\w-]{43}$/),
      headers: { authorization: 'Bearer alice', cookie: 'session=2' },
    })
    expect(asked?.body).toHaveLength(0)
    // Every time anew.
    await one.send()
    expect(askedOf(one)).toHaveLength(2)
    expect(one.calls()).toHaveLength(1)
  })

  it.each([
    { status: 401, body: 'who are you' },
    { status: 403, body: '{"error":"no longer yours"}' },
    { status: 404, body: '' },
    { status: 302, body: '' },
    { status: 503, body: 'busy' },
  ])('passes a $status on instead of the replay', async ({ status, body }) => {
    const one = conformance.operation('reauthorize')
    one.on(answer(201, { 'X-Secret': 's' }, 'secret'))
    await one.send()
    allow(one, status, { 'X-Why': 'because' }, body)
    const refusal = await one.send()
    expect([refusal.status, statusOf(refusal), refusal.text]).toEqual([status, 'rejected', body])
    expect(refusal.headers).toMatchObject({ 'x-why': 'because' })
    expect(refusal.headers).not.toHaveProperty('x-secret')
    expect(refusal.headers).not.toHaveProperty('idempotent-replayed')
    expect(refusal.headers).not.toHaveProperty('hapax-error')
    // It decides nothing about the operation.
    allow(one, 200)
    expect((await one.send()).text).toBe('secret')
    expect(one.calls()).toHaveLength(1)
  })

  it('is no replay where the origin cannot be asked', async () => {
    const one = conformance.operation('reauthorize')
    await one.send()
    conformance.origin.on(`/may-read/${idOf(one)}`, hangUp)
    expectProblem(await one.send(), 'origin-unreachable', { word: 'rejected' })
    allow(one, 200)
    expect(statusOf(await one.send())).toBe('replayed')
  })

  it('leaves what is stored out of the state of an operation, which asks nobody', async () => {
    const one = conformance.operation('reauthorize')
    one.on(answer(201, { 'X-Secret': 'a-stored-secret' }, 'secret'))
    await one.send()
    allow(one, 403)
    const state = await operationAt(idOf(one))
    expect(state.text).not.toContain('a-stored-secret')
    const url = `/_hapax/operations/${idOf(one)}/result`
    expect((state.json() as { result: object }).result).toEqual({ url })
    expect(askedOf(one)).toHaveLength(0)
  })

  it('is asked for a joined answer and for /result as well', async () => {
    const one = conformance.operation('reauthorize')
    const { script, stream } = streamed(200)
    firstAnswers(one, script)
    const first = one.begin()
    await stream.write('secret')
    const coming = await first
    allow(one, 403, {}, 'no')
    const joined = await one.send()
    expect([joined.status, statusOf(joined), joined.text]).toEqual([403, 'rejected', 'no'])
    await stream.end()
    expect(await coming.ended).toEqual({ isWhole: true, body: Buffer.from('secret') })
    const refused = await operationAt(`${idOf(one)}/result`)
    expect([refused.status, refused.text]).toEqual([403, 'no'])
    allow(one, 200)
    expect((await operationAt(`${idOf(one)}/result`)).text).toBe('secret')
  })
})
