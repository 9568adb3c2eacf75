import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Hono } from 'hono'

import { createWorker, type GatewayEnv } from '../../src/hapax.ts'

/** A request as it is sent: it has no key, no credential and no type that a test has not given it. */
export interface Asked {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: BodyInit
}

/** Sends requests to a gateway that a test has made for itself, exactly as the test writes them. */
export function askerOf(app: Hono<GatewayEnv>) {
  const worker = createWorker(app)
  return async function ask(path: string, asked: Asked = {}): Promise<Response> {
    const ctx = createExecutionContext()
    const request = new Request<unknown, IncomingRequestCfProperties>(
      `https://gateway.test${path}`,
      { method: 'POST', ...asked },
    )
    const response = await worker.fetch?.(request, env, ctx)
    if (response === undefined) throw new Error('A worker of a gateway has a fetch handler.')
    await waitOnExecutionContext(ctx)
    return response
  }
}

/** The members of a problem document. */
export interface ProblemBody {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly retryable: boolean
  readonly retry: string
  readonly differs?: readonly string[]
  readonly pointers?: readonly string[]
  readonly queryPointers?: readonly string[]
  readonly error: { readonly type: string; readonly code: string; readonly message: string }
}

/** Status and problem of an answer that was made by the gateway. */
export const refusal = (response: Response): [number, string | null] => [
  response.status,
  response.headers.get('Hapax-Error'),
]
