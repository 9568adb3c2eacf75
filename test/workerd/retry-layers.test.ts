import { afterEach, expect, it, vi } from 'vitest'

import { readOuterRetry } from '../../src/core/retry/outer-retry.ts'
import { boundRetry, retryCalls, type RetryPolicy } from '../../src/core/retry/retry.ts'
import { createGateway, credential, protect } from '../../src/hapax.ts'
import { clientOf } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

const policyOf = (attempts: number): RetryPolicy => ({
  attempts,
  baseMs: 0,
  capMs: 0,
  deadlineMs: 60_000,
  on: ['not_executed'],
  budget: false,
  breaker: false,
})

/** Calls as often as the policy says, whatever came back, without waiting in between. */
function callAll<end>(
  policy: RetryPolicy,
  headers: Headers,
  call: (attempt: number) => Promise<end>,
) {
  const bounds = boundRetry(policy, readOuterRetry(headers), Date.now())
  return retryCalls(policy, bounds, {
    call,
    outcomeOf: () => 'not_executed',
    pause: async () => true,
    now: () => Date.now(),
    random: () => 0,
  })
}

/**
 * A client that tries three times, the gateway five times, a service behind it four times. The
 * origin behind them all is always away.
 */
async function countCallsOfOrigin(isTold: boolean): Promise<number> {
  let calls = 0
  const unavailable = () => new Response('', { status: 503 })
  playOrigin(({ headers }) =>
    callAll(policyOf(4), isTold ? headers : new Headers(), async () => {
      calls += 1
      return unavailable()
    }),
  )
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect({ retry: { attempts: 5, base: 0, cap: 0, budget: false } }))
  const send = clientOf(app, '/payments')
  await callAll(policyOf(3), new Headers(), (attempt) => {
    const headers: Record<string, string> = isTold ? { 'Idempotency-Attempt': String(attempt) } : {}
    return send(`layers-${isTold}`, { headers })
  })
  return calls
}

it('keeps layers of 3, 5 and 4 attempts from multiplying: 30 calls of the origin instead of 60', async () => {
  expect(await countCallsOfOrigin(false)).toBe(60)
  expect(await countCallsOfOrigin(true)).toBe(30)
})
