import type { VirtualClock } from './virtual-clock.ts'

/** What the origin can do, and when it fails. Times in milliseconds. */
export interface OriginFacts {
  /** Calls that it can serve in a second. */
  readonly capacity: number
  /** From its acceptance to its answer, without the time in the queue. */
  readonly latencyMs: number
  /** Calls that wait in its queue are at most as many as it serves in this time; it refuses all others. */
  readonly queueMs: number
  /** What a refusal costs it, as a share of a call that it serves. */
  readonly refusalCost: number
  /** When it fails: it answers every call with 503. */
  readonly failsFrom: number
  readonly failsUntil: number
}

/** How a call ended for its caller. */
export type CallAnswer = 'served' | 'refused' | 'timeout'

/**
 * One origin with a queue: first come, first served. It also serves calls whose callers no longer wait,
 * because it cannot know. So it does no useful work while its queue is longer than their patience.
 */
export class Origin {
  readonly #clock: VirtualClock
  readonly #facts: OriginFacts
  #freeAt = 0

  constructor(clock: VirtualClock, facts: OriginFacts) {
    this.#clock = clock
    this.#facts = facts
  }

  /** @param timeoutMs How long the caller waits. */
  call(timeoutMs: number): Promise<CallAnswer> {
    const { latencyMs, queueMs, refusalCost, failsFrom, failsUntil } = this.#facts
    const now = this.#clock.now()
    const waitMs = Math.max(0, this.#freeAt - now)
    const isFailing = now >= failsFrom && now < failsUntil
    if (isFailing) return this.#answer('refused', latencyMs)
    if (waitMs > queueMs) {
      this.#work(refusalCost)
      return this.#answer('refused', latencyMs)
    }
    this.#work(1)
    const answerMs = this.#freeAt - now + latencyMs
    if (answerMs > timeoutMs) return this.#answer('timeout', timeoutMs)
    return this.#answer('served', answerMs)
  }

  #work(share: number): void {
    this.#freeAt =
      Math.max(this.#freeAt, this.#clock.now()) + (share * 1_000) / this.#facts.capacity
  }

  async #answer(answer: CallAnswer, afterMs: number): Promise<CallAnswer> {
    await this.#clock.sleep(afterMs)
    return answer
  }
}
