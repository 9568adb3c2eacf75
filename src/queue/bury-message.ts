import type { HapaxEnv } from '../config/env.ts'
import { errorName } from '../core/error-name.ts'
import { directoryOf } from '../directory/directory-guard.ts'
import { logFault } from '../metrics/log.ts'
import { toStoredBytes } from '../platform/at-rest.ts'
import { toLetterBytes } from './letter-bytes.ts'
import type { DeliveredFate } from './message-turn.ts'
import type { ReceivedMessage } from './message.ts'
import { NO_CLONE, writeClone } from './structured-clone.ts'

/** Stores a message that could not be executed, and the reason, in the operators' list of dead letters. */
export async function buryMessage(
  env: HapaxEnv,
  message: ReceivedMessage,
  fate: Extract<DeliveredFate, { kind: 'dead-letter' }>,
): Promise<void> {
  const { reason, decision, operationId, tenant, correlationId } = fate
  const id = `${message.queue}:${message.id}`
  const bytes = await toLetterBytes(await textOf(message))
  await directoryOf(env).bury({
    id,
    from: 'inbox',
    destination: null,
    type: fate.type ?? message.queue,
    tenant,
    operationId,
    correlationId,
    reason,
    ...(decision && { decision }),
    attempts: message.attempts,
    at: Date.now(),
    bytes: await toStoredBytes(env, 'dead letter', id, bytes),
  })
}

/** The message as text. If it cannot be written, the letter is stored without it, so that it is not lost silently. */
async function textOf(message: ReceivedMessage): Promise<string> {
  try {
    return await writeClone(message)
  } catch (error) {
    logFault('a dead letter cannot hold its message', new Error(errorName(error)))
    return NO_CLONE
  }
}
