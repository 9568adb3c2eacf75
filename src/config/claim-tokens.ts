/** A token with which processes elsewhere claim operations. */
export interface ClaimToken {
  readonly token: string
  /** The tenant that it acts for; `null`: every one. */
  readonly tenant: string | null
}

/** The member of the JSON form whose token acts for every tenant. */
const EVERY_TENANT = '*'

/**
 * Reads `HAPAX_CLAIMS_TOKEN`: one token for every tenant, or JSON with a token for each.
 *
 * @returns `null` if it is neither. A token for two tenants would not say which of them it means.
 */
export function parseClaimTokens(text: string): readonly ClaimToken[] | null {
  if (!text.startsWith('{')) return isToken(text) ? [{ token: text, tenant: null }] : null
  const entries = toEntries(text)
  const tokens = entries.map(([, token]) => token)
  const isSound = entries.every(([tenant, token]) => tenant !== '' && isToken(token))
  if (entries.length === 0 || !isSound || new Set(tokens).size < tokens.length) return null
  return entries.map(([tenant, token]) => ({
    token: String(token),
    tenant: tenant === EVERY_TENANT ? null : tenant,
  }))
}

/** No `Authorization` header could bear another text. */
const isToken = (value: unknown) => typeof value === 'string' && /^[!-~]+$/.test(value)

function toEntries(text: string): [string, unknown][] {
  try {
    return Object.entries(JSON.parse(text) as object)
  } catch {
    return []
  }
}
