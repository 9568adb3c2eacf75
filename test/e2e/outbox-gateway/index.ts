import { attribute, consume, createWorker } from '../../../src/hapax.ts'
import { app } from './routes.ts'

export { DirectoryObject, IdempotencyObject } from '../../../src/hapax.ts'

const inbox = consume(
  {
    'report.requested': async ({ payload }, { env }) => {
      const body = JSON.stringify(payload)
      const response = await fetch(`${env.ORIGIN_URL}/effects`, { method: 'POST', body })
      return response.json()
    },
    '*': () => {},
  },
  { tenant: attribute('tenant') },
)

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default createWorker(app, { queue: inbox })
