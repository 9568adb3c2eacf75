import { DurableObject } from 'cloudflare:workers'

import type { HapaxEnv } from '../config/env.ts'
import { type Answer, NO_TIME } from '../core/answer.ts'
import type { ClaimDecision, ClaimRequest } from '../core/claim.ts'
import { toReplayHeaders } from '../core/headers.ts'
import { decideLanding, type Landing } from '../core/landing.ts'
import type { ClaimRef, InProgressRecord, SettledRecord } from '../core/record.ts'
import { logFault } from '../metrics/log.ts'
import { callOrigin } from '../origin/call.ts'
import { NO_ORIGIN, originOf, type OriginTarget } from '../origin/target.ts'
import { Flight } from './flight.ts'
import { Ledger } from './ledger.ts'
import type {
  ClaimAnswer,
  ExecuteCall,
  JoinRules,
  OperationGuard,
  SettleCall,
} from './operation-guard.ts'
import { splitBody, toWireBody } from './wire-body.ts'

type Refusal = Exclude<ClaimDecision, { readonly kind: 'execute' }> | StoreFault

/** How soon a settle that could not be stored is tried again, doubling, and how seldom at the most. */
const SETTLE_RETRY_MS = 100
const SETTLE_RETRY_CAP_MS = 10_000

interface StoreFault {
  readonly kind: 'store_fault'
}

/**
 * The guard of an operation: claims it durably before the origin is called, calls the origin
 * itself, keeps what it answered and tells every repeat. It is the only writer of the record, and
 * what it does for a request does not end with the client's connection.
 */
export class IdempotencyObject extends DurableObject<HapaxEnv> implements OperationGuard {
  /** Calls that run now. After a restart it is empty: a claim without its call is an orphan. */
  readonly #flights = new Map<string, Flight>()
  readonly #ledger = new Ledger(this.ctx.storage, (id) => this.#flights.has(id))

  async execute(call: ExecuteCall): Promise<Answer> {
    const origin = originOf(this.env)
    if (origin === null) throw new Error(NO_ORIGIN)
    const decision = this.#claim(call.claim)
    if (decision.kind !== 'execute') return this.#answer(decision, call.claim, call.join)
    const run = this.#run(call, decision.record, origin)
    this.ctx.waitUntil(run)
    return run
  }

  async claim(claim: ClaimRequest, join: JoinRules): Promise<ClaimAnswer> {
    const decision = this.#claim(claim)
    if (decision.kind !== 'execute') return this.#answer(decision, claim, join)
    const { operationId, claimId } = claim
    return { kind: 'granted', claim: { operationId, claimId, fence: decision.record.fence } }
  }

  async renew(claim: ClaimRef, leaseMs: number): Promise<boolean> {
    return this.#ledger.renew(claim, leaseMs)
  }

  async settle({ claim, settlement, end }: SettleCall): Promise<boolean> {
    return this.#land(claim, { settlement, end })
  }

  override async alarm(): Promise<void> {
    this.#ledger.tidy()
  }

  #claim(request: ClaimRequest): ClaimDecision | StoreFault {
    try {
      const decision = this.#ledger.claim(request)
      if (decision.kind === 'execute') {
        const { fence, claimedAt } = decision.record
        this.#flights.set(request.operationId, new Flight(fence, claimedAt))
      }
      return decision
    } catch (error) {
      logFault('a claim could not be stored; nothing was forwarded', error)
      return { kind: 'store_fault' }
    }
  }

  /** The output gate holds the origin's call until the claim is on disk. */
  async #run(call: ExecuteCall, record: InProgressRecord, origin: OriginTarget): Promise<Answer> {
    const { operationId, claimId } = call.claim
    const { fence, claimedAt } = record
    const sent = [...call.request.headers, ['idempotency-attempt', String(fence)] as const]
    const reply = await callOrigin(origin, { ...call.request, headers: sent }, call.bounds)
    const landing = decideLanding(reply, call.rules)
    this.#land({ operationId, claimId, fence }, landing)
    const timing = { ...NO_TIME, originMs: Date.now() - claimedAt }
    if (reply.kind === 'fault')
      return { kind: 'lost', fault: reply.fault, fence, joined: false, timing }
    const { status, headers } = reply
    const body = reply.body instanceof ReadableStream ? reply.body : splitBody(reply.body)
    const { outcome } = landing
    return { kind: 'executed', response: { status, headers, body }, outcome, fence, timing }
  }

  /**
   * Settles a claim and lets those go who wait. Where the settle cannot be stored, the flight stays:
   * duplicates get its end from memory while the write is tried again, and nobody executes twice.
   */
  #land(claim: ClaimRef, { settlement, end }: Pick<Landing, 'settlement' | 'end'>): boolean {
    const flight = this.#flights.get(claim.operationId)
    const isOwn = flight?.fence === claim.fence
    if (isOwn) flight.land(end)
    const settle = () => {
      const isTaken = this.#ledger.settle(claim, settlement, end)
      if (isOwn) this.#flights.delete(claim.operationId)
      return isTaken
    }
    try {
      return settle()
    } catch (error) {
      logFault('a settle could not be stored; it will be tried again', error)
      this.ctx.waitUntil(this.#settleLater(settle))
      return true
    }
  }

  /** Until it is stored, or the object goes: then the claim is an orphan and its outcome unknown. */
  async #settleLater(settle: () => boolean): Promise<void> {
    for (let delayMs = SETTLE_RETRY_MS; ; delayMs = Math.min(delayMs * 2, SETTLE_RETRY_CAP_MS)) {
      // oxlint-disable-next-line no-await-in-loop -- one try after the other
      await scheduler.wait(delayMs)
      try {
        settle()
        return
      } catch (error) {
        logFault('a settle could still not be stored', error)
      }
    }
  }

  async #answer(refusal: Refusal, claim: ClaimRequest, join: JoinRules): Promise<Answer> {
    switch (refusal.kind) {
      case 'replay':
        return this.#replay(claim.operationId, refusal.settled, join)
      case 'in_flight':
        return this.#join(claim.operationId, refusal.running, join)
      case 'mismatch':
      case 'expired':
        return { kind: refusal.kind, fence: refusal.known.fence }
      case 'held':
        return { kind: 'held', fence: refusal.record.fence, reason: refusal.record.reason }
      case 'store_fault':
        return refusal
    }
  }

  #replay(operationId: string, settled: SettledRecord, join: JoinRules): Answer {
    const { snapshot, fence, state, settledAt } = settled
    if (snapshot.body === 'omitted') return { kind: 'too_large', fence, timing: NO_TIME }
    const origins = { stored: snapshot.corsOrigin, current: join.corsOrigin }
    const headers = toReplayHeaders(snapshot.headers, origins)
    const readPart = (part: number) => this.#ledger.readBodyPart(operationId, part)
    const body = snapshot.body === 'none' ? null : toWireBody(snapshot.bodyBytes, readPart)
    const response = { status: snapshot.status, headers, body }
    return { kind: 'replayed', response, outcome: state, fence, ageMs: Date.now() - settledAt }
  }

  async #join(operationId: string, running: InProgressRecord, join: JoinRules): Promise<Answer> {
    const { fence, claimedAt } = running
    const startedAt = Date.now()
    const flight = this.#flights.get(operationId) ?? new Flight(fence, claimedAt)
    // After a restart a Worker's claim lives on under its lease; its settle will land this flight.
    this.#flights.set(operationId, flight)
    const end = await flight.wait(join.waitMs)
    const timing = { ...NO_TIME, waitedMs: Date.now() - startedAt }
    switch (end?.kind) {
      case undefined:
        return { kind: 'in_flight', fence, runningMs: Date.now() - claimedAt, timing }
      case 'too_large':
        return { kind: 'too_large', fence, timing }
      case 'fault':
        return { kind: 'lost', fault: end.fault, joined: true, fence, timing }
      case 'response': {
        const { status, outcome, corsOrigin } = end
        const origins = { stored: corsOrigin, current: join.corsOrigin }
        const headers = toReplayHeaders(end.headers, origins)
        const response = { status, headers, body: splitBody(end.body) }
        return { kind: 'joined', response, outcome, fence, timing }
      }
    }
  }
}
