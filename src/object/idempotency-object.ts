import { DurableObject } from 'cloudflare:workers'

import type { HapaxEnv } from '../config/env.ts'
import { type Answer, NO_TIME, type SettleResult } from '../core/answer.ts'
import {
  type ClaimDecision,
  type ClaimRequest,
  type Granted,
  isNew,
  isUnexecuted,
  toGranted,
  toOwner,
} from '../core/claim.ts'
import { isRecoverable } from '../core/due.ts'
import { toReplayHeaders } from '../core/headers.ts'
import type {
  CallPlan,
  Caller,
  ClaimAnswer,
  ExecuteCall,
  OperationGuard,
  OperationQuestion,
  SettleCall,
  StreamCall,
} from '../core/operation-guard.ts'
import { type OperationView, toOperationView } from '../core/operation-view.ts'
import type { OperatorAction, OperatorResult, OperatorView } from '../core/operator.ts'
import {
  type ClaimRef,
  doubtMs,
  doubtOf,
  type OperationRecord,
  ownerOf,
  type SettledRecord,
  toRef,
  type UnknownRecord,
} from '../core/record.ts'
import type { Undecided } from '../core/reply.ts'
import { isSealed, type SnapshotHead, type WireResponse } from '../core/snapshot.ts'
import { toTime } from '../core/time.ts'
import { logFault } from '../metrics/log.ts'
import { healthOf } from '../origin/health.ts'
import { requireOrigin } from '../origin/target.ts'
import { Alarm, allOf } from '../platform/alarm.ts'
import { within } from '../platform/in-time.ts'
import { requireSpill, Spill } from '../platform/spill.ts'
import { answerJoined, answerResolution, dropBody } from './answers.ts'
import { EventDeliveries, toNewEvents } from './event-deliveries.ts'
import type { Flight } from './flight.ts'
import { Flights } from './flights.ts'
import { bodyOf, Ledger } from './ledger.ts'
import { Operator } from './operator-actions.ts'
import { sealRequest } from './probe.ts'
import type { BodyRef } from './record-store.ts'
import { Runs } from './runs.ts'
import { openHead, partsOf, type Sealer } from './sealer.ts'
import { toLiveBody, toWireBody } from './wire-body.ts'

/** A claim that was not granted and needs nothing of the origin to be answered. */
type Refusal =
  | Exclude<ClaimDecision, { readonly kind: 'execute' | 'probe' }>
  | { readonly kind: 'store_fault' }

/**
 * The guard of an operation: claims it durably before the origin is called, calls the origin
 * itself, keeps what it answered and tells every repeat. It is the only writer of the record, and
 * what it does for a request does not end with the client's connection.
 */
export class IdempotencyObject extends DurableObject<HapaxEnv> implements OperationGuard {
  readonly #flights = new Flights()
  readonly #ledger = new Ledger(
    this.ctx.storage,
    (id) => this.#flights.isRunning(id),
    () => this.ctx.waitUntil(this.#sweep()),
  )
  readonly #runs = new Runs(this.env, this.#ledger, this.#flights, (work) =>
    this.ctx.waitUntil(work),
  )
  readonly #events = new EventDeliveries(this.env, this.#ledger)
  readonly #operator = new Operator(this.#ledger, this.#flights, this.#runs)
  readonly #alarm = new Alarm((at) => this.#ledger.postponeAlarm(at))

  execute(call: ExecuteCall): Promise<Answer> {
    return untilAnswered(call.caller, (caller) => this.#execute({ ...call, caller }))
  }

  async #execute(call: ExecuteCall): Promise<Answer | Orphaned> {
    const { claim: request, caller, plan } = call
    const refusal = await this.#refuseNew(request, caller)
    if (refusal !== null) return refusal
    const stored = await this.#toStored(call)
    // From here to the claim nothing is awaited: what is said of the call holds when it is made.
    const ahead = this.#look(request)?.kind
    if (ahead === undefined || ahead === 'execute' || ahead === 'probe') this.#runs.prepare(plan)
    const refusedCall = ahead === 'execute' && this.#refuseCall(caller, plan)
    if (refusedCall) return refusedCall
    const decision = this.#claim(request, stored)
    if (decision.kind === 'execute') {
      const claim = toGranted(request.operationId, decision.record)
      return this.#orAccept(this.#keepAlive(this.#runs.run(claim, plan)), request, caller)
    }
    if (decision.kind === 'probe') {
      const work = this.#keepAlive(this.#executeUnlessDone(call, stored, decision))
      return this.#orAccept(work, request, caller)
    }
    return this.#answer(decision, request.operationId, caller)
  }

  claim(request: ClaimRequest, caller: Caller): Promise<ClaimAnswer> {
    return untilAnswered(caller, (left) => this.#claimForWorker(request, left))
  }

  async #claimForWorker(request: ClaimRequest, caller: Caller): Promise<ClaimAnswer | Orphaned> {
    const refusal = await this.#refuseNew(request, caller)
    if (refusal !== null) return refusal
    if (isTooLate(caller) && this.#look(request)?.kind === 'execute') return TOO_LATE
    const decision = this.#claim(request, null)
    if (decision.kind === 'execute') {
      return this.#grant(toRef(request.operationId, decision.record), decision.record)
    }
    if (decision.kind === 'probe') {
      return this.#keepAlive(this.#grantUnlessDone(request, caller, decision))
    }
    return this.#answer(decision, request.operationId, caller)
  }

  async renew(claim: ClaimRef, leaseMs: number): Promise<boolean> {
    return this.#ledger.renew(claim, leaseMs)
  }

  async settle({ claim, settlement, end, sealKey, events }: SettleCall): Promise<SettleResult> {
    const emitted = await toNewEvents(this.env, claim.operationId, events)
    const landing = { settlement: { ...settlement, by: 'worker' }, end } as const
    const result = await this.#runs.land(claim, landing, sealKey, emitted)
    // Taken is what is stored. Until then both sides try it, and the one that comes second is told so.
    if (result === null) throw new Error('A settle could not be stored yet.')
    return result
  }

  async stream(call: StreamCall): Promise<WireResponse> {
    const { claim, limitBytes, rules, body, keeping, events, ...head } = call
    this.#runs.prepareRecording(keeping)
    const emitted = await toNewEvents(this.env, claim.operationId, events)
    const adopted = await this.#adopt(claim)
    // A late owner's client gets its answer; nothing of it touches the record or those who wait.
    if (adopted === null) return { status: head.status, headers: head.headers, body }
    const reply = { kind: 'live', ...head, body: toLiveBody(body), declaredBytes: null } as const
    const bounds = { timeoutMs: 0, limitBytes }
    try {
      return this.#runs.stream(adopted, reply, { rules, bounds, keeping, emitted }).response
    } catch (error) {
      this.#runs.giveUp(adopted)
      throw error
    }
  }

  /**
   * Takes a Worker's claim over, and those who wait for it along: while it records, the object drives
   * the claim, and nobody needs to renew a lease. The answer must not be lost for a fault of the
   * store that is over in a moment.
   */
  async #adopt(claim: ClaimRef): Promise<Granted | null> {
    for (let tries = 1; tries <= ADOPT_TRIES; tries++) {
      try {
        const adopted = this.#ledger.adopt(claim, crypto.randomUUID())
        // In the same turn: the record is the object's, and without a flight it would be an orphan.
        if (adopted !== null) this.#flights.takeOff(adopted, { kind: 'object' })
        return adopted
      } catch (error) {
        logFault('a stream could not be taken over, so it is not recorded yet', error)
        // oxlint-disable-next-line no-await-in-loop -- one try after the other
        await scheduler.wait(ADOPT_RETRY_MS * tries)
      }
    }
    return null
  }

  /**
   * Tidies up, recovers what no client comes back for, and delivers events. While it runs the
   * platform lets no other alarm come, so it does not wait for the end of what may hang.
   */
  override async alarm(): Promise<void> {
    const work = this.#alarm.ring(async () => {
      const { recoverable, events } = this.#ledger.tidy()
      const recoveries = recoverable.map((due) => this.#runs.recover(due))
      await allOf([...recoveries, this.#events.deliver(events)])
    })
    await within(this.#keepAlive(work), ALARM_PATIENCE_MS)
  }

  async rearm(operationId: string): Promise<'in-doubt' | 'over'> {
    this.#ledger.setAlarmAgain()
    return doubtOf(this.#ledger.find(operationId)) === null ? 'over' : 'in-doubt'
  }

  /** Deletes in the bucket what belongs to nothing any more. */
  async #sweep(): Promise<void> {
    try {
      const spillKeys = this.#ledger.listGarbage()
      if (spillKeys.length === 0) return
      await requireSpill(this.env.SNAPSHOTS).delete(spillKeys)
      this.#ledger.dropGarbage(spillKeys)
    } catch (error) {
      logFault('pieces of a body could not be deleted in the bucket; it will be tried again', error)
    }
  }

  /**
   * Counts a new operation of its tenant, where the route says so, and of where it comes from: who
   * is not verified could be another tenant with every request. Nothing is stored for one too many.
   */
  async #refuseNew(
    request: ClaimRequest,
    { rateLimiter, address }: Caller,
  ): Promise<Answer | null> {
    if (rateLimiter === null) return null
    const ahead = this.#look(request)
    if (ahead === null || !isNew(ahead)) return null
    const binding = Reflect.get(this.env, rateLimiter) as RateLimit | undefined
    if (binding === undefined) throw new Error(`There is no rate-limiting binding ${rateLimiter}.`)
    // The address first: whoever is over there must not use up what belongs to the tenant it names.
    for (const key of address === null ? [request.tenant] : [address, request.tenant]) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      if (!(await binding.limit({ key })).success) return { kind: 'rate_limited' }
    }
    return null
  }

  /** Asks deadline and circuit before a claim, so that nothing is stored for a call that is not made. */
  #refuseCall(caller: Caller, { retry, tenant }: CallPlan): Answer | null {
    if (isTooLate(caller)) return TOO_LATE
    const health = healthOf(requireOrigin(this.env).base)
    const retryAfterMs = health.admit(retry, tenant, Date.now())
    return retryAfterMs === null ? null : { kind: 'circuit_open', retryAfterMs }
  }

  async #toStored({ claim, plan, isStored }: ExecuteCall): Promise<Uint8Array | null> {
    if (!isStored) return null
    const { request, keeping } = plan
    return sealRequest(this.env, claim.operationId, { request, sealKey: keeping.sealKey })
  }

  /** Where the store does not answer, the claim will say so. */
  #look(request: ClaimRequest): ClaimDecision | null {
    try {
      return this.#ledger.look(request)
    } catch {
      return null
    }
  }

  #claim(
    request: ClaimRequest,
    stored: Uint8Array | null,
  ): ClaimDecision | { kind: 'store_fault' } {
    try {
      return this.#ledger.claim(request, stored)
    } catch (error) {
      // It may be running: whoever went around the store would execute it a second time.
      if (this.#flights.ofOperation(request.operationId) !== null) throw error
      logFault('a claim could not be stored; nothing was forwarded', error)
      return { kind: 'store_fault' }
    }
  }

  #grant(claim: ClaimRef, record: OperationRecord): ClaimAnswer {
    this.#flights.takeOff(claim, ownerOf(record))
    return { kind: 'granted', claim, doubtMs: doubtMs(record, Date.now()) }
  }

  async #executeUnlessDone(
    { claim: request, caller, plan }: ExecuteCall,
    stored: Uint8Array | null,
    doubt: Doubt,
  ): Promise<Answer | Orphaned> {
    const refuse = () => this.#refuseCall(caller, plan)
    const claim = await this.#claimUnlessDone({ request, stored, caller, refuse }, doubt)
    return 'kind' in claim ? claim : this.#runs.run(claim, plan)
  }

  async #grantUnlessDone(
    request: ClaimRequest,
    caller: Caller,
    doubt: Doubt,
  ): Promise<ClaimAnswer | Orphaned> {
    const refuse = () => (isTooLate(caller) ? TOO_LATE : null)
    const claim = await this.#claimUnlessDone({ request, stored: null, caller, refuse }, doubt)
    if ('kind' in claim) return claim
    this.#flights.takeOff(claim, toOwner(request, Date.now()))
    return { kind: 'granted', claim }
  }

  /** Asks the origin first, and claims the operation when it was not executed. */
  async #claimUnlessDone(
    { request, stored, caller, refuse }: Reclaim,
    { record, recovery }: Doubt,
  ): Promise<Granted | Answer | Orphaned> {
    const known = toRef(request.operationId, record)
    const resolution = await this.#runs.resolve(known, record, {
      recovery,
      headers: caller.probeHeaders,
      sealKey: caller.sealKeys[0] ?? null,
    })
    if (resolution.kind === 'undecided') {
      return this.#answerUndecided(request, record, caller, resolution)
    }
    if (resolution.kind === 'settled') return answerResolution(resolution, record, caller)
    const refusal = refuse()
    if (refusal !== null) {
      this.#runs.giveUp(known)
      return refusal
    }
    const claim = this.#runs.claimNext(known, (ledger) =>
      ledger.claimResolved(known, request, stored),
    )
    return claim ?? this.#answerUndecided(request, record, caller, { kind: 'undecided' })
  }

  /** While the origin was asked, a late owner may have told what it has come to, or tell it right now. */
  async #answerUndecided(
    request: ClaimRequest,
    record: UnknownRecord,
    caller: Caller,
    undecided: Undecided,
  ): Promise<Answer | Orphaned> {
    const decision = this.#look(request)
    if (decision?.kind === 'replay' || decision?.kind === 'in_flight') {
      return this.#answer(decision, request.operationId, caller)
    }
    return answerResolution(undecided, record, caller)
  }

  /** A client that comes back for the result waits only as long as it likes. */
  async #orAccept(
    work: Promise<Answer | Orphaned>,
    { operationId }: ClaimRequest,
    { isAsync, waitMs }: Caller,
  ): Promise<Answer | Orphaned> {
    if (!isAsync) return work
    const answer = await Promise.race([work, scheduler.wait(waitMs)])
    // Still in progress when its call has ended: it was not executed, and the alarm sends it again.
    const isDriven =
      !this.#flights.isRunning(operationId) &&
      this.#ledger.find(operationId)?.state === 'in_progress'
    if (answer !== undefined && !isDriven) return answer
    const accepted = this.#accept(operationId)
    if (accepted === null) return work
    // Nobody gets what the call brings: the client comes back for it.
    this.ctx.waitUntil(
      work.then(
        (late) => late.kind !== 'orphaned' && dropBody(late),
        () => {},
      ),
    )
    return accepted
  }

  #accept(operationId: string): Answer | null {
    const record = this.#ledger.accept(operationId)
    if (record === null) return null
    const view = this.#view(operationId, record)
    return { kind: 'accepted', fence: record.fence, view }
  }

  #view(operationId: string, record: OperationRecord): OperationView {
    const isRecovering = record.state === 'unknown' && isRecoverable(record, Date.now())
    return toOperationView(operationId, record, { toTime, isRecovering })
  }

  async inspect(question: OperationQuestion): Promise<OperationView | null> {
    const record = await this.#find(question)
    return record === null ? null : this.#view(question.operationId, record)
  }

  async result(question: OperationQuestion, caller: Caller): Promise<Answer | null> {
    const record = await this.#find(question)
    if (record === null) return null
    const { fence } = record
    const runningMs = Date.now() - record.claimedAt
    const running: Answer = { kind: 'in_flight', fence, runningMs, timing: NO_TIME }
    switch (record.state) {
      case 'in_progress':
        return running
      case 'unknown':
        // Nothing was executed, and it is sent again.
        if (isUnexecuted(record)) return running
        return { kind: 'held', policy: record.recovery.kind, ...pickHeld(record) }
      case 'expired':
        return toExpired({ known: record, isOther: false })
      case 'succeeded':
      case 'failed':
        return this.#replay(question.operationId, record, caller)
    }
  }

  async examine(operationId: string): Promise<OperatorView | null> {
    return this.#operator.examine(operationId)
  }

  async operate(operationId: string, action: OperatorAction): Promise<OperatorResult> {
    return this.#operator.operate(operationId, action)
  }

  /** An operation of another tenant is as if it were not there. */
  async #find({
    operationId,
    tenant,
    waitMs,
    knownState,
  }: OperationQuestion): Promise<OperationRecord | null> {
    const until = Date.now() + waitMs
    // Whoever was told to come back may be the only one who ever comes.
    this.#ledger.keepAlarm()
    for (;;) {
      const record = this.#ledger.find(operationId)
      if (record?.tenant !== tenant) return null
      const leftMs = until - Date.now()
      const hasChanged = knownState !== null && record.state !== knownState
      if (hasChanged || !this.#isUnderWay(record) || leftMs <= 0) return record
      // oxlint-disable-next-line no-await-in-loop -- one look after the other
      await this.#untilChanged(operationId, record, leftMs)
    }
  }

  /** Waits until the record may say something else, for so long at most. */
  async #untilChanged(operationId: string, record: OperationRecord, waitMs: number): Promise<void> {
    const ownedMs = this.#ledger.ownedMs(operationId)
    if (ownedMs > 0) {
      return this.#flightOf(operationId, record).done(Math.min(waitMs, ownedMs))
    }
    // Nobody drives it now; the alarm will.
    const lookMs = Math.min(waitMs, LOOK_MS)
    await (this.#flights.ofOperation(operationId)?.done(lookMs) ?? scheduler.wait(lookMs))
  }

  /** Whether something may still become of it without another request. */
  #isUnderWay(record: OperationRecord): boolean {
    if (record.state === 'in_progress') return true
    return record.state === 'unknown' && isRecoverable(record, Date.now())
  }

  /** The work goes on when the caller is gone. */
  #keepAlive<result>(work: Promise<result>): Promise<result> {
    this.ctx.waitUntil(work.catch((error: unknown) => logFault('work of an object failed', error)))
    return work
  }

  async #answer(refusal: Refusal, operationId: string, caller: Caller): Promise<Answer | Orphaned> {
    switch (refusal.kind) {
      case 'replay':
        return this.#replay(operationId, refusal.settled, caller)
      case 'in_flight':
        return this.#join(operationId, refusal.running, caller)
      case 'mismatch':
        return { kind: 'mismatch', fence: refusal.known.fence, places: refusal.known.places }
      case 'expired':
        return toExpired(refusal)
      case 'hold':
        return { kind: 'held', policy: 'hold', ...pickHeld(refusal.record) }
      case 'store_fault':
        return refusal
    }
  }

  async #replay(operationId: string, settled: SettledRecord, caller: Caller): Promise<Answer> {
    const { snapshot: stored, operation, fence, state, settledAt, reauthorizePath } = settled
    const known = { outcome: state, fence, rememberedMs: settled.expiresAt - Date.now() }
    if (stored.body === 'omitted') {
      const { omittedFor } = stored
      const originStatus = isSealed(stored) ? {} : { originStatus: stored.status }
      const why = { ...(omittedFor && { omittedFor }), ...originStatus }
      return { kind: 'too_large', ...known, timing: NO_TIME, ...why }
    }
    // Before anything is awaited: the record may be another one then, but this body stays.
    const ref = { operationId, body: bodyOf(settled) }
    const letGo = this.#ledger.hold(ref)
    const opened = await openHead(operationId, settled, caller.sealKeys)
    if (opened === null) {
      letGo()
      return { kind: 'sealed', ...known }
    }
    const { head, sealer } = opened
    const origins = { stored: head.corsOrigin, current: caller.corsOrigin }
    const headers = toReplayHeaders(head.headers, origins)
    const body = await this.#openBody(ref, head, sealer, letGo)
    const response = { status: head.status, headers, body, bodyBytes: head.bodyBytes }
    const ageMs = Date.now() - settledAt
    return { kind: 'replayed', operation, response, ...known, reauthorizePath, ageMs }
  }

  async #openBody(
    ref: BodyRef,
    head: SnapshotHead,
    sealer: Sealer | null,
    letGo: () => void,
  ): Promise<WireResponse['body']> {
    if (head.body === 'none') {
      letGo()
      return null
    }
    const spill = this.env.SNAPSHOTS === undefined ? null : new Spill(this.env.SNAPSHOTS)
    const { read } = partsOf(this.#ledger, ref, { sealer, spill, spillBytes: Infinity })
    return toWireBody(head.bodyBytes, read, letGo)
  }

  /** After a restart a Worker's claim lives on under its lease; its settle will land this flight. */
  #flightOf(operationId: string, running: OperationRecord): Flight {
    return (
      this.#flights.ofOperation(operationId) ??
      this.#flights.takeOff(toRef(operationId, running), ownerOf(running))
    )
  }

  async #join(
    operationId: string,
    running: OperationRecord,
    caller: Caller,
  ): Promise<Answer | Orphaned> {
    const startedAt = Date.now()
    const { fence, claimedAt } = running
    const flight = this.#flightOf(operationId, running)
    let leftMs = caller.waitMs
    while (leftMs > 0 && !flight.isFull) {
      const waitMs = Math.min(leftMs, this.#ledger.ownedMs(operationId))
      // oxlint-disable-next-line no-await-in-loop -- a lease may be renewed meanwhile
      const end = await flight.wait(waitMs)
      const timing = { ...NO_TIME, waitedMs: Date.now() - startedAt }
      if (end !== null) return answerJoined(end, running, timing, caller)
      leftMs -= waitMs
      if (this.#ledger.ownedMs(operationId) === 0) return { kind: 'orphaned', leftMs }
    }
    const accepted = caller.isAsync ? this.#accept(operationId) : null
    const now = Date.now()
    const timing = { ...NO_TIME, waitedMs: now - startedAt }
    const runningMs = now - claimedAt
    // Somebody else may have claimed it meanwhile.
    const { carrier } = this.#ledger.find(operationId) ?? running
    return accepted ?? { kind: 'in_flight', fence, runningMs, timing, ...(carrier && { carrier }) }
  }
}

/** The call that a request has waited for lost its owner: what becomes of the request is open again. */
interface Orphaned {
  readonly kind: 'orphaned'
  /** How long the request may still wait, in milliseconds. */
  readonly leftMs: number
}

/** Decides on a request, and anew where it waited for a call that has lost its owner. */
async function untilAnswered<answer extends ClaimAnswer>(
  caller: Caller,
  decide: (caller: Caller) => Promise<answer | Orphaned>,
): Promise<answer> {
  for (let waitMs = caller.waitMs; ;) {
    // oxlint-disable-next-line no-await-in-loop -- one decision after the other
    const answer = await decide({ ...caller, waitMs })
    if (answer.kind !== 'orphaned') return withWait(answer, caller.waitMs - waitMs)
    waitMs = answer.leftMs
  }
}

/** Adds what a request has waited before it was decided on anew. */
function withWait<answer extends ClaimAnswer>(answer: answer, waitedMs: number): answer {
  if (waitedMs === 0 || !('timing' in answer)) return answer
  const { timing } = answer
  return { ...answer, timing: { ...timing, waitedMs: timing.waitedMs + waitedMs } }
}

/** An unknown outcome, and how the origin is asked about it. */
type Doubt = Extract<ClaimDecision, { readonly kind: 'probe' }>

type Expired = Extract<ClaimDecision, { readonly kind: 'expired' }>

/** A claim that is made again where nothing was executed, unless something speaks against the call. */
interface Reclaim {
  readonly request: ClaimRequest
  /** The request as the route keeps it for a recovery without a client, or `null`. */
  readonly stored: Uint8Array | null
  readonly caller: Caller
  readonly refuse: () => Answer | null
}

/** How often a stream is tried to be taken over, and after how long, growing with each. */
const ADOPT_TRIES = 4
const ADOPT_RETRY_MS = 50

const TOO_LATE: Answer = { kind: 'too_late' }

/** Whether the caller has given up already. */
function isTooLate({ deadlineAt }: Caller): boolean {
  return deadlineAt !== null && deadlineAt <= Date.now()
}

function toExpired({ known, isOther }: Omit<Expired, 'kind'>): Answer {
  return { kind: 'expired', fence: known?.fence ?? 0, outcome: known?.outcome ?? null, isOther }
}

function pickHeld(record: UnknownRecord) {
  const { fence, reason } = record
  return { fence, reason, ageMs: doubtMs(record, Date.now()) ?? 0 }
}

/**
 * How long an alarm waits for what it has begun, in milliseconds. What is done at once is done when
 * it ends; what hangs goes on without it.
 */
const ALARM_PATIENCE_MS = 2_000

/** How often an operation is looked at that does not run in this object, in milliseconds. */
const LOOK_MS = 500
