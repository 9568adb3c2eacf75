import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Hono } from 'hono'

import { createWorker, type HapaxEnv } from '../../src/hapax.ts'
import type { Any } from '../../src/http/gateway-env.ts'

/** The token of every test that names none. */
const TOKEN = 'a-token-for-everybody'

/** How a request about claims is sent. */
export interface Sent {
  readonly token?: string
  readonly method?: string
  readonly env?: Partial<HapaxEnv>
  readonly headers?: Readonly<Record<string, string>>
  /** Path below which the app serves what belongs to Hapax. */
  readonly base?: string
}

/** An answer, read to its end. */
export interface Answered {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // oxlint-disable-next-line typescript/no-explicit-any -- what a test reads of it
  readonly answer: any
}

/** A process elsewhere: sends requests about claims to an app, as the test writes them. */
export function processOf(app: Hono<Any, Any, Any>) {
  const worker = createWorker(app)
  async function post(path: string, body: unknown, sent: Sent = {}): Promise<Answered> {
    const { token = TOKEN, method = 'POST', base = '', headers } = sent
    const ctx = createExecutionContext()
    const request = new Request<unknown, IncomingRequestCfProperties>(
      `https://gateway.test${base}/_hapax/claims${path}`,
      {
        method,
        headers: { ...(token !== '' && { Authorization: `Bearer ${token}` }), ...headers },
        ...(method === 'POST' && { body: toBody(body) }),
      },
    )
    const bindings = { ...env, HAPAX_CLAIMS_TOKEN: TOKEN, ...sent.env }
    const response = await worker.fetch(request, bindings, ctx)
    const text = await response.text()
    await waitOnExecutionContext(ctx)
    const { status } = response
    const answer: unknown = text.startsWith('{') ? JSON.parse(text) : null
    return { status, headers: response.headers, text, answer }
  }
  return {
    post,
    claim: (body: object, sent?: Sent) => post('', { input: {}, ...body }, sent),
    renew: ({ answer }: Answered, body: object = {}, sent?: Sent) =>
      post(`/${answer.operationId}/renew`, { claim: answer.claim, ...body }, sent),
    settle: ({ answer }: Answered, body: object, sent?: Sent) =>
      post(`/${answer.operationId}/settle`, { claim: answer.claim, ...body }, sent),
  }
}

const toBody = (body: unknown): BodyInit =>
  typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body)
