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

/** Requests that made an attempt and know, or know that they cannot know, how it ended. */
export const IS_ATTEMPT =
  "(blob3 IN ('executed', 'not-executed') OR (blob3 = 'unknown' AND blob9 != ''))"

/** Repeats of an operation whose outcome is unknown, that were not sent again. */
export const IS_HELD = "(blob3 = 'unknown' AND blob9 = '')"

/** Repeats that were executed before, and whose response cannot be given again. */
export const IS_UNREADABLE = hasVerdict('expired', 'too-large', 'sealed')

/** Repeats of the same request. */
export const IS_DUPLICATE = `(${hasVerdict('replayed', 'joined', 'in-progress', 'expired', 'too-large', 'sealed')} OR ${IS_HELD})`

export const IS_KEYLESS = "blob11 = 'none'"

/** Requests with a key that went through unprotected because the store failed. */
export const IS_LET_THROUGH = `(blob3 = 'unprotected' AND ${IS_ENFORCED} AND blob11 NOT IN ('', 'none'))`

/** Requests that could not be recorded. */
export const IS_STORE_ERROR = `(${hasVerdict('store-fault')} OR ${IS_LET_THROUGH})`

/** Points that say that nobody knows the outcome of an operation: an operator gave up its claim, too. */
export const IS_UNKNOWN = "blob3 IN ('unknown', 'released')"

/** Repeats of the same request that called the origin again: an earlier one had left its fate open. */
export const IS_RETRIED =
  "(blob3 IN ('executed', 'not-executed', 'unknown') AND double3 > if(double10 > 1, double10, 1))"

/** Points that tell an operation's outcome or free its key. */
export const IS_KNOWN =
  "blob3 IN ('executed', 'not-executed', 'replayed', 'joined', 'too-large', 'sealed', 'recovered', 'resolved', 'erased')"
