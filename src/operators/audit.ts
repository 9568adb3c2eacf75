import type { Context } from 'hono'

import { NO_FACTS, type AdminAction } from '../core/request-facts.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logAudit } from '../metrics/log.ts'
import { recordRequest } from '../metrics/record-request.ts'

/** The subject of a change. */
interface Changed {
  readonly operation: string
  readonly tenant: string | null
  readonly operationId: string | null
  readonly correlationId: string | null
  readonly fence: number
  readonly letterId?: string
  /** How long its outcome has been unknown, in milliseconds, if it still is. */
  readonly ageMs?: number
}

/** Records a change and its actor: a log line, and a point with the method `ADMIN`. */
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

/** Logs a change whose answer was lost. It writes no point, since the subject is not known. */
export function auditUnconfirmed(
  c: Context<GatewayEnv>,
  action: AdminAction,
  which: { readonly operationId: string } | { readonly letterId: string },
): void {
  logAudit({ action, actor: c.var.actor ?? '', ...which, result: 'unconfirmed' })
}
