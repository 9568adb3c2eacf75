import type { IdempotencyStatus } from '../core/idempotency-status.ts'
import { column } from '../core/metric-columns.ts'
import { OUTCOMES } from '../core/outcome.ts'
import { both, either, is, isNot, list, type Word } from './sql.ts'

/**
 * What a status says by itself: the request is a `repeat` of another, the response that was kept is
 * `unreadable`, the outcome is `known` or the key free.
 */
type Meaning = 'repeat' | 'unreadable' | 'known'

/** Every status, and what it says. A new one is filed here. */
export const STATUSES: Readonly<Record<Word<'status'>, readonly Meaning[]>> = {
  executed: ['known'],
  'not-executed': ['known'],
  unknown: [],
  replayed: ['repeat', 'known'],
  accepted: [],
  joined: ['repeat'],
  'in-progress': ['repeat'],
  mismatch: [],
  expired: ['repeat', 'unreadable'],
  'too-large': ['repeat', 'unreadable', 'known'],
  'not-kept': ['repeat', 'unreadable', 'known'],
  sealed: ['repeat', 'unreadable', 'known'],
  unprotected: [],
  rejected: [],
  recovered: ['known'],
  'store-fault': [],
  delivered: [],
  retried: [],
  dead: [],
  released: [],
  resolved: ['known'],
  erased: ['known'],
  requeued: [],
  dropped: [],
}

/** Lists the statuses that say something. */
const statusesOf = (meaning: Meaning) =>
  (Object.keys(STATUSES) as IdempotencyStatus[]).filter((word) => STATUSES[word].includes(meaning))

/** Points that are requests or queue messages; the others are recoveries, deliveries and changes by operators. */
export const IS_REQUEST = isNot('method', 'ALARM', 'EVENT', 'ADMIN')

/** Requests of a route that observes: whatever their verdict, they went through. */
export const IS_OBSERVED = isNot('wouldBe', '')

/** Requests on a route that enforces. */
export const IS_ENFORCED = is('wouldBe', '')

/** What became of a request or, on a route that observes, what would have become of it. */
const VERDICT = `if(${IS_ENFORCED}, ${column.status}, ${column.wouldBe})`

/** Whether a request's verdict is one of these words. */
export const hasVerdict = (...words: readonly Word<'wouldBe'>[]) => `${VERDICT} IN (${list(words)})`

/** Repeats of an operation whose outcome is unknown, that were not sent again. */
export const IS_HELD = `(${is('status', 'unknown')} AND ${is('settle', '')} AND ${column.originMs} = 0 AND ${column.originCalls} = 0)`

/** Requests that made an attempt and know, or know that they cannot know, how it ended. */
export const IS_ATTEMPT = either(
  is('status', 'executed', 'not-executed'),
  `(${is('status', 'unknown')} AND NOT ${IS_HELD})`,
)

/** Repeats that were executed before, and whose response cannot be given again. */
export const IS_UNREADABLE = hasVerdict(...statusesOf('unreadable'))

/** Repeats of the same request. */
export const IS_DUPLICATE = either(hasVerdict(...statusesOf('repeat')), IS_HELD)

/** Requests without a key. */
export const IS_KEYLESS = is('keySource', 'none')

/** Requests with a key that went through unprotected because the store failed. */
export const IS_LET_THROUGH = `(${both(is('status', 'unprotected'), IS_ENFORCED, isNot('keySource', '', 'none'))})`

/** Requests that could not be recorded. */
export const IS_STORE_ERROR = either(hasVerdict('store-fault'), IS_LET_THROUGH)

/**
 * Points that say that nobody knows the outcome of an operation, whoever learned of it: a duplicate
 * that had waited, too. An operator gave up its claim, where it says `released`.
 */
export const IS_UNKNOWN = either(is('status', 'unknown', 'released'), is('outcome', 'unknown'))

/** Repeats of the same request that called the origin again: an earlier one had left its fate open. */
export const IS_RETRIED = `(${is('status', 'executed', 'not-executed', 'unknown')} AND ${column.fence} > if(${column.originCalls} > 1, ${column.originCalls}, 1))`

/** Points that tell an operation's outcome, whoever learned of it, or free its key. */
export const IS_KNOWN = either(
  is('outcome', ...OUTCOMES.filter((outcome) => outcome !== 'unknown')),
  `(${is('status', ...statusesOf('known'))} AND ${isNot('outcome', 'unknown')})`,
)

/**
 * When what a point says came about, in seconds. An owner that somebody else had taken over from
 * says what was so when it began: what came after it counts more.
 */
export const SAID_AT = `(toUnixTimestamp(timestamp) - if(${is('settle', 'refused')}, intDiv(${column.totalMs}, 1000), 0))`

/**
 * Points of unknown outcomes that say since when. Those of earlier versions did not say it of a
 * repeat that was held.
 */
export const IS_DATED = `(${IS_UNKNOWN} AND NOT (${IS_HELD} AND ${column.ageMs} = 0))`
