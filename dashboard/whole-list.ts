import type { ListPage } from '../src/core/operator-view.ts'
import { ask, SignInNeeded } from './api.ts'
import { Partly } from './parts.ts'

const PAGE = 100
/** Looked through at once: the admin API asks each operation of a page. */
const MOST_PAGES = 20
/** When no further page is begun: objects that do not answer make each of them slow. */
const WALK_LIMIT_MS = 20_000
const WALK_AGAIN_MS = 60_000

/** A list as far as it was read. */
export interface Listed<entry> {
  readonly entries: readonly entry[]
  /** How many there are, read or not; `null`: they could not be counted. */
  readonly total: number | null
  /** Whether it was read to its end. */
  readonly isWhole: boolean
}

/** Pages that were read one after the other. */
interface Walk<entry> {
  readonly at: number
  readonly entries: readonly entry[]
  readonly pageCount: number
  readonly next: number | null
  /** Why it was broken off, for people. */
  readonly because?: string
}

/**
 * A list of the admin API, page by page, to its end or as far as is wanted. It comes with the newest
 * first, and those at its end have waited longest. The first page is asked for each time, the others
 * once a minute: what has been resolved meanwhile stays for as long.
 */
export class WholeList<entry extends { readonly id: string }> {
  readonly #path: string
  readonly #toShown: (list: Listed<entry>) => Listed<entry>
  #walked: Walk<entry> | null = null
  #mostPages = MOST_PAGES

  /** @param toShown What is made of it, also where only a part of it could be read. */
  constructor(path: string, toShown = (list: Listed<entry>) => list) {
    this.#path = path
    this.#toShown = toShown
  }

  /** @throws {Partly} With what was read, where a page behind the first cannot be. */
  async load(): Promise<Listed<entry>> {
    const { entries, next, total } = await this.#page(null)
    if (next === null) {
      this.#walked = null
      return this.#toShown({ entries, total, isWhole: true })
    }
    const now = performance.now()
    const isFresh = this.#walked !== null && now - this.#walked.at <= WALK_AGAIN_MS
    const begun = isFresh ? this.#walked : null
    const { because, ...walked } = await this.#walk(
      begun ?? { at: now, entries, pageCount: 1, next },
    )
    this.#walked = walked
    const known = new Map([...entries, ...walked.entries].map((entry) => [entry.id, entry]))
    const isWhole = walked.next === null
    const list = this.#toShown({ entries: [...known.values()], total, isWhole })
    if (because !== undefined) throw new Partly(list, because)
    return list
  }

  /** Lets the next load read on where the last one has stopped. */
  readOn(): void {
    this.#mostPages = (this.#walked?.pageCount ?? 0) + MOST_PAGES
  }

  async #walk(begun: Walk<entry>): Promise<Walk<entry>> {
    const until = performance.now() + WALK_LIMIT_MS
    const entries = [...begun.entries]
    let { next, pageCount } = begun
    const walked = () => ({ at: begun.at, entries, pageCount, next })
    try {
      while (next !== null && pageCount < this.#mostPages && performance.now() < until) {
        // oxlint-disable-next-line no-await-in-loop -- a page says where the next one begins
        const more: ListPage<entry> = await this.#page(next)
        entries.push(...more.entries)
        next = more.next
        pageCount += 1
      }
    } catch (error) {
      if (error instanceof SignInNeeded) throw error
      return { ...walked(), because: error instanceof Error ? error.message : String(error) }
    }
    return walked()
  }

  #page(after: number | null): Promise<ListPage<entry>> {
    return ask(`${this.#path}?limit=${PAGE}${after === null ? '' : `&after=${after}`}`)
  }
}
