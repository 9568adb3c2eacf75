import { toVisible } from '../../src/core/visible.ts'
import { Failure, reasonOf } from '../failure.ts'
import { print } from '../print.ts'
import type { Ask } from './connect.ts'
import { toJson, toResults, type Result } from './show.ts'

/** The same change of many things. */
export interface ManyAsked {
  readonly path: string
  readonly ids: readonly string[]
  readonly body?: object
}

/** As many as the admin API takes at once. */
const BATCH = 100

/**
 * Changes things in batches, and prints the result of each.
 *
 * @throws Failure if a change was not done. If a batch has no response, it names its first id.
 */
export async function changeMany(
  ask: Ask,
  { path, ids, body }: ManyAsked,
  isJson: boolean,
): Promise<void> {
  const results: Result[] = []
  const countDone = () => {
    const done = results.filter(({ result }) => result === 'done')
    return `${done.length} of ${ids.length} were done`
  }
  try {
    for (let from = 0; from < ids.length; from += BATCH) {
      const batch = { ...body, ids: ids.slice(from, from + BATCH) }
      // oxlint-disable-next-line no-await-in-loop -- one batch after the other
      const reply = await ask({ method: 'POST', path, body: batch })
      const done = (reply.body as unknown as { results: Result[] }).results
      results.push(...done)
      if (!isJson) print(`${toResults(done)}\n`)
    }
  } catch (error) {
    if (results.length === 0) throw error
    const from = toVisible(ids[results.length] ?? '')
    throw new Failure(
      `${reasonOf(error)} ${countDone()}. The results from ${from} on are not known.`,
    )
  } finally {
    if (isJson) print(toJson({ body: { results } }))
  }
  if (results.some(({ result }) => result !== 'done')) throw new Failure(`${countDone()}.`)
}
