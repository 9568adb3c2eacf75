import type { Context } from 'hono'

import { fromBase64, toBase64 } from '../core/base64.ts'
import {
  type Differences,
  findDifferences,
  type PlaceDigests,
} from '../core/fingerprint/differences.ts'
import type { Answer } from '../core/operation/answer.ts'
import { keyReused } from '../core/response/problem-details.ts'
import { deriveSealKey, seal, unseal } from '../core/seal.ts'
import type { Admitted, Exchange } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { toVerdict, type Verdict } from './verdict.ts'

/**
 * Encrypts the digests of the parts of a request, for the record. They can be opened only with the
 * client's key, which is not stored, so a reader of the storage learns no names and cannot try values.
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

/** Makes the verdict of an answer. For a mismatch, it contains the differences of the requests. */
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

/** Compares a request with the recorded one. @returns `null` if that is not possible. */
async function compare(
  c: Context<GatewayEnv>,
  { claim, key: clientKey, compared }: Admitted,
  places: string,
): Promise<Differences | null> {
  const { operationId } = claim
  // One of the two has only a fingerprint.
  if (compared === null || places === '') return null
  try {
    const key = await keyOf(c, operationId, clientKey)
    const opened = await unseal(key, operationId, fromBase64(places))
    const known = JSON.parse(new TextDecoder().decode(opened)) as [string, string][]
    return await findDifferences(new Map(known), compared, c.var.hapax.digest, clientKey)
  } catch {
    // The secret has changed. The requests differ in any case.
    return null
  }
}

function keyOf(c: Context<GatewayEnv>, operationId: string, clientKey: string) {
  return deriveSealKey(`hapax ${c.env.HAPAX_DIGEST_KEY ?? ''}`, 'places', operationId, clientKey)
}
