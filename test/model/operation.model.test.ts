import fc from 'fast-check'
import { describe, expect, it } from 'vitest'

import type { OperationRecord } from '../../src/core/operation/record.ts'
import { history, LIFETIME_MS, live } from './history.ts'
import { type Life, type Moment, readLives } from './lives.ts'
import {
  ASKING,
  type Asking,
  type Happening,
  isDurable,
  LEASE_MS,
  type Step,
  type World,
} from './world.ts'

const RUNS = Number(process.env['HAPAX_MODEL_RUNS'] ?? 2_000)
const TIMEOUT_MS = 10_000 + RUNS * 10

/** Holds a claim against random histories. What it throws is shown with the shortest of them. */
function inAnyHistory(hold: (steps: readonly Step[]) => void): void {
  fc.assert(fc.property(history, hold), { numRuns: RUNS })
}

type MomentOf<kind extends Happening['kind']> = Moment & {
  readonly happening: Extract<Happening, { readonly kind: kind }>
}

/** The moments of one kind in a history, with all that the contract knows of the key at each. */
function momentsOf<kind extends Happening['kind']>(
  steps: readonly Step[],
  kind: kind,
): readonly MomentOf<kind>[] {
  return readLives(live(steps).happenings).moments.filter(isOf(kind))
}

const isOf =
  <kind extends Happening['kind']>(kind: kind) =>
  (moment: Moment): moment is MomentOf<kind> =>
    moment.happening.kind === kind

const isSamePayload = ({ happening, asking }: MomentOf<'asked'>) =>
  happening.asking.payload === asking?.payload

/** Whether a Worker that has not heard so asks for the claim that it holds. */
const isGrant = ({ isOfLastClaim, standing }: MomentOf<'asked'>) =>
  isOfLastClaim && (standing === 'running' || standing === 'lost')

const isUnknown = ({ standing }: Moment) => standing === 'lost' || standing === 'unknown'

/** What is done about an operation in doubt, by the policy of the request and its own. */
function wordOf(asked: Asking['unknown'], own: Moment['policy']): Asking['unknown'] {
  if (asked === 'probe') return 'probe'
  return asked === 'hold' || own === 'hold' ? 'hold' : (own ?? asked)
}

describe('an operation, whatever happens', { timeout: TIMEOUT_MS }, () => {
  it('is executed once at the most in each life of its key, unless it was sent again unresolved', () => {
    inAnyHistory((steps) => {
      for (const { executions, resendCount } of readLives(live(steps).happenings).lives) {
        expect(executions.length).toBeLessThanOrEqual(1 + resendCount)
      }
    })
  })

  it('is sent again unresolved only where the policy of its route is resend', () => {
    inAnyHistory((steps) => {
      const sent = momentsOf(steps, 'sent')
      for (const moment of sent) {
        expect({ ...moment, mayBeSent: maySend(moment) }).toEqual({ ...moment, mayBeSent: true })
      }
    })
  })

  it('is sent again as not executed only when the origin has said so just before', () => {
    inAnyHistory((steps) => {
      const { moments } = readLives(live(steps).happenings)
      for (const [index, moment] of moments.entries()) {
        const { happening } = moment
        if (happening.kind !== 'sent' || !/probe/.test(happening.reason)) continue
        const before = moments[index - 1]
        expect(before?.happening).toMatchObject({ kind: 'probed', verdict: 'not_executed' })
        expect(before?.isOfLastClaim).toBe(true)
      }
    })
  })

  it('is sent when its key is new, and again for a request only as its policy says', () => {
    inAnyHistory((steps) => {
      for (const moment of momentsOf(steps, 'asked')) {
        const { happening, standing } = moment
        const word = wordOf(happening.asking.unknown, moment.policy)
        const isResent = isUnknown(moment) && !moment.isAsked && word === 'resend'
        const isAgain = isSamePayload(moment) && (isResent || standing === 'unexecuted')
        const isSent = standing === 'new' || isAgain || isGrant(moment)
        expect({ standing, isSent: happening.decision === 'execute' }).toEqual({ standing, isSent })
      }
    })
  })

  it('frees its key, or waits for the alarm, only where no call can have been executed', () => {
    inAnyHistory((steps) => {
      for (const moment of momentsOf(steps, 'settled')) {
        const { happening, standing, isRestUnexecuted, isDriven } = moment
        if (!happening.isTaken || happening.outcome !== 'not_executed') continue
        const isFree = happening.isOfAll || isRestUnexecuted
        const freed = isDriven ? 'in_progress' : 'nothing'
        expect({ standing, after: happening.after }).toEqual({
          standing,
          after: isFree ? freed : 'unknown',
        })
      }
    })
  })

  it('is answered with its result until its retention ends, then refused for its tombstone', () => {
    inAnyHistory((steps) => {
      for (const moment of momentsOf(steps, 'asked')) {
        const { decision } = moment.happening
        const isReplayed = moment.standing === 'settled' && isSamePayload(moment)
        expect(decision === 'replay').toBe(isReplayed)
        expect(decision === 'expired').toBe(moment.standing === 'expired')
      }
    })
  })

  it('is replayed with the very answer of the call that settled it, or that the origin names', () => {
    inAnyHistory((steps) => {
      const replays = momentsOf(steps, 'asked').filter(isReplay)
      for (const { happening, life } of replays) expect(happening.replayed).toBe(life?.result)
    })
  })

  it('is settled with a result that the origin has executed', () => {
    inAnyHistory((steps) => {
      const { lives } = readLives(live(steps).happenings)
      for (const { result, executions } of lives.filter(isSettled)) {
        expect(executions).toContain(result?.slice(STATUS_LENGTH))
      }
    })
  })

  it('answers those who wait with the very answer of a call, or that nobody can tell', () => {
    inAnyHistory((steps) => {
      const { moments } = readLives(live(steps).happenings)
      const answers = moments.filter(isOf('landed')).map(({ happening }) => happening.answer)
      const results = moments.filter(isOf('settled')).map(({ happening }) => happening.answer)
      for (const { happening } of moments.filter(isOf('joined'))) {
        expect([...answers, ...results, 'undecided']).toContain(happening.answer)
      }
    })
  })

  it('is settled by its last claim, by no other and no second time', () => {
    inAnyHistory((steps) => {
      const settled = momentsOf(steps, 'settled')
      for (const moment of settled.filter(isRemembered)) {
        expect(moment.happening.isTaken).toBe(isOwed(moment))
      }
      const taken = settled.filter(({ happening }) => happening.isTaken)
      const known = taken.filter(({ happening }) => /^(?:succ|fail)/.test(happening.outcome))
      expect(new Set(known.map(({ life }) => life)).size).toBe(known.length)
    })
  })

  it('has its lease renewed by its last claim alone, and not once that has ended', () => {
    inAnyHistory((steps) => {
      for (const { happening, isOfLastClaim, standing } of momentsOf(steps, 'renewed')) {
        const isClaimed = standing === 'running' || standing === 'lost'
        expect(happening.isTaken).toBe(isOfLastClaim && isClaimed)
      }
    })
  })

  it('goes on with a stream of its last claim, late as well, and of no other', () => {
    inAnyHistory((steps) => {
      for (const moment of momentsOf(steps, 'adopted').filter(isRemembered)) {
        const isOpen = /^(?:running|lost|unknown)$/.test(moment.standing)
        expect(moment.happening.as !== null).toBe(moment.isOfLastClaim && isOpen)
      }
    })
  })

  it('tells a Worker that its settle was taken, however often that asks', () => {
    inAnyHistory((steps) => {
      const taken = new Set<string>()
      for (const { happening, standing, isOfLastClaim } of momentsOf(steps, 'settled')) {
        const { call, by, isTaken, isRepeat, outcome } = happening
        const isResult = outcome === 'succeeded' || outcome === 'failed'
        const isLast = isOfLastClaim && standing === 'settled' && by === 'worker'
        expect(isLast && isRepeat).toBe(isLast && taken.has(call))
        if (isTaken && by === 'worker' && isResult) taken.add(call)
      }
    })
  })

  it('is neither sent nor replayed for another payload, but reported, while it is known', () => {
    inAnyHistory((steps) => {
      for (const moment of momentsOf(steps, 'asked')) {
        const isKnown = moment.standing !== 'new' && moment.standing !== 'expired'
        const isMismatch = isKnown && !isSamePayload(moment)
        expect(moment.happening.decision === 'mismatch').toBe(isMismatch)
      }
    })
  })

  it('is in progress as long as somebody is at it, and held or asked about as soon as nobody is', () => {
    inAnyHistory((steps) => {
      for (const moment of momentsOf(steps, 'asked')) {
        if (!isSamePayload(moment) || isGrant(moment)) continue
        const { decision, asking } = moment.happening
        const word = wordOf(asking.unknown, moment.policy)
        const isLeft = isUnknown(moment) && !moment.isAsked
        const isBusy = moment.standing === 'running' || (isUnknown(moment) && moment.isAsked)
        expect(decision === 'in_flight').toBe(isBusy)
        expect(decision === 'hold').toBe(isLeft && word === 'hold')
        expect(decision === 'probe').toBe(isLeft && word === 'probe')
      }
    })
  })

  it('loses nothing to an alarm, however early, late or often it comes', () => {
    inAnyHistory((steps) => {
      for (const { happening, standing } of momentsOf(steps, 'alarmed')) {
        const { isDue, before, after } = happening
        expect(isDue ? LEFT_BY_ALARM[standing] : [before]).toContain(after)
      }
    })
  })

  it('is never forgotten while it is held, in a hundred years and with any number of alarms', () => {
    inAnyHistory((steps) => {
      const { world, last } = abandoned(steps)
      if (world.ask({ ...last, unknown: 'hold' }) !== 'hold') return
      for (let years = 0; years < 100; years += 25) {
        world.do({ do: 'pass', ms: 25 * YEAR_MS })
        world.do({ do: 'alarm', times: 2, isEarly: true, isSlow: true })
        expect(world.ask({ ...last, unknown: 'hold' })).toBe('hold')
        expect(world.record).toMatchObject({ state: 'unknown', reason: expect.any(String) })
      }
    })
  })

  it('is never stuck: once nobody drives it, it is answered, and executed where it may be', () => {
    inAnyHistory((steps) => {
      const [held, resent] = [abandoned(steps), abandoned(steps)]
      expect(held.world.ask({ ...held.last, unknown: 'hold' })).toMatch(ANSWERED)
      const decision = resent.world.ask({ ...resent.last, unknown: 'resend' })
      expect(decision).toMatch(ANSWERED_BY_RESEND[resent.policy])
    })
  })

  it('is never stuck: once the status resource answers, the next request executes or replays', () => {
    inAnyHistory((steps) => {
      const { world, last, policy } = abandoned(steps)
      if (last.unknown !== 'probe' || policy === 'hold') return
      world.ask(last)
      world.answerAll()
      world.landAll()
      expect(world.ask(last)).toMatch(/^(?:execute|replay|expired)$/)
    })
  })

  it('is never stuck: once it was answered, its key is new in time, or says that it is held', () => {
    inAnyHistory((steps) => {
      const { world, last } = abandoned(steps)
      const isNew = world.ask({ ...last, unknown: 'hold' }) === 'execute'
      world.do({ do: 'pass', ms: LIFETIME_MS })
      if (isNew) return
      const decision = world.ask({ ...last, unknown: 'hold' })
      if (decision === 'execute') return
      expect(decision).toBe('hold')
      expect(world.record).toMatchObject({ state: 'unknown', reason: expect.any(String) })
    })
  })

  it('is never stuck: alarms alone resolve it and give its storage back, but where it is held', () => {
    inAnyHistory((steps) => {
      const { world, policy } = abandoned(steps)
      const isGivenUp = isUnknownForLong(world)
      for (let alarms = 0; alarms < 8 && world.alarmAt !== null; alarms++) {
        alarmInTime(world)
        world.answerAll()
        world.landAll()
      }
      expect(world.alarmAt).toBeNull()
      const isOver = isGivenUp || isLastRecoveryOver(world.record)
      const isLeft = policy === 'hold' || (policy === 'probe' && isOver)
      const { record } = world
      expect([null, isLeft ? 'unknown' : null]).toContain(record?.state ?? null)
      expect(record !== null || world.ask(ASKING) === 'execute').toBe(true)
    })
  })

  it('goes through all that can be told of it', () => {
    const tally = new Map<string, number>()
    inAnyHistory((steps) => {
      const { moments, lives } = readLives(live(steps).happenings)
      const words = [...moments.flatMap(wordsFor), ...lives.flatMap(wordsOfLife)]
      for (const word of new Set(words)) tally.set(word, (tally.get(word) ?? 0) + 1)
    })
    // One history in five hundred at the least, so that none of the claims above holds of nothing.
    const rare = WORDS.filter((word) => (tally.get(word) ?? 0) < RUNS / 500)
    expect(rare).toEqual([])
  })
})

describe('an operation', () => {
  const land = { do: 'land', call: 0, executes: true, storageFails: false, retries: true } as const
  const alarm = { do: 'alarm', times: 1, isEarly: true, isSlow: false } as const

  it('is not executed twice where one call is unknown and a crash follows a pause', () => {
    const world = live([
      { do: 'ask', ...ASKING, unknown: 'resend' },
      { ...land, ending: '500' },
      { do: 'go-on', call: 0 },
      { ...land, ending: '503', executes: false },
      { do: 'object-dies' },
      alarm,
    ])
    expect(world.record).toMatchObject({ state: 'unknown' })
  })

  it('is in flight for who comes while an alarm that is slow finds out about it', () => {
    const asking = { ...ASKING, unknown: 'probe', isDurable: true } as const
    const world = live([
      { do: 'ask', ...asking },
      { do: 'object-dies' },
      { ...alarm, isSlow: true },
    ])
    expect(world.ask(asking)).toBe('in_flight')
    world.do({ do: 'recover' })
    world.answerAll()
    expect(world.record).toMatchObject({ state: 'in_progress', fence: 2 })
    expect(world.ask(asking)).toBe('in_flight')
  })

  it('is driven to its end by alarms where its client was told to come back', () => {
    const asking = { ...ASKING, isDurable: true, isAccepted: true }
    const away = { ...land, ending: '503', retries: false } as const
    const world = live([{ do: 'ask', ...asking }, away, alarm, away, { do: 'object-dies' }, alarm])
    world.landAll()
    expect(world.record).toMatchObject({ state: 'succeeded', fence: 3, isAccepted: true })
  })

  const promised = { ...ASKING, isDurable: true, isAccepted: true }
  const nothing = { call: 0, executes: false, storageFails: false, retries: false } as const

  it('is driven to its end as promised, though a client has waited for it meanwhile', () => {
    const steps: readonly Step[] = [
      { do: 'ask', ...promised },
      { do: 'land', ...nothing, ending: '503' },
      { do: 'ask', ...promised, isAccepted: false },
      { do: 'land', ...nothing, ending: '503' },
    ]
    const world = live(steps)
    expect(world.record).toMatchObject({ state: 'in_progress' })
  })

  it('may be sent once the origin has said that none of its calls was executed', () => {
    const steps: readonly Step[] = [
      { do: 'ask', ...promised, unknown: 'resend' },
      { do: 'land', ...nothing, ending: '500' },
      { do: 'alarm', times: 1, isEarly: true, isSlow: false },
      { do: 'pass', ms: 5_000 },
      { do: 'alarm', times: 1, isEarly: true, isSlow: false },
      { do: 'land', ...nothing, ending: '500-nothing' },
    ]
    const world = live(steps)
    expect(world.record).toMatchObject({ state: 'in_progress', fence: 2 })
    expect(world.ask(promised)).toBe('execute')
  })

  it('is in flight while the origin is asked about the claim of a Worker', () => {
    const asking = { ...ASKING, unknown: 'probe', by: 'worker' } as const
    const steps: readonly Step[] = [
      { do: 'ask', ...asking },
      { do: 'pass', ms: LEASE_MS },
      { do: 'ask', ...asking },
    ]
    const world = live(steps)
    expect(world.ask(asking)).toBe('in_flight')
  })
})

const YEAR_MS = 31_536_000_000

/** Whether a call may be made, by what was known of the ones before it. */
function maySend(moment: MomentOf<'sent'>): boolean {
  const { happening, standing, asking, lastTold } = moment
  switch (happening.reason) {
    case 'request':
      // What a request may do is said of the moment in which it asks.
      return /^(?:new|lost|unexecuted|unknown)$/.test(standing)
    case 'retry':
      return standing === 'running' && isRepeatable(lastTold, asking)
    case 'probe':
      // It was let in when it asked, and what was remembered may have ended while the origin was.
      return /^(?:new|expired|unexecuted|unknown)$/.test(standing)
    case 'alarm-probe':
      return standing === 'unknown' && moment.policy === 'probe'
    case 'alarm-resend':
      return standing === 'unknown' && isSentByAlarm(moment)
  }
}

function isSentByAlarm({ asking, policy, lastTold, isRestUnexecuted }: Moment): boolean {
  if (asking === null || !isDurable(asking)) return false
  const isUnexecuted = isRestUnexecuted && lastTold === 'not_executed'
  return policy === 'resend' || (policy === 'hold' && isUnexecuted)
}

const isRepeatable = (told: string, asking: Asking | null) =>
  told === 'not_executed' || (told === 'unknown' && asking?.unknown === 'resend')

const isReplay = ({ happening }: MomentOf<'asked'>) => happening.decision === 'replay'
const isSettled = ({ result }: Life) => result !== null

/** Before the name of the call in an answer. */
const STATUS_LENGTH = '201 '.length

/** Whether it must still be remembered, and not only until an alarm happens to come. */
const isRemembered = ({ standing, isOfLastClaim }: Moment) =>
  !isOfLastClaim || (standing !== 'new' && standing !== 'expired')

/** Whether the settle is of the last claim and says something that was not known before. */
function isOwed({ happening, isOfLastClaim, standing, isRestUnexecuted }: MomentOf<'settled'>) {
  if (!isOfLastClaim) return false
  if (standing === 'running' || standing === 'lost' || standing === 'unexecuted') return true
  if (standing === 'settled') return false
  const { outcome, isOfAll } = happening
  if (outcome === 'not_executed') return isOfAll || isRestUnexecuted
  return outcome !== 'unknown'
}

/** Which states of the record an alarm may leave behind, by how the key stood. */
const LEFT_BY_ALARM = {
  new: ['nothing'],
  running: ['in_progress'],
  lost: ['in_progress', 'unknown'],
  unexecuted: ['in_progress', 'unknown', 'nothing'],
  unknown: ['unknown'],
  settled: ['succeeded', 'failed'],
  expired: ['expired'],
}

const ANSWERED = /^(?:execute|replay|hold|expired)$/
/** By the policy of the operation: the safer one counts. */
const ANSWERED_BY_RESEND = {
  hold: ANSWERED,
  probe: /^(?:execute|replay|probe|expired)$/,
  resend: /^(?:execute|replay|expired)$/,
} as const

/** A history after which everybody has gone and every lease has ended, and what was last claimed. */
function abandoned(steps: readonly Step[]) {
  const world = live(steps)
  world.everybodyDies()
  world.do({ do: 'pass', ms: LEASE_MS })
  const { asking: last, policy } = readLives(world.happenings).lives.at(-1) ?? UNCLAIMED
  return { world, last, policy }
}

const UNCLAIMED = { asking: ASKING, policy: ASKING.unknown }

/** Whether the alarm gives it up when it comes: by then it is unknown for as long as results are kept. */
function isUnknownForLong({ record, now, alarmAt }: World): boolean {
  if (record?.state !== 'unknown') return false
  return Math.max(now, alarmAt ?? now) >= record.settledAt + record.retentionMs
}

/** Whether the next recovery would come when results are no longer kept. */
function isLastRecoveryOver(record: OperationRecord | null): boolean {
  if (record?.state !== 'unknown') return false
  return record.recoveryAt >= record.settledAt + record.retentionMs
}

/** Lets time pass until the alarm is due, and the alarm come. */
function alarmInTime(world: World): void {
  world.do({ do: 'pass', ms: Math.max(0, (world.alarmAt ?? 0) - world.now) })
  world.do({ do: 'alarm', times: 1, isEarly: false, isSlow: false })
}

const WORDS = [
  'execute when new',
  'execute when lost',
  'execute when unexecuted',
  'execute when unknown',
  'execute when running',
  'in_flight when running',
  'in_flight when unknown',
  'hold when lost',
  'hold when unknown',
  'probe when lost',
  'probe when unknown',
  'mismatch when running',
  'mismatch when lost',
  'mismatch when unknown',
  'mismatch when settled',
  'replay when settled',
  'expired when expired',
  'sent by retry',
  'sent by retry after an unknown call',
  'sent by probe',
  'sent by alarm-probe',
  'sent by alarm-resend',
  'sent by alarm-resend after a call not executed',
  'joined',
  'settled on time',
  'settled late',
  'settled by probe',
  'settled as not executed after an unknown call',
  'settled and left for the alarm',
  'settled in vain',
  'settled in vain after another life',
  'renewed',
  'renewed in vain',
  'adopted',
  'adopted late',
  'adopted in vain',
  'settled again',
  'marked by an alarm',
  'freed by an alarm',
  'buried by an alarm',
  'forgotten by an alarm',
  'left running by an alarm',
  'executed',
  'executed again',
  'two lives',
]

function wordsFor(moment: Moment): readonly string[] {
  const { happening, standing } = moment
  switch (happening.kind) {
    case 'asked':
      return [`${happening.decision} when ${standing}`]
    case 'sent': {
      const word = `sent by ${happening.reason}`
      const { lastTold } = moment
      if (lastTold === 'nothing') return [word]
      return [
        word,
        `${word} after ${lastTold === 'unknown' ? 'an unknown call' : 'a call not executed'}`,
      ]
    }
    case 'joined':
      return ['joined']
    case 'renewed':
      return [happening.isTaken ? 'renewed' : 'renewed in vain']
    case 'adopted':
      if (happening.as === null) return ['adopted in vain']
      return [standing === 'running' ? 'adopted' : 'adopted late']
    case 'alarmed':
      return wordsForAlarm(happening)
    case 'settled':
      return wordsForSettled({ ...moment, happening })
    case 'executed':
    case 'landed':
    case 'noted':
    case 'resolving':
    case 'probed':
    case 'died':
      return []
  }
}

function wordsForSettled(moment: MomentOf<'settled'>): readonly string[] {
  const { happening, standing, isRestUnexecuted } = moment
  if (!happening.isTaken) return [wordInVain(moment)]
  const isMixed = happening.outcome === 'not_executed' && !isRestUnexecuted
  return [
    standing === 'running' ? 'settled on time' : 'settled late',
    ...(happening.by === 'probe' ? ['settled by probe'] : []),
    ...(happening.after === 'in_progress' ? ['settled and left for the alarm'] : []),
    ...(isMixed ? ['settled as not executed after an unknown call'] : []),
  ]
}

function wordInVain({ happening, life }: MomentOf<'settled'>): string {
  if (happening.isRepeat) return 'settled again'
  const isOfLife = life?.told.has(happening.call) ?? false
  return isOfLife ? 'settled in vain' : 'settled in vain after another life'
}

function wordsForAlarm({ before, after }: Extract<Happening, { kind: 'alarmed' }>): string[] {
  if (before === 'in_progress') {
    if (after === 'nothing') return ['freed by an alarm']
    return [after === before ? 'left running by an alarm' : 'marked by an alarm']
  }
  if (after === before) return []
  return [after === 'expired' ? 'buried by an alarm' : 'forgotten by an alarm']
}

function wordsOfLife({ executions }: Life, index: number) {
  return [
    ...(executions.length > 0 ? ['executed'] : []),
    ...(executions.length > 1 ? ['executed again'] : []),
    ...(index > 0 ? ['two lives'] : []),
  ]
}
