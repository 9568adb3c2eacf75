/** One element of Accept (RFC 9110 §12.5.1). */
interface MediaRange {
  readonly type: string
  /** 0: not acceptable. */
  readonly weight: number
}

/**
 * Finds the media type that a client prefers.
 *
 * @param supported Media types in lower case, the preferred one first.
 * @returns `null` if the client names none of them. The range of all types names none.
 */
export function preferredType<type extends string>(
  accept: string,
  supported: readonly type[],
): type | null {
  const ranges = parseAccept(accept)
  const named = new Set(ranges.map(({ type }) => type))
  const wanted = ranges
    .filter(({ weight }) => weight > 0)
    .toSorted((one, other) => other.weight - one.weight || wildnessOf(one) - wildnessOf(other))
  for (const { type: range } of wanted) {
    const isMeant = (type: string) =>
      range.endsWith('/*')
        ? type.startsWith(range.slice(0, -1)) && !named.has(type)
        : type === range
    const found = supported.find(isMeant)
    if (found !== undefined) return found
  }
  return null
}

const wildnessOf = ({ type }: MediaRange) => type.split('*').length

/** Elements are separated by commas, which a quoted parameter may contain. */
const ELEMENTS = /(?:[^",]|"(?:[^"\\]|\\.)*"?)+/g

const WEIGHT = /;\s*q\s*=\s*"?([^\s";]+)/i

function parseAccept(accept: string): MediaRange[] {
  return (accept.match(ELEMENTS) ?? []).map((element) => {
    const [type = ''] = element.split(';', 1)
    const weight = Number(WEIGHT.exec(element)?.[1] ?? 1)
    return {
      type: type.trim().toLowerCase(),
      weight: Number.isNaN(weight) ? 1 : Math.min(1, weight),
    }
  })
}
