import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import { requireBindings } from '../config/required-bindings.ts'
import type { Answer } from '../core/operation/answer.ts'
import type { Grant } from '../core/operation/operation-guard.ts'
import type { ClaimRef } from '../core/operation/record.ts'
import { classifyAnswer, classifyStatus, outcomeLeft } from '../core/outcome/classify.ts'
import { decideLanding } from '../core/outcome/landing.ts'
import { isAnswerStatus, type Outcome } from '../core/outcome/outcome.ts'
import type { AnswerHead, Reply } from '../core/outcome/reply.ts'
import { batchOf, type SourceIn } from '../core/request/key-source.ts'
import type { Problem, ProblemSlug } from '../core/response/problem.ts'
import { toClientHeaders } from '../core/wire/headers.ts'
import { logFault } from '../metrics/log.ts'
import { askObject } from '../platform/ask-object.ts'
import { inTime } from '../platform/in-time.ts'
import { announce } from './announce.ts'
import { dataRulesOf, landingRulesOf, NO_CALLER, recoveryOf } from './call-plan.ts'
import { recordVerdict } from './conclude.ts'
import { identify } from './enforcement.ts'
import { type Admitted, type Exchange, learn, openExchange } from './exchange.ts'
import { expose } from './expose.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { keepAlive } from './keep-alive.ts'
import { isTaken, Payload } from './payload.ts'
import { readOperation } from './read-operation.ts'
import { scopeOf } from './request-scope.ts'
import { batchCodeOf } from './source-code.ts'
import {
  isProblem,
  rejected,
  storeFault,
  toStatus,
  toVerdict,
  UNPROTECTED,
  type Verdict,
} from './verdict.ts'

/** How long an answer may wait for the observation after the request arrived, in milliseconds. */
const ANSWER_MS = 1_000
/** How long the object, and everything after the answer, may take. */
const OBJECT_MS = 5_000
const RECORDED_MS = 10_000

interface Foreseen {
  readonly verdict: Pick<Verdict, 'status'> & Partial<Pick<Verdict, 'reply'>>
  /** The claim that its answer ends, if it would have been executed. */
  readonly claim: ObservedClaim | null
}

interface ObservedClaim {
  readonly ref: ClaimRef
  /** Whether an earlier call may have been executed. */
  readonly isInDoubt: boolean
}

/** A request that is read while it is answered as if the route were not guarded. */
interface Observation {
  readonly exchange: Exchange
  /** What would have happened; `null` if it is no operation, or could not be read. */
  readonly foreseeing: Promise<Foreseen | null>
}

/** Begins to read a request, before it is answered. */
export async function beginObserving(c: Context<GatewayEnv>, policy: Policy): Promise<Observation> {
  const payload = await readBeside(c, policy)
  // No event is sent, and only data can judge: the body is on its way to the client, and the object
  // cannot send the request again.
  const observed = { ...policy, events: [], outcomes: dataRulesOf(policy), durable: false }
  const exchange = openExchange(c, observed, { payload, identify })
  return { exchange, foreseeing: foresee(exchange).catch(toNothing) }
}

/**
 * Answers an observed request, and records what would have happened: in records of their own, which
 * no enforced request meets.
 */
export async function endObserving(
  { exchange, foreseeing }: Observation,
  answered: Response,
): Promise<Response> {
  const { c, policy, payload } = exchange
  // An announcement is a header, so it must be known before the answer. A body is not read after it.
  const needed = policy.sunset === undefined ? payload.bytes().then(() => null) : foreseeing
  const waitMs = Math.max(0, scopeOf(c).startedAt + ANSWER_MS - Date.now())
  const early = await inTime(needed, waitMs).catch(() => null)
  const { status } = answered
  const headers = toClientHeaders(answered.headers)
  const recorded = foreseeing.then((foreseen) => record(exchange, { status, headers }, foreseen))
  keepAlive(c, inTime(recorded, RECORDED_MS).catch(toNothing))
  return toObserved(exchange, answered, early)
}

/** A failure of observing does not affect the client. */
function toNothing(error: unknown): null {
  logFault('nothing observed', error)
  return null
}

/**
 * Reads the body while the request is answered. If a middleware has read it, or a function of the
 * policy may read it, it is read and restored first.
 */
async function readBeside(c: Context<GatewayEnv>, policy: Policy): Promise<Payload> {
  const { key, fingerprint } = policy
  const isShared =
    typeof fingerprint === 'function' || key.some((source) => source.in === 'function')
  if (!isTaken(c.req.raw) && !isShared) return Payload.beside(c, policy)
  const payload = new Payload(c, policy)
  await putBack(payload).catch(toNothing)
  return payload
}

async function putBack(payload: Payload): Promise<void> {
  await payload.bytes()
  await payload.restore()
}

/** Adds the headers of observing to the answer; returns it unchanged if that fails. */
function toObserved(exchange: Exchange, answered: Response, early: Foreseen | null): Response {
  try {
    return correlate(exchange.c, early ? tell(exchange, answered, early) : answered)
  } catch (error) {
    toNothing(error)
    return answered
  }
}

/** Adds the correlation id. An upgrade cannot be copied, so it stays unchanged. */
function correlate(c: Context<GatewayEnv>, response: Response): Response {
  if (!isAnswerStatus(response.status)) return response
  const correlated = new Response(response.body, response)
  correlated.headers.set('X-Correlation-Id', scopeOf(c).correlation.correlationId)
  return correlated
}

async function foresee(exchange: Exchange): Promise<Foreseen | null> {
  requireBindings(exchange.c.env)
  const batches = batchOf(exchange.policy.key)
  if (batches !== null) return foreseeBatch(exchange, batches)
  const reading = await readOperation(exchange)
  switch (reading.kind) {
    case 'no-operation':
      return null
    case 'refused':
      return unclaimed(rejected(reading.problem))
    case 'keyless':
      return unclaimed(UNPROTECTED)
    case 'admitted':
      return foreseeOperation(exchange, reading.admitted)
  }
}

const unclaimed = (verdict: Foreseen['verdict']): Foreseen => ({ verdict, claim: null })

async function foreseeOperation(exchange: Exchange, admitted: Admitted): Promise<Foreseen> {
  const { policy } = exchange
  const answer = await claim(exchange, admitted)
  if (answer === null) return unclaimed(storeFault())
  if (answer.kind === 'granted') {
    const { claim: ref, doubtMs = null } = answer
    return { verdict: EXECUTED, claim: { ref, isInDoubt: doubtMs !== null } }
  }
  return unclaimed(
    answer.kind === 'too_large' ? ofRepeat(policy, answer) : toVerdict(answer, policy),
  )
}

/** All items of a batch go to the origin in one request, so no item has an outcome to record. */
async function foreseeBatch(exchange: Exchange, source: SourceIn<'batch'>): Promise<Foreseen> {
  learn(exchange, { source: source.in })
  const items = await batchCodeOf(source).readItems(exchange, source)
  return unclaimed(items.ok ? EXECUTED : rejected(items.error))
}

/** The verdict of a repeat. Of an observed operation only the status is stored. */
function ofRepeat(
  policy: Policy,
  { originStatus = 0 }: Extract<Answer, { kind: 'too_large' }>,
): Foreseen['verdict'] {
  const isUnknown = classifyStatus(originStatus, dataRulesOf(policy)) === 'unknown'
  return { status: isUnknown ? 'unknown' : 'replayed' }
}

const EXECUTED = { ...UNPROTECTED, status: 'executed' } as const

/** @returns `null` if the store fails. */
async function claim(exchange: Exchange, admitted: Admitted): Promise<Grant | Answer | null> {
  const { c, policy } = exchange
  const operationId = scopeOf(c).digest('observed', admitted.claim.operationId)
  // An observed operation is not remembered longer than a result.
  const resending = { ...exchange, policy: { ...policy, unknown: 'resend' as const } }
  const request = {
    ...admitted.claim,
    operationId,
    recovery: recoveryOf(resending, admitted),
    reauthorizePath: null,
    isAccepted: false,
    events: null,
    leaseMs: policy.lease,
  }
  const asked = askObject(
    c,
    operationId,
    (object, { movedAt }) => object.claim({ ...request, movedAt }, NO_CALLER),
    { memory: request },
  )
  return inTime(asked, OBJECT_MS).catch(() => null)
}

/** The observed parts of an answer. */
type ObservedAnswer = Pick<AnswerHead, 'status' | 'headers'>

async function record(
  exchange: Exchange,
  answer: ObservedAnswer,
  foreseen: Foreseen | null,
): Promise<void> {
  if (foreseen === null) return
  const { verdict, claim: granted } = foreseen
  const outcome = granted === null ? null : await settle(exchange, granted, answer)
  recordVerdict(
    exchange,
    { ...UNPROTECTED, outcome },
    {
      ...answer,
      problem: problemOf(verdict),
      wouldBe: outcome === null ? verdict.status : toStatus(outcome),
    },
  )
}

const problemOf = ({ reply }: Foreseen['verdict']): Problem | null =>
  reply !== undefined && isProblem(reply) ? reply : null

/** Settles an observed claim by the status and headers of the answer. The body is not stored. */
async function settle(
  exchange: Exchange,
  { ref, isInDoubt }: ObservedClaim,
  { status, headers }: ObservedAnswer,
): Promise<Outcome> {
  const { c, policy } = exchange
  const facts = { status, headers, directives: { outcome: null } }
  const own = classifyAnswer(facts, dataRulesOf(policy), isInDoubt)
  const outcome = outcomeLeft(own, isInDoubt)
  // A held record would never expire. The stored status is enough to recognize a repeat.
  const isHeld = outcome === 'unknown' && policy.unknown !== 'resend'
  const reply: Reply = {
    kind: 'answer',
    status,
    headers,
    directives: { ...UNKEPT, outcome: isHeld ? 'executed' : null },
    body: new Uint8Array(),
  }
  const landing = decideLanding(reply, landingRulesOf(exchange, null), isInDoubt)
  const call = { ...landing, claim: ref, sealKey: null, events: [] }
  const asked = askObject(c, ref.operationId, (object) => object.settle(call))
  // The outcome of this request is known, even if a repeat cannot learn it.
  await inTime(asked, OBJECT_MS).catch((error: unknown) =>
    logFault('an observed outcome could not be stored', error),
  )
  return outcome
}

const UNKEPT = { isStorable: false, retentionMs: null, resultStatus: null } as const

function tell(exchange: Exchange, response: Response, { verdict }: Foreseen): Response {
  const problem = problemOf(verdict)
  const refused = problem !== null && WILL_BE_REFUSED.has(problem.slug) ? problem.slug : null
  const slug = exchange.known.source === 'none' ? 'key-missing' : refused
  if (slug === null || !isAnswerStatus(response.status)) return response
  const told = announce(exchange, response, slug)
  expose(exchange.c, told.headers)
  return told
}

/** Problems that the request itself causes, whenever it is sent. */
const WILL_BE_REFUSED: ReadonlySet<ProblemSlug> = new Set([
  'key-missing',
  'key-invalid',
  'key-reused',
  'payload-invalid',
  'payload-too-large',
  'tenant-missing',
])
