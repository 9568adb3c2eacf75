import type { Context } from 'hono'

import { DEFAULT_RESPONSE_BYTES } from '../config/policy.ts'
import type { SettleResult } from '../core/operation/answer.ts'
import type { OperatorView } from '../core/operation/operator-view.ts'
import { decideLanding, type Landing } from '../core/outcome/landing.ts'
import { NotExecuted } from '../core/outcome/not-executed.ts'
import type { ReplyOf } from '../core/outcome/reply.ts'
import { NO_FACTS } from '../core/request-facts.ts'
import { traceIdOf } from '../core/request/correlation.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { HANDLER_THREW } from '../http/idempotent.ts'
import { scopeOf } from '../http/request-scope.ts'
import { toStatus } from '../http/verdict.ts'
import { recordRequest } from '../metrics/record-request.ts'
import { askObject } from '../platform/ask-object.ts'
import type { SettleOrder } from './claim-request.ts'
import { type HeldClaim, toClaimRef } from './claim-text.ts'

/** How a process elsewhere ends its claim. */
export interface AskedSettle {
  readonly operationId: string
  readonly tenant: string
  readonly held: HeldClaim
  readonly order: SettleOrder
  /** JSON text of the result; `null`: there is none. */
  readonly result: string | null
}

/** Ends a claim, and counts it. @throws {Error} If that could not be stored yet. */
export async function settleClaim(
  c: Context<GatewayEnv>,
  asked: AskedSettle,
): Promise<SettleResult> {
  const { operationId, tenant, held } = asked
  const claim = toClaimRef({ digest: scopeOf(c).digest, operationId, tenant }, held)
  const view = await askObject(c, operationId, (object) => object.examine(operationId))
  const landing = toLanding(asked, view)
  const call = { claim, ...landing, sealKey: null, events: [] }
  const settled = await askObject(c, operationId, (object) => object.settle(call))
  if (view?.tenant === tenant && isFirstWord(view, asked, settled)) {
    count(c, view, asked, { outcome: landing.outcome, settled })
  }
  return settled
}

/** Whether a settle is not the repeat of another one, whose answer was lost. */
function isFirstWord(
  { state, fence, attempts }: OperatorView,
  { held, order: { outcome } }: AskedSettle,
  settled: SettleResult,
): boolean {
  if (settled === 'refused') return fence > held.fence
  if (fence !== held.fence) return false
  const isGivenUp = state === 'unknown' && attempts.at(-1)?.outcome === 'unknown'
  return state === 'in_progress' || (isGivenUp && outcome !== 'unknown')
}

const RULES = {
  outcomes: [],
  snapshot: { setCookie: false, omit: [], seal: false },
  corsOrigin: null,
} as const

/** How the claim lands: as that of a Worker in which the function has ended in the same way. */
function toLanding({ held, ...asked }: AskedSettle, view: OperatorView | null): Landing {
  if (asked.order.outcome === 'unknown') return HANDLER_THREW
  const before = view?.attempts.filter(({ fence }) => fence !== held.fence) ?? []
  const isInDoubt = before.some(({ outcome }) => outcome !== 'not_executed')
  return decideLanding(toReply(asked), RULES, isInDoubt)
}

function toReply({ order, result }: Pick<AskedSettle, 'order' | 'result'>): ReplyOf<'answer'> {
  const { outcome, error, omitted = false } = order
  if (outcome === 'not_executed') return NOT_EXECUTED
  if (outcome === 'failed') {
    return reply({ status: 500, text: JSON.stringify(error), outcome: 'executed' })
  }
  if (omitted) return reply({ status: 200, text: 'null', isStorable: false })
  return result === null ? reply({ status: 204 }) : reply({ status: 200, text: result })
}

/** The parts of a reply that differ. */
interface ReplyParts {
  readonly status: number
  readonly text?: string
  readonly type?: string
  readonly outcome?: 'executed'
  readonly isStorable?: boolean
}

function reply(parts: ReplyParts): ReplyOf<'answer'> {
  const { status, text = '', type = 'application/json', outcome = null, isStorable = true } = parts
  const body = new Uint8Array(new TextEncoder().encode(text))
  const isKept = isStorable && body.byteLength <= DEFAULT_RESPONSE_BYTES
  return {
    kind: 'answer',
    status,
    headers: text === '' ? [] : [['content-type', type]],
    directives: { outcome, isStorable: isKept, retentionMs: null, resultStatus: null },
    body,
  }
}

const { status, message: text } = new NotExecuted()
const said = { outcome: 'not_executed', isExact: true } as const
const NOT_EXECUTED = { ...reply({ status, text, type: 'text/plain' }), said }

/** Counts a claim with its outcome, as the call of a guarded function in a Worker is counted. */
function count(
  c: Context<GatewayEnv>,
  view: OperatorView,
  { operationId, tenant, held }: AskedSettle,
  { outcome, settled }: Pick<Landing, 'outcome'> & { readonly settled: SettleResult },
): void {
  const { operation, correlationId, traceparent, claimedAt } = view
  const tookMs = Math.max(0, Date.now() - Date.parse(claimedAt))
  recordRequest(c.env, {
    ...NO_FACTS,
    operation,
    method: 'ONCE',
    status: toStatus(outcome),
    outcome,
    tenant,
    correlationId,
    traceId: traceIdOf(traceparent),
    operationId,
    fence: held.fence,
    claimMs: held.claimMs,
    totalMs: tookMs + held.claimMs,
    originMs: tookMs,
    ageMs: 0,
    settle: settled,
  })
}
