import { createWorker } from './hapax.ts'
import { app } from './routes.ts'

export { DirectoryObject, IdempotencyObject } from './hapax.ts'
export default createWorker(app)
