import type { Context } from 'hono'

import type { GatewayEnv } from './gateway-env.ts'

/** Answers requests below `/_hapax/claims`. @returns `null` if there is nothing at this path. */
export type ClaimsHandler = (c: Context<GatewayEnv>) => Promise<Response | null>

let deployed: ClaimsHandler | null = null

/** Lets every app of this Worker serve claims from elsewhere. Their code uses a gateway itself. */
export function deployClaims(handler: ClaimsHandler): void {
  deployed = handler
}

/** Answers a claim from elsewhere, if this Worker takes them. */
export async function answerClaims(c: Context<GatewayEnv>): Promise<Response> {
  return (await deployed?.(c)) ?? c.text('Not found', 404)
}
