import { KeyExpiredError } from '../core/hapax-error.ts'
import { deriveKey } from './derive-key.ts'
import type { Settings } from './fetch-options.ts'
import { toKeyField } from './key-field.ts'

/** The key of an operation. */
export interface FoundKey {
  /** The key, as its header field is written. */
  readonly field: string
  /** Whether an earlier call has left it in the store, so that the operation may have been executed. */
  readonly isResumed?: boolean
  /** Removes it from the store, if there is one and it works. */
  readonly forget?: () => Promise<void>
}

/**
 * Makes the key of a request, or finds the one that the store has kept for the same intent.
 *
 * @param copy Makes a request that can be read.
 * @throws {TypeError} If the key is malformed.
 * @throws {KeyExpiredError} If the kept key is too old. It is forgotten then.
 */
export async function findKey(copy: () => Request, settings: Settings): Promise<FoundKey> {
  const { key = crypto.randomUUID(), store, intent, now, maxKeyAgeMs } = settings
  const field = toKeyField(typeof key === 'string' ? key : await key(copy()))
  if (store === undefined) return { field }
  const { method, url } = copy()
  const parts = intent ? [await intent(copy())] : [method, url, await copy().arrayBuffer()]
  // A digest, so that a store shows nothing of the request.
  const name = await deriveKey('intent:v1', ...parts)
  const made = `${now()} ${field}`
  const kept = await store.keep(name, made)
  const forget = async () => {
    try {
      await store.forget(name, kept)
    } catch {
      // It stays, so the next call with this intent gets the same answer.
    }
  }
  // What is malformed has no age, and a clock that was set back does not make a key younger.
  if (!(Math.abs(now() - Number.parseInt(kept, 10)) < maxKeyAgeMs)) {
    await forget()
    throw new KeyExpiredError({ code: 'key-expired', detail: TOO_OLD, retry: 'new-key' })
  }
  return { field: kept.slice(kept.indexOf(' ') + 1), isResumed: kept !== made, forget }
}

const TOO_OLD = 'The kept key is too old, and its outcome unknown. Nothing was sent.'
