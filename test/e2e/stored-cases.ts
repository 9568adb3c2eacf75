import { json, type Respond } from './server.ts'

/** The body of every request that stored operations were made by. */
export const BODY = '{"amount":1,"to":{"name":"Ada"}}'
/** One that differs from it, and where. */
export const OTHER_BODY = '{"amount":2,"to":{"name":"Bob"}}'
export const OTHER_POINTERS = ['/amount', '/to/name']

/** Secrets of a deployment that seals. */
export const SECRETS = {
  HAPAX_SEAL_KEY: 'a secret of this test alone, 0815',
  HAPAX_DIGEST_KEY: 'another secret of this test alone, 4711',
} as const
export const HAPAX_WEBHOOK_SECRET = `whsec_${btoa('a secret of this test, long enough')}`

/** Larger than one piece. It is stored in clear only: sealed zeros are large in a dump. */
export const LARGE_BYTES = 1_100_000

const bytes = (type: string, body: Uint8Array): Respond => ({
  kind: 'respond',
  headers: { 'Content-Type': type },
  body,
})

/** Final answers of the origin by path. */
export const ANSWERS: Readonly<Record<string, Respond>> = {
  '/kept/small': {
    ...json(201, { name: 'Ünïcödé', paid: 1.5 }),
    headers: { 'Content-Type': 'application/json', Location: '/payments/1', 'X-Extra': 'a, b' },
  },
  '/kept/empty': { kind: 'respond', status: 204 },
  '/kept/binary': bytes(
    'application/octet-stream',
    Uint8Array.from({ length: 256 }, (_, i) => i),
  ),
  '/kept/events': bytes('text/event-stream', new TextEncoder().encode('data: 1\n\ndata: 2\n\n')),
  '/kept/failed': json(422, { error: 'card-declined' }),
  '/handled/kept': json(201, { handled: true }),
}

/** Operations without a known end, and whether the gateway was killed in the middle of their call. */
export const HELD = ['/held/unknown', '/unlisted', '/held/lost', '/handled/lost'] as const
export const LOST = [
  '/held/lost',
  '/handled/lost',
  '/asked/done',
  '/asked/not-done',
  '/resent/lost',
  '/durable/lost',
] as const
/** Operations whose origin has answered 500. */
export const FAULTY = [
  '/held/unknown',
  '/held/erased',
  '/unlisted',
  '/resent/unknown',
  '/durable/unknown',
] as const
