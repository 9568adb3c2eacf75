/** Hapax as a deployment without operators has it. */
import { createGateway, createWorker, credential, idempotent, protect } from '../../src/hapax.ts'

export { DirectoryObject, IdempotencyObject } from '../../src/hapax.ts'

const app = createGateway({ tenant: credential('Authorization') })
app.post('/payments', protect())
app.post('/slow-payments', protect())
app.post('/handled', idempotent(), async (c) =>
  fetch(`${c.env.ORIGIN_URL}/handled`, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json' },
    body: await c.req.arrayBuffer(),
  }),
)

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app)
