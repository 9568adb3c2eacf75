import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import { readPreferredWait } from '../core/prefer.ts'
import { problem } from '../core/problem.ts'
import type { JoinRules, OperationGuard } from '../durable/operation-guard.ts'
import { logFault } from '../metrics/log.ts'
import { admit, type Admitted, KEY_HEADER } from './admit.ts'
import { conclude, type Subject } from './conclude.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { operationOf } from './route-policy.ts'
import { guardLost, rejected, type Verdict } from './verdict.ts'

/** How a route treats a request, by whether it may be claimed. */
export interface GuardedWork {
  /** Without a key, on a route where that is allowed. */
  readonly unprotected: (subject: Subject) => Promise<Response | undefined>
  readonly admitted: (admitted: Admitted) => Promise<Verdict>
}

/** What every protected route does around its own work: admission, problems, one conclusion. */
export async function guard(
  c: Context<GatewayEnv>,
  policy: Policy,
  work: GuardedWork,
): Promise<Response | undefined> {
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
    if (!policy.required) return work.unprotected(subject)
    const detail = `This operation is only accepted with the header ${KEY_HEADER}.`
    return conclude(c, subject, rejected(problem('key-missing', detail)))
  }

  const admission = await admit(c, policy, operation, field)
  if (!admission.ok) {
    const { tenant, problem: because } = admission.error
    return conclude(c, { ...subject, tenant }, rejected(because))
  }

  const { tenant, claim, body } = admission.value
  const claimedAt = Date.now()
  const verdict = await work.admitted(admission.value).catch((error: unknown) => {
    logFault('the object of an operation could not be reached, or was reset', error)
    return guardLost()
  })
  const guardMs = Date.now() - claimedAt
  const { operationId } = claim
  const known = { ...subject, tenant, operationId, requestBytes: body.byteLength, guardMs }
  return conclude(c, known, verdict)
}

/** The object that guards an operation: one for each. */
export function objectOf(c: Context<GatewayEnv>, operationId: string): OperationGuard {
  // RPC's own types turn tuples into arrays and add `Disposable`; what comes over is what was sent.
  return c.env.OPERATIONS.getByName(operationId) as unknown as OperationGuard
}

/** How long this request waits for another's call, and what it brings along for a replay. */
export function joinRulesOf(c: Context<GatewayEnv>, policy: Policy): JoinRules {
  return {
    waitMs: readPreferredWait(c.req.raw.headers) ?? policy.wait,
    corsOrigin: c.req.header('Origin') ?? null,
  }
}
