/**
 * An agent of the AI SDK gets a 502 from its tool and calls it again. The payment is made once.
 *
 *     npm start                             in another terminal
 *     npx node examples/agents/ai-sdk.ts
 */
import { generateText, stepCountIs } from 'ai'
import { MockLanguageModelV3 } from 'ai/test'
import { z } from 'zod'

import { idempotentTool } from '../../src/agents.ts'
import { loseFirstAnswer, play } from './demo.ts'

/** Runs the agent. @returns What the model is told about each call. */
export async function runAgent(gatewayUrl: string, runId: string): Promise<string[]> {
  const pay = idempotentTool(
    'pay',
    {
      description: 'Pays an order.',
      inputSchema: z.object({ order: z.string(), amount: z.int(), currency: z.string() }),
      execute: async (input, { fetch }) => {
        const response = await fetch(`${gatewayUrl}/payments`, {
          method: 'POST',
          headers: { Authorization: 'Bearer demo', 'Content-Type': 'application/json' },
          body: JSON.stringify(input),
        })
        if (!response.ok) throw new Error(`The payment API answered with ${response.status}.`)
        return (await response.json()) as { readonly id: string }
      },
    },
    // With more attempts, the tool itself tries again, and the model never sees the 502.
    { runId, retry: { attempts: 1 }, fetch: loseFirstAnswer() },
  )
  const { response } = await generateText({
    model: createModel(),
    tools: { pay },
    stopWhen: stepCountIs(5),
    prompt: 'Pay order o17.',
  })
  const parts = response.messages.flatMap((message) => {
    return message.role === 'tool' ? message.content : []
  })
  return parts.map((part) => {
    const output = part.type === 'tool-result' ? part.output : { type: part.type }
    return output.type === 'text' || output.type === 'error-text' ? output.value : output.type
  })
}

/** A model that follows a script: it calls the tool, sees the error, calls again and says that it is done. */
function createModel(): MockLanguageModelV3 {
  const usage = {
    inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
    outputTokens: { total: 1, text: 1, reasoning: 0 },
  }
  const call = (toolCallId: string, input: object) => ({
    content: [
      { type: 'tool-call' as const, toolCallId, toolName: 'pay', input: JSON.stringify(input) },
    ],
    finishReason: { unified: 'tool-calls' as const, raw: undefined },
    usage,
    warnings: [],
  })
  return new MockLanguageModelV3({
    doGenerate: [
      call('call-1', { order: 'o17', amount: 500, currency: 'EUR' }),
      call('call-2', { currency: 'EUR', amount: 500, order: 'o17' }),
      {
        content: [{ type: 'text', text: 'Order o17 is paid.' }],
        finishReason: { unified: 'stop', raw: undefined },
        usage,
        warnings: [],
      },
    ],
  })
}

if (import.meta.main) await play(runAgent)
