import type { EventHead } from './event-table.ts'

/**
 * Most deliveries that are under way at once. The platform lets an object wait for six responses at a
 * time; the other two are for recoveries and requests.
 */
const MOST_UNDER_WAY = 4

/** Most of them to one receiver: one that hangs leaves room for the others. */
const MOST_PER_RECEIVER = 2

/** Receiver of what an operator should see: an object, to which nothing goes out. */
const DIRECTORY = 'directory'

/**
 * How soon the alarm comes while events are under way, in milliseconds: not before a delivery has
 * come to its end. An object that dies meanwhile has forgotten them, and delivers them again.
 */
const LOOK_MS = 20_000

/**
 * Which events are under way, in this object's memory: of a lane (the events of one operation to one
 * recipient) at most one, its first. After a restart there are none.
 */
export class EventLanes {
  /** By lane: where its event goes, or `null` where only the end of that is still to be stored. */
  #underWay = new Map<string, string | null>()
  /** When the alarm is to come while events are under way, in epoch milliseconds. */
  #lookAt = 0

  /** Chooses what is delivered now, the longest due first, and notes that it is under way. */
  take(heads: readonly EventHead[], now: number): EventHead[] {
    const isDue = ({ lane, dueAt }: EventHead) => dueAt <= now && !this.#underWay.has(lane)
    const due = heads.filter(isDue)
    due.sort((one, other) => one.dueAt - other.dueAt || one.sequence - other.sequence)
    return due.filter((head) => {
      if (!this.#hasRoomFor(head)) return false
      this.#underWay.set(head.lane, receiverOf(head))
      return true
    })
  }

  /** A delivery has ended and needs no room any more. Its end is still to be stored. */
  land(lane: string): void {
    if (this.#underWay.has(lane)) this.#underWay.set(lane, null)
  }

  /** The end of a delivery is stored: the next event of its lane may go. */
  leave(lane: string): void {
    this.#underWay.delete(lane)
  }

  /** @returns Restores this state. */
  save(): () => void {
    const before = new Map(this.#underWay)
    return () => {
      this.#underWay = before
    }
  }

  /** When the alarm has something to do for a lane. The end of a delivery starts the next one without it. */
  dueAt(head: EventHead, now: number): number {
    const isUnderWay = this.#underWay.has(head.lane)
    if (!isUnderWay && (head.dueAt > now || this.#hasRoomFor(head))) return head.dueAt
    if (this.#lookAt <= now) this.#lookAt = now + LOOK_MS
    return this.#lookAt
  }

  #hasRoomFor(head: EventHead): boolean {
    const receiver = receiverOf(head)
    const busy = [...this.#underWay.values()]
    const toIt = busy.filter((one) => one === receiver).length
    if (receiver === DIRECTORY) return toIt < MOST_UNDER_WAY
    const goingOut = busy.filter((one) => one !== null && one !== DIRECTORY).length
    return goingOut < MOST_UNDER_WAY && toIt < MOST_PER_RECEIVER
  }
}

/** Receivers that hang together: a queue, the server of a URL, or the directory, which also gets dead events. */
function receiverOf({ recipient, death }: EventHead): string {
  if (recipient.to === 'directory' || death !== undefined) return DIRECTORY
  if (recipient.to === 'queue') return `queue ${recipient.binding}`
  return URL.parse(recipient.url)?.origin ?? recipient.url
}
