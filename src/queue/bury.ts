import { stringify } from 'devalue'

import type { HapaxEnv } from '../config/env.ts'
import { toStoredBytes } from '../durable/at-rest.ts'
import { directoryOf } from '../durable/directory-guard.ts'
import type { HandledFate } from './handle.ts'
import type { ReceivedMessage } from './message-source.ts'

/** Keeps a message that is not done where an operator finds it, with the reason. */
export async function bury(
  env: HapaxEnv,
  message: ReceivedMessage,
  {
    reason,
    decision,
    operationId,
    tenant,
    type,
    correlationId,
  }: Extract<HandledFate, { kind: 'dead-letter' }>,
): Promise<void> {
  const id = `${message.queue}:${message.id}`
  const bytes = new TextEncoder().encode(stringify(message))
  await directoryOf(env).bury({
    id,
    from: 'inbox',
    destination: null,
    type: type ?? message.queue,
    tenant,
    operationId,
    correlationId,
    reason,
    ...(decision && { decision }),
    attempts: message.attempts,
    at: Date.now(),
    bytes: await toStoredBytes(env, 'dead letter', id, new Uint8Array(bytes)),
  })
}
