import type { Outcome } from '../../src/core/outcome/outcome.ts'
import { type Asking, type Happening, isDurable, LEASE_MS } from './world.ts'

/**
 * What the contract says of a key at one moment.
 *
 * - `new`: nothing of it counts; the next request executes.
 * - `running`: somebody drives the last claim. `lost`: nobody does, and nobody has noticed yet.
 * - `unexecuted`: likewise, but none of its calls was executed, and none is under way.
 * - `unknown`, `settled`: remembered since. `expired`: refused.
 */
type Standing = 'new' | 'running' | 'lost' | 'unexecuted' | 'unknown' | 'settled' | 'expired'

type Policy = Asking['unknown']
type Memory = Pick<Asking, 'retentionMs' | 'tombstoneMs'>

/** A key from its first claim until it is freed or forgotten. */
export interface Life {
  /** The request whose claim it was last. */
  asking: Asking
  /** Its policy, or a safer one under which the operation was asked for since. */
  policy: Policy
  /** How long it is remembered: as its route had it, or longer, as one has had it since. */
  memory: Memory
  /** Calls in the order in which they were made, with what their makers were told. */
  readonly told: Map<string, Outcome | 'nothing'>
  /** When each of them ended: when that was told, or it was found out that nobody will tell. */
  readonly endedAt: Map<string, number>
  /** Calls that the origin has executed. */
  readonly executions: string[]
  /** Calls that were made again though an earlier one may have been executed. */
  resendCount: number
  /** Whether a client was told to come back for its result. */
  isAccepted: boolean
  /** Whether its request is stored, so that the alarm can send it. */
  isStored: boolean
  /** What it was settled with. */
  result: string | null
}

/** A happening, and how the key stood before it. */
export interface Moment {
  readonly happening: Happening
  readonly standing: Standing
  /** `null` where the key has never been claimed. */
  readonly life: Life | null
  /** The request of that life's last claim, as it was then. */
  readonly asking: Asking | null
  /** The policy that counted for that life then. */
  readonly policy: Policy | null
  /** What the maker of the last call was told by then. */
  readonly lastTold: Outcome | 'nothing'
  /** Whether the happening is about the last call of that life. */
  readonly isOfLastClaim: boolean
  /** Whether somebody is about to find out what became of the last claim. */
  readonly isAsked: boolean
  /** Whether it is driven to its end without any client, as one was told. */
  readonly isDriven: boolean
  /** Whether every call but the last is known not to have been executed. */
  readonly isRestUnexecuted: boolean
}

type HappeningOf<kind extends Happening['kind']> = Extract<Happening, { readonly kind: kind }>

/**
 * Reads the happenings as the contract does, without a look at any record: a second opinion on
 * what had to be decided at every moment.
 */
export function readLives(happenings: readonly Happening[]): {
  readonly moments: readonly Moment[]
  readonly lives: readonly Life[]
} {
  const reader = new Reader()
  const moments = happenings.map((happening) => reader.read(happening))
  return { moments, lives: reader.lives }
}

class Reader {
  readonly lives: Life[] = []
  #phase: 'new' | 'claimed' | 'unknown' | 'settled' = 'new'
  /** Since when the last claim is unknown or settled, and how long a result is kept from then on. */
  #since = 0
  #retentionMs = 0
  #leaseUntil = Number.POSITIVE_INFINITY
  #owner: Asking['by'] = 'object'
  /** The claim about which the origin is asked. */
  #askedAbout: string | null = null
  /** Whether an alarm has left nothing but a tombstone. */
  #isBuried = false

  read(happening: Happening): Moment {
    const life = this.lives.at(-1) ?? null
    const told = [...(life?.told ?? [])]
    const [last = null, lastTold = 'nothing'] = told.at(-1) ?? []
    const moment: Moment = {
      happening,
      standing: this.#standingAt(happening),
      life,
      ...asIs(life),
      lastTold,
      isOfLastClaim: 'call' in happening && happening.call === last,
      isAsked: this.#askedAbout !== null,
      isDriven: isDriven(life),
      isRestUnexecuted: told.slice(0, -1).every(([, outcome]) => outcome === 'not_executed'),
    }
    this.#follow(moment)
    return moment
  }

  #standingAt(happening: Happening): Standing {
    const life = this.lives.at(-1)
    const { at: now } = happening
    if (life === undefined || this.#phase === 'new') return 'new'
    // What a stricter route asks for is as it would have been under that route.
    const isAsked = happening.kind === 'asked'
    const policy = isAsked ? saferOf(life.policy, happening.asking.unknown) : life.policy
    if (this.#phase !== 'claimed') {
      const memory = isAsked ? this.#memoryFor(life, happening.asking) : this.#memoryOf(life)
      return this.#memoryAt(now, { ...life, policy, memory }, this.#phase)
    }
    if (now < this.#leaseUntil) return 'running'
    return isUnexecuted(life) ? 'unexecuted' : 'lost'
  }

  /** How long from its end on it is remembered, and then refused. */
  #memoryOf({ memory: { tombstoneMs } }: Life): Memory {
    return { retentionMs: this.#retentionMs, tombstoneMs }
  }

  /** The same for a request whose route remembers longer; what the origin has said below that stays. */
  #memoryFor(life: Life, asking: Asking): Memory {
    const { memory } = life
    const longerMs = Math.max(0, asking.retentionMs - memory.retentionMs)
    const isByRoute = this.#retentionMs >= memory.retentionMs && !this.#isBuried
    const tombstoneMs = Math.max(asking.tombstoneMs, memory.tombstoneMs)
    return { retentionMs: this.#retentionMs + (isByRoute ? longerMs : 0), tombstoneMs }
  }

  #memoryAt(now: number, life: Life, phase: 'unknown' | 'settled'): Standing {
    const { retentionMs, tombstoneMs } = life.memory
    const isKept = life.policy !== 'resend' || this.#askedAbout !== null
    const expiresAt = this.#since + retentionMs
    if (now < expiresAt || (phase === 'unknown' && isKept)) {
      const isFree = phase === 'unknown' && this.#askedAbout === null && isUnexecuted(life)
      return isFree ? 'unexecuted' : phase
    }
    return now < expiresAt + tombstoneMs ? 'expired' : 'new'
  }

  #follow(moment: Moment): void {
    const { happening } = moment
    switch (happening.kind) {
      case 'asked':
        return this.#asked(happening, moment)
      case 'sent':
        return this.#sent(happening, moment)
      case 'executed':
        this.#lifeOf(happening.call)?.executions.push(happening.call)
        return
      case 'noted':
        return tell(this.#lifeOf(happening.call), happening)
      case 'settled':
        this.#stopAsking(happening.call)
        return moment.isOfLastClaim ? this.#settled(happening) : undefined
      case 'renewed':
        if (happening.isTaken) this.#leaseUntil = happening.at + LEASE_MS
        return
      case 'adopted':
        return this.#adopted(happening)
      case 'resolving':
        this.#askedAbout = claimOf(happening.call)
        return
      case 'probed':
        // Where nothing was executed, it is sent again next.
        if (happening.verdict !== 'not_executed') this.#stopAsking(happening.call)
        return
      case 'died':
        return this.#died(happening.at)
      case 'alarmed':
        return this.#alarmed(happening, moment.standing)
      case 'landed':
      case 'joined':
    }
  }

  #asked({ at, decision, asking }: HappeningOf<'asked'>, moment: Moment): void {
    const { standing, isOfLastClaim, life } = moment
    const isNoticed = decision === 'hold' || decision === 'probe'
    if (life !== null && (isNoticed || decision === 'execute')) this.#deploy(life, asking)
    if (standing === 'lost' && isNoticed) this.#becomeUnknown(at)
    // It is sent again, which a Worker that asks for the claim that it holds does not do.
    if (standing === 'lost' && decision === 'execute' && !isOfLastClaim) this.#endLost(at)
  }

  /** What is stored of it is under the stricter policy from now on. */
  #deploy(life: Life, asking: Asking): void {
    this.#retentionMs = this.#memoryFor(life, asking).retentionMs
    life.memory = {
      retentionMs: Math.max(life.memory.retentionMs, asking.retentionMs),
      tombstoneMs: Math.max(life.memory.tombstoneMs, asking.tombstoneMs),
    }
    this.#tighten(life, asking.unknown)
  }

  #tighten(life: Life, policy: Policy): void {
    life.policy = saferOf(life.policy, policy)
    // What is held is not sent again, whatever turns out later.
    if (life.policy === 'hold' && !isUnexecuted(life)) life.isStored = false
  }

  /** The flight that others wait for is that of the claim, whoever ends it. */
  #stopAsking(call: string): void {
    if (this.#askedAbout === claimOf(call)) this.#askedAbout = null
  }

  /** The object goes on with the call, under another name, also where it had been given up. */
  #adopted({ call, as }: HappeningOf<'adopted'>): void {
    const life = this.#lifeOf(call)
    if (as === null || life === undefined) return
    rename(life, call, as)
    this.#phase = 'claimed'
    this.#isBuried = false
    this.#askedAbout = null
    this.#owner = 'object'
    this.#leaseUntil = Number.POSITIVE_INFINITY
  }

  #died(at: number): void {
    this.#askedAbout = null
    if (this.#owner === 'object') this.#leaseUntil = at
  }

  #sent(happening: HappeningOf<'sent'>, { standing, life }: Moment): void {
    const { at, call, by, isPromised } = happening
    if (standing === 'new' || life === null) this.#begin(happening.asking)
    else this.#sendAgain(life, happening)
    const last = this.lives.at(-1)
    if (last !== undefined && isPromised) last.isAccepted = true
    last?.told.set(call, 'nothing')
    this.#phase = 'claimed'
    this.#isBuried = false
    this.#askedAbout = null
    this.#owner = by
    this.#leaseUntil = by === 'worker' ? at + LEASE_MS : Number.POSITIVE_INFINITY
  }

  #begin(asking: Asking): void {
    const nothing = { executions: [], resendCount: 0, result: null }
    this.lives.push({
      asking,
      policy: asking.unknown,
      memory: asking,
      isStored: isDurable(asking),
      told: new Map(),
      endedAt: new Map(),
      ...nothing,
      isAccepted: false,
    })
  }

  #sendAgain(life: Life, { reason, asking }: HappeningOf<'sent'>): void {
    if (reason === 'request' || reason === 'probe') {
      life.asking = asking
      life.policy = asking.unknown
      life.memory = asking
      life.isStored = isDurable(asking)
    }
    if (reason === 'probe' || reason === 'alarm-probe') {
      for (const earlier of life.told.keys()) life.told.set(earlier, 'not_executed')
    }
    if (!isUnexecuted(life)) life.resendCount += 1
  }

  #settled({ at, call, outcome, ...said }: HappeningOf<'settled'>): void {
    const life = this.lives.at(-1)
    if (!said.isTaken || life === undefined) return
    tell(life, { at, call, outcome })
    switch (outcome) {
      case 'not_executed':
        return this.#notExecuted(at, life, said.isOfAll)
      case 'unknown':
        return this.#becomeUnknown(at)
      case 'succeeded':
      case 'failed':
        this.#phase = 'settled'
        this.#since = at
        this.#retentionMs = said.retentionMs ?? life.memory.retentionMs
        life.result = said.answer
    }
  }

  #notExecuted(at: number, life: Life, isOfAll: boolean): void {
    if (isOfAll) for (const call of life.told.keys()) life.told.set(call, 'not_executed')
    if (!isUnexecuted(life)) return this.#becomeUnknown(at)
    // Whoever made the call, from now on it is for the object to make the next one, if any.
    this.#phase = isDriven(life) ? 'claimed' : 'new'
    this.#leaseUntil = at
  }

  #alarmed({ at, after }: HappeningOf<'alarmed'>, standing: Standing): void {
    // What an alarm has forgotten or buried, no stricter route brings back.
    if (after === 'nothing') this.#phase = 'new'
    if (after === 'expired') this.#phase = 'settled'
    this.#isBuried = after === 'expired'
    if (standing !== 'lost' && standing !== 'unexecuted') return
    if (after === 'unknown') this.#becomeUnknown(at)
  }

  /** Since the end of the first call that may have been executed. */
  #becomeUnknown(at: number): void {
    this.#endLost(at)
    const life = this.lives.at(-1)
    if (life === undefined) return
    const doubt = [...life.told].find(([, outcome]) => outcome !== 'not_executed')
    this.#phase = 'unknown'
    this.#tighten(life, life.policy)
    this.#since = (doubt && life.endedAt.get(doubt[0])) ?? at
    this.#retentionMs = life.memory.retentionMs
  }

  /** A call that was lost ends when somebody notices, however late: until then it counts as running. */
  #endLost(at: number): void {
    const life = this.lives.at(-1)
    for (const call of life?.told.keys() ?? []) {
      if (life?.endedAt.has(call) === false) life.endedAt.set(call, at)
    }
  }

  #lifeOf(call: string): Life | undefined {
    return this.lives.findLast(({ told }) => told.has(call))
  }
}

interface Telling {
  readonly at: number
  readonly call: string
  readonly outcome: Outcome
}

function tell(life: Life | undefined, { at, call, outcome }: Telling): void {
  life?.told.set(call, outcome)
  life?.endedAt.set(call, at)
}

/** Names a call anew: it is under way, and its place among the others stays. */
function rename(life: Life, call: string, as: string): void {
  const nameOf = (name: string) => (name === call ? as : name)
  const told = [...life.told]
  life.told.clear()
  for (const [name, outcome] of told) life.told.set(nameOf(name), outcome)
  life.endedAt.delete(call)
  life.executions.splice(0, Infinity, ...life.executions.map(nameOf))
}

/** Whether no call of a life can have been executed, as far as their makers were told. */
const isUnexecuted = ({ told }: Life) =>
  [...told.values()].every((outcome) => outcome === 'not_executed')

/** What the next happening may change. */
const asIs = (life: Life | null) => ({
  asking: life?.asking ?? null,
  policy: life?.policy ?? null,
})

const isDriven = (life: Life | null) => life !== null && life.isAccepted && life.isStored

/** Nobody executes, before the origin is asked, before it is sent again. */
const BY_SAFETY: readonly Policy[] = ['hold', 'probe', 'resend']

/** Of an operation's policy and that of a later request the safer one. */
const saferOf = (known: Policy, asked: Policy): Policy =>
  BY_SAFETY.indexOf(asked) < BY_SAFETY.indexOf(known) ? asked : known

const claimOf = (call: string) => call.slice(0, call.indexOf('/'))
