import { ask } from './api.ts'

const PAGE = 100
/** Looked through at most: the admin API asks each operation of a page. */
const MOST_PAGES = 20
const WALK_AGAIN_MS = 60_000

interface Page<entry> {
  readonly entries: readonly entry[]
  readonly next: number | null
  readonly total: number
}

/** A list as far as it was read. */
export interface Listed<entry> {
  readonly entries: readonly entry[]
  /** How many there are, read or not. */
  readonly total: number
  /** Whether it was read to its end. */
  readonly isWhole: boolean
}

/**
 * A list of the admin API, page by page to its end. It comes with the newest first, and those at
 * its end have waited longest. The first page is asked for each time, the others once a minute:
 * what has been resolved meanwhile stays for as long.
 */
export class WholeList<entry extends { readonly id: string }> {
  readonly #path: string
  #walked: { readonly at: number; readonly list: Listed<entry> } | null = null

  constructor(path: string) {
    this.#path = path
  }

  async load(): Promise<Listed<entry>> {
    const first = await this.#page(null)
    const { entries, next, total } = first
    if (next === null) {
      this.#walked = null
      return { entries, total, isWhole: true }
    }
    const now = performance.now()
    if (this.#walked === null || now - this.#walked.at > WALK_AGAIN_MS) {
      this.#walked = { at: now, list: await this.#walk(first) }
    }
    const { list } = this.#walked
    const known = new Map([...entries, ...list.entries].map((entry) => [entry.id, entry]))
    return { entries: [...known.values()], total, isWhole: list.isWhole }
  }

  async #walk(first: Page<entry>): Promise<Listed<entry>> {
    const entries = [...first.entries]
    let { next } = first
    for (let page = 1; next !== null && page < MOST_PAGES; page++) {
      // oxlint-disable-next-line no-await-in-loop -- a page says where the next one begins
      const more: Page<entry> = await this.#page(next)
      entries.push(...more.entries)
      next = more.next
    }
    return { entries, total: first.total, isWhole: next === null }
  }

  #page(after: number | null): Promise<Page<entry>> {
    return ask(`${this.#path}?limit=${PAGE}${after === null ? '' : `&after=${after}`}`)
  }
}
