import { env, exports } from 'cloudflare:workers'

import { createDigest } from '../../src/core/digest.ts'
import { operationId } from '../../src/core/operation.ts'

const CREDENTIAL = 'Bearer tenant-a'

interface Options {
  readonly key?: string
  readonly body?: BodyInit | null
  readonly path?: string
  readonly method?: string
  readonly headers?: Record<string, string>
}

/** Sends a request to the Worker as a client does; `/payments` unless it says otherwise. */
export function send({ key, body, path, method, headers }: Options = {}): Promise<Response> {
  return exports.default.fetch(`https://gateway.test${path ?? '/payments'}`, {
    method: method ?? 'POST',
    body: body === undefined ? '{"amount":1}' : body,
    headers: {
      Authorization: CREDENTIAL,
      'Content-Type': 'application/json',
      ...(key === undefined ? {} : { 'Idempotency-Key': key }),
      ...headers,
    },
  })
}

/** The id of the operation that this client's key names. */
export async function idOf(key: string): Promise<string> {
  const digest = createDigest()
  return operationId(digest, await digest('credential', 'authorization', CREDENTIAL), key)
}

/** The object that guards the operation of this client's key. */
export async function objectOf(key: string) {
  return env.OPERATIONS.getByName(await idOf(key))
}
