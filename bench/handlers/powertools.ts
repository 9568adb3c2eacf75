/** A handler behind `@aws-lambda-powertools/idempotency`, on Redis, as a function outside of Lambda. */
import { IdempotencyConfig, makeIdempotent } from '@aws-lambda-powertools/idempotency'
import { CachePersistenceLayer } from '@aws-lambda-powertools/idempotency/cache'
import { createClient } from '@redis/client'

import { callOrigin } from './call-origin.ts'
import { originUrl, redisUrl, serveHandlers } from './serve-handlers.ts'

const client = await createClient({ url: redisUrl }).connect()

interface Payment {
  readonly key: string
  readonly body: string
}

// Not its validation of the payload: on Redis, version 2.35 refuses every replay with it.
const config = new IdempotencyConfig({ eventKeyJmesPath: 'key' })
// Lambda would have this; without it, each operation logs a warning.
config.registerLambdaContext({ getRemainingTimeInMillis: () => 30_000 })

const pay = makeIdempotent(async ({ body }: Payment) => callOrigin(originUrl, body), {
  persistenceStore: new CachePersistenceLayer({ client }),
  keyPrefix: 'payments',
  config,
})

await serveHandlers(({ headers }, body) => pay({ key: String(headers['idempotency-key']), body }))
