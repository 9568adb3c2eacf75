import {
  attribute,
  consume,
  createGateway,
  createWorker,
  credential,
  idempotent,
  probe,
  protect,
  queue,
} from '../../../src/hapax.ts'
import { operators } from '../../../src/operators.ts'

export { DirectoryObject, IdempotencyObject } from '../../../src/hapax.ts'

/** A route for each thing that operators count. */
const app = createGateway({ tenant: credential('Authorization') })
app.route('/_hapax', operators(app))
app.post('/held', protect())
app.post('/probed', protect({ unknown: probe('/status/{key}', { grace: 0 }) }))
app.post('/resent', protect({ unknown: 'resend' }))
app.post('/observed', protect({ mode: 'observe' }))
app.post('/optional', protect({ required: false }))
app.post('/told', protect({ events: [{ on: 'succeeded', to: queue('WORK') }] }))
app.post('/leased', idempotent({ lease: '300ms' }), (c) => c.json({ ok: true }))
app.post('/enqueue', async (c) => {
  const { WORK } = c.env as unknown as { WORK: Queue }
  await WORK.sendBatch((await c.req.json<unknown[]>()).map((body) => ({ body })))
  return c.body(null, 204)
})

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app, {
  queue: consume(
    {
      'operation.succeeded': () => {},
      'work.asked': () => ({ done: true }),
    },
    { tenant: attribute('tenant') },
  ),
})
