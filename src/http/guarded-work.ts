import type { Admitted } from './admit.ts'
import type { Subject } from './conclude.ts'
import type { Verdict } from './verdict.ts'

/** How a route treats a request, by whether it may be claimed. */
export interface GuardedWork {
  /** As if the route were not guarded. The body is there as it came. */
  readonly untouched: () => Promise<Response>
  /**
   * Without protection, where the policy allows that.
   *
   * @param body What was read of the request already, or `null`.
   */
  readonly unprotected: (subject: Subject, body: Admitted['body'] | null) => Promise<Response>
  readonly admitted: (admitted: Admitted) => Promise<Verdict>
}
