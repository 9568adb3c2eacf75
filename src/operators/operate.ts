import type { Context } from 'hono'

import type { OperationGuard } from '../core/operation-guard.ts'
import { isOperationId } from '../core/operation.ts'
import type { OperatorAction, OperatorResult } from '../core/operator-action.ts'
import type { OperatorView } from '../core/operator-view.ts'
import type { AdminAction } from '../core/request-facts.ts'
import { directoryOf } from '../directory/directory-guard.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { askObject } from '../platform/ask-object.ts'
import { inTime } from '../platform/in-time.ts'
import { audit, auditUnconfirmed } from './audit.ts'
import { type Changed, toResponse } from './changed.ts'

/** How long an object may take to do what an operator says, in milliseconds. */
const OPERATE_LIMIT_MS = 10_000

/** Shows an operation to an operator; `null` where there is none. */
export async function examine(c: Context<GatewayEnv>, id: string): Promise<OperatorView | null> {
  if (!isOperationId(id)) return null
  return askObject(c, id, (object) => object.examine(id))
}

/** What is done to operations. */
type Done = Extract<AdminAction, 'released' | 'resolved' | 'erased'>

/** Does something to the operation that the path names, and audits it. */
export async function operate(
  c: Context<GatewayEnv>,
  action: OperatorAction,
  name: Done,
): Promise<Response> {
  return toResponse(c, await operateOn(c, c.req.param('id') ?? '', action, name))
}

/** Does something to an operation, and audits it. */
export async function operateOn(
  c: Context<GatewayEnv>,
  id: string,
  action: OperatorAction,
  name: Done,
): Promise<Changed> {
  if (!isOperationId(id)) return { kind: 'not-found' }
  let result: OperatorResult
  try {
    // Asked once: a second try would be told that there is nothing to do, and nobody of the first.
    const object = c.env.OPERATIONS.getByName(id) as unknown as OperationGuard
    result = await inTime(object.operate(id, action), OPERATE_LIMIT_MS)
  } catch (error) {
    logFault('an operator was not told what became of an action', error)
    auditUnconfirmed(c, name, { operationId: id })
    return { kind: 'unconfirmed' }
  }
  if (result.kind !== 'done') return result
  audit(c, name, { ...result.subject, operationId: id, ageMs: unknownMs(result.view) })
  if (action.kind === 'resolve' && action.outcome === 'not_executed') await undecide(c, id)
  return result
}

/** Messages of it may be done again. Where the directory is not told, replaying them takes an override. */
async function undecide(c: Context<GatewayEnv>, id: string): Promise<void> {
  try {
    await inTime(directoryOf(c.env).undecide(id), TELL_MS)
  } catch (error) {
    logFault('dead letters of a resolved operation stay decided', error)
  }
}

const TELL_MS = 5_000

function unknownMs(view: OperatorView | null): number {
  if (view?.state !== 'unknown' || view.settledAt === undefined) return 0
  return Math.max(0, Date.now() - Date.parse(view.settledAt))
}
