import { createGateway, createWorker, credential } from '../../../src/hapax.ts'
import { operators } from '../../../src/operators.ts'
import { addRoutes } from './routes.ts'

export { DirectoryObject, IdempotencyObject } from '../../../src/hapax.ts'

const app = createGateway({ tenant: credential('Authorization') })
app.route('/_hapax', operators(app))
addRoutes(app)

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app)
