import { createCalls, type IdempotentToolOptions } from './calls.ts'
import type { ToolCall } from './tool-call.ts'

/** Options of one call of a tool that is a function. */
export interface RepeatOptions {
  /** 2 or more: do it again on purpose, for the second time and so on. Default: 1. */
  readonly ordinal?: number
  /** The `signal` of the call. */
  readonly signal?: AbortSignal
}

/** A result, and what to tell the model beside it. */
export interface Noted<Output> {
  readonly result: Output
  /** What became of the call and what to do next, in words. Empty where there is nothing to say. */
  readonly note: string
}

/** A function that an agent calls as a tool. */
export interface IdempotentFunction<Input, Output> {
  /** @throws {ToolError} Whose message is for the model. */
  (input: Input, options?: RepeatOptions): Promise<Output>
  /** The same, with the words for the model. */
  withNote(input: Input, options?: RepeatOptions): Promise<Noted<Output>>
}

/** What `idempotentTool` wraps as a function. */
export type ToolFunction<Input, Output> = (input: Input, call: ToolCall) => Output | Promise<Output>

/** Wraps a function. */
export function wrapFunction<Input, Output>(
  name: string,
  run: ToolFunction<Input, Output>,
  options: IdempotentToolOptions<RepeatOptions>,
): IdempotentFunction<Input, Output> {
  const openCall = createCalls(name, options)
  async function withNote(input: Input, context: RepeatOptions = {}): Promise<Noted<Output>> {
    const { ordinal, signal } = context
    const opened = await openCall({ input, context, ordinal, signal })
    try {
      const result = await run(opened.input as Input, opened.call)
      return { result, note: opened.toNote() }
    } catch (error) {
      throw opened.toError(error)
    }
  }
  async function callTool(input: Input, context?: RepeatOptions): Promise<Output> {
    return (await withNote(input, context)).result
  }
  return Object.assign(callTool, { withNote })
}
