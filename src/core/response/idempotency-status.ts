/**
 * What became of a request on a protected route, in one word: the value of `Idempotency-Status`,
 * of the log line and of the metrics.
 *
 * - `executed`: the operation ran for this request and its outcome is known.
 * - `not-executed`: it was tried for this request and provably not executed; the key is free.
 * - `unknown`: it was tried, now or before, and nobody knows whether it was executed.
 * - `accepted`: it runs, and its client comes back for the result.
 * - `replayed`: answered from the snapshot.
 * - `joined`: answered with the result of another request's call, which was waited for.
 * - `in-progress`: another request's call still runs.
 * - `mismatch`: the key names another request.
 * - `expired`: the key's result is no longer kept, and the retry is refused.
 * - `too-large`: executed once, its response was not kept.
 * - `not-kept`: executed once, the origin asked not to keep its response.
 * - `sealed`: executed once, its response is stored and this request cannot open it.
 * - `unprotected`: let through without protection, as the policy allows.
 * - `rejected`: not a request that could be protected; nothing happened.
 * - `recovered`: not a request: the alarm has found out what became of an operation.
 * - `store-fault`: it could not be recorded, or its guard was lost while it ran.
 */
export type IdempotencyStatus =
  | 'executed'
  | 'not-executed'
  | 'unknown'
  | 'accepted'
  | 'replayed'
  | 'joined'
  | 'in-progress'
  | 'mismatch'
  | 'expired'
  | 'too-large'
  | 'not-kept'
  | 'sealed'
  | 'unprotected'
  | 'rejected'
  | 'recovered'
  | 'store-fault'
