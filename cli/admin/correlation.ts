import type {
  OperatorView,
  TimelineEntry,
  TimelinePage,
} from '../../src/core/operation/operator-view.ts'
import { Failure } from '../failure.ts'
import { print } from '../print.ts'
import type { Ask } from './connect.ts'
import { toColumns, toEvents, toJson } from './show.ts'

/** An operation, or the name of one whose object did not answer. */
type Found =
  | Pick<OperatorView, 'id' | 'operation' | 'tenant' | 'state' | 'fence'>
  | { readonly id: string; readonly state: 'lost' }

interface Page extends Partial<TimelinePage> {
  readonly operations: readonly Found[]
  readonly next: string | null
}

/**
 * Prints all operations of a correlation id and their whole timeline.
 *
 * @throws Failure Also if a later page cannot be read, after printing the pages before it.
 */
export async function printCorrelation(ask: Ask, id: string, isJson: boolean): Promise<void> {
  const get = async (path: string, query: Record<string, string>) => {
    const search = new URLSearchParams({ correlation_id: id, ...query }).toString()
    return (await ask({ method: 'GET', path: `${path}?${search}` })).body as unknown
  }
  const first = (await get('/operations', { limit: '100' })) as Page
  const operations = [...first.operations]
  const timeline = [...(first.timeline ?? [])]
  const faults = await Promise.all([
    readOn(async () => {
      for (let { next } = first; next !== null;) {
        // oxlint-disable-next-line no-await-in-loop -- a page says where the next one begins
        const page = (await get('/operations', { limit: '100', after: next })) as Page
        operations.push(...page.operations)
        ;({ next } = page)
      }
    }),
    readOn(async () => {
      for (let next = first.timelineNext ?? null; next !== null;) {
        // oxlint-disable-next-line no-await-in-loop -- likewise
        const page = (await get('/timeline', { after: String(next) })) as TimelinePage
        timeline.push(...page.timeline)
        next = page.timelineNext
      }
    }),
  ])
  const { analytics = 'read' } = first
  print(
    isJson
      ? toJson({ body: { operations, timeline, analytics } })
      : `${toOperations(operations)}\n\n${toTimeline(timeline, analytics)}\n`,
  )
  const fault = faults.find((one) => one !== null)
  if (fault) throw new Failure(`The rest could not be read: ${fault.message}`)
}

/** Reads further pages. @returns Why not to their end, or `null`. */
async function readOn(read: () => Promise<void>): Promise<Failure | null> {
  try {
    await read()
    return null
  } catch (error) {
    if (error instanceof Failure) return error
    throw error
  }
}

function toOperations(operations: readonly Found[]): string {
  if (operations.length === 0) return 'No operation has this correlation id.'
  const rows = operations.map((found) =>
    found.state === 'lost'
      ? [found.id, 'did not answer', '', '', '']
      : [found.id, found.state, found.operation, found.fence, found.tenant],
  )
  return toColumns([['ID', 'STATE', 'OPERATION', 'FENCE', 'TENANT'], ...rows])
}

function toTimeline(
  timeline: readonly TimelineEntry[],
  analytics: TimelinePage['analytics'],
): string {
  if (analytics === 'unavailable') return 'The timeline could not be read.'
  return timeline.length === 0 ? 'The timeline is empty.' : toEvents(timeline)
}
