import type { HapaxEnv } from '../config/env.ts'
import { type Answer, NO_TIME, type SettleResult } from '../core/answer.ts'
import type { NextClaim } from '../core/claim.ts'
import { decideProbeLanding, type Landing } from '../core/landing.ts'
import { type OriginRequest, toProbeHeaders } from '../core/origin-request.ts'
import { classifyFault, type Outcome } from '../core/outcome.ts'
import { type ClaimRef, type Owner, toRef, type UnknownRecord } from '../core/record.ts'
import type { HeaderField } from '../core/snapshot.ts'
import { logFault } from '../metrics/log.ts'
import { requireOrigin } from '../origin/target.ts'
import type { Resolution } from './answers.ts'
import type { Flights } from './flights.ts'
import type { Ledger, Recoverable } from './ledger.ts'
import type { CallPlan } from './operation-guard.ts'
import { recordRecovery } from './recovery-facts.ts'
import { openStoredRequest, probe } from './recovery.ts'
import { runClaim } from './run.ts'
import { splitBody } from './wire-body.ts'

/** How soon a settle that could not be stored is tried again, doubling, and how seldom at the most. */
const SETTLE_RETRY_MS = 100
const SETTLE_RETRY_CAP_MS = 10_000

const OBJECT: Owner = { kind: 'object' }

/** What a recovery by alarm does of its own accord: one call, and the alarm comes again. */
const ONE_CALL: Pick<CallPlan, 'retry' | 'retryBounds'> = {
  retry: {
    attempts: 1,
    baseMs: 0,
    capMs: 0,
    deadlineMs: 0,
    on: [],
    budget: false,
    breaker: false,
  },
  retryBounds: { attempts: 1, deadlineAt: 0 },
}

/** Everything that the object does at the origin: calls, questions and recoveries. */
export class Runs {
  readonly #env: HapaxEnv
  readonly #ledger: Ledger
  readonly #flights: Flights
  readonly #waitUntil: (work: Promise<unknown>) => void

  constructor(
    env: HapaxEnv,
    ledger: Ledger,
    flights: Flights,
    waitUntil: (work: Promise<unknown>) => void,
  ) {
    this.#env = env
    this.#ledger = ledger
    this.#flights = flights
    this.#waitUntil = waitUntil
  }

  /** Calls the origin for a claim and settles it. The output gate holds the call until the claim is on disk. */
  async run(
    first: ClaimRef,
    plan: CallPlan,
  ): Promise<Extract<Answer, { kind: 'executed' | 'lost' }>> {
    const startedAt = Date.now()
    this.#flights.takeOff(first, OBJECT)
    const origin = requireOrigin(this.#env)
    const { claim, reply, landing, originCalls } = await runClaim(this.#ledger, origin, first, plan)
    const work = { originCalls, settle: this.land(claim, landing) }
    const timing = { ...NO_TIME, originMs: Date.now() - startedAt }
    const { fence } = claim
    if (reply.kind === 'fault') return { kind: 'lost', fault: reply.fault, fence, timing, work }
    const { status, headers } = reply
    const body = reply.body instanceof ReadableStream ? reply.body : splitBody(reply.body)
    const response = { status, headers, body }
    return { kind: 'executed', response, outcome: landing.outcome, fence, timing, work }
  }

  /**
   * Asks the origin's status resource what became of an operation, and settles it where the origin
   * knows. Where nothing was executed it is for the caller to claim the operation again.
   */
  async resolve(
    claim: ClaimRef,
    { recovery }: UnknownRecord,
    headers: readonly HeaderField[],
  ): Promise<Resolution> {
    if (recovery.kind !== 'probe') throw new Error('Only a route with a status resource is asked.')
    this.#flights.takeOff(claim, OBJECT)
    const verdict = await probe(requireOrigin(this.#env), recovery, headers)
    switch (verdict.kind) {
      case 'executed': {
        const landing = decideProbeLanding(verdict.reply, verdict.status, recovery.rules)
        this.land(claim, landing)
        return { kind: 'settled', landing }
      }
      case 'not_executed':
        return verdict
      case 'undecided':
        this.#giveUp(claim)
        return verdict
    }
  }

  /** @returns The next claim, or `null` when somebody else has taken the operation over meanwhile. */
  claimAgain(known: ClaimRef, next: NextClaim): ClaimRef | null {
    const record = this.#ledger.claimAgain(known, next)
    if (record !== null) return toRef(known.operationId, record)
    this.#giveUp(known)
    return null
  }

  /**
   * Settles a claim and lets those go who wait for it. Where the settle cannot be stored, the flight
   * stays: duplicates get its end from memory while the write is tried again, and nobody executes
   * twice.
   */
  land(claim: ClaimRef, { settlement, end }: Pick<Landing, 'settlement' | 'end'>): SettleResult {
    const flight = this.#flights.of(claim)
    const settle = () => {
      const result = this.#ledger.settle(claim, settlement, end)
      this.#flights.remove(claim)
      flight?.land(result === 'refused' ? { kind: 'undecided' } : end)
      return result
    }
    try {
      return settle()
    } catch (error) {
      logFault('a settle could not be stored; it will be tried again', error)
      flight?.land(end)
      this.#waitUntil(settleLater(settle))
      return 'taken'
    }
  }

  /** Does what the policy of the route says about an unknown outcome, without any client. */
  async recover({ id, record }: Recoverable): Promise<void> {
    const known = toRef(id, record)
    const startedAt = Date.now()
    try {
      const outcome = await this.#recover(known, record)
      recordRecovery(this.#env, { id, record, outcome, startedAt })
    } catch (error) {
      logFault('a recovery failed; it will be tried again', error)
      this.#giveUp(known)
    }
  }

  async #recover(known: ClaimRef, record: UnknownRecord): Promise<Outcome> {
    const stored = await this.#readStored(known.operationId)
    if (record.recovery.kind === 'probe') {
      const headers = toProbeHeaders(stored?.headers ?? [])
      const resolution = await this.resolve(known, record, headers)
      if (resolution.kind === 'settled') return resolution.landing.outcome
      if (resolution.kind === 'undecided') return 'unknown'
      if (stored === null) return this.#free(known)
    }
    if (stored === null) throw new Error('The request was not stored with its claim.')
    return this.#sendAgain(known, record, stored)
  }

  async #sendAgain(
    known: ClaimRef,
    { recovery }: UnknownRecord,
    request: OriginRequest,
  ): Promise<Outcome> {
    if (recovery.kind === 'hold') throw new Error('What is held is not sent again.')
    const isResolved = recovery.kind === 'probe'
    const next = { claimId: crypto.randomUUID(), owner: OBJECT, isResolved }
    const claim = this.claimAgain(known, next)
    if (claim === null) return 'unknown'
    const { bounds, rules } = recovery
    const answer = await this.run(claim, { request, bounds, rules, ...ONE_CALL })
    return answer.kind === 'lost' ? classifyFault(answer.fault) : answer.outcome
  }

  /** Frees the key of an operation that was provably not executed and whose request is gone. */
  #free(known: ClaimRef): Outcome {
    const evidence = { originStatus: null, fault: null }
    const settlement = { outcome: 'not_executed', coversAll: true, evidence } as const
    this.land(known, { settlement, end: { kind: 'undecided' } })
    return 'not_executed'
  }

  async #readStored(operationId: string): Promise<OriginRequest | null> {
    const stored = this.#ledger.readStoredRequest(operationId)
    return stored === null ? null : openStoredRequest(this.#env, operationId, stored)
  }

  /** Ends a flight that has resolved nothing: the record says as before that the outcome is unknown. */
  #giveUp(claim: ClaimRef): void {
    const flight = this.#flights.of(claim)
    this.#flights.remove(claim)
    flight?.land({ kind: 'undecided' })
  }
}

/** Until it is stored, or the object goes: then the claim is an orphan and its outcome unknown. */
async function settleLater(settle: () => unknown): Promise<void> {
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
