import type { ListPage } from '../src/core/operation/operator-view.ts'
import { ask, SignInNeeded } from './api.ts'
import { Partly } from './parts.ts'

const PAGE = 100
/** Read at once: the admin API asks each operation of a page. */
const MOST_PAGES = 20
/** The time after which no further page is begun: objects that do not answer make it slow. */
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
  /** Why it was interrupted, for people. */
  readonly because?: string
}

/**
 * A list of the admin API, page by page, to its end or as far as is wanted. Its newest entries come
 * first; those at its end have waited longest. The first page is read each time, the others once a
 * minute, so a resolved entry stays for up to a minute.
 */
export class WholeList<entry extends { readonly id: string }> {
  readonly #path: string
  readonly #toShown: (list: Listed<entry>) => Listed<entry>
  #walked: Walk<entry> | null = null
  #mostPages = MOST_PAGES

  /** @param toShown Converts the list, also one that could be read only in part. */
  constructor(path: string, toShown = (list: Listed<entry>) => list) {
    this.#path = path
    this.#toShown = toShown
  }

  /** @throws {Partly} With the pages so far, if a page after the first cannot be read. */
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

  /** Lets the next load continue where the last one has stopped. */
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
