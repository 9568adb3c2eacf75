import type { SettleResult } from '../core/operation/answer.ts'
import type { ClaimRef } from '../core/operation/record.ts'
import type { Landing } from '../core/outcome/landing.ts'
import type { SealKey } from '../core/seal.ts'
import { logFault } from '../metrics/log.ts'
import type { NewEvent } from './event-table.ts'
import type { ObjectContext } from './object-context.ts'
import { createGeneration, toPieces } from './pieces.ts'
import { Sealer } from './sealer.ts'

/** How soon a settle that could not be stored is tried again, doubling, and how seldom at the most. */
const SETTLE_RETRY_MS = 100
const SETTLE_RETRY_CAP_MS = 10_000

/** How a claim lands, and which events its handler has emitted. */
type EmittedLanding = Pick<Landing, 'settlement' | 'end'> & {
  readonly emitted?: readonly NewEvent[]
}

/**
 * Settles a claim and lets those go who wait for it. Where the settle cannot be stored, the flight
 * stays: duplicates get its end from memory while the write is tried again, and nobody executes
 * twice.
 *
 * @returns `null` where it is not stored yet.
 */
export async function landClaim(
  context: ObjectContext,
  claim: ClaimRef,
  { settlement, end, emitted = [] }: EmittedLanding,
  sealKey: SealKey | null,
): Promise<SettleResult | null> {
  const flight = context.flights.of(claim)
  const sealer = new Sealer(claim, sealKey)
  const stored = await sealer.sealSettlement(settlement)
  const pieces = end.kind === 'response' && 'snapshot' in settlement ? toPieces(end.body) : []
  const body = { generation: createGeneration(), ...(await sealer.sealPieces(pieces, 0)) }
  const settle = () => {
    const result = context.ledger.settle(claim, stored, body, emitted)
    flight?.land(result === 'refused' ? { kind: 'undecided' } : end)
    return result
  }
  return settleClaim(context, claim, settle, () => flight?.land(end))
}

/**
 * Settles a claim and ends its flight, later where the store does not take it now.
 *
 * @param onFault Called when it is later.
 * @returns `null` where it is not stored yet.
 */
export function settleClaim(
  { flights, waitUntil }: ObjectContext,
  claim: ClaimRef,
  settle: () => SettleResult,
  onFault = () => {},
): SettleResult | null {
  const settleAndClose = () => {
    const result = settle()
    flights.remove(claim)
    return result
  }
  try {
    return settleAndClose()
  } catch (error) {
    logFault('a settle could not be stored; it will be tried again', error)
    onFault()
    waitUntil(settleLater(settleAndClose))
    return null
  }
}

/** Until it is stored, or the object goes: then the claim is an orphan and its outcome unknown. */
async function settleLater(settle: () => unknown): Promise<void> {
  for (let delayMs = SETTLE_RETRY_MS; ; delayMs = Math.min(delayMs * 2, SETTLE_RETRY_CAP_MS)) {
    // oxlint-disable-next-line no-await-in-loop -- one try after the other
    await scheduler.wait(delayMs)
    try {
      settle()
      return
    } catch (error) {
      logFault('a settle could still not be stored', error)
    }
  }
}

/**
 * Ends a flight that has resolved nothing: the record says as before that the outcome is unknown.
 *
 * @param until Epoch milliseconds before which the origin's word that nothing was executed does
 *   not count, where it said so.
 */
export function giveUp(
  { flights }: Pick<ObjectContext, 'flights'>,
  claim: ClaimRef,
  until: number | null = null,
): void {
  const flight = flights.of(claim)
  flights.remove(claim)
  flight?.land({ kind: 'undecided', until })
}

/** A flight that nobody lands any more would keep its operation in progress for as long as the object lives. */
export async function orGiveUp<result>(
  context: ObjectContext,
  claim: ClaimRef,
  work: () => Promise<result>,
): Promise<result> {
  try {
    return await work()
  } catch (error) {
    giveUp(context, claim)
    throw error
  }
}
