import type { Context } from 'hono'

import type { Answer } from '../core/answer.ts'
import { fromBase64, toBase64 } from '../core/base64.ts'
import { type Differences, findDifferences, type PlaceDigests } from '../core/differences.ts'
import { keyReused } from '../core/problem-details.ts'
import { deriveSealKey, seal, unseal } from '../core/seal.ts'
import type { Admitted, Exchange } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { toVerdict, type Verdict } from './verdict.ts'

/**
 * Seals the digests of what a request is made of, for the record: they open only with the client's
 * key, which is not stored, so that nobody who reads the storage learns names or tries out values.
 */
export async function sealPlaces(
  c: Context<GatewayEnv>,
  operationId: string,
  clientKey: string,
  digests: PlaceDigests,
): Promise<string> {
  const key = await keyOf(c, operationId, clientKey)
  const bytes = new TextEncoder().encode(JSON.stringify([...digests]))
  return toBase64(await seal(key, operationId, bytes))
}

/** Says what the object has answered, and of a mismatch in what the requests differ. */
export async function explain(
  { c, policy }: Exchange,
  admitted: Admitted,
  answer: Answer,
): Promise<Verdict> {
  const verdict = toVerdict(answer, policy)
  if (answer.kind !== 'mismatch') return verdict
  const differences = await compare(c, admitted, answer.places)
  return { ...verdict, reply: keyReused(policy.mismatchStatus, differences) }
}

/** Tells in what a request differs from the one that the record is of; `null` where that cannot be told. */
async function compare(
  c: Context<GatewayEnv>,
  { claim, key: clientKey, compared }: Admitted,
  places: string,
): Promise<Differences | null> {
  const { operationId } = claim
  // One of the two is not compared by its parts.
  if (compared === null || places === '') return null
  try {
    const key = await keyOf(c, operationId, clientKey)
    const opened = await unseal(key, operationId, fromBase64(places))
    const known = JSON.parse(new TextDecoder().decode(opened)) as [string, string][]
    return await findDifferences(new Map(known), compared, c.var.hapax.digest, clientKey)
  } catch {
    // The secret was changed; that the requests differ is certain all the same.
    return null
  }
}

function keyOf(c: Context<GatewayEnv>, operationId: string, clientKey: string) {
  return deriveSealKey(`hapax ${c.env.HAPAX_DIGEST_KEY ?? ''}`, 'places', operationId, clientKey)
}
