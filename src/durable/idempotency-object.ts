import { DurableObject } from 'cloudflare:workers'

import type { HapaxEnv } from '../config/env.ts'
import { type Answer, NO_TIME, type SettleResult } from '../core/answer.ts'
import { type ClaimDecision, type ClaimRequest, isNew, toOwner } from '../core/claim.ts'
import { toReplayHeaders } from '../core/headers.ts'
import {
  type ClaimRef,
  type OperationRecord,
  ownerOf,
  type SettledRecord,
  toRef,
  type UnknownRecord,
} from '../core/record.ts'
import { logFault } from '../metrics/log.ts'
import { healthOf } from '../origin/health.ts'
import { requireOrigin } from '../origin/target.ts'
import { answerJoined, answerResolution } from './answers.ts'
import { Flights } from './flights.ts'
import { Ledger } from './ledger.ts'
import type {
  Caller,
  ClaimAnswer,
  ExecuteCall,
  OperationGuard,
  SettleCall,
} from './operation-guard.ts'
import { Runs } from './runs.ts'
import { toWireBody } from './wire-body.ts'

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
  readonly #ledger = new Ledger(this.ctx.storage, (id) => this.#flights.isRunning(id))
  readonly #runs = new Runs(this.env, this.#ledger, this.#flights, (work) =>
    this.ctx.waitUntil(work),
  )

  async execute(call: ExecuteCall): Promise<Answer> {
    const { claim: request, caller, plan, stored } = call
    const refusal = (await this.#refuseNew(request, caller)) ?? this.#refuseCall(call)
    if (refusal !== null) return refusal
    const decision = this.#claim(request, stored)
    switch (decision.kind) {
      case 'execute': {
        const claim = toRef(request.operationId, decision.record)
        return this.#keepAlive(this.#runs.run(claim, plan))
      }
      case 'probe':
        return this.#keepAlive(this.#executeUnlessDone(call, decision.record))
      case 'replay':
      case 'in_flight':
      case 'mismatch':
      case 'hold':
      case 'expired':
      case 'store_fault':
        return this.#answer(decision, request.operationId, caller)
    }
  }

  async claim(request: ClaimRequest, caller: Caller): Promise<ClaimAnswer> {
    const refusal = await this.#refuseNew(request, caller)
    if (refusal !== null) return refusal
    const decision = this.#claim(request, null)
    switch (decision.kind) {
      case 'execute':
        return this.#grant(toRef(request.operationId, decision.record), decision.record)
      case 'probe':
        return this.#keepAlive(this.#grantUnlessDone(request, caller, decision.record))
      case 'replay':
      case 'in_flight':
      case 'mismatch':
      case 'hold':
      case 'expired':
      case 'store_fault':
        return this.#answer(decision, request.operationId, caller)
    }
  }

  async renew(claim: ClaimRef, leaseMs: number): Promise<boolean> {
    return this.#ledger.renew(claim, leaseMs)
  }

  async settle({ claim, settlement, end }: SettleCall): Promise<SettleResult> {
    return this.#runs.land(claim, { settlement, end })
  }

  /** Tidies up, and recovers what no client comes back for. */
  override async alarm(): Promise<void> {
    await Promise.all(this.#ledger.tidy().map((due) => this.#runs.recover(due)))
  }

  /** Counts a new operation of its tenant, where the route says so. Nothing is stored for one too many. */
  async #refuseNew(request: ClaimRequest, { rateLimiter }: Caller): Promise<Answer | null> {
    if (rateLimiter === null) return null
    const ahead = this.#look(request)
    if (ahead === null || !isNew(ahead)) return null
    const binding = Reflect.get(this.env, rateLimiter) as RateLimit | undefined
    if (binding === undefined) throw new Error(`There is no rate-limiting binding ${rateLimiter}.`)
    const { success } = await binding.limit({ key: request.tenant })
    return success ? null : { kind: 'rate_limited' }
  }

  /** Asks the circuit before the claim, so that nothing is stored for a call that is not made. */
  #refuseCall({ claim, plan }: ExecuteCall): Answer | null {
    if (this.#look(claim)?.kind !== 'execute') return null
    const health = healthOf(requireOrigin(this.env).base)
    const retryAfterMs = health.admit(plan.retry, Date.now())
    return retryAfterMs === null ? null : { kind: 'circuit_open', retryAfterMs }
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
      logFault('a claim could not be stored; nothing was forwarded', error)
      return { kind: 'store_fault' }
    }
  }

  #grant(claim: ClaimRef, record: OperationRecord): ClaimAnswer {
    this.#flights.takeOff(claim, ownerOf(record))
    return { kind: 'granted', claim }
  }

  async #executeUnlessDone(
    { claim: request, caller, plan }: ExecuteCall,
    record: UnknownRecord,
  ): Promise<Answer> {
    const claim = await this.#claimUnlessDone(request, caller, record)
    return 'kind' in claim ? claim : this.#runs.run(claim, plan)
  }

  async #grantUnlessDone(
    request: ClaimRequest,
    caller: Caller,
    record: UnknownRecord,
  ): Promise<ClaimAnswer> {
    const claim = await this.#claimUnlessDone(request, caller, record)
    if ('kind' in claim) return claim
    this.#flights.takeOff(claim, toOwner(request, Date.now()))
    return { kind: 'granted', claim }
  }

  /** Asks the origin first, and claims the operation when it was not executed. */
  async #claimUnlessDone(
    request: ClaimRequest,
    caller: Caller,
    record: UnknownRecord,
  ): Promise<ClaimRef | Answer> {
    const known = toRef(request.operationId, record)
    const resolution = await this.#runs.resolve(known, record, caller.probeHeaders)
    if (resolution.kind !== 'not_executed') return answerResolution(resolution, record, caller)
    const owner = toOwner(request, Date.now())
    const next = { claimId: request.claimId, owner, isResolved: true }
    const claim = this.#runs.claimAgain(known, next)
    return claim ?? answerResolution({ kind: 'undecided' }, record, caller)
  }

  /** The work goes on when the caller is gone. */
  #keepAlive<result>(work: Promise<result>): Promise<result> {
    this.ctx.waitUntil(work.catch(() => {}))
    return work
  }

  async #answer(refusal: Refusal, operationId: string, caller: Caller): Promise<Answer> {
    switch (refusal.kind) {
      case 'replay':
        return this.#replay(operationId, refusal.settled, caller)
      case 'in_flight':
        return this.#join(operationId, refusal.running, caller)
      case 'mismatch':
      case 'expired':
        return { kind: refusal.kind, fence: refusal.known.fence }
      case 'hold':
        return { kind: 'held', fence: refusal.record.fence, reason: refusal.record.reason }
      case 'store_fault':
        return refusal
    }
  }

  #replay(operationId: string, settled: SettledRecord, caller: Caller): Answer {
    const { snapshot, fence, state, settledAt } = settled
    if (snapshot.body === 'omitted') return { kind: 'too_large', fence, timing: NO_TIME }
    const origins = { stored: snapshot.corsOrigin, current: caller.corsOrigin }
    const headers = toReplayHeaders(snapshot.headers, origins)
    const readPart = (part: number) => this.#ledger.readBodyPart(operationId, part)
    const body = snapshot.body === 'none' ? null : toWireBody(snapshot.bodyBytes, readPart)
    const response = { status: snapshot.status, headers, body }
    return { kind: 'replayed', response, outcome: state, fence, ageMs: Date.now() - settledAt }
  }

  async #join(operationId: string, running: OperationRecord, caller: Caller): Promise<Answer> {
    const startedAt = Date.now()
    const { fence, claimedAt } = running
    // After a restart a Worker's claim lives on under its lease; its settle will land this flight.
    const flight =
      this.#flights.ofOperation(operationId) ??
      this.#flights.takeOff(toRef(operationId, running), ownerOf(running))
    const end = await flight.wait(caller.waitMs)
    const timing = { ...NO_TIME, waitedMs: Date.now() - startedAt }
    if (end === null) return { kind: 'in_flight', fence, runningMs: Date.now() - claimedAt, timing }
    return answerJoined(end, fence, timing, caller)
  }
}
