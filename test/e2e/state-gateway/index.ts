import { createGateway, createWorker, credential, protect, url } from '../../../src/hapax.ts'
import { operators } from '../../../src/operators.ts'
import { addRoutes } from './routes.ts'

export { DirectoryObject, IdempotencyObject } from '../../../src/hapax.ts'

const app = createGateway({
  tenant: credential('Authorization'),
  origins: { named: url('NAMED_URL') },
})
app.route('/_hapax', operators(app))
addRoutes(app)
// The versions that have written fixtures know one origin only.
app.post('/elsewhere/:case', protect({ origin: 'named' }))

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app)
