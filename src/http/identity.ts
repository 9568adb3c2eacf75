import type { Context } from 'hono'

import type { GatewayEnv, Identify, Identity, TenantResolver } from './gateway-env.ts'

/** A request that does not say whose it is. */
export const NOBODY: Identity = { kind: 'nobody' }

const identifiers = new WeakMap<TenantResolver, Identify>()

/** Makes a resolver that tells more than the tenant to those who ask with `identifyBy`. */
export function createResolver(identify: Identify): TenantResolver {
  const resolve: TenantResolver = async (c) => {
    const identity = await identify(c)
    return identity.kind === 'known' ? identity.tenant : null
  }
  identifiers.set(resolve, identify)
  return resolve
}

/** Asks a resolver. What a function of the deployer's own says, its code has seen to. */
export async function identifyBy(
  resolve: TenantResolver,
  c: Context<GatewayEnv>,
): Promise<Identity> {
  const identify = identifiers.get(resolve)
  return identify === undefined ? known(await resolve(c), { isVerified: true }) : identify(c)
}

/** @returns Nobody where there is no tenant. */
export function known(
  tenant: string | null | undefined,
  { isVerified }: { readonly isVerified: boolean },
): Identity {
  return tenant ? { kind: 'known', tenant, isVerified } : NOBODY
}
