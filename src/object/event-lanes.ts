import { DIRECTORY, receiverOf } from './event-receiver.ts'
import type { EventHead, EventTable } from './event-table.ts'

/**
 * Most deliveries that are under way at once. The platform lets an object wait for six responses at a
 * time; the other two are for recoveries and requests.
 */
const MOST_UNDER_WAY = 4

/** Most of them to one receiver: one that hangs leaves room for the others. */
const MOST_PER_RECEIVER = 2

/**
 * How soon the alarm comes while events are under way, in milliseconds: not before a delivery has
 * come to its end. An object that dies meanwhile has forgotten them, and delivers them again.
 */
const LOOK_MS = 20_000

/** The events that wait for one receiver, of each lane the first. */
interface Queue {
  /** The one that is due next, or `null` where all of them are under way. */
  readonly next: EventHead | null
  readonly isUnderWay: boolean
}

/** What is left for the alarm to do. */
interface EventsLeft {
  readonly isEmpty: boolean
  /** Epoch milliseconds; `Infinity` where there is nothing to do. */
  readonly dueAt: number
}

/**
 * Which events are under way and which come next, in this object's memory: of a lane (the events of
 * one operation to one recipient) at most one is under way, its first. After a restart there are none.
 */
export class EventLanes {
  readonly #events: EventTable
  /** By lane: where its event goes, or `null` where only the end of that is still to be stored. */
  #underWay = new Map<string, string | null>()
  /** By receiver; `null` before they were read. */
  #queues: Map<string, Queue> | null = null
  /** When the alarm is to come while events are under way, in epoch milliseconds. */
  #lookAt = 0

  constructor(events: EventTable) {
    this.#events = events
  }

  /** Chooses what is delivered now, the longest due first, and notes that it is under way. */
  take(now: number): EventHead[] {
    const taken: EventHead[] = []
    for (;;) {
      const head = this.#longestDue(now)
      if (head === null) return taken
      const receiver = receiverOf(head)
      this.#underWay.set(head.lane, receiver)
      this.#read(this.#known(), receiver)
      taken.push(head)
    }
  }

  #longestDue(now: number): EventHead | null {
    let first: EventHead | null = null
    for (const [receiver, { next }] of this.#known()) {
      if (next === null || next.dueAt > now || !this.#hasRoomFor(receiver)) continue
      if (first === null || isBefore(next, first)) first = next
    }
    return first
  }

  /** A delivery has ended and needs no room any more. Its end is still to be stored. */
  land(lane: string): void {
    if (this.#underWay.has(lane)) this.#underWay.set(lane, null)
  }

  /** The end of a delivery is stored: the next event of its lane may go. */
  leave(lane: string): void {
    this.#underWay.delete(lane)
  }

  /** @returns Restores this state, and forgets what was read meanwhile. */
  save(): () => void {
    const before = new Map(this.#underWay)
    return () => {
      this.#underWay = before
      this.#queues = null
    }
  }

  /** When the alarm has something to do for an event. The end of a delivery starts the next one without it. */
  left(now: number): EventsLeft {
    const queues = this.#known()
    let dueAt = Infinity
    for (const [receiver, { next, isUnderWay }] of queues) {
      const isBlocked = next !== null && next.dueAt <= now && !this.#hasRoomFor(receiver)
      if (isUnderWay || isBlocked) dueAt = Math.min(dueAt, this.#nextLook(now))
      if (next !== null && !isBlocked) dueAt = Math.min(dueAt, next.dueAt)
    }
    return { isEmpty: queues.size === 0, dueAt }
  }

  #nextLook(now: number): number {
    if (this.#lookAt <= now) this.#lookAt = now + LOOK_MS
    return this.#lookAt
  }

  /** The queues as they are now. Only those are read that have changed. */
  #known(): Map<string, Queue> {
    const changed = this.#events.takeChanged()
    const queues = this.#queues ?? new Map<string, Queue>()
    const receivers = this.#queues === null ? this.#events.listReceivers() : changed
    this.#queues = queues
    for (const receiver of receivers) this.#read(queues, receiver)
    return queues
  }

  #read(queues: Map<string, Queue>, receiver: string): void {
    const heads = this.#events.listHeads(receiver, this.#underWay.size + 1)
    const next = heads.find(({ lane }) => !this.#underWay.has(lane)) ?? null
    const isUnderWay = heads.some(({ lane }) => this.#underWay.has(lane))
    if (heads.length === 0) queues.delete(receiver)
    else queues.set(receiver, { next, isUnderWay })
  }

  #hasRoomFor(receiver: string): boolean {
    const busy = [...this.#underWay.values()]
    const toIt = busy.filter((one) => one === receiver).length
    if (receiver === DIRECTORY) return toIt < MOST_UNDER_WAY
    const goingOut = busy.filter((one) => one !== null && one !== DIRECTORY).length
    return goingOut < MOST_UNDER_WAY && toIt < MOST_PER_RECEIVER
  }
}

const isBefore = (one: EventHead, other: EventHead) =>
  one.dueAt < other.dueAt || (one.dueAt === other.dueAt && one.sequence < other.sequence)
