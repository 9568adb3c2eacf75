/** What an agent imports, so that a tool that it calls again has its effect once. */
export {
  idempotentTool,
  type IdempotentToolOptions,
  type RepeatOptions,
  type ToolCall,
} from './agents/idempotent-tool.ts'
