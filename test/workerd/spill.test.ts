import { runDurableObjectAlarm } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { createGateway, credential, type PolicyOptions, protect } from '../../src/hapax.ts'
import { listKeys } from './bucket.ts'
import { objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const MIB = 1_048_576

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/exports', protect({ limits: { response: 16 * MIB }, ...policy }))
  return clientOf(app, '/exports')
}

const large = new Uint8Array(3 * MIB).map((_, index) => index % 253)

async function textOf(response: Response): Promise<number[]> {
  const bytes = new Uint8Array(await response.arrayBuffer())
  return [bytes.byteLength, ...bytes.subarray(0, 5), ...bytes.subarray(-5)]
}

describe('snapshot.spill', () => {
  it.each([
    { name: 'in clear', policy: { snapshot: { spill: MIB } }, secrets: {} },
    {
      name: 'sealed',
      policy: { snapshot: { spill: MIB, seal: true } },
      secrets: { HAPAX_SEAL_KEY: 'a secret of thirty-two characters' },
    },
  ])(
    'keeps what is over the size in the bucket, $name, and removes it with the operation',
    async ({ name, policy, secrets }) => {
      const origin = playOrigin(() => new Response(large, { status: 201 }))
      const send = clientWith(policy)
      const key = `spilled-${name.length}`
      const first = await textOf(await send(key, { env: secrets }))
      await until(async () => (await listKeys()).length === 3)
      const again = await send(key, { env: secrets })
      expect(word(again)).toBe('replayed')
      expect(await textOf(again)).toEqual(first)
      expect(first[0]).toBe(large.byteLength)

      const now = Date.now()
      vi.useFakeTimers({ toFake: ['Date'] })
      vi.setSystemTime(now + 25 * 3_600_000)
      await runDurableObjectAlarm(await objectOf(key))
      await until(async () => (await listKeys()).length === 0)
      expect(origin.requests).toHaveLength(1)
    },
  )

  it('leaves nothing in the bucket of an answer that turns out to be over the limit', async () => {
    playOrigin(() => new Response(large, { status: 201 }))
    const send = clientWith({ limits: { response: 2.5 * MIB }, snapshot: { spill: MIB } })
    expect((await textOf(await send('over')))[0]).toBe(large.byteLength)
    expect((await send('over')).headers.get('Hapax-Error')).toBe('snapshot-too-large')
    await until(async () => (await listKeys()).length === 0)
  })

  it('is refused where the deployment has no bucket', async () => {
    const origin = playOrigin(() => new Response(large))
    const send = clientWith({ snapshot: { spill: MIB } })
    const refused = await send('no-bucket', { env: { SNAPSHOTS: undefined } })
    expect([refused.status, refused.headers.get('Hapax-Error')]).toEqual([
      500,
      'gateway-misconfigured',
    ])
    expect(origin.requests).toHaveLength(0)
  })
})
