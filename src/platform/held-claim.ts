import type { Answer, SettleResult } from '../core/operation/answer.ts'
import type { ClaimRequest } from '../core/operation/claim.ts'
import type {
  Grant,
  OperationGuard,
  SettleCall,
  StreamCall,
} from '../core/operation/operation-guard.ts'
import type { ClaimRef } from '../core/operation/record.ts'
import type { Settlement } from '../core/operation/settle.ts'
import type { WireResponse } from '../core/operation/snapshot.ts'
import { logFault } from '../metrics/log.ts'
import { askAt, askObject, type HasOperations, type GuardPlace } from './ask-object.ts'

/** Asks the object that granted a claim. */
type Ask = <answer>(question: (object: OperationGuard) => Promise<answer>) => Promise<answer>

/** A claim that is held under a lease, and the object that granted it. */
export interface Held {
  readonly ask: Ask
  /** The last claim: another call of the origin has another one. */
  readonly claim: () => ClaimRef
  readonly leaseMs: number
  /** Keeps the holder alive until some work has ended. */
  readonly waitUntil: (work: Promise<unknown>) => void
  /** Called when the lease is lost: from then on another owner may execute the operation. */
  readonly onLost?: () => void
}

/** A granted claim, or why there is none, and the object that was asked. */
export interface Granting {
  readonly answer: Grant | Answer
  readonly ask: Ask
}

/** Claims an operation. @param claim Asks an object, with the request as that object needs it. */
export async function claimAt(
  c: HasOperations,
  claiming: ClaimRequest,
  claim: (object: OperationGuard, request: ClaimRequest, name: string) => Promise<Grant | Answer>,
): Promise<Granting> {
  const { operationId } = claiming
  let at: GuardPlace = { operationId, name: operationId, movedAt: null }
  const question = (object: OperationGuard, place: GuardPlace) => {
    at = place
    const { movedAt } = place
    return claim(object, movedAt === null ? claiming : { ...claiming, movedAt }, place.name)
  }
  const answer = await askObject(c, operationId, question, { memory: claiming })
  return { answer, ask: (later) => askAt(c, at, later) }
}

/** Renews the lease after every third of its time, while the work runs. */
export async function underLease<result>(
  { ask, claim, leaseMs, onLost }: Held,
  work: () => Promise<result>,
): Promise<result> {
  let leaseUntil = Date.now() + leaseMs
  const renew = async () => {
    const askedAt = Date.now()
    if (askedAt >= leaseUntil) onLost?.()
    if (await ask((object) => object.renew(claim(), leaseMs))) leaseUntil = askedAt + leaseMs
    else onLost?.()
  }
  const renewal = setInterval(() => {
    renew().catch((error: unknown) => logFault('a lease was not renewed', error))
  }, leaseMs / 3)
  try {
    return await work()
  } finally {
    clearInterval(renewal)
  }
}

/**
 * Sends a stream to the object, which records it and passes it on.
 *
 * The client may leave before the end. The connection to the object ends with its answer, and would
 * take along the stream to it: so the answer is read to its end all the same.
 */
export async function streamTo(
  { ask, waitUntil }: Pick<Held, 'ask' | 'waitUntil'>,
  call: StreamCall,
): Promise<WireResponse> {
  const response = await ask((object) => object.stream(call))
  const { body } = response
  if (!(body instanceof ReadableStream)) return response
  return { ...response, body: toOutliving(body, waitUntil) }
}

/** A stream that is read to its end even if its reader leaves. */
function toOutliving(
  body: ReadableStream<Uint8Array>,
  waitUntil: Held['waitUntil'],
): ReadableStream<Uint8Array> {
  const reader = body.getReader()
  let last: Promise<unknown> = Promise.resolve()
  // A stream of the platform takes one read at a time, and the reader may leave in the middle of one.
  const read = () => {
    const next = last.then(() => reader.read())
    last = next.catch(() => {})
    return next
  }
  const drain = async () => {
    // oxlint-disable-next-line no-await-in-loop -- one chunk after the other
    while (!(await read()).done);
  }
  return new ReadableStream({
    async pull(controller) {
      const { value } = await read()
      if (value === undefined) controller.close()
      else controller.enqueue(value)
    },
    cancel: () => waitUntil(drain().catch(() => {})),
  })
}

/** How long a result is remembered, if it is stored. @param retentionMs Of the route. */
export function memoryOf(
  settlement: Settlement,
  settled: SettleResult | null,
  retentionMs: number,
): { readonly rememberedMs?: number } {
  const isStored = (settled === 'taken' || settled === 'late') && 'snapshot' in settlement
  return isStored ? { rememberedMs: settlement.retentionMs ?? retentionMs } : {}
}

const SETTLE_TRIES = 4
const SETTLE_RETRY_MS = 200

/** Settles a claim. If that fails, the client still gets its answer: the claim prevents a second execution. */
export async function settle(
  held: Held,
  { claim, settlement, end, sealKey, events }: SettleCall,
): Promise<SettleResult | null> {
  const trySettle = () =>
    held.ask((object) => object.settle({ claim, settlement, end, sealKey, events }))
  try {
    return await trySettle()
  } catch (error) {
    logFault('a settle could not be stored; it will be tried again', error)
    held.waitUntil(underLease(held, () => settleLater(trySettle)))
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
