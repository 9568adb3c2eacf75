import type { Context } from 'hono'

import type { SettleResult } from '../core/operation/answer.ts'
import type { OperationGuard, SettleCall } from '../core/operation/operation-guard.ts'
import type { ClaimRef } from '../core/operation/record.ts'
import { logFault } from '../metrics/log.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { keepAlive } from './keep-alive.ts'

/** Asks the object of the operation. */
export type Ask = <answer>(question: (object: OperationGuard) => Promise<answer>) => Promise<answer>

/** A claim that a Worker holds, and the object that granted it. */
export interface Held {
  readonly ask: Ask
  readonly claim: ClaimRef
  readonly leaseMs: number
}

/** Renews the lease after every third of its time, while the work runs. */
export async function underLease<result>(
  { ask, claim, leaseMs }: Held,
  work: () => Promise<result>,
): Promise<result> {
  const renewal = setInterval(() => {
    ask((object) => object.renew(claim, leaseMs)).catch((error: unknown) =>
      logFault('a lease was not renewed', error),
    )
  }, leaseMs / 3)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
  }
}

const SETTLE_TRIES = 4
const SETTLE_RETRY_MS = 200

/** Settles a claim. If that fails, the client still gets its answer: the claim prevents a second execution. */
export async function settle(
  c: Context<GatewayEnv>,
  held: Held,
  { claim, settlement, end, sealKey, events }: SettleCall,
): Promise<SettleResult | null> {
  const trySettle = () =>
    held.ask((object) => object.settle({ claim, settlement, end, sealKey, events }))
  try {
    return await trySettle()
  } catch (error) {
    logFault('a settle could not be stored; it will be tried again', error)
    keepAlive(
      c,
      underLease(held, () => settleLater(trySettle)),
    )
    // Whether it is settled is not known yet.
    return null
  }
}

async function settleLater(trySettle: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; tries < SETTLE_TRIES; tries++) {
    // oxlint-disable-next-line no-await-in-loop -- one try after the other
    await scheduler.wait(SETTLE_RETRY_MS * 4 ** tries)
    try {
      // oxlint-disable-next-line no-await-in-loop -- one try after the other
      await trySettle()
      return
    } catch (error) {
      logFault('a settle could still not be stored', error)
    }
  }
}
