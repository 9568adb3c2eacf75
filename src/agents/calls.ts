import type { IdempotentFetchOptions } from '../client/fetch-options.ts'
import { createIdempotentFetch } from '../client/idempotent-fetch.ts'
import { readWhole } from '../client/whole-answer.ts'
import { isHapaxError } from '../core/hapax-error.ts'
import { createAttemptCounter } from './attempt-counter.ts'
import { bindFetch } from './bound-fetch.ts'
import { toCallEnd } from './call-end.ts'
import { toNote } from './note.ts'
import type { ToolCall } from './tool-call.ts'
import { ToolError } from './tool-error.ts'
import { isOrdinal, toToolKey } from './tool-key.ts'

/** Options of every wrapper of tools. `retry` is about the requests of one call. */
export interface IdempotentToolOptions<Context = object> extends Pick<
  IdempotentFetchOptions,
  'retry' | 'fetch' | 'now' | 'random' | 'sleep'
> {
  /**
   * Id of the agent's run: the same after the run was resumed, another one for every other run. A
   * function is asked at each call, with what the caller of the tool tells about the call.
   */
  readonly runId?: string | ((context: Context) => unknown)
  /**
   * Name of an argument by which the model asks for the same work once more on purpose: 2 for the
   * second time, and so on. It must be an optional argument in the schema of the tool. Your function
   * does not get it. Default: no argument, so that the model cannot ask for it.
   */
  readonly again?: string
}

/** How a tool is called. */
export interface Asked<Context> {
  readonly input: unknown
  /** What the caller of the tool tells about the call. */
  readonly context: Context
  /** Used where the options have no `runId`. */
  readonly runId?: unknown
  readonly ordinal?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** A call that has its key. */
export interface OpenCall {
  /** The arguments for the function of the tool. */
  readonly input: unknown
  readonly call: ToolCall
  /** What to tell the model beside the result. Empty where there is nothing to say. */
  readonly toNote: () => string
  /** What to throw instead of an error of the tool. */
  readonly toError: (error: unknown) => unknown
}

/** Creates what begins each call of a tool. */
export function createCalls<Context>(name: string, options: IdempotentToolOptions<Context>) {
  const { runId, again, now = Date.now } = options
  const countAttempt = createAttemptCounter()
  // Called as a function, because a browser's `fetch` refuses to be a method of another object.
  const fetchOnce = options.fetch ?? ((request, init) => fetch(request, init))
  const send = createIdempotentFetch({
    ...options,
    fetch: async (request, init) => readWhole(await fetchOnce(request, init)),
  })
  const toRunId = ({ context, runId: fallback }: Asked<Context>) =>
    typeof runId === 'function' ? runId(context) : (runId ?? fallback)

  return async function openCall(asked: Asked<Context>): Promise<OpenCall> {
    const { input, ordinal } = takeOrdinal(asked, again)
    const key = await toToolKey({ runId: toRunId(asked), name, input, ordinal })
    const attempt = countAttempt(key)
    const signal = asked.signal ?? new AbortController().signal
    const { fetch, lastEnd, isPartial } = bindFetch(send, { key, signal, now })
    const next = again === undefined ? null : { argument: again, next: ordinal + 1 }
    const factsOf = (isError: boolean) => ({
      again: next,
      attempt,
      isError,
      isPartial: isPartial(),
    })
    return {
      input,
      call: { key, attempt, signal, fetch },
      toNote: () => toNote(lastEnd() ?? { kind: 'unreported' }, factsOf(false)),
      toError(error) {
        if (signal.aborted) return error
        const note = toNote(toCallEnd(error, lastEnd()), factsOf(true))
        // The note says all that an error of Hapax says, in words for a model.
        const message = isHapaxError(error) ? note : `${messageOf(error)}\n\n${note}`
        return new ToolError(message, { cause: error })
      },
    }
  }
}

function takeOrdinal<Context>({ input, ordinal = 1 }: Asked<Context>, again: string | undefined) {
  if (again === undefined || typeof input !== 'object' || input === null || !(again in input)) {
    return { input, ordinal }
  }
  const { [again]: said, ...others } = input as Readonly<Record<string, unknown>>
  // Where a schema is strict, a model sends `null` for what it leaves out.
  const wanted = said ?? ordinal
  if (isOrdinal(wanted)) return { input: others, ordinal: wanted }
  throw new ToolError(
    `The argument "${again}" must be a whole number from 2, or absent. Nothing was executed.`,
  )
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
