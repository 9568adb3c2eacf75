/** A handler behind `@node-idempotency/core`, on Redis. */
import { Idempotency } from '@node-idempotency/core'
import { RedisStorageAdapter } from '@node-idempotency/storage-adapter-redis'

import { callOrigin, type OriginAnswer } from './call-origin.ts'
import { originUrl, redisUrl, serveHandlers } from './serve-handlers.ts'

const storage = new RedisStorageAdapter({ url: redisUrl })
await storage.connect()
const idempotency = new Idempotency(storage)

await serveHandlers(async ({ headers, url = '', method = '' }, body) => {
  const request = {
    headers,
    path: url,
    method,
    body: JSON.parse(body) as Record<string, unknown>,
  }
  const stored = await idempotency.onRequest<OriginAnswer, never>(request)
  if (stored?.body !== undefined) return stored.body
  const answer = await callOrigin(originUrl, body)
  await idempotency.onResponse(request, { body: answer })
  return answer
})
