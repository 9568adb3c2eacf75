import { runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  createGateway,
  credential,
  type IdempotencyObject,
  idempotent,
  type PolicyOptions,
  protect,
} from '../../src/hapax.ts'
import { idOf, objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

const OLD = { HAPAX_SEAL_KEY: 'the old secret, 32 characters long' }
const NEW = { HAPAX_SEAL_KEY: 'the new secret, 32 characters long' }
const ROTATED = { ...NEW, HAPAX_SEAL_KEY_PREVIOUS: OLD.HAPAX_SEAL_KEY }

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/cards', protect({ snapshot: { seal: true }, ...policy }))
  return clientOf(app, '/cards')
}

/** Everything that the object of a key has on the disk, as text. */
async function readStorage(key: string): Promise<string> {
  const object = await objectOf(key)
  return runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) => {
    const tables = sql.exec<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'",
    )
    const rows = Array.from(tables, ({ name }) => sql.exec(`SELECT * FROM ${name}`).toArray())
    const decoder = new TextDecoder('latin1')
    return rows
      .flat()
      .flatMap((row) => Object.values(row))
      .map((value) => (value instanceof ArrayBuffer ? decoder.decode(value) : String(value)))
      .join('\n')
  })
}

const answer = (length?: number) => {
  const body = 'marked-body '.repeat(length ?? 1)
  const headers = { 'X-Card': 'marked-header', 'Content-Length': String(body.length) }
  return () => new Response(body, { status: 201, headers })
}

describe('snapshot.seal', () => {
  it.each([
    { name: 'a small answer', length: 1 },
    { name: 'an answer of several rows', length: 200_000 },
  ])(
    'stores nothing of $name that can be read without the request that made it',
    async ({ length }) => {
      const origin = playOrigin(answer(length))
      const send = clientWith({})
      const key = `sealed-${length}`
      const first = await (await send(key, { env: OLD })).text()
      expect(await readStorage(key)).not.toContain('marked')
      const again = await send(key, { env: OLD })
      expect([again.status, word(again)]).toEqual([201, 'replayed'])
      expect(again.headers.get('X-Card')).toBe('marked-header')
      expect(await again.text()).toBe(first)
      expect(origin.requests).toHaveLength(1)
    },
  )

  it('opens under the secret before the last rotation, and under no other', async () => {
    const origin = playOrigin(answer())
    const send = clientWith({})
    await send('rotated', { env: OLD })
    expect(word(await send('rotated', { env: ROTATED }))).toBe('replayed')
    const lost = await send('rotated', { env: NEW })
    expect([lost.status, lost.headers.get('Hapax-Error')]).toEqual([409, 'result-not-kept'])
    expect(origin.requests).toHaveLength(1)
  })

  it('seals what a handler answers', async () => {
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/handled', idempotent({ snapshot: { seal: true } }), (c) => c.text('marked-handled'))
    const send = clientOf(app, '/handled')
    await send('handled', { env: OLD })
    expect(await readStorage('handled')).not.toContain('marked')
    expect(await (await send('handled', { env: OLD })).text()).toBe('marked-handled')
  })

  it('shows the result by its id only to who brings the key', async () => {
    playOrigin(answer())
    const send = clientWith({})
    await send('by-id', { env: OLD })
    const app = createGateway({ tenant: credential('Authorization') })
    const get = clientOf(app, `/_hapax/operations/${await idOf('by-id')}/result`)
    const without = await get('another-key', { method: 'GET', env: OLD })
    expect(without.headers.get('Hapax-Error')).toBe('result-not-kept')
    expect(await (await get('by-id', { method: 'GET', env: OLD })).text()).toBe('marked-body ')
  })

  it('seals the stored request, and what a later attempt brings', async () => {
    let status = 500
    playOrigin(() => new Response('marked-late', { status, headers: { 'Content-Length': '11' } }))
    const send = clientWith({ unknown: 'resend', durable: true })
    await send('late', { env: OLD })
    expect(await readStorage('late')).not.toContain('marked')
    status = 201
    const again = await send('late', { env: OLD })
    expect(await again.text()).toBe('marked-late')
    expect(await readStorage('late')).not.toContain('marked')
  })

  it('is refused where the deployment has no secret', async () => {
    const origin = playOrigin(answer())
    const send = clientWith({})
    const refused = await send('no-secret')
    expect([refused.status, refused.headers.get('Hapax-Error')]).toEqual([
      500,
      'gateway-misconfigured',
    ])
    expect(origin.requests).toHaveLength(0)
  })
})
