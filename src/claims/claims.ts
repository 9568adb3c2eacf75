import type { Context } from 'hono'

import { DEFAULT_RESPONSE_BYTES } from '../config/policy.ts'
import { isOperationId } from '../core/operation/operation.ts'
import { claimInvalid, claimLost } from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { respond, toGuardLost } from '../http/conclude.ts'
import type { ClaimsHandler } from '../http/deployed-claims.ts'
import type { GatewayEnv } from '../http/gateway-env.ts'
import { problemResponse } from '../http/problem-response.ts'
import { scopeOf } from '../http/request-scope.ts'
import { misconfigured, type Verdict } from '../http/verdict.ts'
import { logFault } from '../metrics/log.ts'
import { askObject } from '../platform/ask-object.ts'
import { type ClaimOperation, createClaimOperation } from './claim-operation.ts'
import { type ClaimHolder, readClaimOrder, readRenewal, readSettle } from './claim-request.ts'
import { authenticateSender, type ClaimSender, takesClaims, tenantOf } from './claim-sender.ts'
import { type HeldClaim, readClaim, toClaimRef } from './claim-text.ts'
import { readClaimDocument } from './read-document.ts'
import { settleClaim } from './settle-claim.ts'

/** Bytes of a document beside the input or the result. */
const ENVELOPE_BYTES = 65_536
/** As large as the input of a function in a Worker. */
const INPUT_BYTES = 1_048_576
/** A result over the limit of what is kept still says that the operation was executed. */
const RESULT_BYTES = 2 * DEFAULT_RESPONSE_BYTES

/**
 * Creates what answers processes elsewhere that claim operations: `POST /_hapax/claims`, and below it
 * `/{operationId}/renew` and `/{operationId}/settle`. `docs/claims.md` describes the protocol.
 */
export function createClaims(): ClaimsHandler {
  let claimOperation: ClaimOperation | null = null
  const claim = (asked: Asked) => {
    claimOperation ??= createClaimOperation()
    return answerClaim(asked, claimOperation)
  }
  return async function claims(c) {
    const { action, operationId } = routeOf(c)
    if (action === null || !takesClaims(c.env)) return null
    const response = await unlessFault(c, async () => {
      const sender = await authenticateSender(c)
      if (!sender.ok) return sender
      const asked = { c, operationId, sender: sender.value }
      return action === 'claim' ? claim(asked) : ANSWERS[action](asked)
    })
    response.headers.set('X-Correlation-Id', scopeOf(c).correlation.correlationId)
    return response
  }
}

/** A request of a known process. */
interface Asked {
  readonly c: Context<GatewayEnv>
  readonly sender: ClaimSender
  /** Empty for a new claim. */
  readonly operationId: string
}

type Answer = Promise<Result<Response, Problem>>

const PATH = /\/_hapax\/claims(?:\/([^/]+)\/(renew|settle))?$/

function routeOf(c: Context<GatewayEnv>) {
  const [path, operationId = '', action = 'claim'] = PATH.exec(c.req.path) ?? []
  const isKnown = operationId === '' || isOperationId(operationId)
  const isRoute = path !== undefined && isKnown && c.req.method === 'POST'
  return { action: isRoute ? (action as 'claim' | 'renew' | 'settle') : null, operationId }
}

async function unlessFault(c: Context<GatewayEnv>, answer: () => Answer): Promise<Response> {
  try {
    const answered = await answer()
    return answered.ok ? answered.value : problemResponse(c, answered.error)
  } catch (error) {
    logFault('a claim from elsewhere could not be answered', error)
    return respond(c, misconfigured(error))
  }
}

async function answerClaim({ c, sender }: Asked, claimOperation: ClaimOperation): Answer {
  const document = await readClaimDocument(c, 'input', INPUT_BYTES + ENVELOPE_BYTES)
  if (!document.ok) return document
  const order = readClaimOrder(document.value.rest)
  if (!order.ok) return err(claimInvalid(order.error))
  const tenant = tenantOf(sender, order.value.tenant)
  if (!tenant.ok) return tenant
  const input = document.value.value ?? ''
  return ok(await claimOperation(c, { order: order.value, tenant: tenant.value, input }))
}

async function answerRenew({ c, sender, operationId }: Asked): Answer {
  const document = await readClaimDocument(c, null, ENVELOPE_BYTES)
  if (!document.ok) return document
  const holder = readRenewal(document.value.rest)
  if (!holder.ok) return err(claimInvalid(holder.error))
  const found = findHeld(sender, holder.value)
  if (!found.ok) return found
  const { held, tenant } = found.value
  const { leaseMs } = held
  const claim = toClaimRef({ digest: scopeOf(c).digest, operationId, tenant }, held)
  const isHeld = await askObject(c, operationId, (object) => object.renew(claim, leaseMs)).catch(
    toGuardLost,
  )
  if (isLost(isHeld)) return ok(respond(c, isHeld))
  return isHeld ? ok(c.json({ leaseMs })) : err(claimLost())
}

async function answerSettle({ c, sender, operationId }: Asked): Answer {
  const document = await readClaimDocument(c, 'result', RESULT_BYTES + ENVELOPE_BYTES)
  if (!document.ok) return document
  const { rest, value: result } = document.value
  const order = readSettle(rest)
  if (!order.ok) return err(claimInvalid(order.error))
  const found = findHeld(sender, order.value)
  if (!found.ok) return found
  const asked = { operationId, ...found.value, order: order.value, result }
  const settled = await settleClaim(c, asked).catch(toGuardLost)
  if (isLost(settled)) return ok(respond(c, settled))
  return settled === 'refused' ? err(claimLost()) : ok(c.json({ settled }))
}

const ANSWERS = { renew: answerRenew, settle: answerSettle } as const

const isLost = (answer: unknown): answer is Verdict => typeof answer === 'object'

/** Finds the claim that a process says it holds. What no claim can be was never granted. */
function findHeld(
  sender: ClaimSender,
  holder: ClaimHolder,
): Result<{ readonly held: HeldClaim; readonly tenant: string }, Problem> {
  const tenant = tenantOf(sender, holder.tenant)
  if (!tenant.ok) return tenant
  const held = readClaim(holder.claim)
  return held === null ? err(claimLost()) : ok({ held, tenant: tenant.value })
}
