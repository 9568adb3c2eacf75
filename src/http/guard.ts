import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import { problem } from '../core/problem.ts'
import { logFault } from '../metrics/log.ts'
import { admit, type Admitted, KEY_HEADER } from './admit.ts'
import { conclude, type Subject } from './conclude.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { isOverloaded } from './object.ts'
import { readOuterRetry } from './outer-retry.ts'
import { operationOf } from './route-policy.ts'
import { guardLost, rejected, storeFault, tooLate, type Verdict } from './verdict.ts'

/** How a route treats a request, by whether it may be claimed. */
export interface GuardedWork {
  /**
   * Without protection, where the policy allows that.
   *
   * @param body What was read of the request already, or `null`.
   */
  readonly unprotected: (subject: Subject, body: Admitted['body'] | null) => Promise<Response>
  readonly admitted: (admitted: Admitted) => Promise<Verdict>
}

/** What every protected route does around its own work: admission, problems, one conclusion. */
export async function guard(
  c: Context<GatewayEnv>,
  policy: Policy,
  work: GuardedWork,
): Promise<Response> {
  const operation = operationOf(c, policy)
  const subject: Subject = {
    operation,
    tenant: null,
    operationId: null,
    requestBytes: 0,
    guardMs: 0,
  }
  const field = c.req.header(KEY_HEADER)
  if (field === undefined) {
    if (!policy.required) return work.unprotected(subject, null)
    const detail = `This operation is only accepted with the header ${KEY_HEADER}.`
    return conclude(c, subject, rejected(problem('key-missing', detail)))
  }

  const admission = await admit(c, policy, operation, field)
  if (!admission.ok) {
    const { tenant, problem: because } = admission.error
    return conclude(c, { ...subject, tenant }, rejected(because))
  }

  const { claim, body } = admission.value
  const { tenant, operationId } = claim
  const known = { ...subject, tenant, operationId, requestBytes: body.byteLength }
  const { deadlineAt } = readOuterRetry(c.req.raw.headers)
  if (deadlineAt !== null && deadlineAt <= Date.now()) return conclude(c, known, tooLate())

  const askedAt = Date.now()
  const verdict = await work.admitted(admission.value).catch(toFault)
  if (verdict.isUnclaimed === true && policy.onStoreError === 'open') {
    return work.unprotected(known, body)
  }
  return conclude(c, { ...known, guardMs: Date.now() - askedAt }, verdict)
}

function toFault(error: unknown): Verdict {
  logFault('the object of an operation could not be reached, or was reset', error)
  return isOverloaded(error) ? storeFault() : guardLost()
}
