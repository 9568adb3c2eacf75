import type { TenantResolver } from './gateway-env.ts'

/**
 * Takes the digest of a credential for the tenant, so that each holder of one has keys of its own.
 * Where credentials rotate, a retry with a new one is another tenant's.
 *
 * @param header Name of the header field that holds the credential.
 * @example createGateway({ tenant: credential('Authorization') })
 */
export function credential(header: string): TenantResolver {
  return async function credential(c) {
    const value = c.req.header(header)
    return value ? c.var.hapax.digest('credential', header.toLowerCase(), value) : null
  }
}
