import { createWorker } from '../../../src/hapax.ts'
import { app } from './routes.ts'

export { DirectoryObject, IdempotencyObject } from '../../../src/hapax.ts'
// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app)
