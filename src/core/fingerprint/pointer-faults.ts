import { EVERY, parsePointer } from '../json/pointer.ts'

/** What is wrong with one pointer of a policy. */
export interface PointerFault {
  readonly list: 'ignore' | 'dates'
  readonly index: number
  /** A sentence that says what to write instead. */
  readonly fault: string
}

interface Placed {
  readonly list: PointerFault['list']
  readonly index: number
  readonly pointer: string
  readonly tokens: readonly string[]
}

/**
 * Finds pointers that can never match, or change nothing: in another language than RFC 6901, or
 * where another pointer has left out the value already.
 */
export function findPointerFaults(
  ignore: readonly string[],
  dates: readonly string[],
): readonly PointerFault[] {
  const ignored = place('ignore', ignore)
  const all = [...ignored, ...place('dates', dates)]
  return all.flatMap((own) => {
    const fault = foreign(own) ?? superfluous(own, all)
    return fault === null ? [] : [{ list: own.list, index: own.index, fault }]
  })
}

function place(list: Placed['list'], pointers: readonly string[]): readonly Placed[] {
  return pointers.flatMap((pointer, index) => {
    const tokens = parsePointer(pointer)
    return tokens.ok ? [{ list, index, pointer, tokens: tokens.value }] : []
  })
}

/** What JSONPath writes, and a pointer does not. */
const INDEX = /\[(\d+|\*|-\d+)?\]$/

function foreign({ pointer, tokens }: Placed): string | null {
  if (tokens.includes('**')) {
    return `"${pointer}": "**" stands for nothing; write one pointer for each depth, with "*" for every member or item of one.`
  }
  if (tokens[0] === '$' || tokens[0]?.startsWith('$.')) {
    return `"${pointer}" is JSONPath; write a JSON pointer (RFC 6901) from the document on, such as "/items/*/sent_at".`
  }
  // A form may have a field of the name items[0].
  const isField = tokens.length === 1 && !/^\[|\[(?:\*|-\d+)\]$/.test(tokens[0] ?? '')
  const isIndexed = !isField && tokens.some((token) => INDEX.test(token))
  return isIndexed
    ? `"${pointer}" has an index in brackets; write it as a token of its own: "/items/0/sent_at", or "/items/*/sent_at" for every item.`
    : null
}

function superfluous(own: Placed, all: readonly Placed[]): string | null {
  const other = all.find((one) => one !== own && makesSuperfluous(one, own))
  if (other === undefined) return null
  return other.pointer === own.pointer && other.list === own.list
    ? `"${own.pointer}" stands here twice; leave one of them out.`
    : `"${own.pointer}" changes nothing, since "${other.pointer}" of ${other.list} covers it; leave one of them out.`
}

/** Of two that mean the same, the later one. */
function makesSuperfluous(one: Placed, own: Placed): boolean {
  if (!covers(one.tokens, own.tokens)) return false
  if (one.list === 'dates' && own.list === 'ignore') return false
  // A date is one value: what lies beneath it may be another.
  if (one.list === 'dates' && one.tokens.length < own.tokens.length) return false
  const isSame = one.list === own.list && covers(own.tokens, one.tokens)
  return !isSame || one.index < own.index
}

/** Whether the one pointer leads wherever the other does, or above that. */
function covers(upper: readonly string[], lower: readonly string[]): boolean {
  return (
    upper.length <= lower.length &&
    upper.every((token, index) => token === EVERY || token === lower[index])
  )
}
