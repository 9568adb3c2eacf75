import { createRandom, exponential, logNormal, type Random } from './random.ts'

/** Operations that arrive at the shards. Times in milliseconds. */
export interface Arrivals {
  readonly operations: number
  /** In which they arrive, at random. */
  readonly withinMs: number
}

/** What shards and origin take. Means, in milliseconds. */
export interface Speeds {
  /** Work of a shard for one request: a claim or a settle. */
  readonly serviceMs: number
  readonly originMedianMs: number
  readonly originSigma: number
}

/** How the shards did. */
export interface Queueing {
  readonly operationsPerShard: number
  /** The fullest shard against the mean. */
  readonly skew: number
  /** How long claims waited in the queue of their shard. */
  readonly medianMs: number
  readonly p99Ms: number
  readonly maxMs: number
  /** When the last shard was done. */
  readonly doneMs: number
}

/** A request to a shard. */
interface Request {
  readonly at: number
  readonly kind: 'claim' | 'settle'
}

/** Spreads operations over shards as their ids do, and lets each shard work one request at a time. */
export function simulateShards(shards: number, arrivals: Arrivals, speeds: Speeds): Queueing {
  const random = createRandom(shards)
  const claimsOf = Array.from({ length: shards }, (): number[] => [])
  for (let nth = 0; nth < arrivals.operations; nth += 1) {
    claimsOf[Math.floor(random() * shards)]?.push(random() * arrivals.withinMs)
  }
  const ends = claimsOf.map((claims) => work(claims, speeds, random))
  const waits = Float64Array.from(ends.flatMap(({ waitsMs }) => waitsMs)).toSorted()
  const mean = arrivals.operations / shards
  return {
    operationsPerShard: mean,
    skew: Math.max(...claimsOf.map(({ length }) => length)) / mean,
    medianMs: quantile(waits, 0.5),
    p99Ms: quantile(waits, 0.99),
    maxMs: quantile(waits, 1),
    doneMs: Math.max(...ends.map(({ doneMs }) => doneMs)),
  }
}

/** One shard: first come, first served. The settle comes when the origin has answered. */
function work(claims: readonly number[], speeds: Speeds, random: Random) {
  const queue = new RequestQueue()
  for (const at of claims) queue.add({ at, kind: 'claim' })
  const waitsMs: number[] = []
  let freeAt = 0
  for (let next = queue.take(); next !== null; next = queue.take()) {
    const startAt = Math.max(freeAt, next.at)
    freeAt = startAt + exponential(random, speeds.serviceMs)
    if (next.kind === 'settle') continue
    waitsMs.push(startAt - next.at)
    const originMs = logNormal(random, speeds.originMedianMs, speeds.originSigma)
    queue.add({ at: freeAt + originMs, kind: 'settle' })
  }
  return { waitsMs, doneMs: freeAt }
}

/** Requests, the earliest first: a binary heap. */
class RequestQueue {
  readonly #heap: Request[] = []

  add(request: Request): void {
    let at = this.#heap.push(request) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!this.#swapIfLater(parent, at)) return
      at = parent
    }
  }

  take(): Request | null {
    const [first] = this.#heap
    const last = this.#heap.pop()
    if (first === undefined || last === undefined) return null
    if (this.#heap.length > 0) this.#sink(last)
    return first
  }

  #sink(request: Request): void {
    this.#heap[0] = request
    for (let at = 0; ;) {
      const left = 2 * at + 1
      const child = this.#at(left + 1) < this.#at(left) ? left + 1 : left
      if (!this.#swapIfLater(at, child)) return
      at = child
    }
  }

  #at(index: number): number {
    return this.#heap[index]?.at ?? Infinity
  }

  #swapIfLater(parent: number, child: number): boolean {
    const [above, below] = [this.#heap[parent], this.#heap[child]]
    if (above === undefined || below === undefined || above.at <= below.at) return false
    this.#heap[parent] = below
    this.#heap[child] = above
    return true
  }
}

/** The value below which a share of the values lies. */
export function quantile(sorted: Float64Array, share: number): number {
  return sorted[Math.floor((sorted.length - 1) * share)] ?? 0
}
