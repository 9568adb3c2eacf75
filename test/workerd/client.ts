import { runInDurableObject } from 'cloudflare:test'
import { env, exports } from 'cloudflare:workers'

import { createDigest } from '../../src/core/digest.ts'
import { operationId } from '../../src/core/operation/operation.ts'
import type { OperationRecord } from '../../src/core/operation/record.ts'
import type { IdempotencyObject } from '../../src/hapax.ts'

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
  return operationId(digest, digest('credential', 'authorization', CREDENTIAL), key)
}

/** The object that guards the operation of this client's key. */
export async function objectOf(key: string) {
  return env.OPERATIONS.getByName(await idOf(key))
}

/** What is stored of the operation of this client's key; `null` where nothing is. */
export async function readRecord(key: string): Promise<OperationRecord | null> {
  const object = await objectOf(key)
  return runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) => {
    const hasTable = sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'operation'").toArray()
    if (hasTable.length === 0) return null
    const [row] = sql.exec<{ record: string }>('SELECT record FROM operation').toArray()
    return row === undefined ? null : (JSON.parse(row.record) as OperationRecord)
  })
}
