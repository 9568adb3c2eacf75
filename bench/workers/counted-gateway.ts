/** Hapax with objects that count what they do to their storage. */
import {
  createGateway,
  createWorker,
  credential,
  DirectoryObject as Directory,
  IdempotencyObject as Operation,
  probe,
  protect,
} from '../../src/hapax.ts'
import { placement } from './placement.ts'
import { counting, withCounts } from './storage-counts.ts'

export const IdempotencyObject = counting(Operation)
export const DirectoryObject = counting(Directory, new Set())

const app = createGateway({ tenant: credential('Authorization'), placement })
app.post('/payments', protect({ unknown: 'hold' }))
app.post('/probed', protect({ unknown: probe('/probed/{key}') }))

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default withCounts(createWorker(app))
