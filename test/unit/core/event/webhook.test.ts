import { Webhook } from 'standardwebhooks'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { signWebhook } from '../../../../src/core/event/webhook.ts'

const NOW = Date.parse('2026-11-24T12:00:00.999Z')
const SECRET = secretOf('-'.repeat(24))
const OTHER = secretOf('an older secret, 32 bytes long..')
const BODY = '{"data":{"name":"Jürgen 🚲"}}'

function secretOf(text: string): string {
  return `whsec_${btoa(text)}`
}

/** What a receiver makes of it that uses the specification's own library. */
function verify(secret: string, body: string, headers: Record<string, string>): unknown {
  return new Webhook(secret).verify(body, headers)
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: NOW })
})

afterEach(() => {
  vi.useRealTimers()
})

describe('signWebhook', () => {
  it.each([
    { what: 'an event', id: 'op-1.1.succeeded', body: BODY },
    { what: 'an empty body', id: 'a', body: '' },
    { what: 'an id with dots', id: 'a.b.c', body: '{"dots":"1.2"}' },
  ])('is verified by a receiver: $what', async ({ id, body }) => {
    const headers = await signWebhook([SECRET], id, NOW, body)
    expect(verify(SECRET, body, headers)).toEqual(body === '' ? undefined : JSON.parse(body))
  })

  it('signs as the specification says, to the letter', async () => {
    const headers = await signWebhook([SECRET], 'msg_1', NOW, BODY)
    expect(headers).toEqual({
      'webhook-id': 'msg_1',
      'webhook-timestamp': '1795521600',
      'webhook-signature': new Webhook(SECRET).sign('msg_1', new Date(NOW), BODY),
    })
  })

  it('is refused when anything of it was changed', async () => {
    const headers = await signWebhook([SECRET], 'msg_1', NOW, BODY)
    const changed = [
      () => verify(SECRET, BODY.replace('J', 'I'), headers),
      () => verify(SECRET, BODY, { ...headers, 'webhook-id': 'msg_2' }),
      () => verify(SECRET, BODY, { ...headers, 'webhook-timestamp': '1795521601' }),
      () => verify(OTHER, BODY, headers),
    ]
    for (const check of changed) expect(check).toThrow('No matching signature')
  })

  it('bears the time of its delivery: the receiver takes it for five minutes', async () => {
    const sentBefore = (ms: number) => signWebhook([SECRET], 'msg_1', NOW - ms, BODY)
    expect(verify(SECRET, BODY, await sentBefore(300_000))).toEqual(JSON.parse(BODY))
    const late = await sentBefore(301_000)
    expect(() => verify(SECRET, BODY, late)).toThrow('too old')
  })

  it('signs with both secrets while one is replaced by the other', async () => {
    const headers = await signWebhook([SECRET, OTHER], 'msg_1', NOW, BODY)
    expect(headers['webhook-signature']?.split(' ')).toHaveLength(2)
    expect(verify(SECRET, BODY, headers)).toEqual(JSON.parse(BODY))
    expect(verify(OTHER, BODY, headers)).toEqual(JSON.parse(BODY))
  })

  it.each([
    { what: 'without its prefix', secret: btoa('-'.repeat(48)) },
    { what: 'that is no Base64', secret: 'whsec_!!!' },
    { what: 'of 23 bytes', secret: secretOf('-'.repeat(23)) },
    { what: 'that is empty', secret: 'whsec_' },
  ])('refuses a secret $what, and does not tell it', async ({ secret }) => {
    const refusal = await signWebhook([secret], 'msg_1', NOW, BODY).catch((error: unknown) => error)
    expect(refusal).toBeInstanceOf(Error)
    expect(String(refusal)).toContain('must be whsec_ and at least 24 bytes in Base64')
    expect(String(refusal)).not.toContain(secret.length > 6 ? secret : '""')
  })
})
