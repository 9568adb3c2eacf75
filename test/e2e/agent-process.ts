/**
 * An agent's process with one tool, to be killed. It pays one order after the other, and says of each
 * what became of it:
 *
 *     node test/e2e/agent-process.ts http://127.0.0.1:8787 run-1 o17 o18
 */
import { idempotentTool } from '../../src/agents.ts'

const [, , gatewayUrl = '', runId = '', ...orders] = process.argv

const pay = idempotentTool(
  'pay',
  async (input: { readonly order: string }, { fetch }) => {
    const response = await fetch(`${gatewayUrl}/payments`, {
      method: 'POST',
      headers: { Authorization: 'Bearer demo', 'Content-Type': 'application/json' },
      body: JSON.stringify(input),
    })
    return response.json()
  },
  { runId },
)

for (const order of orders) {
  const { result, note } = await pay.withNote({ order })
  process.stdout.write(`${JSON.stringify({ order, result, note })}\n`)
}
