/**
 * An agent that calls plain functions, in the loop of your own code, as with the API of OpenAI. The
 * payment API executes a payment and its answer is lost, so the outcome is open: the model is told to
 * stop, and the payment is made once.
 *
 *     npm start                             in another terminal
 *     npx node examples/agents/functions.ts
 */
import { answerToolCall, idempotentTools, type NamedCall } from '../../src/agents.ts'
import { play } from './demo.ts'

interface Payment {
  readonly order: string
  readonly amount: number
  readonly currency: string
}

/** Runs the agent. @returns What the model is told about each call. */
export async function runAgent(gatewayUrl: string, runId: string): Promise<string[]> {
  const tools = idempotentTools(
    {
      pay: async (input: Payment, { fetch }) => {
        const response = await fetch(`${gatewayUrl}/payments`, {
          method: 'POST',
          headers: {
            Authorization: 'Bearer demo',
            'Content-Type': 'application/json',
            // Asks the demo to execute the payment and then to break the connection.
            'Demo-Behaviour': 'drop',
          },
          body: JSON.stringify(input),
        })
        return response.json()
      },
    },
    { runId },
  )
  // As a model of OpenAI writes its calls: a name, and arguments as JSON text.
  const call: NamedCall = {
    name: 'pay',
    arguments: '{"order":"o17","amount":500,"currency":"EUR"}',
  }
  return [await answerToolCall(tools, call), await answerToolCall(tools, call)]
}

if (import.meta.main) await play(runAgent)
