/**
 * Parses a host that stands alone, with its port or without.
 *
 * @param protocol Decides which port is the default one, which a host does not name.
 * @returns The host as URLs write it, or `null` where the text is anything else.
 */
export function parseHost(text: string, protocol = 'https:'): string | null {
  const written = `${protocol}//${text}`
  if (!URL.canParse(written)) return null
  const { href, host } = new URL(written)
  return href === `${protocol}//${host}/` ? host : null
}
