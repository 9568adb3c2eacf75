/** Lines of context around a change. */
const CONTEXT = 3

interface Line {
  readonly sign: ' ' | '+' | '-'
  readonly text: string
}

/** Shows how a text changes, line by line. A text that is new has no lines before. */
export function toDifference(before: string, after: string): string {
  const lines = compare(toLines(before), toLines(after))
  const isShown = lines.map((_, at) =>
    lines.slice(Math.max(0, at - CONTEXT), at + CONTEXT + 1).some(({ sign }) => sign !== ' '),
  )
  return lines
    .flatMap((line, at) => {
      if (isShown[at]) return [`${line.sign} ${line.text}`.trimEnd()]
      return isShown[at - 1] && isShown.includes(true, at) ? ['  …'] : []
    })
    .join('\n')
}

const toLines = (text: string) => (text === '' ? [] : text.replace(/\r?\n$/, '').split(/\r?\n/))

function compare(before: readonly string[], after: readonly string[]): Line[] {
  const start = commonLength(before, after)
  const end = commonLength(before.slice(start).toReversed(), after.slice(start).toReversed())
  return [
    ...before.slice(0, start).map((text) => same(text)),
    ...compareMiddle(
      before.slice(start, before.length - end),
      after.slice(start, after.length - end),
    ),
    ...before.slice(before.length - end).map((text) => same(text)),
  ]
}

const same = (text: string): Line => ({ sign: ' ', text })

function commonLength(one: readonly string[], other: readonly string[]): number {
  const found = one.findIndex((text, at) => text !== other[at])
  return found === -1 ? Math.min(one.length, other.length) : found
}

/** By the longest common subsequence. The parts that differ are short. */
function compareMiddle(before: readonly string[], after: readonly string[]): Line[] {
  const lengths = commonLengths(before, after)
  const lengthAt = (i: number, j: number) => lengths[i]?.[j] ?? 0
  const lines: Line[] = []
  let [i, j] = [0, 0]
  while (i < before.length || j < after.length) {
    const [removed, added] = [before[i], after[j]]
    if (removed !== undefined && removed === added) {
      lines.push({ sign: ' ', text: removed })
      i += 1
      j += 1
    } else if (
      added === undefined ||
      (removed !== undefined && lengthAt(i + 1, j) >= lengthAt(i, j + 1))
    ) {
      lines.push({ sign: '-', text: removed ?? '' })
      i += 1
    } else {
      lines.push({ sign: '+', text: added })
      j += 1
    }
  }
  return lines
}

/** Returns the length of the longest common subsequence behind each pair of lines. */
function commonLengths(before: readonly string[], after: readonly string[]): number[][] {
  const table = Array.from({ length: before.length + 1 }, () =>
    Array.from({ length: after.length + 1 }, () => 0),
  )
  for (let i = before.length - 1; i >= 0; i -= 1) {
    const row = table[i] ?? []
    const below = table[i + 1] ?? []
    for (let j = after.length - 1; j >= 0; j -= 1) {
      row[j] =
        before[i] === after[j] ? (below[j + 1] ?? 0) + 1 : Math.max(below[j] ?? 0, row[j + 1] ?? 0)
    }
  }
  return table
}
