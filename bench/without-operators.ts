/** A gateway that mounts no operators, to weigh what it does not carry. */
import { createGateway, createWorker, credential, protect } from '../src/hapax.ts'

export { DirectoryObject, IdempotencyObject } from '../src/hapax.ts'

const app = createGateway({ tenant: credential('Authorization') })
app.post('/payments', protect())

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app)
