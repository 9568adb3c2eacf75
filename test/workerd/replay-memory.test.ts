import { abortAllDurableObjects, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { createGateway, credential, type IdempotencyObject, protect } from '../../src/hapax.ts'
import { objectOf, send } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

/** Counts the statements of all objects. */
async function watchStatements(key: string) {
  const prototype = await runInDurableObject(
    await objectOf(key),
    (_: IdempotencyObject, { storage }) => Object.getPrototypeOf(storage.sql) as SqlStorage,
  )
  return vi.spyOn(prototype, 'exec')
}

const bodyOf = (length: number) => Uint8Array.from({ length }, (_, index) => (index * 7) % 251)

const playBody = (body: Uint8Array) => playOrigin(() => new Response(body.slice(), { status: 201 }))

describe('a replay', () => {
  it.each([0, 1, 4_096])(
    'reads nothing from the storage for a body of %i bytes',
    async (length) => {
      const key = crypto.randomUUID()
      const body = bodyOf(length)
      playBody(body)
      await send({ key })
      const exec = await watchStatements(key)
      const replayed = await send({ key })
      expect(new Uint8Array(await replayed.arrayBuffer())).toEqual(body)
      expect(exec).not.toHaveBeenCalled()
    },
  )

  it.each([0, 1, 4_096, 4_097, 65_536, 65_537])(
    'gives the same %i bytes each time, also after a restart',
    async (length) => {
      const key = crypto.randomUUID()
      const body = bodyOf(length)
      const { requests } = playBody(body)
      await send({ key })
      for (const isRestarted of [false, false, true, false, false]) {
        if (isRestarted) await abortAllDurableObjects()
        const replayed = await send({ key })
        expect(new Uint8Array(await replayed.arrayBuffer())).toEqual(body)
      }
      expect(requests).toHaveLength(1)
    },
  )

  it('gives the body of the present operation, not of the one that had its key before', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/short', protect({ retention: '1h', tombstone: '1h' }))
    const sendShort = clientOf(app, '/short')
    let count = 0
    playOrigin(() => new Response(`answer ${(count += 1)}`, { status: 201 }))
    const key = crypto.randomUUID()
    await sendShort(key)
    expect(await (await sendShort(key)).text()).toBe('answer 1')
    vi.useFakeTimers({ toFake: ['Date'] })
    vi.setSystemTime(Date.now() + 3 * 3_600_000)
    const executed = await sendShort(key)
    expect(word(executed)).toBe('executed')
    const replayed = await sendShort(key)
    expect(word(replayed)).toBe('replayed')
    expect(await replayed.text()).toBe('answer 2')
  })
})
