import type { Context } from 'hono'

import { isOperationId } from '../core/operation.ts'
import type { OperatorAction, OperatorResult, OperatorView } from '../core/operator.ts'
import type { OperationGuard } from '../durable/operation-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { askObject } from '../http/object.ts'
import { logFault } from '../metrics/log.ts'
import type { AdminAction } from '../metrics/request-facts.ts'
import { audit, auditUnconfirmed } from './audit.ts'
import { notFound, refusal } from './refusal.ts'

/** Shows an operation to an operator; `null` where there is none. */
export async function examine(c: Context<GatewayEnv>, id: string): Promise<OperatorView | null> {
  if (!isOperationId(id)) return null
  return askObject(c, id, (object) => object.examine(id))
}

/** Does something to the operation that the path names, and audits it. */
export async function operate(
  c: Context<GatewayEnv>,
  action: OperatorAction,
  name: Extract<AdminAction, 'released' | 'resolved' | 'erased'>,
): Promise<Response> {
  const id = c.req.param('id') ?? ''
  if (!isOperationId(id)) return notFound(c)
  let result: OperatorResult
  try {
    // Asked once: a second try would be told that there is nothing to do, and nobody of the first.
    const object = c.env.OPERATIONS.getByName(id) as unknown as OperationGuard
    result = await object.operate(id, action)
  } catch (error) {
    logFault('an operator was not told what became of an action', error)
    auditUnconfirmed(c, name, id)
    return refusal(c, 503, 'Nobody knows whether it was done. Look at the operation first.')
  }
  switch (result.kind) {
    case 'not-found':
      return notFound(c)
    case 'refused':
      return refusal(c, 409, result.because)
    case 'done':
      audit(c, name, { ...result.subject, operationId: id, ageMs: unknownMs(result.view) })
      return result.view === null ? c.body(null, 204) : c.json(result.view)
  }
}

function unknownMs(view: OperatorView | null): number {
  if (view?.state !== 'unknown' || view.settledAt === undefined) return 0
  return Math.max(0, Date.now() - Date.parse(view.settledAt))
}
