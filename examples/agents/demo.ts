import { randomUUID } from 'node:crypto'

/** An agent with a scripted model. @returns What the model is told about each call of its tool. */
type RunAgent = (gatewayUrl: string, runId: string) => Promise<readonly string[]>

/** Runs an agent against the gateway that `npm start` has started. */
export async function play(runAgent: RunAgent): Promise<void> {
  const { HAPAX_URL = 'http://127.0.0.1:8787' } = process.env
  // To resume a run, give its id again.
  const runId = process.argv[2] ?? randomUUID()
  console.log(`The run is ${runId}`)
  const answers = await runAgent(HAPAX_URL, runId)
  for (const answer of answers) console.log(`\nThe model calls its tool, and is told:\n${answer}`)
}

/**
 * A network that loses the first answer: the request arrives and is executed, and a proxy on the way
 * back says 502.
 */
export function loseFirstAnswer(): (request: Request) => Promise<Response> {
  let isLost = false
  return async function fetchOverIt(request) {
    const response = await fetch(request)
    if (isLost) return response
    isLost = true
    await response.body?.cancel()
    return new Response('Bad Gateway', { status: 502 })
  }
}
