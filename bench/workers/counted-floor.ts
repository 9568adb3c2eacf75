/** The floor with objects that count what they do to their storage. */
import worker, { FloorObject as Operation } from './floor.ts'
import { counting, withCounts } from './storage-counts.ts'

export const FloorObject = counting(Operation)

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default withCounts(worker)
