import { column } from '../core/metric-columns.ts'
import { OUTCOMES } from '../core/outcome/outcome.ts'
import type { IdempotencyStatus } from '../core/response/idempotency-status.ts'
import { both, either, is, isNot, list, type Word } from './sql.ts'

/**
 * The meanings of a status: the request is a `repeat` of another one, its stored response is
 * `unreadable`, the outcome is `known` or the key is free.
 */
type Meaning = 'repeat' | 'unreadable' | 'known'

/** The meanings of all statuses. Add a new status here. */
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

/** The statuses with a meaning. */
const statusesOf = (meaning: Meaning) =>
  (Object.keys(STATUSES) as IdempotencyStatus[]).filter((word) => STATUSES[word].includes(meaning))

/** Points that are requests or queue messages; the others are recoveries, deliveries and changes by operators. */
export const IS_REQUEST = isNot('method', 'ALARM', 'EVENT', 'ADMIN')

/** Requests on a route that observes. All of them were forwarded. */
export const IS_OBSERVED = isNot('wouldBe', '')

/** Requests on a route that enforces. */
export const IS_ENFORCED = is('wouldBe', '')

/** The status of a request or, on a route that observes, the status that it would have had. */
const VERDICT = `if(${IS_ENFORCED}, ${column.status}, ${column.wouldBe})`

/** Whether a request's verdict is one of these words. */
export const hasVerdict = (...words: readonly Word<'wouldBe'>[]) => `${VERDICT} IN (${list(words)})`

/** Repeats of an operation with an unknown outcome that were not sent again. */
export const IS_HELD = `(${is('status', 'unknown')} AND ${is('settle', '')} AND ${column.originMs} = 0 AND ${column.originCalls} = 0)`

/** Requests that made an attempt, and whose outcome is known or certainly unknown. */
export const IS_ATTEMPT = either(
  is('status', 'executed', 'not-executed'),
  `(${is('status', 'unknown')} AND NOT ${IS_HELD})`,
)

/** Repeats whose response cannot be returned again. */
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
 * Points with an unknown outcome, including those of waiting duplicates. `released`: an operator gave
 * up the claim.
 */
export const IS_UNKNOWN = either(is('status', 'unknown', 'released'), is('outcome', 'unknown'))

/** Repeats that called the origin again, because an earlier call left the outcome open. */
export const IS_RETRIED = `(${is('status', 'executed', 'not-executed', 'unknown')} AND ${column.fence} > if(${column.originCalls} > 1, ${column.originCalls}, 1))`

/** Points with a known outcome, or that free the key. */
export const IS_KNOWN = either(
  is('outcome', ...OUTCOMES.filter((outcome) => outcome !== 'unknown')),
  `(${is('status', ...statusesOf('known'))} AND ${isNot('outcome', 'unknown')})`,
)

/**
 * When the fact of a point became true, in seconds. A late owner, which another one has replaced,
 * reports the state of its start, so later facts count more.
 */
export const SAID_AT = `(toUnixTimestamp(timestamp) - if(${is('settle', 'refused')}, intDiv(${column.totalMs}, 1000), 0))`

/** Points of unknown outcomes with their age. Earlier versions did not write it for held repeats. */
export const IS_DATED = `(${IS_UNKNOWN} AND NOT (${IS_HELD} AND ${column.ageMs} = 0))`
