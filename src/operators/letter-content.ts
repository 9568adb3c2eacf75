import { uneval } from 'devalue'

import type { HapaxEnv } from '../config/env.ts'
import { toBase64 } from '../core/base64.ts'
import type { CloudEvent } from '../core/event/event.ts'
import type { DeadLetter } from '../directory/directory-guard.ts'
import { openStoredBytes } from '../platform/at-rest.ts'
import { readLetterBytes } from '../queue/letter-bytes.ts'
import type { ReceivedMessage } from '../queue/message.ts'
import { readClone, writeClone } from '../queue/structured-clone.ts'

/** A dead letter with its content; `null` if it cannot be opened any more. */
type OpenLetter = Omit<DeadLetter, 'bytes'> & { readonly content: unknown }

/** Shows a dead letter with its content to the operator who decides about it. */
export async function openLetter(env: HapaxEnv, letter: DeadLetter): Promise<OpenLetter> {
  const { bytes: _, ...shown } = letter
  const text = await openText(env, letter)
  if (text === null) return { ...shown, content: null }
  if (letter.from === 'outbox') {
    const content = JSON.parse(text) as CloudEvent
    return { ...shown, type: content.type, content }
  }
  return { ...shown, content: await toContent(text) }
}

/** Opens the text of a dead letter; `null` if it is sealed under a missing secret, or damaged. */
export async function openText(env: HapaxEnv, letter: DeadLetter): Promise<string | null> {
  const { id, bytes, isUnopened = false, operationId } = letter
  try {
    const opened = isUnopened
      ? await openStoredBytes(env, 'event', operationId ?? '', bytes)
      : await openStoredBytes(env, 'dead letter', id, bytes)
    return await readLetterBytes(opened)
  } catch {
    return null
  }
}

/** Says that the content of a message could not be kept. */
export const LOST = 'What the message held could not be kept.'

/** Shows the body of a message to people, or its stored text if that cannot be read. */
async function toContent(text: string): Promise<unknown> {
  try {
    const message = readClone(text) as ReceivedMessage | undefined
    return message === undefined ? LOST : await toShown(message.body)
  } catch {
    return text
  }
}

/** JSON as it is, bytes in Base64, and any other body as JavaScript. */
async function toShown(body: unknown): Promise<unknown> {
  if (body instanceof ArrayBuffer) return toBase64(new Uint8Array(body))
  const json = toJson(body)
  if (json === null || (await writeClone(JSON.parse(json))) !== (await writeClone(body))) {
    return uneval(body, (value, js) => {
      if (!(value instanceof Error)) return
      const { name, message, cause } = value
      const members = { name, ...(cause !== undefined && { cause }) }
      return js`Object.assign(new Error(${message}), ${members})`
    })
  }
  // Readers of deeper JSON may fail, here or at the other end.
  return depthOf(json) > MAX_DEPTH ? json : body
}

/** @returns `null` for nothing, a BigInt, a circle, or too deep a value. */
function toJson(body: unknown): string | null {
  try {
    return JSON.stringify(body) ?? null
  } catch {
    return null
  }
}

const MAX_DEPTH = 200

/** How deep a JSON text is nested at the most. */
function depthOf(json: string): number {
  let [depth, deepest] = [0, 0]
  for (const [char] of json.matchAll(/[[\]{}]/g)) {
    depth += char === '[' || char === '{' ? 1 : -1
    deepest = Math.max(deepest, depth)
  }
  return deepest
}
