/**
 * Most recoveries that an object makes at once. The platform lets an object wait for six responses at a
 * time; the other four are for events.
 */
const MOST_AT_ONCE = 2

/**
 * The recoveries that an object makes by alarm, two at a time: an origin that does not answer delays
 * only other recoveries. An object that guards one operation never waits.
 */
export class RecoveryLanes {
  #busyCount = 0
  readonly #waiting = new Map<string, () => void>()

  /** Begins a recovery, at once if there is room. One that waits already is not begun twice. */
  async run(operationId: string, recover: () => Promise<void>): Promise<void> {
    if (this.#waiting.has(operationId)) return
    if (this.#busyCount === MOST_AT_ONCE) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.set(operationId, resolve)
      await promise
    } else this.#busyCount += 1
    try {
      await recover()
    } finally {
      this.#leave()
    }
  }

  /** Gives the room to the recovery that has waited for the longest time. */
  #leave(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#busyCount -= 1
      return
    }
    const [operationId, begin] = next
    this.#waiting.delete(operationId)
    begin()
  }
}
