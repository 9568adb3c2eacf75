import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { Policy } from '../config/policy.ts'
import type { Keeping } from '../core/operation-guard.ts'
import { deriveSealKey, type SealKey } from '../core/seal.ts'
import { requireSpill } from '../platform/spill.ts'
import type { GatewayEnv } from './gateway-env.ts'

const KEY_ID_LENGTH = 12

/**
 * The keys that open stored responses for a client: one for each secret that this deployment has,
 * the present one first.
 */
export function sealKeysOf(
  c: Context<GatewayEnv>,
  operationId: string,
  clientKey: string,
): Promise<SealKey[]> {
  const { HAPAX_SEAL_KEY, HAPAX_SEAL_KEY_PREVIOUS } = c.env
  const secrets = [HAPAX_SEAL_KEY, HAPAX_SEAL_KEY_PREVIOUS].filter((secret) => !!secret)
  return Promise.all(
    secrets.map(async (secret = '') => ({
      id: (await c.var.hapax.digest('seal key', secret)).slice(0, KEY_ID_LENGTH),
      bytes: await deriveSealKey(secret, 'snapshot', operationId, clientKey),
    })),
  )
}

/**
 * How a route keeps its snapshots.
 *
 * @throws {ConfigurationFault} When the deployment lacks what the route needs for that.
 */
export function keepingOf(
  c: Context<GatewayEnv>,
  policy: Policy,
  keys: readonly SealKey[],
): Keeping {
  const { seal, spill } = policy.snapshot
  const [key] = keys
  if (seal && key === undefined) {
    throw new ConfigurationFault('A route with snapshot.seal needs the secret HAPAX_SEAL_KEY.')
  }
  if (spill !== undefined) requireSpill(c.env.SNAPSHOTS)
  return { sealKey: seal ? (key ?? null) : null, spillBytes: spill ?? null }
}
