import { decode } from 'hono/jwt'
import * as z from 'zod/mini'

import { logFault } from '../metrics/log.ts'
import { inTime } from '../platform/in-time.ts'

/** How to fetch the team's keys. The cache keeps forged assertions from causing requests to Access. */
const CACHED: RequestInit = { cf: { cacheTtlByStatus: { '200-299': 300 } } }
const FRESH: RequestInit = { cache: 'no-store' }
const FETCH_TIMEOUT_MS = 5_000

/** How long keys that were fetched past the cache answer for unknown key ids. */
const FRESH_MS = 2_000

const KeySchema = z.looseObject({ kid: z.string(), kty: z.literal('RSA') })
const KeySetSchema = z.object({ keys: z.array(z.unknown()).check(z.minLength(1)) })

type Key = z.infer<typeof KeySchema>

interface KeySet {
  readonly issuer: string
  readonly at: number
  readonly keys: readonly Key[]
}

let fresh: KeySet | null = null

/** The key of an assertion; `lost` if the keys could not be read. */
export type FoundKey = CryptoKey | 'lost' | null

/**
 * Finds the key of a team that an assertion names. A key id that is not in the cached set may be
 * newer, so the set is read again past the cache.
 *
 * @returns `null` if it names none of the team's keys.
 */
export async function findKey(issuer: string, assertion: string): Promise<FoundKey> {
  const kid = readKeyId(assertion)
  if (kid === null) return null
  try {
    const named = ({ kid: id }: Key) => id === kid
    const key =
      (await fetchKeys(issuer, CACHED)).find(named) ?? (await freshKeys(issuer)).find(named)
    return key === undefined ? null : await importKey(key)
  } catch (error) {
    logFault('the keys of Cloudflare Access could not be read', error)
    return 'lost'
  }
}

function readKeyId(assertion: string): string | null {
  try {
    const { alg, kid } = decode(assertion).header as { alg?: unknown; kid?: unknown }
    return alg === 'RS256' && typeof kid === 'string' ? kid : null
  } catch {
    return null
  }
}

async function freshKeys(issuer: string): Promise<readonly Key[]> {
  const now = Date.now()
  if (fresh?.issuer === issuer && now - fresh.at < FRESH_MS) return fresh.keys
  const keys = await fetchKeys(issuer, FRESH)
  fresh = { issuer, at: now, keys }
  return keys
}

/** Fetches the keys within a limit, which includes the end of their text. */
function fetchKeys(issuer: string, how: RequestInit): Promise<readonly Key[]> {
  return inTime(readKeys(issuer, how), FETCH_TIMEOUT_MS)
}

async function readKeys(issuer: string, how: RequestInit): Promise<readonly Key[]> {
  const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS)
  const answer = await fetch(`${issuer}/cdn-cgi/access/certs`, { ...how, signal })
  if (!answer.ok) {
    await answer.body?.cancel()
    throw new Error(`${issuer} answered ${answer.status}. Is HAPAX_ACCESS_TEAM right?`)
  }
  const set = KeySetSchema.parse(await answer.json())
  return set.keys.flatMap((key) => KeySchema.safeParse(key).data ?? [])
}

function importKey(key: Key): Promise<CryptoKey> {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
  return crypto.subtle.importKey('jwk', key, algorithm, false, ['verify'])
}
