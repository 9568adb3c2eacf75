import type { ToolCall } from '../../../src/agents.ts'
import { playServer } from '../client/played-server.ts'

export interface Payment {
  readonly order: string
  readonly again?: number | null | undefined
}

/** Pays over a `fetch`, and reads the answer as text. */
export async function payBy({ fetch }: Pick<ToolCall, 'fetch'>, input: Payment): Promise<string> {
  const response = await fetch('https://api.test/payments', {
    method: 'POST',
    body: JSON.stringify(input),
  })
  return response.text()
}

/** An API that does one thing after the other, and the options of a tool that calls it, without retries of its own. */
export function playApi(...plays: readonly (Response | Error)[]) {
  const { options, fieldsOf, tries } = playServer(...plays)
  return {
    options: { ...options, runId: 'run-1', retry: { attempts: 1 } },
    tries,
    /** The keys that it has received. */
    keys: () => fieldsOf('Idempotency-Key'),
  }
}

const executed = { 'Idempotency-Status': 'executed' }
const replayed = { 'Idempotency-Status': 'replayed', 'Idempotent-Replayed': 'true', Age: '125' }

/** Answers of a protected route. */
export const made = (body = 'paid') => new Response(body, { status: 201, headers: executed })
export const repeated = (body = 'paid') => new Response(body, { status: 201, headers: replayed })
