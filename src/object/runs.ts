import type { HapaxEnv } from '../config/env.ts'
import { type Answer, NO_TIME, type SettleResult } from '../core/answer.ts'
import { type Granted, isUnexecuted, toGranted } from '../core/claim.ts'
import { graceEndsAt } from '../core/grace.ts'
import { toSnapshotHeaders } from '../core/headers.ts'
import {
  decideLanding,
  decideProbeLanding,
  type Landing,
  memoryOf,
  toUnkept,
} from '../core/landing.ts'
import type { CallPlan, Keeping } from '../core/operation-guard.ts'
import { type StoredRequest, toProbeHeaders } from '../core/origin-request.ts'
import type { Outcome } from '../core/outcome.ts'
import {
  type ClaimRef,
  doubtMs,
  type InProgressRecord,
  type OperationRecord,
  type Owner,
  toRef,
  type UnknownRecord,
} from '../core/record.ts'
import type { ProbeVerdict, Recovery } from '../core/recovery.ts'
import type { LiveReply, Undecided } from '../core/reply.ts'
import type { SealKey } from '../core/seal.ts'
import type { HeaderField, WireResponse } from '../core/snapshot.ts'
import { logFault } from '../metrics/log.ts'
import { traced } from '../metrics/trace.ts'
import { requireOrigin } from '../origin/target.ts'
import { requireSpill } from '../platform/spill.ts'
import { dropBody, ifEnded, ifUnknown, type Resolution } from './answers.ts'
import type { LiveEnd } from './flight.ts'
import type { Flights } from './flights.ts'
import type { Ledger, Recoverable } from './ledger.ts'
import { landLive } from './live-landing.ts'
import { openStoredRequest, probe } from './probe.ts'
import { recordBody } from './record-body.ts'
import { createGeneration, type NewEvent, toPieces, type UnstoredBody } from './record-store.ts'
import { Recording } from './recording.ts'
import { recordRecovery } from './recovery-facts.ts'
import { runClaim } from './run.ts'
import { partsOf, sealPieces, sealerOf, sealSettlement } from './sealer.ts'
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

  /**
   * Makes sure that a call can be made and its answer kept: behind the claim it would be too late.
   *
   * @throws {Error} When the deployment lacks what the call needs.
   */
  prepare({ keeping }: Pick<CallPlan, 'keeping'>): void {
    requireOrigin(this.#env)
    this.prepareRecording(keeping)
  }

  /** Likewise, for an answer that a Worker sends. */
  prepareRecording({ spillBytes }: Keeping): void {
    if (spillBytes !== null) requireSpill(this.#env.SNAPSHOTS)
  }

  /** Calls the origin for a claim and settles it. The output gate holds the call until the claim is on disk. */
  async run(
    first: Granted,
    plan: CallPlan,
  ): Promise<Extract<Answer, { kind: 'executed' | 'lost' }>> {
    this.#flights.takeOff(first, OBJECT)
    return this.#orGiveUp(first, () => this.#run(first, plan))
  }

  /** A flight that nobody lands any more would keep its operation in progress for as long as the object lives. */
  async #orGiveUp<result>(claim: ClaimRef, work: () => Promise<result>): Promise<result> {
    try {
      return await work()
    } catch (error) {
      this.giveUp(claim)
      throw error
    }
  }

  async #run(
    first: Granted,
    plan: CallPlan,
  ): Promise<Extract<Answer, { kind: 'executed' | 'lost' }>> {
    const startedAt = Date.now()
    const origin = requireOrigin(this.#env)
    const { operationId, fence: firstFence } = first
    const { claim, reply, originCalls } = await traced(
      'hapax call',
      { 'hapax.operation_id': operationId, 'hapax.fence': firstFence },
      () => runClaim(this.#ledger, origin, first, plan),
    )
    const timing = { ...NO_TIME, originMs: Date.now() - startedAt }
    const { fence } = claim
    if (reply.kind === 'live') {
      const work = { originCalls, settle: null }
      const live = this.stream(claim, reply, plan)
      const retentionMs = this.#findKnown(operationId)?.retentionMs
      const memory = ifEnded(live, reply.directives.retentionMs ?? retentionMs)
      return { kind: 'executed', ...live, fence, timing, work, ...memory }
    }
    const landing = decideLanding(reply, plan.rules, claim.isInDoubt)
    const work = { originCalls, settle: await this.land(claim, landing, plan.keeping.sealKey) }
    const { outcome } = landing
    const record = this.#findKnown(operationId)
    const ageMs = doubtMs(record, Date.now()) ?? 0
    const memory = ifEnded({ outcome }, rememberedMs(record, claim))
    const known = { outcome, fence, timing, work, ...ifUnknown({ outcome }, ageMs), ...memory }
    if (reply.kind === 'fault') {
      const { fault, originStatus } = reply
      return { kind: 'lost', fault, originStatus, ...known }
    }
    const { status, headers } = reply
    const body = reply.body instanceof ReadableStream ? reply.body : splitBody(reply.body)
    return { kind: 'executed', response: { status, headers, body }, ...known }
  }

  /** A store that fails behind the call must not cost the client its answer. */
  #findKnown(operationId: string): OperationRecord | null {
    try {
      return this.#ledger.find(operationId)
    } catch (error) {
      logFault('an operation could not be read behind its call', error)
      return null
    }
  }

  /**
   * Answers with a body that is still coming, and records it. Who waits joins it; the claim is
   * settled at its end, whatever becomes of the clients.
   */
  stream(
    claim: Granted,
    reply: LiveReply,
    plan: Pick<CallPlan, 'rules' | 'bounds' | 'keeping'> & {
      readonly emitted?: readonly NewEvent[]
    },
  ): { readonly response: WireResponse; readonly outcome: Outcome | null } {
    const { rules, bounds, keeping, emitted = [] } = plan
    const { status, headers } = reply
    const { outcome, ...landing } = landLive(reply, rules, claim.isInDoubt)
    const sealer = sealerOf(claim, keeping.sealKey)
    const { spillBytes } = keeping
    const spill = spillBytes === null ? null : requireSpill(this.#env.SNAPSHOTS)
    const parts = { sealer, spill, spillBytes: spillBytes ?? Infinity }
    const generation = createGeneration()
    const ref = { operationId: claim.operationId, body: generation }
    const recording = new Recording(partsOf(this.#ledger, ref, parts), {
      hold: () => this.#ledger.hold(ref),
      giveUp: () => reply.body.cancel(),
    })
    const { corsOrigin } = rules
    const { isStorable } = reply.directives
    const live: LiveEnd = {
      kind: 'live',
      outcome,
      status,
      headers: toSnapshotHeaders(headers, rules.snapshot),
      corsOrigin,
      bodyBytes: reply.declaredBytes,
      ...memoryOf(reply.directives),
      open: () => recording.openJoined(),
    }
    // What the origin wants kept from everybody else, or cannot be kept, nobody joins.
    const isOver = (reply.declaredBytes ?? 0) > bounds.limitBytes
    this.#flights.of(claim)?.land(isStorable && !isOver ? live : toUnkept(reply.directives))
    this.#waitUntil(
      recordBody(reply.body, recording, {
        limitBytes: isStorable ? bounds.limitBytes : 0,
        sealer,
        isSpilled: spill !== null,
        ...landing,
        close: async (settlement, rest) => {
          this.#settle(claim, () => {
            const unstored = rest && { generation, ...rest }
            return this.#ledger.settle(claim, settlement, unstored, emitted)
          })
          await this.#ledger.onDisk()
        },
      }),
    )
    const body = recording.openFirst(this.#ledger.awaitReceipt(ref))
    return { response: { status, headers, body, bodyBytes: reply.declaredBytes }, outcome }
  }

  /**
   * Asks the origin's status resource what became of an operation, and settles it where the origin
   * knows. Where nothing was executed it is for the caller to claim the operation again.
   */
  async resolve(known: ClaimRef, record: UnknownRecord, question: Question): Promise<Resolution> {
    const startedAt = Date.now()
    const resolution = await this.#orGiveUp(known, () => this.#ask(known, record, question))
    const outcome = outcomeOf(resolution)
    const id = known.operationId
    recordRecovery(this.#env, { id, record, outcome, startedAt, originCalls: 1 })
    return resolution
  }

  async #ask(
    claim: ClaimRef,
    record: UnknownRecord,
    { recovery, headers, sealKey }: Question,
  ): Promise<Resolution> {
    if (recovery.kind !== 'probe') throw new Error('Only a route with a status resource is asked.')
    const origin = requireOrigin(this.#env)
    if (!this.#flights.of(claim)?.isOwn) this.#flights.takeOff(claim, OBJECT)
    const askedAt = Date.now()
    const verdict = await probe(origin, recovery, headers)
    switch (verdict.kind) {
      case 'executed':
        return this.#settleFound(claim, verdict, { recovery, sealKey })
      case 'not_executed': {
        const until = verdict.isSaid === true ? 0 : graceEndsAt(record, recovery)
        return askedAt < until ? this.#undecided(claim, until) : verdict
      }
      case 'undecided':
        this.#leaveAlone(claim, verdict.retryAfterMs ?? null)
        return { ...verdict, ...this.#undecided(claim) }
    }
  }

  async #settleFound(
    claim: ClaimRef,
    { reply, status, said }: Extract<ProbeVerdict, { kind: 'executed' }>,
    { recovery: { rules }, sealKey }: Pick<ProbeQuestion, 'recovery' | 'sealKey'>,
  ): Promise<Resolution> {
    const { seal } = rules.snapshot
    // Without the key that seals it nothing may be stored of it.
    if (seal && sealKey === null) return this.#undecided(claim)
    const landing = decideProbeLanding(reply, status, rules, said)
    const settled = await this.land(claim, landing, seal ? sealKey : null)
    // A late owner has settled it meanwhile: its result counts, and the next request gets it.
    return settled === 'refused' ? { kind: 'undecided' } : { kind: 'settled', landing }
  }

  /** Where that cannot be stored the origin is asked sooner than it likes. */
  #leaveAlone(claim: ClaimRef, askedMs: number | null): void {
    try {
      if (askedMs !== null) this.#ledger.postponeRecovery(claim, askedMs)
    } catch (error) {
      logFault('a recovery could not be postponed', error)
    }
  }

  #undecided(claim: ClaimRef, until: number | null = null): Undecided {
    this.giveUp(claim, until)
    return { kind: 'undecided', until }
  }

  /**
   * @param claim Makes the next claim in the ledger.
   * @returns That claim, or `null` when somebody else has taken the operation over meanwhile.
   */
  claimNext(known: ClaimRef, claim: (ledger: Ledger) => InProgressRecord | null): Granted | null {
    try {
      const record = claim(this.#ledger)
      if (record !== null) return toGranted(known.operationId, record)
    } catch (error) {
      logFault('a claim could not be stored; nothing was forwarded', error)
    }
    this.giveUp(known)
    return null
  }

  /**
   * Settles a claim and lets those go who wait for it. Where the settle cannot be stored, the flight
   * stays: duplicates get its end from memory while the write is tried again, and nobody executes
   * twice.
   *
   * @returns `null` where it is not stored yet.
   */
  async land(
    claim: ClaimRef,
    { settlement, end }: Pick<Landing, 'settlement' | 'end'>,
    sealKey: SealKey | null,
    emitted: readonly NewEvent[] = [],
  ): Promise<SettleResult | null> {
    const flight = this.#flights.of(claim)
    const sealer = sealerOf(claim, sealKey)
    const stored = await sealSettlement(settlement, sealer)
    const pieces = end.kind === 'response' && 'snapshot' in settlement ? toPieces(end.body) : []
    const generation = createGeneration()
    const body: UnstoredBody = { generation, ...(await sealPieces(pieces, sealer, 0)) }
    const settle = () => {
      const result = this.#ledger.settle(claim, stored, body, emitted)
      flight?.land(result === 'refused' ? { kind: 'undecided' } : end)
      return result
    }
    return this.#settle(claim, settle, () => flight?.land(end))
  }

  #settle(claim: ClaimRef, settle: () => SettleResult, onFault = () => {}): SettleResult | null {
    const settleAndClose = () => {
      const result = settle()
      this.#flights.remove(claim)
      return result
    }
    try {
      return settleAndClose()
    } catch (error) {
      logFault('a settle could not be stored; it will be tried again', error)
      onFault()
      this.#waitUntil(settleLater(settleAndClose))
      return null
    }
  }

  /** Does what the policy of the route says about an unknown outcome, without any client. */
  async recover({ id, record }: Recoverable): Promise<void> {
    const known = toRef(id, record)
    // Before anything is awaited: from now on a request joins, and does not recover it as well.
    this.#flights.takeOff(known, OBJECT)
    try {
      const attributes = { 'hapax.operation_id': id, 'hapax.correlation_id': record.correlationId }
      await traced('hapax recover', attributes, () => this.#recover(known, record))
    } catch (error) {
      logFault('a recovery failed; it will be tried again', error)
      this.giveUp(known)
    }
  }

  async #recover(known: ClaimRef, record: UnknownRecord): Promise<void> {
    const { recovery } = record
    const isProbed = recovery.kind === 'probe'
    const stored = await this.#readStored(known.operationId).catch((error: unknown) => {
      // The origin can be asked all the same.
      if (!isProbed) throw error
      return null
    })
    if (isProbed && !(await this.#isUnexecuted(known, record, stored))) return
    // Without the request nobody says who asks, and an origin that hides what a stranger asks for
    // answers 404 as well; the next request asks with its own credentials.
    if (stored === null) this.giveUp(known)
    else await this.#sendAgain(known, record, stored)
  }

  /** Asks the origin of the alarm's own accord whether nothing was executed; what it knows else is settled. */
  async #isUnexecuted(
    known: ClaimRef,
    record: UnknownRecord,
    stored: StoredRequest | null,
  ): Promise<boolean> {
    const { recovery } = record
    const headers = toProbeHeaders(stored?.request.headers ?? tiesOf(record))
    const sealKey = stored?.sealKey ?? null
    const resolution = await this.resolve(known, record, { recovery, headers, sealKey })
    const isRefused = resolution.kind === 'undecided' && resolution.isRefused === true
    // Asked again and again with these credentials it would lock their owner out.
    if (isRefused && stored !== null) this.#ledger.dropRequest(known)
    return resolution.kind === 'not_executed'
  }

  async #sendAgain(
    known: ClaimRef,
    record: UnknownRecord,
    { request, sealKey }: StoredRequest,
  ): Promise<void> {
    const { recovery } = record
    if (recovery.isDurable !== true || (recovery.kind === 'hold' && !isUnexecuted(record))) {
      throw new Error('What is held, or not stored, is not sent again.')
    }
    const startedAt = Date.now()
    requireOrigin(this.#env)
    const isResolved = recovery.kind === 'probe'
    const next = { claimId: crypto.randomUUID(), owner: OBJECT, isResolved }
    const claim = this.claimNext(known, (ledger) => ledger.claimAgain(known, next))
    if (claim === null) return
    const { bounds, rules } = recovery
    const keeping = { sealKey, spillBytes: null }
    const { tenant } = record
    const plan = { request, tenant, bounds, rules, keeping, ...ONE_CALL }
    const answer = await this.run(claim, plan)
    dropBody(answer)
    const { outcome } = answer
    const originCalls = answer.work?.originCalls ?? 1
    recordRecovery(this.#env, { id: known.operationId, record, outcome, startedAt, originCalls })
  }

  async #readStored(operationId: string): Promise<StoredRequest | null> {
    const stored = this.#ledger.readStoredRequest(operationId)
    return stored === null ? null : openStoredRequest(this.#env, operationId, stored)
  }

  /**
   * Ends a flight that has resolved nothing: the record says as before that the outcome is unknown.
   *
   * @param until Epoch milliseconds before which the origin's word that nothing was executed does
   *   not count, where it said so.
   */
  giveUp(claim: ClaimRef, until: number | null = null): void {
    const flight = this.#flights.of(claim)
    this.#flights.remove(claim)
    flight?.land({ kind: 'undecided', until })
  }
}

/** For how long the result of a claim is remembered, where it is stored. */
function rememberedMs(record: OperationRecord | null, { claimId }: ClaimRef): number | undefined {
  const isSettled = record?.state === 'succeeded' || record?.state === 'failed'
  return isSettled && record.claimId === claimId ? record.expiresAt - record.settledAt : undefined
}

/** What the origin's status resource is asked about, and how. */
interface Question {
  readonly recovery: Recovery
  readonly headers: readonly HeaderField[]
  /** What seals the result, where the route says so. */
  readonly sealKey: SealKey | null
}

interface ProbeQuestion extends Question {
  readonly recovery: Extract<Recovery, { kind: 'probe' }>
}

/** What ties a question of the alarm's own to the request that it is about. */
function tiesOf({ correlationId, traceparent }: UnknownRecord): HeaderField[] {
  return [
    ['x-correlation-id', correlationId],
    ['traceparent', traceparent],
  ]
}

function outcomeOf(resolution: Resolution): Outcome {
  if (resolution.kind === 'settled') return resolution.landing.outcome
  return resolution.kind === 'not_executed' ? 'not_executed' : 'unknown'
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
