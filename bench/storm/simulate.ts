import { createRandom, exponential } from '../shards/random.ts'
import {
  createCaller,
  createGateway,
  createLastLayer,
  type Layer,
  type Measures,
  type Surroundings,
} from './layers.ts'
import { Origin } from './origin.ts'
import { VirtualClock } from './virtual-clock.ts'

/** A storm. */
export interface Storm {
  readonly clients: number
  /** Attempts of each layer. */
  readonly attempts: { readonly client: number; readonly gateway: number; readonly worker: number }
  readonly measures: Measures
  /** Calls that the origin can serve, per operation that begins when nothing is wrong. */
  readonly capacity: number
  readonly seed: number
}

/** What came of it. */
export interface StormResult {
  /** Calls that reach the origin in each second, per operation that begins in a usual second. */
  readonly load: readonly number[]
  /** Calls at the origin per operation, of all that began while it failed. */
  readonly callsPerOperation: number
  /** The highest of `load`. */
  readonly peak: number
  /** Share of the operations that began while it failed and did not succeed. */
  readonly failed: number
  /**
   * Seconds from when the origin is back until 99% of the operations that begin succeed within two
   * seconds; `null`: not in the two minutes that are simulated.
   */
  readonly recoverySeconds: number | null
}

/** Mean time between two operations of a client. */
const PAUSE_MS = 100_000
/** The origin fails for 30 seconds. */
export const FAILS_FROM_S = 10
export const BACK_AT_S = 40
export const END_S = 160
/** Clients of one tenant. */
const TENANT_CLIENTS = 500
/** Clients of one process of the gateway, and of the service behind it. */
const PROCESS_CLIENTS = 1_000
/** All is well when so many operations succeed this soon, for so long. */
const RELIABLE = 0.99
const SOON_MS = 2_000
const RELIABLE_S = 10

/** One operation of a client. Times are milliseconds since the start. */
interface Operation {
  readonly beganAt: number
  /** When it had its result; `Infinity`: it has none. */
  succeededAt: number
  /** When its calls reached the origin. */
  readonly calledAt: number[]
}

/** Lets clients call an origin that fails for a while, in virtual time. The same seed gives the same numbers. */
export async function simulateStorm(storm: Storm): Promise<StormResult> {
  const clock = new VirtualClock(START)
  const random = createRandom(storm.seed)
  const around = { clock, random, measures: storm.measures }
  const gateways = startGateways(storm, around)
  const operations: Operation[] = []
  const now = () => clock.now() - START

  async function act(call: Layer, tenant: string): Promise<void> {
    for (;;) {
      await clock.sleep(exponential(random, PAUSE_MS))
      const operation: Operation = { beganAt: now(), succeededAt: Infinity, calledAt: [] }
      operations.push(operation)
      const onOrigin = () => void operation.calledAt.push(now())
      const { answer } = await call({ tenant, headers: new Headers(), onOrigin })
      if (answer === 'served') operation.succeededAt = now()
    }
  }

  for (let nth = 0; nth < storm.clients; nth += 1) {
    const gateway = gateways[nth % gateways.length]
    if (gateway === undefined) break
    const client = createCaller(storm.attempts.client, around, gateway)
    void act(client, `tenant ${Math.floor(nth / TENANT_CLIENTS)}`)
  }
  await clock.runUntil(START + END_S * 1_000)
  return toResult(operations, usualLoad(storm))
}

const START = Date.UTC(2026, 0, 1)

/** Operations that begin in a second when nothing is wrong. */
const usualLoad = ({ clients }: Storm) => (clients * 1_000) / PAUSE_MS

/** The processes of the gateway, each with one of the service behind it. */
function startGateways(storm: Storm, around: Surroundings): Layer[] {
  const origin = new Origin(around.clock, {
    capacity: usualLoad(storm) * storm.capacity,
    latencyMs: 50,
    queueMs: 3_000,
    refusalCost: 0.02,
    failsFrom: START + FAILS_FROM_S * 1_000,
    failsUntil: START + BACK_AT_S * 1_000,
  })
  return Array.from({ length: Math.ceil(storm.clients / PROCESS_CLIENTS) }, () => {
    const worker = createCaller(storm.attempts.worker, around, createLastLayer(origin))
    return createGateway(storm.attempts.gateway, around, worker)
  })
}

function toResult(operations: readonly Operation[], perSecond: number): StormResult {
  const callsIn = Array.from({ length: END_S }, () => 0)
  for (const at of operations.flatMap(({ calledAt }) => calledAt)) {
    const second = Math.floor(at / 1_000)
    if (second < END_S) callsIn[second] = (callsIn[second] ?? 0) + 1
  }
  const load = callsIn.map((calls) => calls / perSecond)
  const during = beginningIn(operations, FAILS_FROM_S, BACK_AT_S)
  return {
    load,
    peak: Math.max(...load),
    callsPerOperation: shareOf(during, ({ calledAt }) => calledAt.length),
    failed: shareOf(during, ({ succeededAt }) => (succeededAt === Infinity ? 1 : 0)),
    recoverySeconds: recoveryOf(operations),
  }
}

function recoveryOf(operations: readonly Operation[]): number | null {
  for (let from = BACK_AT_S; from + RELIABLE_S <= END_S - SOON_MS / 1_000; from += 1) {
    const begun = beginningIn(operations, from, from + RELIABLE_S)
    const soon = shareOf(begun, ({ beganAt, succeededAt }) =>
      succeededAt - beganAt <= SOON_MS ? 1 : 0,
    )
    if (soon >= RELIABLE) return from - BACK_AT_S
  }
  return null
}

const beginningIn = (operations: readonly Operation[], fromS: number, untilS: number) =>
  operations.filter(({ beganAt }) => beganAt >= fromS * 1_000 && beganAt < untilS * 1_000)

function shareOf(operations: readonly Operation[], count: (of: Operation) => number): number {
  return operations.reduce((sum, operation) => sum + count(operation), 0) / operations.length
}
