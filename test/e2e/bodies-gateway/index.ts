import { createGateway, createWorker, credential, protect } from '../../../src/hapax.ts'

export { DirectoryObject, IdempotencyObject } from '../../../src/hapax.ts'

/** Routes that keep large answers: shortly, and for a day. */
const app = createGateway({ tenant: credential('Authorization') })
const limits = { response: 67_108_864 }
app.post('/brief/:case', protect({ limits, retention: '2s' }))
app.post('/kept/:case', protect({ limits }))

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app)
