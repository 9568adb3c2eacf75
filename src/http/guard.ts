import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { Policy } from '../config/policy.ts'
import { problem } from '../core/problem.ts'
import { logFault } from '../metrics/log.ts'
import { admit, type Admitted, KEY_HEADER } from './admit.ts'
import { conclude, type Subject } from './conclude.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { isOverloaded } from './object.ts'
import { operationOf } from './route-policy.ts'
import { guardLost, misconfigured, rejected, storeFault, type Verdict } from './verdict.ts'

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
  try {
    return await guardAs(c, policy, work, subject)
  } catch (error) {
    logFault('a protected route failed before anything was recorded', error)
    return conclude(c, subject, misconfigured())
  }
}

async function guardAs(
  c: Context<GatewayEnv>,
  policy: Policy,
  work: GuardedWork,
  subject: Subject,
): Promise<Response> {
  const field = c.req.header(KEY_HEADER)
  if (field === undefined) {
    if (!policy.required) return work.unprotected(subject, null)
    const detail = `This operation is only accepted with the header ${KEY_HEADER}.`
    return conclude(c, subject, rejected(problem('key-missing', detail)))
  }

  const admission = await admit(c, policy, subject.operation, field)
  if (!admission.ok) {
    const { tenant, problem: because } = admission.error
    return conclude(c, { ...subject, tenant }, rejected(because))
  }

  const { claim, body } = admission.value
  const { tenant, operationId } = claim
  const known = { ...subject, tenant, operationId, requestBytes: body.byteLength }
  const askedAt = Date.now()
  const verdict = await work.admitted(admission.value).catch(toFault)
  if (verdict.isUnclaimed === true && policy.onStoreError === 'open') {
    return work.unprotected(known, body)
  }
  const answered = { ...known, guardMs: Date.now() - askedAt }
  try {
    return conclude(c, answered, verdict)
  } catch (error) {
    // Something was recorded by now, and a retry is told what: this is no fault of the request.
    logFault('an answer could not be given out', error)
    return conclude(c, answered, guardLost())
  }
}

function toFault(error: unknown): Verdict {
  if (error instanceof ConfigurationFault) throw error
  logFault('the object of an operation could not be reached, or was reset', error)
  return isOverloaded(error) ? storeFault() : guardLost()
}
