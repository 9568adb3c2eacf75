import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import type { Hono } from 'hono'

import {
  createGateway,
  createWorker,
  type GatewayEnv,
  type GatewayOptions,
} from '../../src/hapax.ts'
import type { Any } from '../../src/http/gateway-env.ts'
import { operators } from '../../src/operators.ts'

interface Options {
  readonly body?: BodyInit
  readonly method?: string
  readonly search?: string
  readonly headers?: Record<string, string>
  readonly env?: Record<string, unknown>
  /** Whether the key stays at home. */
  readonly isKeyless?: boolean
}

/**
 * Sends requests with a key to a gateway that a test has made for itself, with the real objects
 * behind it.
 *
 * @param isWaiting Whether an answer is given out only when the Worker has nothing more to do.
 */
export function clientOf(app: Hono<Any, Any, Any>, path: string, { isWaiting = true } = {}) {
  const worker = createWorker(app)
  return async function send(key: string, options: Options = {}): Promise<Response> {
    const ctx = createExecutionContext()
    const request = new Request<unknown, IncomingRequestCfProperties>(
      `https://gateway.test${path}${options.search ?? ''}`,
      {
        method: options.method ?? 'POST',
        body: options.method === 'GET' ? null : (options.body ?? '{"amount":1}'),
        headers: {
          Authorization: 'Bearer tenant-a',
          'Content-Type': 'application/json',
          ...(options.isKeyless !== true && { 'Idempotency-Key': key }),
          ...options.headers,
        },
      },
    )
    const response = await worker.fetch(request, { ...env, ...options.env }, ctx)
    if (isWaiting) await waitOnExecutionContext(ctx)
    return response
  }
}

/** What the answer's `Idempotency-Status` says. */
export const word = (response: Response): string | null =>
  response.headers.get('Idempotency-Status')

/** A gateway with what is for operators, as this repository's own deployment has it. */
export function createOperatedGateway(options: GatewayOptions): Hono<GatewayEnv> {
  const app = createGateway(options)
  return app.route('/_hapax', operators(app))
}
