import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import type { Answer } from '../core/answer.ts'
import { classifyAnswer, classifyStatus, outcomeLeft } from '../core/classify.ts'
import { toClientHeaders } from '../core/headers.ts'
import { batchOf, type SourceIn } from '../core/key-source.ts'
import { decideLanding } from '../core/landing.ts'
import type { Caller, Grant } from '../core/operation-guard.ts'
import { isAnswerStatus, type Outcome } from '../core/outcome.ts'
import type { ProblemSlug } from '../core/problem.ts'
import type { ClaimRef } from '../core/record.ts'
import type { Reply } from '../core/reply.ts'
import { logFault } from '../metrics/log.ts'
import { askObject } from '../platform/ask-object.ts'
import { inTime } from '../platform/in-time.ts'
import { admit, type Admitted } from './admit.ts'
import { announce } from './announce.ts'
import { readItems } from './batch-items.ts'
import { expose, recordVerdict, type Subject } from './conclude.ts'
import { findKey } from './find-key.ts'
import type { GatewayEnv, Identity } from './gateway-env.ts'
import type { GuardedWork } from './guarded-work.ts'
import { NOBODY } from './identity.ts'
import { isTaken } from './kept-body.ts'
import { Payload } from './payload.ts'
import { dataRulesOf, landingRulesOf, recoveryOf } from './plan.ts'
import { operationOf } from './route-policy.ts'
import {
  isProblem,
  keyMissing,
  rejected,
  storeFault,
  tenantMissing,
  toStatus,
  toVerdict,
  UNPROTECTED,
  type Verdict,
} from './verdict.ts'

/** How long an answer waits at the most for what is observed, from the request's arrival on, in milliseconds. */
const ANSWER_MS = 1_000
/** How long it may take to tell whether a tenant is enforced already. */
const ENFORCED_MS = 5_000
/** How long the object may take to answer, and all that is observed behind the answer. */
const OBJECT_MS = 5_000
const RECORDED_MS = 10_000

/**
 * Whether a route that observes enforces for the tenant of this request already. For whom that cannot
 * be told, or not in time, it does not.
 */
export async function isEnforced(c: Context<GatewayEnv>, { enforce }: Policy): Promise<boolean> {
  if (enforce.percent === 0 && enforce.tenants.length === 0) return false
  try {
    return await inTime(isAmong(c, enforce), ENFORCED_MS)
  } catch (error) {
    logFault('it could not be told whether a tenant is enforced', error)
    return false
  }
}

async function isAmong(
  c: Context<GatewayEnv>,
  { percent, tenants }: Policy['enforce'],
): Promise<boolean> {
  const identity = await identify(c)
  if (identity.kind !== 'known') return false
  const { tenant } = identity
  return tenants.includes(tenant) || (await shareOf(c, tenant)) < percent
}

/** Who cannot be told is observed, whatever the reason. */
async function identify(c: Context<GatewayEnv>): Promise<Identity> {
  try {
    return await c.var.hapax.identify(c)
  } catch (error) {
    logFault('a tenant could not be resolved', error)
    return NOBODY
  }
}

/** Where a tenant stands among all of them, from 0 to 100: always at the same place. */
async function shareOf(c: Context<GatewayEnv>, tenant: string): Promise<number> {
  const hash = await c.var.hapax.digest('share', tenant)
  const bytes = new TextEncoder().encode(hash.slice(0, 8))
  return (bytes.reduce((sum, byte) => (sum * 31 + byte) % 10_000, 0) * 100) / 10_000
}

/** What a request would have come to. */
interface Foreseen {
  readonly verdict: Pick<Verdict, 'status'> & Partial<Pick<Verdict, 'reply'>>
  readonly source: Subject['source']
  readonly admitted: Admitted | null
  /** Where it would have been executed: what its answer is to end. */
  readonly claim: ObservedClaim | null
}

interface ObservedClaim {
  readonly ref: ClaimRef
  /** Whether an earlier call may have been executed. */
  readonly isInDoubt: boolean
}

/**
 * Lets a request through as if the route were not guarded, and records what would have happened:
 * in records of their own, which no enforced request meets.
 */
export async function observe(
  c: Context<GatewayEnv>,
  policy: Policy,
  work: GuardedWork,
  subject: Subject,
): Promise<Response> {
  const payload = await readBeside(c, policy)
  const foreseen = foresee(c, policy, payload).catch(toNothing)
  const answered = await work.untouched()
  // What is announced is a header, so it has to be known before the answer; and no request is read
  // any more behind it.
  const needed = policy.sunset === undefined ? payload.bytes().then(() => null) : foreseen
  const waitMs = Math.max(0, c.var.hapax.startedAt + ANSWER_MS - Date.now())
  const early = await inTime(needed, waitMs).catch(() => null)
  const { status } = answered
  const headers = toClientHeaders(answered.headers)
  const end = { subject, status, headers }
  const recorded = foreseen.then((known) => record(c, policy, end, known))
  afterwards(c, inTime(recorded, RECORDED_MS).catch(toNothing))
  return toObserved(c, policy, answered, early)
}

/** Whatever goes wrong while observing is no business of the client's. */
function toNothing(error: unknown): null {
  logFault('nothing observed', error)
  return null
}

function afterwards(c: Context<GatewayEnv>, work: Promise<unknown>): void {
  try {
    c.executionCtx.waitUntil(work)
  } catch (error) {
    toNothing(error)
  }
}

/**
 * Reads the body beside whoever answers. One that a middleware has read, or a function of the
 * policy may read, is put back for them first.
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

/** The answer with what observing says in it; as it came where that fails. */
function toObserved(
  c: Context<GatewayEnv>,
  policy: Policy,
  answered: Response,
  early: Foreseen | null,
): Response {
  try {
    return correlate(c, early ? tell(c, policy, answered, early) : answered)
  } catch (error) {
    toNothing(error)
    return answered
  }
}

/**
 * The one header that an observed answer gets. An upgrade, and a status that is none of an answer,
 * stay as they are: no response can be made of them.
 */
function correlate(c: Context<GatewayEnv>, response: Response): Response {
  if (!isAnswerStatus(response.status)) return response
  const correlated = new Response(response.body, response)
  correlated.headers.set('X-Correlation-Id', c.var.hapax.correlation.correlationId)
  return correlated
}

/** @returns `null` for what is no operation. */
async function foresee(
  c: Context<GatewayEnv>,
  policy: Policy,
  payload: Payload,
): Promise<Foreseen | null> {
  const batches = batchOf(policy.key)
  if (batches !== null) return foreseeBatch(policy, batches, payload)
  const found = await findKey(c, policy, payload)
  const refused = (verdict: Foreseen['verdict'], more: Partial<Foreseen> = {}): Foreseen => {
    return { verdict, source: null, admitted: null, claim: null, ...more }
  }
  switch (found.kind) {
    case 'no-operation':
      return null
    case 'refused':
      return refused(rejected(found.problem), { source: found.source })
    case 'none':
      return refused(policy.required ? rejected(keyMissing(policy)) : UNPROTECTED, {
        source: 'none',
      })
    case 'key':
  }
  const { source } = found
  const identity = await identify(c)
  if (identity.kind !== 'known') return refused(rejected(tenantMissing(identity)), { source })
  const { tenant, isVerified } = identity
  const introduced = { operation: operationOf(c, policy), tenant, isVerified, found }
  // No event is sent, so nothing is asked for that would deliver it.
  const admission = await admit(c, { ...policy, events: [] }, introduced, payload)
  if (!admission.ok) return refused(rejected(admission.error), { source })
  const admitted = admission.value
  const answer = await claim(c, policy, admitted)
  if (answer === null) return refused(storeFault(), { source, admitted })
  if (answer.kind === 'granted') {
    const { claim: ref, doubtMs = null } = answer
    return { verdict: EXECUTED, source, admitted, claim: { ref, isInDoubt: doubtMs !== null } }
  }
  const verdict = answer.kind === 'too_large' ? ofRepeat(policy, answer) : toVerdict(answer, policy)
  return { verdict, source, admitted, claim: null }
}

/** All items of a batch go to the origin at once, so that there is no outcome of one to be recorded. */
async function foreseeBatch(
  policy: Policy,
  source: SourceIn<'batch'>,
  payload: Payload,
): Promise<Foreseen> {
  const items = await readItems(payload, policy, source)
  const verdict = items.ok ? EXECUTED : rejected(items.error)
  return { verdict, source: 'batch', admitted: null, claim: null }
}

/** Of an observed operation only its status is kept: a repeat of what is unknown would be held. */
function ofRepeat(
  policy: Policy,
  { originStatus = 0 }: Extract<Answer, { kind: 'too_large' }>,
): Foreseen['verdict'] {
  const isUnknown = classifyStatus(originStatus, dataRulesOf(policy)) === 'unknown'
  return { status: isUnknown ? 'unknown' : 'replayed' }
}

const EXECUTED = { ...UNPROTECTED, status: 'executed' } as const

const NO_CALLER: Caller = {
  isAsync: false,
  waitMs: 0,
  corsOrigin: null,
  probeHeaders: [],
  sealKeys: [],
  deadlineAt: null,
  rateLimiter: null,
  address: null,
}

/** An observed answer is judged by its status and headers: its body is on its way to the client. */
const byHead = (policy: Policy): Policy => ({ ...policy, outcomes: dataRulesOf(policy) })

/** @returns `null` where the store fails. */
async function claim(
  c: Context<GatewayEnv>,
  policy: Policy,
  admitted: Admitted,
): Promise<Grant | Answer | null> {
  const { claim: known } = admitted
  const operationId = await c.var.hapax.digest('observed', known.operationId)
  const request = {
    ...known,
    operationId,
    // Nothing observed is remembered longer than results are.
    recovery: recoveryOf(c, { ...byHead(policy), unknown: 'resend', durable: false }, admitted),
    reauthorizePath: null,
    isAccepted: false,
    events: null,
    leaseMs: policy.lease,
  }
  const asked = askObject(c, operationId, (object) => object.claim(request, NO_CALLER))
  return inTime(asked, OBJECT_MS).catch(() => null)
}

/** What of an answer is observed. */
interface Observed extends ObservedAnswer {
  readonly subject: Subject
}

type ObservedAnswer = Pick<Extract<Reply, { kind: 'answer' }>, 'status' | 'headers'>

async function record(
  c: Context<GatewayEnv>,
  policy: Policy,
  { subject, ...answer }: Observed,
  foreseen: Foreseen | null,
): Promise<void> {
  if (foreseen === null) return
  const { verdict, source, admitted, claim: granted } = foreseen
  const outcome = granted === null ? null : await settle(c, policy, granted, answer)
  const reply = verdict.reply
  recordVerdict(
    c,
    {
      ...subject,
      source,
      tenant: admitted?.claim.tenant ?? null,
      operationId: admitted?.claim.operationId ?? null,
      requestBytes: admitted?.body.byteLength ?? 0,
    },
    { ...UNPROTECTED, outcome, reply },
    { status: answer.status, wouldBe: outcome === null ? verdict.status : toStatus(outcome) },
  )
}

/** Ends an observed claim by status and headers of the answer, of which nothing else is kept. */
async function settle(
  c: Context<GatewayEnv>,
  policy: Policy,
  { ref, isInDoubt }: ObservedClaim,
  { status, headers }: ObservedAnswer,
): Promise<Outcome> {
  const facts = { status, headers, directives: { outcome: null } }
  const own = classifyAnswer(facts, dataRulesOf(policy), isInDoubt)
  const outcome = outcomeLeft(own, isInDoubt)
  // What is held would never be forgotten: its status is enough to tell that a repeat would be.
  const isHeld = outcome === 'unknown' && policy.unknown !== 'resend'
  const reply: Reply = {
    kind: 'answer',
    status,
    headers,
    directives: { ...UNKEPT, outcome: isHeld ? 'executed' : null },
    body: new Uint8Array(),
  }
  const landing = decideLanding(reply, landingRulesOf(c, byHead(policy), null), isInDoubt)
  const call = { ...landing, claim: ref, sealKey: null, events: [] }
  const asked = askObject(c, ref.operationId, (object) => object.settle(call))
  // What has become of this request is known, whether or not a repeat will be told.
  await inTime(asked, OBJECT_MS).catch((error: unknown) =>
    logFault('an observed outcome could not be stored', error),
  )
  return outcome
}

const UNKEPT = { isStorable: false, retentionMs: null, resultStatus: null } as const

function tell(
  c: Context<GatewayEnv>,
  policy: Policy,
  response: Response,
  { verdict: { reply }, source }: Foreseen,
): Response {
  const isRefused = reply !== undefined && isProblem(reply) && WILL_BE_REFUSED.has(reply.slug)
  const slug = source === 'none' ? 'key-missing' : isRefused ? reply.slug : null
  if (slug === null || !isAnswerStatus(response.status)) return response
  const told = announce(c, policy, response, slug)
  expose(c, told.headers)
  return told
}

/** What is refused whenever it is sent, not for what else happens at the time. */
const WILL_BE_REFUSED: ReadonlySet<ProblemSlug> = new Set([
  'key-missing',
  'key-invalid',
  'key-reused',
  'payload-invalid',
  'payload-too-large',
  'tenant-missing',
])
