import { evictDurableObject } from 'cloudflare:test'
import { describe, expect, it, vi } from 'vitest'

import { createGateway, credential, idempotent, type PolicyOptions } from '../../src/hapax.ts'
import { objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { until } from './until.ts'

/**
 * A handler that answers with what the test writes, while it writes. What the origin streams is
 * recorded by the same code, and tested against a real server: `test/e2e/stream.test.ts`.
 */
function streamingGateway(policy: PolicyOptions = {}) {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const encoder = new TextEncoder()
  const handler = vi.fn(
    () => new Response(readable, { headers: { 'Content-Type': 'text/event-stream' } }),
  )
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/chat', idempotent(policy), () => handler())
  return {
    handler,
    send: clientOf(app, '/chat', { isWaiting: false }),
    write: (text: string) => writer.write(encoder.encode(text)),
    end: () => writer.close(),
    breakOff: () => writer.abort(new Error('the origin is gone')),
  }
}

function readerOf(response: Response) {
  const reader = response.body?.getReader()
  const decoder = new TextDecoder()
  return async () => {
    const chunk = await reader?.read()
    return chunk?.value === undefined ? null : decoder.decode(chunk.value)
  }
}

/** Reads a body that is to break off. */
function breaksOff(response: Response): Promise<void> {
  return expect(response.text()).rejects.toThrow(Error)
}

describe('an answer that streams', () => {
  it('reaches the first client while it comes, a duplicate from its beginning, and then the replay', async () => {
    const { handler, send, write, end } = streamingGateway()
    const first = await send('live')
    expect(word(first)).toBe('executed')
    const readFirst = readerOf(first)
    await write('one ')
    expect(await readFirst()).toBe('one ')

    const joined = await send('live')
    expect(word(joined)).toBe('joined')
    const readJoined = readerOf(joined)
    expect(await readJoined()).toBe('one ')
    await write('two')
    expect(await readFirst()).toBe('two')
    expect(await readJoined()).toBe('two')
    await end()
    expect(await readFirst()).toBeNull()
    expect(await readJoined()).toBeNull()

    const replay = await send('live')
    expect([word(replay), await replay.text()]).toEqual(['replayed', 'one two'])
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('is recorded to its end when the client is gone', async () => {
    const { send, write, end } = streamingGateway()
    const first = await send('gone')
    await write('half, ')
    await first.body?.cancel()
    await write('whole')
    await end()
    await until(async () => word(await send('gone')) === 'replayed')
    expect(await (await send('gone')).text()).toBe('half, whole')
  })

  it('and breaks off does so for both clients, and is never replayed as whole', async () => {
    const { handler, send, write, breakOff } = streamingGateway()
    const first = await send('broken')
    const joined = await send('broken')
    await write('half')
    const both = [first, joined].map((response) => breaksOff(response))
    await breakOff()
    await Promise.all(both)
    const retry = await send('broken')
    expect([retry.status, word(retry)]).toEqual([409, 'unknown'])
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('keeps nobody waiting for one who does not read', async () => {
    const { send, write, end } = streamingGateway()
    const slow = await send('slow')
    const quick = (await send('slow')).text()
    const piece = 'x'.repeat(64 * 1024)
    for (let nth = 0; nth < 40; nth++) await write(piece)
    await end()
    expect((await quick).length).toBe(40 * piece.length)
    expect((await slow.text()).length).toBe(40 * piece.length)
    await evictDurableObject(await objectOf('slow'))
    expect((await (await send('slow')).text()).length).toBe(40 * piece.length)
  })

  it('over the limit goes to the first client whole, and is not kept', async () => {
    const { handler, send, write, end } = streamingGateway({ limits: { response: 10 } })
    const first = await send('over')
    const joined = breaksOff(await send('over'))
    const text = first.text()
    await write('0123456789')
    await write('more than that')
    await end()
    expect(await text).toBe('0123456789more than that')
    await joined
    const retry = await send('over')
    expect(retry.headers.get('Hapax-Error')).toBe('snapshot-too-large')
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('of a late owner reaches its own client, and nobody who waits for the newer claim', async () => {
    const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let runs = 0
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/chat', idempotent({ unknown: 'resend', lease: '10m' }), async () => {
      runs += 1
      const text = `run ${runs}`
      await gates[runs - 1]?.promise
      return new Response(text, { headers: { 'Content-Type': 'text/event-stream' } })
    })
    const send = clientOf(app, '/chat', { isWaiting: false })
    const first = send('late-stream')
    await until(() => runs === 1)
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() + 600_001)
    const second = send('late-stream')
    await until(() => runs === 2)
    const waiting = send('late-stream')
    gates[0]?.resolve()
    expect(await (await first).text()).toBe('run 1')
    gates[1]?.resolve()
    const texts = await Promise.all([second, waiting].map(async (answer) => (await answer).text()))
    expect(texts).toEqual(['run 2', 'run 2'])
    vi.useRealTimers()
    expect(runs).toBe(2)
  })
})
