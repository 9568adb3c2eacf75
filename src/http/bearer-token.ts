import type { Context } from 'hono'

/** The bearer token of a request (RFC 6750), or `null`. */
export function bearerOf(c: Context): string | null {
  const [, token] = /^Bearer +(\S+)$/i.exec(c.req.header('Authorization') ?? '') ?? []
  return token ?? null
}

/** Finds the secret that a token equals, in constant time. @returns Its index, or `null`. */
export async function matchSecret(
  token: string,
  secrets: readonly (string | undefined)[],
): Promise<number | null> {
  const matches = await Promise.all(
    secrets.map(async (secret) => !!secret && isSame(secret, token)),
  )
  const index = matches.indexOf(true)
  return index === -1 ? null : index
}

/** Compares digests, which have one length for any input. */
async function isSame(secret: string, token: string): Promise<boolean> {
  const [one, other] = await Promise.all([digest(secret), digest(token)])
  return crypto.subtle.timingSafeEqual(one, other)
}

const digest = (text: string) => crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))
