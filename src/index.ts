import { createWorker } from './hapax.ts'
import { app } from './routes.ts'

export { IdempotencyObject } from './hapax.ts'
export default createWorker(app)
