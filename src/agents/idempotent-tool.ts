import { deriveKey } from '../client/derive-key.ts'
import { toCanonicalValue } from '../core/fingerprint/canonical-value.ts'
import { createAttemptCounter } from './attempt-counter.ts'

/** What a tool learns about the call that it makes. */
export interface ToolCall {
  /** The same for every call with the same intent. Send it as `Idempotency-Key`. */
  readonly key: string
  /** Calls with this key so far, this one counted, from 1. Counted in memory. */
  readonly attempt: number
}

/** Options of `idempotentTool`. */
export interface IdempotentToolOptions {
  /**
   * Id of the agent's run: the same after the run was resumed, another one for every other run. A
   * function is asked at each call.
   */
  readonly runId: string | (() => string)
}

/** Options of one call of a tool. */
export interface RepeatOptions {
  /** 2 or more: do it again on purpose, for the second time and so on. Default: 1. */
  readonly ordinal?: number
}

/**
 * Wraps a function that an agent calls as a tool, and gives it a key that stands for the intent: the
 * same run, tool and arguments have the same key, in whatever order the members of the arguments are.
 * A model that calls its tool again, for example after a 502, so repeats the request and not the effect.
 *
 * @param name Name of the tool. It is part of the key.
 * @param run The tool. Its arguments must be JSON.
 * @throws {TypeError} When it is called, if the arguments are no JSON, the run has no id, or the
 *   ordinal is not a whole number from 1.
 */
export function idempotentTool<Input, Output>(
  name: string,
  run: (input: Input, call: ToolCall) => Output | Promise<Output>,
  { runId }: IdempotentToolOptions,
): (input: Input, options?: RepeatOptions) => Promise<Output> {
  const countAttempt = createAttemptCounter()
  return async function callTool(input, { ordinal = 1 } = {}) {
    const id = typeof runId === 'string' ? runId : runId()
    const key = await toToolKey({ runId: id, name, input, ordinal })
    return run(input, { key, attempt: countAttempt(key) })
  }
}

interface Intent {
  readonly runId: string
  readonly name: string
  readonly input: unknown
  readonly ordinal: number
}

async function toToolKey({ runId, name, input, ordinal }: Intent): Promise<string> {
  if (runId === '') throw new TypeError(`The tool "${name}" needs the id of the agent's run.`)
  if (!Number.isSafeInteger(ordinal) || ordinal < 1) {
    throw new TypeError('The ordinal of a call must be a whole number from 1.')
  }
  const canonical = input === undefined ? '' : toCanonicalValue(input)
  if (canonical === null) throw new TypeError(`The arguments of the tool "${name}" must be JSON.`)
  return deriveKey('tool:v1', runId, name, canonical, String(ordinal))
}
