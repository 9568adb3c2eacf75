/**
 * Names the network that an address belongs to: an IPv4 address itself, of an IPv6 address the
 * first 64 bits, since whoever has one of them has all.
 *
 * @returns Anything else as it is.
 */
export function toNetwork(address: string): string {
  const host = URL.parse(`http://[${address.trim()}]/`)?.hostname.slice(1, -1)
  if (host === undefined) return address.trim()
  const [head = '', tail] = host.split('::')
  const before = head === '' ? [] : head.split(':')
  const after = tail ? tail.split(':') : []
  const zeros = tail === undefined ? 0 : 8 - before.length - after.length
  const groups = [...before, ...Array<string>(zeros).fill('0'), ...after]
  return groups.slice(0, 5).join('') === '00000' && groups[5] === 'ffff'
    ? toIpv4(groups.slice(6))
    : `${groups.slice(0, 4).join(':')}::/64`
}

/** An IPv4 address that is written as IPv6. */
function toIpv4(groups: readonly string[]): string {
  return groups
    .map((group) => Number.parseInt(group, 16))
    .flatMap((number) => [number >> 8, number & 255])
    .join('.')
}
