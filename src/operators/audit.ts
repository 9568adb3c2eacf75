import type { Context } from 'hono'

import { NO_FACTS, type AdminAction } from '../core/request-facts.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logAudit } from '../metrics/log.ts'
import { recordRequest } from '../metrics/record-request.ts'

/** What was changed. */
interface Changed {
  readonly operation: string
  readonly tenant: string | null
  readonly operationId: string | null
  readonly correlationId: string | null
  readonly fence: number
  readonly letterId?: string
  /** For how many milliseconds its outcome has been unknown, where it is left so. */
  readonly ageMs?: number
}

/** Writes down who has changed what: a line of its own, and a point with the method `ADMIN`. */
export function audit(
  c: Context<GatewayEnv>,
  action: AdminAction,
  { operation, tenant, operationId, correlationId, fence, letterId, ageMs = 0 }: Changed,
): void {
  const actor = c.var.actor ?? ''
  const letter = letterId !== undefined && { letterId }
  logAudit({ action, actor, operation, tenant, operationId, correlationId, ...letter })
  recordRequest(c.env, {
    ...NO_FACTS,
    operation,
    method: 'ADMIN',
    status: action,
    tenant,
    correlationId: correlationId ?? '',
    operationId,
    fence,
    totalMs: 0,
    ageMs,
  })
}

/** Writes down what somebody wanted to change, where the answer was lost. There is no point: nothing is known of it. */
export function auditUnconfirmed(
  c: Context<GatewayEnv>,
  action: AdminAction,
  which: { readonly operationId: string } | { readonly letterId: string },
): void {
  logAudit({ action, actor: c.var.actor ?? '', ...which, result: 'unconfirmed' })
}
