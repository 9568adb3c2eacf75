import { splitPointer } from '../json/pointer.ts'
import { childrenOf, findValue, type Span } from '../json/spans.ts'
import { readValueAt } from '../json/value-at.ts'
import * as details from '../response/problem-details.ts'
import type { Problem } from '../response/problem.ts'
import { err, ok, type Result } from '../result.ts'
import { checkFormat, type KeyFormat, parsePlainKey } from './key.ts'

/** Where the items of a batch are, and where each has its key. */
export interface BatchShape {
  /** JSON pointer to the array; `''` if the body itself is the array. */
  readonly items: string
  /** JSON pointer within an item; `''` if the item itself is the key. */
  readonly pointer: string
  /** Most items that one batch may have. */
  readonly size: number
}

/** What a route requires of a batch. */
export interface BatchRules {
  readonly keyFormat: KeyFormat
  /** Whether a batch with an item that has no key is refused. */
  readonly required: boolean
  /** In bytes, of one request. */
  readonly limits: { readonly request: number }
}

/**
 * The text around the items is sent with each of them. All these copies together may be so many times
 * as long as a request: otherwise one request could become a hundred of its size.
 */
const MAX_UNFOLDED = 4

/** One item of a batch. */
export interface BatchItem {
  /** Its key as JSON, as the client wrote it; `null` if it has none. */
  readonly keyText: string | null
  /** Its position in the text of the batch. */
  readonly span: Span
}

/** A batch in which every item can be told by its key. */
export interface Batch {
  readonly text: string
  /** Position of the array in the text. */
  readonly array: Span
  /** One at least, in the order of the request. */
  readonly items: readonly BatchItem[]
}

/**
 * Finds the items of a batch. A fault of one refuses all of them, before anything is claimed: a
 * client that gets keys wrong must not have half of its batch executed.
 *
 * @param text JSON (RFC 8259) in which no object has two members of one name.
 */
export function readBatch(
  text: string,
  shape: BatchShape,
  rules: BatchRules,
): Result<Batch, Problem> {
  const array = findValue(text, tokensOf(shape.items))
  if (array === null || text[array.start] !== '[') {
    return err(details.payloadInvalid(`The body has no array of items ${at(shape.items)}.`))
  }
  // One more tells that there are too many; the array may hold millions.
  const children = childrenOf(text, array, (index) => Number(index) <= shape.size)
  const spans = children.map(({ span }) => span)
  if (spans.length === 0) {
    return err(details.payloadInvalid(`The array ${at(shape.items)} has no items.`))
  }
  if (spans.length > shape.size) return err(details.tooManyItems(shape.size))
  const around = text.length - (array.end - array.start)
  if (around * spans.length > MAX_UNFOLDED * rules.limits.request) {
    return err(details.itemsTooLarge(spans.length))
  }
  const items = readItems(text, spans, shape, rules)
  return items.ok ? ok({ text, array, items: items.value }) : items
}

function readItems(
  text: string,
  spans: readonly Span[],
  shape: BatchShape,
  rules: BatchRules,
): Result<readonly BatchItem[], Problem> {
  const items: BatchItem[] = []
  const indexByKey = new Map<string, number>()
  for (const [index, span] of spans.entries()) {
    const found = readKey(text.slice(span.start, span.end), tokensOf(shape.pointer))
    const key = toItemKey(found, at(`${shape.items}/${index}${shape.pointer}`), rules)
    if (!key.ok) return key
    items.push({ keyText: found?.text ?? null, span })
    if (key.value === null) continue
    const twin = indexByKey.get(key.value)
    if (twin !== undefined) {
      const detail = `The items ${twin} and ${index} have the same key. Send each item once.`
      return err(details.payloadInvalid(detail))
    }
    indexByKey.set(key.value, index)
  }
  return ok(items)
}

function toItemKey(
  found: FoundKey | null,
  where: string,
  { keyFormat, required }: BatchRules,
): Result<string | null, Problem> {
  if (found === null) return required ? err(details.itemKeyMissing(where)) : ok(null)
  const key = found.key.ok ? checkFormat(found.key.value, keyFormat) : found.key
  return key.ok ? key : err(details.keyInvalid(`${key.error} It stands ${where}.`))
}

/** Reads the key in a body of `cutItem`. @returns `null` if the item has none. */
export function keyOfOnlyItem(
  text: string,
  { items, pointer }: BatchShape,
): Result<string, string> | null {
  return readKey(text, tokensOf(`${items}/0${pointer}`))?.key ?? null
}

/** Cuts a body with one item only. All other bytes stay as the client wrote them. */
export function cutItem({ text, array }: Batch, { span }: BatchItem): string {
  const item = text.slice(span.start, span.end)
  return `${text.slice(0, array.start)}[${item}]${text.slice(array.end)}`
}

interface FoundKey {
  /** As the client wrote it. */
  readonly text: string
  readonly key: Result<string, string>
}

/** A string and a number that read the same are one key: a client may turn one into the other. */
function readKey(text: string, tokens: readonly string[]): FoundKey | null {
  const value = readValueAt(text, tokens)
  if (value === null) return null
  const isKey = value.kind !== 'nested'
  const key = isKey ? parsePlainKey(value.text) : err('The key is no string, number or boolean.')
  return { text: value.written, key }
}

const tokensOf = (pointer: string) => (pointer === '' ? [] : splitPointer(pointer))

const at = (pointer: string) => (pointer === '' ? 'at its root' : `at ${pointer}`)
