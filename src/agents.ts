/** What an agent imports, so that a tool that it calls again has its effect once. */
export { idempotentTool } from './agents/idempotent-tool.ts'
export { idempotentMcpTool } from './agents/mcp-tool.ts'
export { answerToolCall, idempotentTools, type NamedCall } from './agents/tool-map.ts'
export { callOf, type ToolCall } from './agents/tool-call.ts'
export { ToolError } from './agents/tool-error.ts'
export type { IdempotentToolOptions } from './agents/calls.ts'
export type { IdempotentFunction, Noted, RepeatOptions } from './agents/plain-tool.ts'
