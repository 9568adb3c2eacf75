import type { HapaxEnv } from '../config/env.ts'
import { type Answer, ifEnded, ifUnknown } from '../core/operation/answer.ts'
import type { Granted } from '../core/operation/claim.ts'
import type { CallPlan, ForwardCall, Grant, StreamCall } from '../core/operation/operation-guard.ts'
import { isShard } from '../core/operation/placement.ts'
import { decideLanding, type Landing } from '../core/outcome/landing.ts'
import type { OriginFault } from '../core/outcome/outcome.ts'
import type { AnswerHead, ReplyOf } from '../core/outcome/reply.ts'
import { BY_VALUE_BYTES } from '../core/wire/body.ts'
import { dropBody } from '../platform/drop-body.ts'
import {
  claimAt,
  type Held,
  memoryOf,
  settle,
  streamTo,
  underLease,
} from '../platform/held-claim.ts'
import { methodsFor } from '../platform/methods-for.ts'
import { sealRequest } from '../platform/stored-request.ts'
import { callForClaim, type Called, type Claims } from './call-for-claim.ts'
import { requireOrigin } from './find-origin.ts'
import { healthOf } from './health.ts'
import { liveOutcomeOf } from './judge.ts'
import type { OriginTarget } from './target.ts'

/** Who forwards: a Worker, or an object in its place. */
export interface Forwarder {
  readonly env: HapaxEnv
  /** Keeps the Worker or object alive until some work has ended. */
  readonly waitUntil: (work: Promise<unknown>) => void
}

/** A claim under a lease, for which the origin is called here. */
interface Forwarded extends Held {
  readonly granted: Grant
  readonly plan: CallPlan
  readonly origin: OriginTarget
  readonly retentionMs: number
  /** Sets the claim that is renewed and settled from now on. */
  readonly follow: (claim: Granted) => void
}

/**
 * Claims an operation at the object that guards it, calls the origin for it and settles, or answers
 * from what is known about it. An object that guards only this operation makes the call itself.
 *
 * @throws {Error} When the object cannot be reached.
 */
export async function forwardCall(forwarder: Forwarder, call: ForwardCall): Promise<Answer> {
  const claimed = await claimCall(forwarder, call)
  if ('kind' in claimed) return claimed
  const work = underLease(claimed, () => callAndSettle(claimed))
  forwarder.waitUntil(work.catch(() => {}))
  return call.caller.isAsync ? orAccept(claimed, work, call) : work
}

async function claimCall(forwarder: Forwarder, call: ForwardCall): Promise<Forwarded | Answer> {
  const { plan } = call
  const origin = requireOrigin(forwarder.env, plan.origin)
  const health = healthOf(origin.id)
  // Before the claim: afterwards, a call that may not be made would have to be taken back.
  const passage = health.reserve(plan.retry, Date.now())
  try {
    const claimed = await claimUnderLease(forwarder, call, passage.retryAfterMs)
    if ('kind' in claimed) {
      passage.giveBack()
      return claimed
    }
    health.begin(plan.retry, plan.tenant, Date.now())
    return { ...claimed, origin }
  } catch (error) {
    passage.giveBack()
    throw error
  }
}

async function claimUnderLease(
  { env, waitUntil }: Forwarder,
  { leaseMs, deployed, ...call }: ForwardCall,
  circuitMs: number | null,
): Promise<Omit<Forwarded, 'origin'> | Answer> {
  const { claim, caller, plan, explanation = null } = call
  const { operationId, retentionMs } = claim
  const kept = { request: plan.request, sealKey: plan.keeping.sealKey }
  const stored = call.isStored ? await sealRequest(env, operationId, kept) : null
  const forwarding = { stored, circuitMs, call: caller.isAsync ? call : null }
  const { answer, ask } = await claimAt({ env, deployed }, claim, (object, at, name) => {
    const methods = methodsFor(object, plan.origin)
    return isShard(name)
      ? methods.claim({ ...at, leaseMs }, caller, { explanation, forwarding })
      : methods.execute({ ...call, claim: at })
  })
  if (answer.kind !== 'granted') return answer
  let last = answer.claim
  return {
    granted: answer,
    plan,
    retentionMs,
    leaseMs,
    waitUntil,
    claim: () => last,
    follow: (next) => void (last = next),
    ask,
  }
}

/** Forwards a call in place of a Worker, to which only byte streams can be sent. */
export async function forwardForWorker(forwarder: Forwarder, call: ForwardCall): Promise<Answer> {
  const answer = await forwardCall(forwarder, call)
  if (answer.kind !== 'executed' || !(answer.response.body instanceof ReadableStream)) return answer
  const body = answer.response.body.pipeThrough(new IdentityTransformStream())
  return { ...answer, response: { ...answer.response, body } }
}

/** A client that comes back for the result waits only for `waitMs`; the work goes on. */
async function orAccept(
  { ask, granted }: Forwarded,
  work: Promise<Answer>,
  { caller }: ForwardCall,
): Promise<Answer> {
  const early = await Promise.race([work, scheduler.wait(caller.waitMs)])
  const isUnexecuted = early !== undefined && 'outcome' in early && early.outcome === 'not_executed'
  if (early !== undefined && !isUnexecuted) return early
  const accepted = await ask((object) => object.accept(granted.claim.operationId))
  // Still in progress when its call has ended: it was not executed, and the alarm sends it again.
  const isDriven = accepted?.view.state === 'in_progress'
  if (accepted === null || (early !== undefined && !isDriven)) return work
  // Nobody receives this answer: the client comes back for the stored one.
  void work.then(dropBody, () => {})
  return accepted
}

async function callAndSettle(held: Forwarded): Promise<Answer> {
  const { granted, plan, origin } = held
  const called = await callForClaim(claimsOf(held), origin, granted.claim, plan)
  const { claim, reply, originCalls, timing } = called
  if (reply.kind === 'live') return stream(held, called, openLive(held, reply))
  const landing = decideLanding(reply, plan.rules, claim.isInDoubt)
  const { outcome } = landing
  if (reply.kind === 'answer' && isLarge(reply.body) && 'snapshot' in landing.settlement) {
    return stream(held, called, { ...headOf(reply), body: toStream(reply.body) })
  }
  const { sealKey } = plan.keeping
  const ending = { ...landing, end: toSent(landing.end), claim, sealKey, events: [] }
  const settled = await settle(held, ending)
  const { doubtMs = null } = granted
  const ageMs = doubtMs === null ? 0 : doubtMs + timing.originMs
  const known = {
    outcome,
    fence: claim.fence,
    timing,
    work: { originCalls, settle: settled },
    ...ifUnknown(landing, ageMs),
    ...memoryOf(landing.settlement, settled, held.retentionMs),
  }
  if (reply.kind === 'fault') {
    const { fault, originStatus } = reply
    return { kind: 'lost', fault, originStatus, ...known }
  }
  const { status, headers } = reply
  const body = isLarge(reply.body) ? toStream(reply.body) : reply.body
  return { kind: 'executed', response: { status, headers, body }, ...known }
}

/** Every call has a claim with a name of its own, so that a repeated question gets the same one. */
function claimsOf({ ask, follow, leaseMs }: Forwarded): Claims {
  return {
    note: (claim, end) => ask((object) => object.note(claim, end)),
    async claimAgain(claim) {
      const next = { claimId: crypto.randomUUID(), leaseMs }
      const granted = await ask((object) => object.claimAgain(claim, next))
      if (granted !== null) follow(granted)
      return granted
    },
  }
}

/** An answer for the object, which records it while it arrives. */
type Streamed = AnswerHead & Pick<StreamCall, 'body' | 'declaredBytes' | 'faultOf'>

/** Lets the object record an answer and pass it on: from now on it has the claim, and needs no lease. */
async function stream(
  held: Forwarded,
  { claim, originCalls, timing }: Called,
  streamed: Streamed,
): Promise<Answer> {
  const { rules, bounds, keeping } = held.plan
  const { limitBytes } = bounds
  const call = { ...streamed, claim, rules, limitBytes, keeping, events: [] }
  const response = await streamTo(held, call)
  const outcome = liveOutcomeOf(streamed, rules, claim.isInDoubt)
  const memory = ifEnded({ outcome }, streamed.directives.retentionMs ?? held.retentionMs)
  const work = { originCalls, settle: null }
  return { kind: 'executed', response, outcome, fence: claim.fence, timing, work, ...memory }
}

/** Sends a body on as it arrives, and keeps the holder of the claim alive until the object has seen its end. */
function openLive(
  { waitUntil }: Forwarded,
  { body: source, declaredBytes, ...reply }: ReplyOf<'live'>,
): Streamed {
  const seen = Promise.withResolvers<void>()
  waitUntil(seen.promise)
  let fault: OriginFault | null = null
  const body: ReadableStream<Uint8Array> = new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      try {
        const chunk = await source.next()
        if (chunk !== null) return controller.enqueue(chunk)
        controller.close()
        controller.byobRequest?.respond(0)
      } catch (error) {
        fault = source.faultOf(error)
        controller.error(error)
      }
    },
    cancel() {
      seen.resolve()
      source.cancel()
    },
  })
  const faultOf = async () => {
    seen.resolve()
    return fault
  }
  return { ...headOf(reply), body, declaredBytes, faultOf }
}

const headOf = ({ status, headers, directives, said, retryAfterMs }: AnswerHead): AnswerHead => ({
  status,
  headers,
  directives,
  ...(said !== undefined && { said }),
  ...(retryAfterMs !== undefined && { retryAfterMs }),
})

const isLarge = (
  body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array>,
): body is Uint8Array<ArrayBuffer> => body instanceof Uint8Array && body.byteLength > BY_VALUE_BYTES

function toStream(body: Uint8Array<ArrayBuffer>): ReadableStream<Uint8Array> {
  return new Blob([body]).stream()
}

/** Half of what the platform sends in one message. */
const MAX_SENT_BYTES = 16_777_216

/** A response that is not stored is sent only for the requests that wait for it. */
function toSent(end: Landing['end']): Landing['end'] {
  const isSendable = end.kind !== 'response' || end.body.byteLength <= MAX_SENT_BYTES
  return isSendable ? end : { kind: 'undecided' }
}
