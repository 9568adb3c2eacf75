import type { Context } from 'hono'

import { HapaxError } from '../core/hapax-error.ts'
import type { MessageFacts } from '../core/message-fate.ts'
import type { Answer } from '../core/operation/answer.ts'
import type { Grant } from '../core/operation/operation-guard.ts'
import { payloadInvalid } from '../core/response/problem-details.ts'
import { planCall } from '../http/call-plan.ts'
import { conclude, concludeFault, concludeOperation, toGuardLost } from '../http/conclude.ts'
import { type Admitted, type Exchange, learn, openExchange } from '../http/exchange.ts'
import { explain, explanationOf } from '../http/explain-mismatch.ts'
import { type GatewayEnv, onceOf, type OnceScope, withInner } from '../http/gateway-env.ts'
import { createGateway } from '../http/gateway.ts'
import { executionCtxOf } from '../http/keep-alive.ts'
import { problemResponse } from '../http/problem-response.ts'
import { readOperation } from '../http/read-operation.ts'
import { scopeOf } from '../http/request-scope.ts'
import { requireParts } from '../http/requirements.ts'
import { rejected } from '../http/verdict.ts'
import { recordRequest } from '../metrics/record-request.ts'
import { toOnceRequest, toWholeKey } from '../once/once-request.ts'
import { claimAt } from '../platform/held-claim.ts'
import { settledAnswer, toClaimProblem } from './claim-answers.ts'
import type { ClaimOrder } from './claim-request.ts'
import { claimIdOf, secretOf, writeClaim } from './claim-text.ts'

/** A claim from elsewhere. */
interface AskedClaim {
  readonly order: ClaimOrder
  readonly tenant: string
  /** JSON text of the input. */
  readonly input: string
}

/** Claims an operation for a process elsewhere, or answers from what is known about it. */
export type ClaimOperation = (c: Context<GatewayEnv>, asked: AskedClaim) => Promise<Response>

/**
 * Creates the function that claims operations for processes elsewhere. Each is a request on a gateway
 * that is not reachable from outside, as the call of a guarded function in a Worker is: both have the
 * same keys, fingerprints and ids.
 */
export function createClaimOperation(): ClaimOperation {
  const orders = new WeakMap<OnceScope, ClaimOrder>()
  const app = createGateway({ tenant: (c) => onceOf(c.env)?.tenant ?? null })
  app.post('/:name', (c: Context<GatewayEnv>) => {
    const scope = onceOf(c.env)
    const order = scope && orders.get(scope)
    if (order === undefined) throw new Error('Only claims from elsewhere come here.')
    return answerClaim(c, order)
  })
  return async function claimOperation(c, { order, tenant, input }) {
    const known: { verdict: MessageFacts | null } = { verdict: null }
    const scope: OnceScope = {
      tenant,
      consumer: order.outer,
      asksFirst: order.asksFirst,
      origin: null,
      run: () => Promise.reject(new Error('The function is elsewhere.')),
      conclude(verdict, facts) {
        known.verdict = verdict
        recordRequest(c.env, { ...facts, method: 'ONCE' })
      },
    }
    orders.set(scope, order)
    const request = await toRequest(c, order, input)
    if (request === null) return problemResponse(c, payloadInvalid(NOT_COMPARABLE))
    const response = await app.fetch(request, withInner(c.env, scope), executionCtxOf(c))
    return toOutside(c, response, known.verdict)
  }
}

const NOT_COMPARABLE =
  'The input cannot be compared with another one: it has a member twice, or a text that is not Unicode.'

/** @returns `null` if the input cannot be compared. */
async function toRequest(
  c: Context<GatewayEnv>,
  order: ClaimOrder,
  input: string,
): Promise<Request | null> {
  const key = await keyOf(order, input)
  if (key === undefined) return null
  const { correlationId, traceparent } = scopeOf(c).correlation
  const request = toOnceRequest({ name: order.operation, input, key, correlationId })
  request.headers.set('Traceparent', traceparent)
  return request
}

/** The key of a claim; `null`: its route reads it from the input; `undefined`: that cannot be compared. */
async function keyOf(
  { key, policy: { fingerprint } }: ClaimOrder,
  input: string,
): Promise<string | null | undefined> {
  if (key !== undefined) return key
  const rules = typeof fingerprint === 'object' ? fingerprint : { ignore: [], dates: [] }
  try {
    return await toWholeKey(input, rules)
  } catch (error) {
    if (error instanceof HapaxError) return undefined
    throw error
  }
}

/** A problem names pages and instance by the URL that its client has sent. */
function toOutside(
  c: Context<GatewayEnv>,
  response: Response,
  verdict: MessageFacts | null,
): Response {
  const problem = verdict?.problem ?? null
  if (problem === null) return response
  const outside = problemResponse(c, toClaimProblem(problem))
  const status = response.headers.get('Idempotency-Status')
  if (status !== null) outside.headers.set('Idempotency-Status', status)
  return outside
}

async function answerClaim(c: Context<GatewayEnv>, order: ClaimOrder): Promise<Response> {
  const exchange = openExchange(c, order.policy)
  try {
    return await claimOnce(exchange, order)
  } catch (error) {
    return concludeFault(exchange, error)
  }
}

async function claimOnce(exchange: Exchange, order: ClaimOrder): Promise<Response> {
  requireParts(exchange, 'worker')
  const reading = await readOperation(exchange)
  if (reading.kind === 'refused') return conclude(exchange, rejected(reading.problem))
  if (reading.kind !== 'admitted') throw new Error('Every claim has a key.')
  const { admitted } = reading
  const askedAt = Date.now()
  const claiming = toClaiming(exchange, admitted, order)
  const answer = await ask(exchange, admitted, claiming).catch(toGuardLost)
  const guardMs = Date.now() - askedAt
  learn(exchange, { guardMs })
  if ('kind' in answer && answer.kind === 'granted') {
    return grantedAnswer(exchange, answer, { ...claiming, claimMs: guardMs })
  }
  const verdict = 'kind' in answer ? await explain(exchange, admitted, answer) : answer
  const response = await concludeOperation(exchange, admitted, verdict)
  const { operationId } = admitted.claim
  return settledAnswer(response, verdict, operationId)
}

/** The names of a claim. */
interface Claiming {
  readonly claimId: string
  readonly secret: string
  readonly leaseMs: number
}

function toClaiming(
  { c, policy }: Exchange,
  { claim: { operationId, tenant } }: Admitted,
  { nonce = crypto.randomUUID() }: ClaimOrder,
): Claiming {
  const owner = { digest: scopeOf(c).digest, operationId, tenant }
  const held = { secret: secretOf(owner, nonce), leaseMs: policy.lease }
  return { ...held, claimId: claimIdOf(owner, held) }
}

/** Asks for a claim. When the one that it waited for has ended without a result, it asks again. */
async function ask(
  exchange: Exchange,
  admitted: Admitted,
  { claimId, leaseMs }: Claiming,
): Promise<Grant | Answer> {
  const { claim, caller } = planCall(exchange, admitted, [])
  const request = { ...claim, claimId, isAccepted: false, leaseMs }
  const details = { explanation: explanationOf(admitted) }
  const endsAt = Date.now() + caller.waitMs
  for (;;) {
    const waitMs = Math.max(0, endsAt - Date.now())
    // oxlint-disable-next-line no-await-in-loop -- one claim after the other
    const { answer } = await claimAt(exchange.c, request, (object, at) =>
      object.claim(at, { ...caller, waitMs }, details),
    )
    if (!hasWaitedInVain(answer)) return answer
  }
}

function hasWaitedInVain(answer: Grant | Answer): boolean {
  if (answer.kind === 'lost') return true
  if (answer.kind !== 'joined') return false
  return answer.outcome !== 'succeeded' && answer.outcome !== 'failed'
}

function grantedAnswer(
  { c, known: { tenant } }: Exchange,
  { claim, lastDoubtMs = null }: Grant,
  held: Claiming & { readonly claimMs: number },
): Response {
  const { operationId, fence, isInDoubt } = claim
  c.header('Cache-Control', 'no-store')
  return c.json(
    {
      state: 'granted',
      operationId,
      tenant,
      key: operationId,
      attempt: fence,
      claim: writeClaim({ ...held, fence }),
      leaseMs: held.leaseMs,
      claimMs: held.claimMs,
      inDoubt: isInDoubt,
      inDoubtMs: isInDoubt ? (lastDoubtMs ?? 0) : null,
      correlationId: scopeOf(c).correlation.correlationId,
    },
    201,
  )
}
