/**
 * An agent of LangChain gets a 502 from its tool and calls it again. The payment is made once.
 *
 *     npm start                             in another terminal
 *     npx node examples/agents/langchain.ts
 */
import { AIMessage, type BaseMessage, HumanMessage } from '@langchain/core/messages'
import { fakeModel } from '@langchain/core/testing'
import { tool } from '@langchain/core/tools'
import { z } from 'zod'

import { callOf, idempotentTool } from '../../src/agents.ts'
import { loseFirstAnswer, play } from './demo.ts'

/** Runs the agent. @returns What the model is told about each call. */
export async function runAgent(gatewayUrl: string, runId: string): Promise<string[]> {
  const pay = idempotentTool(
    'pay',
    tool(
      async (input, config) => {
        const { fetch } = callOf(config)
        const response = await fetch(`${gatewayUrl}/payments`, {
          method: 'POST',
          headers: { Authorization: 'Bearer demo', 'Content-Type': 'application/json' },
          body: JSON.stringify(input),
        })
        if (!response.ok) throw new Error(`The payment API answered with ${response.status}.`)
        return response.json()
      },
      {
        name: 'pay',
        description: 'Pays an order.',
        schema: z.object({ order: z.string(), amount: z.int(), currency: z.string() }),
      },
    ),
    // With more attempts, the tool itself tries again, and the model never sees the 502.
    { runId, retry: { attempts: 1 }, fetch: loseFirstAnswer() },
  )
  const args = { order: 'o17', amount: 500, currency: 'EUR' }
  const model = fakeModel()
    .respondWithTools([{ name: 'pay', args }])
    .respondWithTools([{ name: 'pay', args }])
    .respond(new AIMessage('Order o17 is paid.'))
  const messages: BaseMessage[] = [new HumanMessage('Pay order o17.')]
  const answers: string[] = []
  for (;;) {
    const message = await model.invoke(messages)
    const [call] = message.tool_calls ?? []
    if (call === undefined) return answers
    const answer = await pay.invoke({ ...call, type: 'tool_call' })
    messages.push(message, answer)
    answers.push(answer.text)
  }
}

if (import.meta.main) await play(runAgent)
