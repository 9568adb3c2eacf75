/** What happens at a time. */
interface Due {
  readonly at: number
  /** Of two at the same time, the one that was planned first comes first. */
  readonly nth: number
  readonly run: () => void
}

/** A clock that stands still until everything that could happen has happened, and then jumps to what is next. */
export class VirtualClock {
  readonly #due: Due[] = []
  #now: number
  #nth = 0

  /** @param startAt Epoch milliseconds. */
  constructor(startAt: number) {
    this.#now = startAt
  }

  /** Epoch milliseconds. */
  readonly now = (): number => this.#now

  readonly sleep = (ms: number): Promise<void> =>
    new Promise((resolve) => this.plan(this.#now + ms, resolve))

  /** @param at Is rounded up to whole milliseconds, so that much happens in one step. */
  plan(at: number, run: () => void): void {
    const due = { at: Math.ceil(at), nth: (this.#nth += 1), run }
    let index = this.#due.push(due) - 1
    while (index > 0 && this.#swapIfLater((index - 1) >> 1, index)) index = (index - 1) >> 1
  }

  /** Lets time pass. */
  async runUntil(end: number): Promise<void> {
    for (let next = this.#due[0]; next !== undefined && next.at <= end; next = this.#due[0]) {
      this.#now = next.at
      while (this.#due[0]?.at === this.#now) this.#take()?.run()
      // Everything that waits for a promise goes on, until it waits for time.
      await new Promise((resolve) => void setImmediate(resolve))
    }
    this.#now = end
  }

  #take(): Due | undefined {
    const [first] = this.#due
    const last = this.#due.pop()
    if (last === undefined || this.#due.length === 0) return first
    this.#due[0] = last
    for (let index = 0, child = 1; child < this.#due.length; child = 2 * index + 1) {
      if (child + 1 < this.#due.length && isLater(this.#due[child], this.#due[child + 1]))
        child += 1
      if (!this.#swapIfLater(index, child)) break
      index = child
    }
    return first
  }

  #swapIfLater(parent: number, child: number): boolean {
    const [above, below] = [this.#due[parent], this.#due[child]]
    if (above === undefined || below === undefined || !isLater(above, below)) return false
    this.#due[parent] = below
    this.#due[child] = above
    return true
  }
}

function isLater(a: Due | undefined, b: Due | undefined): boolean {
  if (a === undefined || b === undefined) return false
  return a.at === b.at ? a.nth > b.nth : a.at > b.at
}
