/** A reference to a secret of the deployment. Only the name is stored, listed or logged, never the value. */
export interface SecretRef {
  readonly secret: string
  /** Authentication scheme in front of the value, as in `Bearer …`. */
  readonly scheme?: string
}

/**
 * Uses a secret of this deployment as the value of a header. It is read when the header is sent.
 *
 * @param name Name of the secret, as in `npx wrangler secret put CRM_TOKEN`.
 * @param options `scheme`: authentication scheme in front of the value.
 * @example webhook(url, { headers: { Authorization: secret('CRM_TOKEN', { scheme: 'Bearer' }) } })
 */
export function secret(name: string, options: { readonly scheme?: string } = {}): SecretRef {
  return { secret: name, ...options }
}

/** Reads a reference to a secret. @returns `null` where it is none. */
export function toSecretRef(value: unknown): SecretRef | null {
  const { secret: name, scheme, ...rest } = Object(value) as Record<string, unknown>
  if (!isSecretName(name) || Object.keys(rest).length > 0) return null
  if (scheme === undefined) return { secret: name }
  const isScheme = typeof scheme === 'string' && /^[\w!#$%&'*+.^`|~-]+$/.test(scheme)
  return isScheme ? { secret: name, scheme } : null
}

/** Whether it can name a secret, and is not one itself where the name of one belongs. */
export function isSecretName(value: unknown): value is string {
  return typeof value === 'string' && /^(?!whsec_)[a-z_]\w{0,127}$/i.test(value)
}
