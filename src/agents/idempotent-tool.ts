import { type AiCallOptions, type AiTool, type IdempotentAiTool, wrapAiTool } from './ai-tool.ts'
import type { IdempotentToolOptions } from './calls.ts'
import { type LangChainConfig, type LangChainTool, wrapLangChainTool } from './langchain-tool.ts'
import {
  type IdempotentFunction,
  type RepeatOptions,
  type ToolFunction,
  wrapFunction,
} from './plain-tool.ts'

/** Options where nothing else names the run. */
export type RunOptions<Context> = IdempotentToolOptions<Context> &
  Required<Pick<IdempotentToolOptions<Context>, 'runId'>>

/**
 * Wraps what an agent calls as a tool: a function, a tool of the AI SDK or its definition, or a tool
 * of LangChain. It returns one of the same type.
 *
 * Each call has a key that stands for the intent: the same run, tool and arguments have the same key,
 * in whatever order the members of the arguments are. A model that calls its tool again, for example
 * after a 502, so repeats the request and not the effect, and is told in words what became of it.
 *
 * @param name Name of the tool. It is part of the key.
 * @param tool Its arguments must be JSON. Its function gets the call as (part of) its second argument,
 *   with the `fetch` or the key to send. In a tool of LangChain, `callOf(config)` finds it.
 * @throws {TypeError} At once, if there is no such tool or an option is wrong; when it is called, if
 *   the arguments are no JSON, the run has no id, or the ordinal is not a whole number from 1.
 */
export function idempotentTool<Input, Output>(
  name: string,
  tool: ToolFunction<Input, Output>,
  options: RunOptions<RepeatOptions>,
): IdempotentFunction<Input, Output>
/** Without the option `runId`, the run is the member `runId` of `experimental_context`. */
export function idempotentTool<Schema, Output, Rest extends object>(
  name: string,
  tool: Rest & AiTool<Schema, Output>,
  options?: IdempotentToolOptions<AiCallOptions>,
): Omit<Rest, 'execute' | 'toModelOutput'> & IdempotentAiTool<Schema, Output>
export function idempotentTool<Tool extends { readonly inputSchema: unknown }>(
  name: string,
  tool: Tool,
  options?: IdempotentToolOptions<AiCallOptions>,
): Tool
export function idempotentTool<Tool extends LangChainTool>(
  name: string,
  tool: Tool,
  options: RunOptions<LangChainConfig>,
): Tool
export function idempotentTool(name: string, tool: object, options: object = {}): unknown {
  return wrapTool(name, tool, options)
}

/** The same, for a tool of any of these types. */
export function wrapTool(name: string, tool: object, options: IdempotentToolOptions): unknown {
  if (typeof tool === 'function') {
    return wrapFunction(name, tool as ToolFunction<unknown, unknown>, options)
  }
  if (has(tool, 'execute')) return wrapAiTool(name, tool, options)
  if (has(tool, '_call')) return wrapLangChainTool(name, tool, options)
  throw new TypeError(
    `The tool "${name}" is neither a function, nor a tool of the AI SDK with execute, nor a StructuredTool of LangChain.`,
  )
}

function has<Name extends string>(
  tool: object,
  name: Name,
): tool is Record<Name, (...args: readonly unknown[]) => unknown> {
  return name in tool && typeof (tool as Record<string, unknown>)[name] === 'function'
}
