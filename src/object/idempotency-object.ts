import { DurableObject } from 'cloudflare:workers'

import type { HapaxEnv } from '../config/env.ts'
import type { Answer, SettleResult } from '../core/operation/answer.ts'
import type { CallEnd } from '../core/operation/attempts.ts'
import type { ClaimRequest, Granted } from '../core/operation/claim.ts'
import { type HandOver, type HandOverQuestion, movedOf } from '../core/operation/hand-over.ts'
import type {
  Caller,
  ClaimDetails,
  ExecuteCall,
  ForwardCall,
  Grant,
  LeasedClaim,
  OperationGuard,
  OperationQuestion,
  SettleCall,
  StreamCall,
} from '../core/operation/operation-guard.ts'
import type { OperationView } from '../core/operation/operation-view.ts'
import type { OperatorAction, OperatorResult } from '../core/operation/operator-action.ts'
import type { OperatorView } from '../core/operation/operator-view.ts'
import { isShard } from '../core/operation/placement.ts'
import { type ClaimRef, doubtOf, type Moved } from '../core/operation/record.ts'
import type { WireResponse } from '../core/operation/snapshot.ts'
import { forwardForWorker } from '../origin/forward-call.ts'
import { Alarm } from '../platform/alarm.ts'
import { within } from '../platform/in-time.ts'
import { accept, untilAnswered } from './answer-repeat.ts'
import { EventDeliveries } from './event-deliveries.ts'
import { executeCall } from './execute-call.ts'
import { Flights } from './flights.ts'
import { Ledger } from './ledger.ts'
import { answerResult, inspect } from './look-up.ts'
import { keepAlive, type ObjectContext } from './object-context.ts'
import { examine, operate } from './operator-desk.ts'
import { recoverOperation } from './recover-operation.ts'
import { RecoveryLanes } from './recovery-lanes.ts'
import {
  claimAgainForWorker,
  claimForWorker,
  settleForWorker,
  streamForWorker,
} from './worker-claim.ts'

/**
 * How long an alarm waits for the work that it has begun, in milliseconds. Quick work is done when it
 * ends; work that hangs goes on without it.
 */
const ALARM_PATIENCE_MS = 2_000

/**
 * The guard of one operation, or of many in a shard: claims each durably before the origin is called,
 * stores the response and replays it to every repeat. It is the only writer of their records. For an
 * operation with an object of its own it also calls the origin, and its work for a request does not
 * end with the client's connection.
 */
export class IdempotencyObject extends DurableObject<HapaxEnv> implements OperationGuard {
  readonly #flights = new Flights((id) => this.#ledger.watch(id))
  readonly #ledger = new Ledger(this.ctx.storage, isShard(this.ctx.id.name), (id) =>
    this.#flights.isRunning(id),
  )
  readonly #context: ObjectContext = {
    env: this.env,
    ledger: this.#ledger,
    flights: this.#flights,
    recoveries: new RecoveryLanes(),
    waitUntil: (work) => this.ctx.waitUntil(work),
  }
  readonly #events = new EventDeliveries(this.env, this.#ledger, this.ctx.id)
  readonly #alarm = new Alarm((at) => this.#ledger.transactions.postponeAlarm(at))

  constructor(ctx: DurableObjectState, env: HapaxEnv) {
    super(ctx, env)
    this.#ledger.transactions.onGarbage = () =>
      ctx.waitUntil(this.#ledger.bodies.sweep(env.SNAPSHOTS))
  }

  execute(call: ExecuteCall): Promise<Answer> {
    return unseen(
      untilAnswered(call.caller, (caller) => executeCall(this.#context, { ...call, caller })),
    )
  }

  claim(
    request: ClaimRequest,
    caller: Caller,
    details: ClaimDetails = {},
  ): Promise<Grant | Answer> {
    return unseen(
      untilAnswered(caller, (left) => claimForWorker(this.#context, request, left, details)),
    )
  }

  async renew(claim: ClaimRef, leaseMs: number): Promise<boolean> {
    return this.#ledger.renew(claim, leaseMs)
  }

  async note(claim: ClaimRef, end: CallEnd): Promise<boolean> {
    return this.#ledger.note(claim, end)
  }

  async claimAgain(claim: ClaimRef, next: LeasedClaim): Promise<Granted | null> {
    return claimAgainForWorker(this.#context, claim, next)
  }

  async accept(operationId: string): ReturnType<OperationGuard['accept']> {
    return accept(this.#context, operationId)
  }

  settle(call: SettleCall): Promise<SettleResult> {
    return settleForWorker(this.#context, call)
  }

  stream(call: StreamCall): Promise<WireResponse> {
    return streamForWorker(this.#context, call)
  }

  async inspect(question: OperationQuestion): Promise<OperationView | null> {
    return this.#unlessMoved(question, () => inspect(this.#context, question))
  }

  async result(question: OperationQuestion, caller: Caller): Promise<Answer | null> {
    return this.#unlessMoved(question, () => answerResult(this.#context, question, caller))
  }

  async examine(operationId: string): Promise<OperatorView | null> {
    return this.#unlessMoved({ operationId }, () => examine(this.#context, operationId))
  }

  async operate(operationId: string, action: OperatorAction): Promise<OperatorResult> {
    return this.#unlessMoved({ operationId }, () => operate(this.#context, operationId, action))
  }

  async #unlessMoved<answer>(
    { operationId }: { readonly operationId: string },
    answer: () => answer | Promise<answer>,
  ): Promise<answer> {
    const moved = movedOf(this.#ledger.find(operationId))
    return moved === null ? answer() : (moved as never)
  }

  async rearm(operationId: string): Promise<'in-doubt' | 'over'> {
    this.#ledger.transactions.setAlarmAgain()
    return doubtOf(this.#ledger.find(operationId)) === null ? 'over' : 'in-doubt'
  }

  async handOver(question: HandOverQuestion): Promise<HandOver> {
    return this.#ledger.handOver(question)
  }

  forward(call: ForwardCall): Promise<Answer> {
    return forwardForWorker(this.#context, call)
  }

  executeNamed(call: ExecuteCall): Promise<Answer> {
    return this.execute(call)
  }

  claimNamed(...claiming: Parameters<OperationGuard['claim']>): Promise<Grant | Answer> {
    return this.claim(...claiming)
  }

  forwardNamed(call: ForwardCall): Promise<Answer> {
    return this.forward(call)
  }

  /**
   * Tidies up, recovers operations without a client, and delivers events. The platform starts no
   * other alarm while it runs, so it does not wait for work that may hang.
   */
  override async alarm(): Promise<void> {
    const work = this.#alarm.ring(async () => {
      const { recoverable, events } = this.#ledger.tidy()
      const recoveries = recoverable.map((due) => recoverOperation(this.#context, due))
      const works = [...recoveries, this.#events.deliver(events)]
      await Promise.allSettled(works)
      await Promise.all(works)
    })
    await within(keepAlive(this.#context, work), ALARM_PATIENCE_MS)
  }
}

/** Types an answer as `OperationGuard` does: that an operation has moved is between `askObject` and the object. */
const unseen = <answer>(answer: Promise<answer>) => answer as Promise<Exclude<answer, Moved>>
