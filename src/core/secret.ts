/** Names a secret of the deployment. Whatever is stored, listed or logged holds the name, never the value. */
export interface SecretRef {
  readonly secret: string
  /** Stands before the value and a blank, as in `Bearer …`. */
  readonly scheme?: string
}

/**
 * The value of a header is a secret of this deployment, read when it is sent.
 *
 * @param name As in `npx wrangler secret put CRM_TOKEN`.
 * @param options `scheme`: authentication scheme before the value.
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
