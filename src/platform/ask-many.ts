import { errorName } from '../core/error-name.ts'
import { logFault } from '../metrics/log.ts'
import { fewAtOnce } from './few-at-once.ts'
import { inTime } from './in-time.ts'

/** Most that are asked at once: the platform allows six connections. */
const AT_ONCE = 6
/** How long one of them may take to answer, in milliseconds. */
const LIMIT_MS = 3_000

/** How many are asked at once, and how long they may take. */
export interface AskBounds {
  readonly atOnce?: number
  /** Milliseconds for each. */
  readonly limitMs?: number
  /** Milliseconds after which nobody is asked any more. */
  readonly inAllMs?: number
}

/** The result of a question; `isAsked`: the work was begun, and may still be done. */
export type Asked<answer> =
  | { readonly kind: 'answered'; readonly answer: answer }
  | { readonly kind: 'lost'; readonly isAsked: boolean }

/**
 * Asks many objects the same, a few at once. One that fails, or never answers, does not affect the
 * others.
 *
 * @param work Asks for one item. It is not cancelled where it takes too long.
 * @returns In the order of the items.
 */
export async function askMany<item, answer>(
  items: readonly item[],
  work: (item: item) => Promise<answer>,
  { atOnce = AT_ONCE, limitMs = LIMIT_MS, inAllMs = Infinity }: AskBounds = {},
): Promise<Asked<answer>[]> {
  const until = performance.now() + inAllMs
  const results = items.map((): Asked<answer> => ({ kind: 'lost', isAsked: false }))
  await fewAtOnce(items.entries(), atOnce, async ([index, item]) => {
    if (performance.now() < until) results[index] = await askOne(() => work(item), limitMs)
  })
  return results
}

async function askOne<answer>(
  work: () => Promise<answer>,
  limitMs: number,
): Promise<Asked<answer>> {
  try {
    return { kind: 'answered', answer: await inTime(work(), limitMs) }
  } catch (error) {
    logFault('one of many did not answer', new Error(errorName(error)))
    return { kind: 'lost', isAsked: true }
  }
}
