import type { Context } from 'hono'

import { parseClaimTokens } from '../config/claim-tokens.ts'
import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { HapaxEnv } from '../config/env.ts'
import { DEPLOYMENT } from '../core/function/once-policy.ts'
import { notForTenant, tokenMissing } from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { bearerOf, matchSecret } from '../http/bearer-token.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'

/** The process that sends a request, by its token. */
export interface ClaimSender {
  /** The only tenant that it acts for; `null`: it says for which one. */
  readonly tenant: string | null
}

/** Whether a deployment takes claims from elsewhere. Without a token their paths do not exist. */
export const takesClaims = (env: HapaxEnv): boolean => !!env.HAPAX_CLAIMS_TOKEN

/**
 * Finds out who sends a request.
 *
 * @throws {ConfigurationFault} If the secret of the deployment is malformed.
 */
export async function authenticateSender(
  c: Context<GatewayEnv>,
): Promise<Result<ClaimSender, Problem>> {
  const { HAPAX_CLAIMS_TOKEN, HAPAX_CLAIMS_TOKEN_PREVIOUS } = c.env
  const tokens = [HAPAX_CLAIMS_TOKEN, HAPAX_CLAIMS_TOKEN_PREVIOUS].flatMap(readTokens)
  const which = await matchSecret(
    bearerOf(c) ?? '',
    tokens.map(({ token }) => token),
  )
  const found = which === null ? undefined : tokens[which]
  return found === undefined ? err(tokenMissing()) : ok(found)
}

function readTokens(secret: string | undefined) {
  if (!secret) return []
  const tokens = parseClaimTokens(secret)
  if (tokens === null) throw new ConfigurationFault(MALFORMED)
  return tokens
}

const MALFORMED =
  'The secret HAPAX_CLAIMS_TOKEN, or the previous one, must be a text without blanks and line breaks, or JSON with another such text for each tenant.'

/** The tenant of a request. @param named As the request says. */
export function tenantOf({ tenant }: ClaimSender, named?: string): Result<string, Problem> {
  if (tenant !== null && named !== undefined && named !== tenant) return err(notForTenant())
  return ok(tenant ?? named ?? DEPLOYMENT)
}
