/** The call of an object that touches no storage: what a replay costs before anything is read. */
import { DurableObject } from 'cloudflare:workers'

interface MemoryEnv {
  readonly OPERATIONS: DurableObjectNamespace<MemoryObject>
}

const ANSWER = new TextEncoder().encode(JSON.stringify({ id: 'pay_1', status: 'succeeded' }))

/** Answers from memory. */
export class MemoryObject extends DurableObject<MemoryEnv> {
  async execute(_body: ArrayBuffer) {
    return { status: 201, type: 'application/json', body: ANSWER }
  }
}

// oxlint-disable-next-line import/no-default-export -- the entry of a Worker
export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url)
    if (pathname === '/ready') return new Response()
    const object = env.OPERATIONS.getByName(request.headers.get('Idempotency-Key') ?? '')
    const answer = await object.execute(await request.arrayBuffer())
    return new Response(answer.body, {
      status: answer.status,
      headers: { 'Content-Type': answer.type },
    })
  },
} satisfies ExportedHandler<MemoryEnv>
