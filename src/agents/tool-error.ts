/**
 * A tool has failed. The message is for the model: what happened and what to do next. `cause` is the
 * error that the tool has thrown.
 */
export class ToolError extends Error {
  override readonly name = 'ToolError'
}
