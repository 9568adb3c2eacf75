import type { HapaxEnv } from '../config/env.ts'
import { logFault } from '../metrics/log.ts'
import type { Flights } from './flights.ts'
import type { Ledger } from './ledger.ts'
import type { RecoveryLanes } from './recovery-lanes.ts'

/** What all work of one object shares. */
export interface ObjectContext {
  readonly env: HapaxEnv
  readonly ledger: Ledger
  readonly flights: Flights
  readonly recoveries: RecoveryLanes
  /** Keeps the object there until some work has ended. */
  readonly waitUntil: (work: Promise<unknown>) => void
}

/** Lets work go on when the caller is gone. */
export function keepAlive<result>(
  { waitUntil }: ObjectContext,
  work: Promise<result>,
): Promise<result> {
  waitUntil(work.catch((error: unknown) => logFault('work of an object failed', error)))
  return work
}
