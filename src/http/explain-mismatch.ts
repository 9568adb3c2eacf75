import type { Context } from 'hono'

import { fromBase64 } from '../core/base64.ts'
import { type Differences, findDifferences } from '../core/fingerprint/differences.ts'
import type { Answer } from '../core/operation/answer.ts'
import { type Explanation, placesKeyOf, toExplanation } from '../core/operation/explanation.ts'
import { keyReused } from '../core/response/problem-details.ts'
import { unseal } from '../core/seal.ts'
import type { Admitted, Exchange } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { scopeOf } from './request-scope.ts'
import { toVerdict, type Verdict } from './verdict.ts'

/** What explains a later mismatch; `null` for a request with a fingerprint only, which has no parts. */
export function explanationOf({
  compared,
  key,
}: Pick<Admitted, 'compared' | 'key'>): Explanation | null {
  return compared && toExplanation(compared, key)
}

/** Makes the verdict of an answer. For a mismatch, it contains the differences of the requests. */
export async function explain(
  { c, policy }: Exchange,
  admitted: Admitted,
  answer: Answer,
): Promise<Verdict> {
  const verdict = toVerdict(answer, policy, scopeOf(c).base)
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
    const key = placesKeyOf(c.env.HAPAX_DIGEST_KEY, operationId, clientKey)
    const opened = await unseal(key, operationId, fromBase64(places))
    const known = JSON.parse(new TextDecoder().decode(opened)) as [string, string][]
    return findDifferences(new Map(known), compared, scopeOf(c).digest, clientKey)
  } catch {
    // The secret has changed. The requests differ in any case.
    return null
  }
}
