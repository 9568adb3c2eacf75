/** What the function of a tool learns about its call. */
export interface ToolCall {
  /** The same for every call with the same intent. `fetch` sends it; send it yourself as `Idempotency-Key` otherwise. */
  readonly key: string
  /** Calls with this key so far, this one counted, from 1. Counted in memory. */
  readonly attempt: number
  /** Aborted when the agent does not want the result any more. */
  readonly signal: AbortSignal
  /**
   * `fetch` with the key of this call, which sends a request again until it has an answer. A request
   * that has an `Idempotency-Key` of its own keeps it.
   *
   * @throws {HapaxError} For an answer of Hapax itself, which is no result of the API.
   */
  readonly fetch: typeof fetch
}

/** Where a LangChain tool finds its call: LangChain copies `configurable`, and no symbols. */
export const CONFIGURABLE = 'hapax'

/**
 * Finds the call in the second argument of a function that another package calls, such as the
 * `options` of `execute` and the `config` of a LangChain tool.
 *
 * @throws {TypeError} If the tool was not wrapped, so that nothing would protect it.
 * @example const { fetch } = callOf(config)
 */
export function callOf(context: object): ToolCall {
  const { configurable }: { configurable?: Record<string, unknown> } = context
  const call = (configurable?.[CONFIGURABLE] ?? context) as Partial<ToolCall>
  if (typeof call.key === 'string' && typeof call.fetch === 'function') return call as ToolCall
  throw new TypeError('This tool is not protected. Wrap it with idempotentTool.')
}
