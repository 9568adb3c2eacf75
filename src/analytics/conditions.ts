/** Points that are requests or queue messages; the others are recoveries, deliveries and changes by operators. */
export const IS_REQUEST = "blob2 NOT IN ('ALARM', 'EVENT', 'ADMIN')"

/** What became of a request or, on a route that observes, what would have become of it. */
const VERDICT = "if(blob10 = '', blob3, blob10)"

/** Whether a request's verdict is one of these words. */
export const hasVerdict = (...words: readonly string[]) =>
  `${VERDICT} IN (${words.map((word) => `'${word}'`).join(', ')})`

/** Requests of a route that observes: whatever their verdict, they went through. */
export const IS_OBSERVED = "blob10 != ''"

/** Requests on a route that enforces. */
export const IS_ENFORCED = "blob10 = ''"

/** Repeats of an operation whose outcome is unknown, that were not sent again. */
export const IS_HELD = "(blob3 = 'unknown' AND blob9 = '' AND double6 = 0 AND double10 = 0)"

/** Requests that made an attempt and know, or know that they cannot know, how it ended. */
export const IS_ATTEMPT = `(blob3 IN ('executed', 'not-executed') OR (blob3 = 'unknown' AND NOT ${IS_HELD}))`

/** Repeats that were executed before, and whose response cannot be given again. */
export const IS_UNREADABLE = hasVerdict('expired', 'too-large', 'not-kept', 'sealed')

/** Repeats of the same request. */
export const IS_DUPLICATE = `(${hasVerdict('replayed', 'joined', 'in-progress', 'expired', 'too-large', 'not-kept', 'sealed')} OR ${IS_HELD})`

export const IS_KEYLESS = "blob11 = 'none'"

/** Requests with a key that went through unprotected because the store failed. */
export const IS_LET_THROUGH = `(blob3 = 'unprotected' AND ${IS_ENFORCED} AND blob11 NOT IN ('', 'none'))`

/** Requests that could not be recorded. */
export const IS_STORE_ERROR = `(${hasVerdict('store-fault')} OR ${IS_LET_THROUGH})`

/**
 * Points that say that nobody knows the outcome of an operation, whoever learned of it: a duplicate
 * that had waited, too. An operator gave up its claim, where it says `released`.
 */
export const IS_UNKNOWN = "(blob3 IN ('unknown', 'released') OR blob5 = 'unknown')"

/** Repeats of the same request that called the origin again: an earlier one had left its fate open. */
export const IS_RETRIED =
  "(blob3 IN ('executed', 'not-executed', 'unknown') AND double3 > if(double10 > 1, double10, 1))"

/** Statuses that say by themselves that the outcome is known, or the key free. */
const ENDS =
  "blob3 IN ('executed', 'not-executed', 'replayed', 'too-large', 'not-kept', 'sealed', 'recovered', 'resolved', 'erased')"

/** Points that tell an operation's outcome, whoever learned of it, or free its key. */
export const IS_KNOWN = `(blob5 IN ('succeeded', 'failed', 'not_executed') OR (${ENDS} AND blob5 != 'unknown'))`

/**
 * When what a point says came about, in seconds. An owner that somebody else had taken over from
 * says what was so when it began: what came after it counts more.
 */
export const SAID_AT =
  "(toUnixTimestamp(timestamp) - if(blob9 = 'refused', intDiv(double4, 1000), 0))"

/**
 * Points of unknown outcomes that say since when. Those of earlier versions did not say it of a
 * repeat that was held.
 */
export const IS_DATED = `(${IS_UNKNOWN} AND NOT (${IS_HELD} AND double8 = 0))`
