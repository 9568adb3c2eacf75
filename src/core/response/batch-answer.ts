import { toBase64 } from '../base64.ts'
import { parseUtf8 } from '../bytes.ts'
import { findValue } from '../json/spans.ts'
import { readRetryAfter, readShouldRetry } from '../retry/retry-after.ts'
import { isDigest } from '../wire/content-coding.ts'
import { isJson, parseMediaType } from '../wire/media-type.ts'

/** What became of one item of a batch. */
export interface ItemAnswer {
  /** Its key as JSON; `null` where it has none. */
  readonly keyText: string | null
  readonly status: number
  readonly headers: Headers
  /** `null`: it does not fit into the answer any more. */
  readonly body: Uint8Array | null
}

/** An item's part of the answer, as JSON. */
export interface AnsweredItem {
  readonly text: string
  readonly isSuccess: boolean
  /** Whether the item can end otherwise when the same batch is sent again. */
  readonly isRetryable: boolean
  /** Milliseconds to wait before that. */
  readonly retryAfterMs: number
  /** What became of it, in one word. */
  readonly word: string
}

/** What the answer to a batch says of all its items. */
export interface BatchSummary {
  readonly status: 200 | 207
  /** The word that all items share, or `mixed`. */
  readonly word: string
  readonly isRetryable: boolean
  /** The longest of those that are worth another try; 0 where none says. */
  readonly retryAfterMs: number
}

/**
 * Writes an item's part of the answer. A body that is JSON stands there as it came, with every
 * digit of its numbers; other text as a string; anything else in base64, with a member `encoding`.
 *
 * @param isUnknownRetried Whether a repeat of an item of unknown outcome is of use on its route.
 * @param now Epoch milliseconds.
 */
export function toAnsweredItem(
  { keyText, status, headers, body }: ItemAnswer,
  isUnknownRetried: boolean,
  now: number,
): AnsweredItem {
  const word = headers.get('Idempotency-Status') ?? ''
  const isRetryable = decideRetryable(status, headers, isUnknownRetried)
  const members = [
    `"key":${keyText ?? 'null'}`,
    `"status":${status}`,
    `"idempotency":${JSON.stringify(word)}`,
    `"retryable":${isRetryable}`,
    `"headers":${JSON.stringify(toItemHeaders(headers))}`,
    body === null ? '"body":null,"omitted":true' : toBodyMembers(body, headers),
  ]
  return {
    text: `{${members.join(',')}}`,
    isSuccess: status >= 200 && status < 300,
    isRetryable,
    retryAfterMs: (isRetryable && readRetryAfter([...headers], now)) || 0,
    word,
  }
}

/** Says in one answer what became of all items. */
export function summarize(items: readonly AnsweredItem[]): BatchSummary {
  const words = new Set(items.map(({ word }) => word))
  const [only = ''] = words
  return {
    status: items.every(({ isSuccess }) => isSuccess) ? 200 : 207,
    word: words.size === 1 ? only : 'mixed',
    isRetryable: items.some((item) => item.isRetryable),
    retryAfterMs: Math.max(0, ...items.map((item) => item.retryAfterMs)),
  }
}

/** Writes the body of the answer, in pieces. */
export function toAnswerTexts(summary: BatchSummary, items: readonly AnsweredItem[]): string[] {
  const texts = items.map(({ text }, index) => (index === 0 ? text : `,${text}`))
  return [`{"retryable":${summary.isRetryable},"items":[`, ...texts, ']}']
}

/** Statuses of the API that say to come back, where nothing else says whether to. */
const COME_BACK: ReadonlySet<number> = new Set([408, 409, 423, 425, 429])

function decideRetryable(status: number, headers: Headers, isUnknownRetried: boolean): boolean {
  const said = readShouldRetry([...headers])
  if (said !== null) return said
  const word = headers.get('Idempotency-Status')
  if (word === 'unknown') return isUnknownRetried
  return word === 'not-executed' && (COME_BACK.has(status) || status >= 500)
}

/** Of the transfer, of one connection's client, or said in a member of the item or once for all. */
const LEFT_OUT =
  /^(?:access-control-.*|cache-control|content-length|date|idempotency-status|set-cookie|(?:stripe|x)-should-retry|transfer-encoding|vary|x-correlation-id)$/

function toItemHeaders(headers: Headers): Record<string, string> {
  const kept = [...headers].filter(([name]) => !LEFT_OUT.test(name) && !isDigest(name))
  return Object.fromEntries(kept)
}

function toBodyMembers(bytes: Uint8Array, headers: Headers): string {
  if (bytes.byteLength === 0) return '"body":null'
  const text = parseUtf8(bytes)
  if (text === null || headers.has('Content-Encoding')) {
    return `"body":"${toBase64(bytes)}","encoding":"base64"`
  }
  const type = parseMediaType(headers.get('Content-Type') ?? '')
  const isSpliced = type !== undefined && isJson(type) && findValue(text, []) !== null
  return `"body":${isSpliced ? text : JSON.stringify(text)}`
}
