import { Hono } from 'hono'

import { createWorker, credential, hapax, idempotent, protect } from '../../../src/hapax.ts'

export { DirectoryObject, IdempotencyObject } from '../../../src/hapax.ts'

interface Bindings {
  readonly GUARDED: Fetcher
  readonly ORIGIN_URL: string
}

const guarded = new Hono<{ Bindings: Bindings }>().basePath('/guarded')
guarded.use(hapax({ tenant: credential('Authorization') }))
guarded.post('/payments', protect())
guarded.post('/grants', idempotent(), async (c) => {
  const { key, attempt } = c.var.hapax
  const asked = await fetch(`${c.env.ORIGIN_URL}/grants`, {
    method: 'POST',
    headers: { 'Idempotency-Key': key ?? '' },
  })
  return c.json({ granted: await asked.text(), attempt }, 201)
})

/** What another Worker reaches through a service binding. */
export const Guarded = createWorker(guarded)

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default {
  fetch: async (request: Request, env: Bindings) =>
    new URL(request.url).pathname.startsWith('/guarded/')
      ? env.GUARDED.fetch(request)
      : new Response('not of Hono'),
}
