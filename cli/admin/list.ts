import type { ListPage } from '../../src/core/operation/operator-view.ts'
import { Failure, reasonOf } from '../failure.ts'
import { print } from '../print.ts'
import type { Ask, Reply } from './connect.ts'
import { toJson } from './show.ts'

/** A list, or a part of it. */
export interface ListAsked {
  readonly list: string
  /** Entries of a page; `null`: as many as the admin API likes. */
  readonly limit: string | null
  /** The `next` of the page before; `null`: from the start. */
  readonly after: string | null
  /** Whether it is read to its end, however many pages that are. */
  readonly isWhole: boolean
  readonly show: (reply: Reply, isFirst: boolean) => string
}

/** Prints a page of a list, or all of it. @throws Failure */
export async function printList(ask: Ask, asked: ListAsked, isJson: boolean): Promise<void> {
  if (asked.isWhole) return isJson ? printWholeJson(ask, asked) : printWhole(ask, asked)
  const reply = await ask({ method: 'GET', path: toPath(asked, asked.after) })
  print(isJson ? toJson(reply) : `${asked.show(reply, true)}\n`)
}

async function printWhole(ask: Ask, asked: ListAsked): Promise<void> {
  let isFirst = true
  await readPages(ask, asked, (reply) => {
    const text = asked.show({ ...reply, body: { ...reply.body, next: null } }, isFirst)
    if (text !== '') print(`${text}\n`)
    isFirst = false
  })
}

/** Prints one document. If a page cannot be read, it has the pages before and where to continue. */
async function printWholeJson(ask: Ask, asked: ListAsked): Promise<void> {
  const entries: unknown[] = []
  let last: Reply['body'] = null
  try {
    await readPages(ask, asked, ({ body }, page) => {
      entries.push(...page.entries)
      last = body
    })
  } finally {
    if (last !== null) print(toJson({ body: { ...(last as object), entries } }))
  }
}

/** Reads a list to its end. @throws Failure that says where to go on. */
async function readPages(
  ask: Ask,
  asked: ListAsked,
  take: (reply: Reply, page: ListPage<unknown>) => void,
): Promise<void> {
  let { after } = asked
  try {
    do {
      // oxlint-disable-next-line no-await-in-loop -- a page says where the next one begins
      const reply = await ask({ method: 'GET', path: toPath(asked, after) })
      const page = reply.body as unknown as ListPage<unknown>
      take(reply, page)
      after = page.next === null ? null : String(page.next)
    } while (after !== null)
  } catch (error) {
    throw after === null ? error : new Failure(`${reasonOf(error)} Continue with --after ${after}.`)
  }
}

function toPath({ list, limit }: ListAsked, after: string | null): string {
  const query = new URLSearchParams({ ...(limit && { limit }), ...(after && { after }) }).toString()
  return query === '' ? list : `${list}?${query}`
}
