import type { ClaimDecision, ClaimRequest } from '../../src/core/operation/claim.ts'
import { type ClaimRef, type OperationRecord, toRef } from '../../src/core/operation/record.ts'
import type { Recovery } from '../../src/core/operation/recovery.ts'
import { isSealed } from '../../src/core/operation/snapshot.ts'
import { decideLanding, decideProbeLanding, type Landing } from '../../src/core/outcome/landing.ts'
import type { OriginDirectives } from '../../src/core/outcome/origin-directives.ts'
import type { Outcome } from '../../src/core/outcome/outcome.ts'
import { decideProbe, type Finding } from '../../src/core/outcome/probe.ts'
import type { EndedReply, LandingRules } from '../../src/core/outcome/reply.ts'
import { MemoryLedger, MemoryObject, type Recoverable } from './object.ts'

/** How the origin's call ends for whoever made it. */
type Ending =
  | '201'
  /** With `Idempotency-Store: max-age`. */
  | '201-short'
  | '422'
  | '500'
  /** With `Idempotency-Outcome: executed`. */
  | '500-executed'
  | '503'
  /** With `Idempotency-Outcome: not-executed`, which the origin says of the whole operation. */
  | '500-nothing'
  | 'timeout'
  | 'lost'
  | 'not-sent'

/** What the contract makes of each ending. Said here once more, so that the code is not its own witness. */
const OUTCOME_OF: Readonly<Record<Ending, Outcome>> = {
  '201': 'succeeded',
  '201-short': 'succeeded',
  '422': 'failed',
  '500': 'unknown',
  '500-executed': 'failed',
  '503': 'not_executed',
  '500-nothing': 'not_executed',
  timeout: 'unknown',
  lost: 'unknown',
  'not-sent': 'not_executed',
}

/** How long a result is kept of which the origin says so. */
export const SHORT_MS = 700

/** What a request brings along. */
export interface Asking {
  readonly payload: 'a' | 'b'
  readonly unknown: 'hold' | 'probe' | 'resend'
  /** Whether the request is stored with its claim; only where the object makes the call. */
  readonly isDurable: boolean
  /** Whether its client comes back for the result; only where the object makes the call. */
  readonly isAccepted: boolean
  readonly by: 'object' | 'worker'
  readonly retentionMs: number
  readonly tombstoneMs: number
}

/** What most requests bring along, so that most of them are about the same thing. */
export const ASKING: Asking = {
  payload: 'a',
  unknown: 'hold',
  isDurable: false,
  isAccepted: false,
  by: 'object',
  retentionMs: 20_000,
  tombstoneMs: 5_000,
}

/** One thing that happens. `call` picks one of those to which it can happen. */
export type Step =
  | ({ readonly do: 'ask' } & Asking)
  /** A Worker that did not hear that it was granted a claim asks again. */
  | { readonly do: 'ask-again'; readonly call: number }
  /** The origin executes a call that is on its way, whatever its maker will hear of it. */
  | { readonly do: 'execute'; readonly call: number }
  | {
      readonly do: 'land'
      readonly call: number
      readonly ending: Ending
      /** Whether an origin that did not say was executing it nevertheless. */
      readonly executes: boolean
      readonly storageFails: boolean
      /** Whether its maker has a call left. */
      readonly retries: boolean
    }
  /** The pause between two calls is over. */
  | { readonly do: 'go-on'; readonly call: number }
  /** The origin's status resource answers the truth, or is away. */
  | { readonly do: 'answer'; readonly call: number; readonly isAway: boolean }
  /** A Worker that did not hear that its settle was taken sends it again. */
  | { readonly do: 'settle-again'; readonly call: number }
  | { readonly do: 'settle-unstored' }
  /** A Worker lengthens its lease; the message may come late, behind all that the Worker said after it. */
  | { readonly do: 'renew'; readonly call: number }
  /** A Worker's handler begins to answer bit by bit: from now on the object drives the call. */
  | { readonly do: 'stream'; readonly call: number }
  | { readonly do: 'worker-dies'; readonly call: number }
  | { readonly do: 'object-dies' }
  | {
      readonly do: 'alarm'
      readonly times: number
      readonly isEarly: boolean
      /** Whether something else may happen before what it recovers is begun. */
      readonly isSlow: boolean
    }
  | { readonly do: 'recover' }
  | { readonly do: 'pass'; readonly ms: number }

type State = OperationRecord['state'] | 'nothing'

/** Why a call is made again that no request has asked for just now. */
type Reason = 'retry' | 'probe' | 'alarm-probe' | 'alarm-resend'

/** What can be seen from outside, and what becomes of the claims. */
type Sight =
  | {
      readonly kind: 'asked'
      readonly claimId: string
      /** The call that its Worker asks for once more, not having heard that it was granted. */
      readonly call: string | null
      readonly asking: Asking
      readonly decision: ClaimDecision['kind']
      /** What a replay answered. */
      readonly replayed: string | null
    }
  /** A call is about to be made. */
  | {
      readonly kind: 'sent'
      readonly call: string
      readonly by: Asking['by']
      readonly reason: Reason | 'request'
      /** What the request brought along whose call it is. */
      readonly asking: Asking
      /** Whether the client that has it made comes back for the result. */
      readonly isPromised: boolean
    }
  | { readonly kind: 'executed'; readonly call: string }
  /** The call ended so. */
  | { readonly kind: 'landed'; readonly call: string; readonly answer: string }
  /** What it ended with was noted, and another call is to follow. */
  | { readonly kind: 'noted'; readonly call: string; readonly outcome: Outcome }
  | {
      readonly kind: 'settled'
      readonly call: string
      readonly by: Asking['by'] | 'probe'
      readonly outcome: Outcome
      readonly isOfAll: boolean
      readonly retentionMs: number | null
      readonly answer: string
      readonly isTaken: boolean
      /** Whether its maker is told that it was taken before. */
      readonly isRepeat: boolean
      readonly after: State
    }
  /** Somebody begins to find out what became of the call of this claim, or to send it again. */
  | { readonly kind: 'resolving'; readonly call: string }
  | {
      readonly kind: 'probed'
      readonly call: string
      readonly verdict: 'executed' | 'not_executed' | 'undecided'
    }
  /** Somebody who waited was answered. */
  | { readonly kind: 'joined'; readonly answer: string }
  | { readonly kind: 'renewed'; readonly call: string; readonly isTaken: boolean }
  /** What the call is named from now on, where the object has taken it over. */
  | { readonly kind: 'adopted'; readonly call: string; readonly as: string | null }
  | { readonly kind: 'died' }
  | {
      readonly kind: 'alarmed'
      /** Whether there was anything to look at. */
      readonly isDue: boolean
      readonly before: State
      readonly after: State
    }

export type Happening = Sight & { readonly at: number }

export const LEASE_MS = 3_000

const OPERATION_ID = 'operation-1'

const RULES: LandingRules = {
  outcomes: {},
  snapshot: { setCookie: false, omit: [], seal: false },
  corsOrigin: null,
}

/** A claim that was granted, with the call that it allows. */
interface Call {
  claim: ClaimRef
  /** As whoever made the call was granted it: its messages name it so. */
  readonly granted: ClaimRef
  readonly asking: Asking
  by: 'object' | 'worker'
  readonly life: number
  canRetry: boolean
  /** Whether the origin may still execute it. */
  isUnderWay: boolean
  isExecuted: boolean
  /** Whether its maker is there to hear how it ends. */
  isAwaited: boolean
  /** Whether its maker waits to make the next one. */
  isPaused: boolean
  settling: { readonly landing: Landing; readonly ending: Ending } | null
}

/** A question to the origin's status resource. */
interface Question {
  readonly known: ClaimRef
  readonly life: number
  /** The request that asks, or `null`: the alarm does. */
  readonly asked: { readonly asking: Asking; readonly claimId: string } | null
}

/** An object with its storage, an origin with a status resource, Workers and a clock; one key. */
export class World {
  readonly happenings: Happening[] = []
  readonly #ledger = new MemoryLedger()
  #object = new MemoryObject(this.#ledger)
  readonly #calls: Call[] = []
  #questions: Question[] = []
  /** What an alarm has found and not begun yet. */
  #pending: Recoverable[] = []
  #now = 0
  #claimCount = 0
  #life = 0

  /** Epoch milliseconds at which the alarm comes, or `null` when there is nothing left to do. */
  get alarmAt(): number | null {
    return this.#ledger.nextDueAt()
  }

  get now(): number {
    return this.#now
  }

  /** The record as it is, for whoever asks why. */
  get record(): OperationRecord | null {
    return this.#ledger.read(OPERATION_ID)
  }

  do(step: Step): void {
    switch (step.do) {
      case 'ask':
        this.ask(step)
        return
      case 'ask-again':
        return this.#askAgain(pick(this.#calls.filter(isUnbegun), step.call))
      case 'execute':
        return this.#execute(pick(this.#calls.filter(isOnItsWay), step.call))
      case 'land':
        return this.#land(pick(this.#calls.filter(isAwaited), step.call), step)
      case 'go-on':
        return this.#goOn(pick(this.#calls.filter(isPaused), step.call))
      case 'answer':
        return this.#answer(pick(this.#questions, step.call), step.isAway)
      case 'pass':
        // Between an alarm and what it recovers others may come, but no time passes.
        this.#recoverAll()
        this.#now += step.ms
        return
      case 'settle-again':
      case 'settle-unstored':
      case 'renew':
      case 'stream':
      case 'worker-dies':
      case 'object-dies':
      case 'alarm':
      case 'recover':
        return this.#doUnseen(step)
    }
  }

  /** What no client sees happen. */
  #doUnseen(
    step: Extract<
      Step,
      {
        do:
          | 'settle-again'
          | 'settle-unstored'
          | 'renew'
          | 'stream'
          | 'worker-dies'
          | 'object-dies'
          | 'alarm'
          | 'recover'
      }
    >,
  ): void {
    switch (step.do) {
      case 'settle-again':
        return this.#settleAgain(pick(this.#calls.filter(isSettledByWorker), step.call))
      case 'settle-unstored':
        return this.#object.settleUnstored(this.#now)
      case 'renew':
        return this.#renew(pick(this.#calls.filter(wasLeased), step.call))
      case 'stream':
        return this.#stream(pick(this.#calls.filter(isStreamed), step.call))
      case 'worker-dies':
        return abandon(pick(this.#calls.filter(isLeased), step.call))
      case 'object-dies':
        return this.#objectDies()
      case 'alarm':
        for (let time = 0; time < step.times; time++) this.#alarm(step.isEarly)
        return step.isSlow ? undefined : this.#recoverAll()
      case 'recover':
        return this.#recoverAll()
    }
  }

  ask(asking: Asking): ClaimDecision['kind'] {
    return this.#ask(asking, this.#nextClaimId(), null)
  }

  #ask(asking: Asking, claimId: string, again: Call | null): ClaimDecision['kind'] {
    const request = toRequest(asking, claimId)
    const decision = this.#object.claim(request, isDurable(asking), this.#now)
    const replayed = decision.kind === 'replay' ? this.#readReplay(decision) : null
    const call = again === null ? null : nameOf(again.claim)
    this.#note({ kind: 'asked', claimId, call, asking, decision: decision.kind, replayed })
    switch (decision.kind) {
      case 'execute':
        this.#granted(toRef(OPERATION_ID, decision.record), asking, call)
        break
      case 'in_flight':
        this.#object.join(OPERATION_ID, decision.running, (end) =>
          this.#note({ kind: 'joined', answer: textOfEnd(end) }),
        )
        break
      case 'probe': {
        const { record, recovery } = decision
        this.#probe(toRef(OPERATION_ID, record), recovery, { asking, claimId })
        break
      }
      case 'replay':
      case 'mismatch':
      case 'hold':
      case 'expired':
      case 'moved':
    }
    const isGrant = decision.kind === 'execute' && nameOf(toRef('', decision.record)) === call
    // Its Worker does not begin before it has heard that it may.
    if (again !== null && !isGrant) cancel(again)
    return decision.kind
  }

  #granted(claim: ClaimRef, asking: Asking, again: string | null): void {
    if (nameOf(claim) === again) return
    if (claim.fence === 1) this.#life += 1
    this.#send(claim, { asking, by: asking.by, canRetry: true, reason: 'request' })
  }

  /** The status resource answers everybody who asks it, until nobody does. */
  answerAll(): void {
    while (this.#questions.length > 0) this.do({ do: 'answer', call: 0, isAway: false })
  }

  /** Every call that somebody waits for ends with a result. */
  landAll(): void {
    const step = { do: 'land', executes: true, storageFails: false, retries: false } as const
    while (this.#calls.some(isAwaited)) this.do({ ...step, call: 0, ending: '201' })
  }

  /** Every Worker and the object go; what they were doing is never settled. */
  everybodyDies(): void {
    for (const call of this.#calls) abandon(call)
    this.#objectDies()
  }

  #nextClaimId(): string {
    return `claim-${(this.#claimCount += 1)}`
  }

  #send(
    claim: ClaimRef,
    by: Pick<Call, 'asking' | 'by' | 'canRetry'> & { readonly reason: Reason | 'request' },
  ): void {
    const state = { isUnderWay: true, isExecuted: false, isAwaited: true, isPaused: false }
    const { asking, canRetry, reason } = by
    const isPromised = (reason === 'request' || reason === 'probe') && isAccepted(asking)
    this.#note({ kind: 'sent', call: nameOf(claim), by: by.by, reason, asking, isPromised })
    const known = { claim, granted: claim, asking, by: by.by, canRetry, life: this.#life }
    this.#calls.push({ ...known, ...state, settling: null })
  }

  #askAgain(call: Call | undefined): void {
    const { record } = this
    // Once its key is new again this would be another operation, with a name of its own.
    const isKnown =
      record?.state === 'in_progress' || (record?.state === 'unknown' && record.expiresAt === null)
    if (call?.life === this.#life && isKnown) this.#ask(call.asking, call.claim.claimId, call)
  }

  #execute(call: Call | undefined): void {
    if (call === undefined || call.isExecuted) return
    call.isExecuted = true
    this.#note({ kind: 'executed', call: nameOf(call.claim) })
  }

  #land(call: Call | undefined, step: Extract<Step, { do: 'land' }>): void {
    if (call === undefined) return
    const ending = this.#honest(step.ending, call)
    const outcome = OUTCOME_OF[ending]
    const isExecuted = outcome === 'succeeded' || outcome === 'failed'
    const executes = isExecuted || (outcome === 'unknown' && step.executes && call.isUnderWay)
    if (executes) this.#execute(call)
    // Of a call whose outcome is unknown nobody knows that it is over, either.
    call.isUnderWay &&= outcome === 'unknown'
    if (ending === '500-nothing') this.#forgetCalls(call.life)
    call.isAwaited = false
    const name = nameOf(call.claim)
    call.settling = { landing: decideLanding(replyOf(ending, name), RULES), ending }
    this.#note({ kind: 'landed', call: name, answer: answerOf(ending, name) })
    if (!this.#pause(call, step.retries)) this.#settle(call, step.storageFails)
  }

  /** @returns Whether another call is to follow. */
  #pause(call: Call, retries: boolean): boolean {
    if (!retries || !call.canRetry || call.by === 'worker' || call.settling === null) return false
    const { landing, ending } = call.settling
    if (!isRepeated(OUTCOME_OF[ending], call.asking)) return false
    if (!this.#object.note(call.claim, landing, this.#now)) return false
    this.#note({ kind: 'noted', call: nameOf(call.claim), outcome: OUTCOME_OF[ending] })
    call.isPaused = true
    return true
  }

  #goOn(call: Call | undefined): void {
    if (call === undefined) return
    call.isPaused = false
    const claim = this.#object.retry(call.claim, this.#now)
    if (claim === null) return this.#settle(call, false)
    this.#send(claim, { ...call, reason: 'retry' })
  }

  #settleAgain(call: Call | undefined): void {
    if (call !== undefined) this.#settle(call, false)
  }

  #settle({ claim, by, settling }: Call, fails: boolean): void {
    if (settling === null) return
    const { landing, ending } = settling
    const call = nameOf(claim)
    const sight = {
      kind: 'settled',
      call,
      by,
      outcome: OUTCOME_OF[ending],
      isOfAll: ending === '500-nothing',
      retentionMs: ending === '201-short' ? SHORT_MS : null,
      answer: answerOf(ending, call),
    } as const
    const onStored = (kind: string) =>
      this.#note({ ...sight, ...takenAs(kind), after: this.#state() })
    const said = { ...landing.settlement, ...(by === 'worker' && { by }) }
    const ended = { settlement: said, end: landing.end }
    const kind = this.#object.land(claim, ended, { now: this.#now, fails, onStored })
    if (kind !== null) onStored(kind)
  }

  /** Asks the status resource that the policy of the request, or of the record, names. */
  #probe(known: ClaimRef, recovery: Recovery, asked: Question['asked']): void {
    if (recovery.kind !== 'probe') throw new Error('There is nobody to ask.')
    this.#object.resolve(known)
    this.#questions.push({ known, asked, life: this.#life })
    if (asked !== null) this.#note({ kind: 'resolving', call: nameOf(known) })
  }

  #answer(question: Question | undefined, isAway: boolean): void {
    if (question === undefined) return
    this.#questions = this.#questions.filter((other) => other !== question)
    const { known, life, asked } = question
    const call = nameOf(known)
    const executed = this.#calls.find((each) => each.life === life && each.isExecuted)
    const verdict = this.#believe(decideProbe(probeReplyOf(executed, isAway), RULES), asked)
    this.#note({ kind: 'probed', call, verdict: verdict.kind })
    switch (verdict.kind) {
      case 'executed': {
        const landing = decideProbeLanding(verdict.reply, verdict.status, RULES)
        const answer = answerOf('201', executed === undefined ? 'nobody' : nameOf(executed.claim))
        return this.#settleProbed(known, landing, answer)
      }
      case 'not_executed':
        this.#forgetCalls(life)
        if (asked !== null) return this.#claimUnexecuted(known, asked)
        return this.#sendStored(known, { isResolved: true, reason: 'alarm-probe' })
      case 'undecided':
        return this.#object.giveUp(known)
    }
  }

  /** Of a stranger's 404 nothing is believed: it may hide what is executed, now or later. */
  #believe(verdict: Finding, asked: Question['asked']): Finding {
    const isKnown = asked !== null || this.#ledger.hasStoredRequest(OPERATION_ID)
    return verdict.kind === 'not_executed' && !isKnown ? { kind: 'undecided' } : verdict
  }

  #settleProbed(known: ClaimRef, landing: Landing, answer: string): void {
    const storage = { now: this.#now, fails: false, onStored: () => {} }
    const kind = this.#object.land(known, landing, storage)
    const sight = {
      kind: 'settled',
      call: nameOf(known),
      by: 'probe',
      outcome: 'succeeded',
    } as const
    const rest = { isOfAll: false, retentionMs: null, answer }
    this.#note({ ...sight, ...rest, ...takenAs(kind), after: this.#state() })
  }

  #claimUnexecuted(known: ClaimRef, { asking, claimId }: NonNullable<Question['asked']>): void {
    const request = toRequest(asking, claimId)
    const claim = this.#object.claimResolved(known, request, isDurable(asking), this.#now)
    if (claim === null) return
    this.#send(claim, { asking, by: asking.by, canRetry: true, reason: 'probe' })
  }

  #sendStored(known: ClaimRef, how: { isResolved: boolean; reason: Reason }): void {
    const { isResolved, reason } = how
    if (!this.#ledger.hasStoredRequest(OPERATION_ID)) return this.#object.giveUp(known)
    const next = { claimId: this.#nextClaimId(), owner: { kind: 'object' }, isResolved } as const
    const { asking } = this.#calls.findLast(({ life }) => life === this.#life) ?? {}
    const claim = this.#object.claimAgain(known, next, this.#now)
    if (claim === null || asking === undefined) return
    this.#send(claim, { asking, by: 'object', canRetry: false, reason })
  }

  #renew(call: Call | undefined): void {
    if (call === undefined) return
    const isTaken = this.#object.renew(call.granted, LEASE_MS, this.#now)
    this.#note({ kind: 'renewed', call: nameOf(call.granted), isTaken })
  }

  #stream(call: Call | undefined): void {
    if (call === undefined) return
    const isFirst = call.by === 'worker'
    const adopted = this.#object.adopt(call.granted, this.#nextClaimId(), this.#now)
    const as = adopted === null ? null : nameOf(adopted)
    this.#note({ kind: 'adopted', call: nameOf(call.granted), as })
    // A late owner's own client gets its answer, and nobody else hears of it.
    if (adopted === null) return isFirst ? abandon(call) : undefined
    call.claim = adopted
    call.by = 'object'
    call.canRetry = false
  }

  #objectDies(): void {
    this.#object = new MemoryObject(this.#ledger)
    this.#questions = []
    this.#pending = []
    for (const call of this.#calls) if (call.by === 'object') abandon(call)
    this.#note({ kind: 'died' })
  }

  #alarm(isEarly: boolean): void {
    const before = this.#state()
    const dueBy = isEarly ? Number.POSITIVE_INFINITY : this.#now
    const isDue = (this.alarmAt ?? Number.POSITIVE_INFINITY) <= dueBy
    const due = this.#object.alarm(this.#now, dueBy)
    this.#note({ kind: 'alarmed', isDue, before, after: this.#state() })
    for (const { id, record } of due) {
      this.#note({ kind: 'resolving', call: nameOf(toRef(id, record)) })
    }
    this.#pending.push(...due)
    // Only a stored request is waited for, and it is opened before anything is asked or sent.
    this.#recover(({ record }) => record.recovery.isDurable !== true)
  }

  #recoverAll(): void {
    this.#recover(() => true)
  }

  #recover(isReady: (due: Recoverable) => boolean): void {
    const due = this.#pending.filter(isReady)
    this.#pending = this.#pending.filter((each) => !isReady(each))
    for (const { id, record } of due) {
      const known = toRef(id, record)
      if (record.recovery.kind === 'probe') this.#probe(known, record.recovery, null)
      else this.#sendStored(known, { isResolved: false, reason: 'alarm-resend' })
    }
  }

  /** What the origin has said of all calls of an operation holds: none of them is executed any more. */
  #forgetCalls(life: number): void {
    for (const call of this.#calls) if (call.life === life) call.isUnderWay = false
  }

  /** An origin does not say what is not so: nobody could be safe from that. */
  #honest(ending: Ending, call: Call): Ending {
    const outcome = OUTCOME_OF[ending]
    if (call.isExecuted && outcome === 'not_executed') return '201'
    if (call.isExecuted) return ending
    // It was said of this call before that it was not executed.
    if (!call.isUnderWay && outcome !== 'unknown') return '503'
    const isOther = ({ life, isExecuted }: Call) => life === call.life && isExecuted
    if (ending !== '500-nothing') return ending
    return this.#calls.some(isOther) ? '500' : ending
  }

  #state(): State {
    return this.#ledger.read(OPERATION_ID)?.state ?? 'nothing'
  }

  #readReplay({ settled }: Extract<ClaimDecision, { kind: 'replay' }>): string {
    const { snapshot } = settled
    if (isSealed(snapshot)) throw new Error('Nothing is sealed here.')
    return textOf(snapshot.status, this.#ledger.readBody(OPERATION_ID))
  }

  #note(sight: Sight): void {
    this.happenings.push({ at: this.#now, ...sight })
  }
}

const isOnItsWay = (call: Call) => call.isUnderWay && !call.isExecuted
const isAwaited = (call: Call) => call.isAwaited
const isPaused = (call: Call) => call.isPaused
const isLeased = (call: Call) => call.isAwaited && call.by === 'worker'
const wasLeased = (call: Call) => call.by === 'worker' || call.granted !== call.claim
/** One that streams already may be told so twice. */
const isStreamed = (call: Call) => call.isAwaited && wasLeased(call)
const isUnbegun = (call: Call) => isLeased(call) && isOnItsWay(call)
const isSettledByWorker = (call: Call) => call.settling !== null && call.by === 'worker'

/** Whether the request is stored with its claim: only where the object makes the call. */
export const isDurable = ({ by, isDurable: isStored }: Asking) => by === 'object' && isStored

/** Whether its client is told to come back: only where the object makes the call. */
const isAccepted = ({ by, isAccepted: isAsync }: Asking) => by === 'object' && isAsync

/** Whether the policy has a call made again that ended so. */
const isRepeated = (outcome: Outcome, { unknown }: Asking) =>
  outcome === 'not_executed' || (outcome === 'unknown' && unknown === 'resend')

/** What whoever settles is told. */
const takenAs = (kind: string | null) => ({
  isTaken: kind !== 'refuse' && kind !== 'repeat',
  isRepeat: kind === 'repeat',
})

/** Names one call: a claim makes one for each fence. */
const nameOf = ({ claimId, fence }: ClaimRef) => `${claimId}/${fence}`

function pick<item>(items: readonly item[], number: number): item | undefined {
  return items[number % items.length]
}

function abandon(call: Call | undefined): void {
  if (call === undefined) return
  call.isAwaited = false
  call.isPaused = false
}

function cancel(call: Call): void {
  abandon(call)
  call.isUnderWay = false
}

function toRequest(asking: Asking, claimId: string): ClaimRequest {
  const { payload, by, retentionMs, tombstoneMs } = asking
  return {
    operationId: OPERATION_ID,
    operation: 'POST /payments',
    tenant: 'tenant-1',
    fingerprint: payload,
    places: '',
    claimId,
    correlationId: claimId,
    traceparent: '',
    events: [],
    recovery: toRecovery(asking),
    isAccepted: isAccepted(asking),
    reauthorizePath: null,
    leaseMs: by === 'worker' ? LEASE_MS : null,
    retentionMs,
    tombstoneMs,
  }
}

function toRecovery(asking: Asking): Recovery {
  const bounds = { timeoutMs: 1_000, limitBytes: 1_000 }
  const rules = { bounds, rules: RULES, isDurable: isDurable(asking) }
  switch (asking.unknown) {
    case 'hold':
      return isDurable(asking) ? { kind: 'hold', ...rules } : { kind: 'hold' }
    case 'probe':
      return { kind: 'probe', path: '/status', ...rules }
    case 'resend':
      return { kind: 'resend', ...rules }
  }
}

/** What a call answers, so that everybody's answer can be traced back to it. */
function answerOf(ending: Ending, call: string): string {
  return /^\d/.test(ending) ? `${ending.slice(0, 3)} ${call}` : ending
}

const NOTHING_SAID: OriginDirectives = {
  outcome: null,
  isStorable: true,
  retentionMs: null,
  resultStatus: null,
}

const DIRECTIVES: Partial<Record<Ending, OriginDirectives>> = {
  '201-short': { ...NOTHING_SAID, retentionMs: SHORT_MS },
  '500-executed': { ...NOTHING_SAID, outcome: 'executed' },
  '500-nothing': { ...NOTHING_SAID, outcome: 'not-executed' },
}

function replyOf(ending: Ending, call: string): EndedReply {
  switch (ending) {
    case 'timeout':
    case 'lost':
    case 'not-sent':
      return { kind: 'fault', fault: ending, originStatus: null }
    case '201':
    case '201-short':
    case '422':
    case '500':
    case '500-executed':
    case '503':
    case '500-nothing': {
      const directives = DIRECTIVES[ending] ?? NOTHING_SAID
      const body = new TextEncoder().encode(call).slice()
      const status = Number(ending.slice(0, 3))
      return { kind: 'answer', status, headers: [], directives, body }
    }
  }
}

/** What the status resource says of an operation: the result of the call that was executed, or 404. */
function probeReplyOf(executed: Call | undefined, isAway: boolean): EndedReply {
  if (isAway) return { kind: 'fault', fault: 'timeout', originStatus: null }
  const body = new TextEncoder().encode(executed ? nameOf(executed.claim) : '').slice()
  const directives = { ...NOTHING_SAID, resultStatus: 201 }
  return { kind: 'answer', status: executed ? 200 : 404, headers: [], directives, body }
}

function textOfEnd(end: Landing['end']): string {
  switch (end.kind) {
    case 'response':
      return textOf(end.status, end.body)
    case 'fault':
      return end.fault
    case 'too_large':
    case 'step':
    case 'undecided':
      return end.kind
  }
}

function textOf(status: number, body: Uint8Array | null): string {
  return `${status} ${body === null ? 'without a body' : new TextDecoder().decode(body)}`
}
