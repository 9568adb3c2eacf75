import { decideLanding, landStreamed, ownOutcomeOf, toSettlement } from '../core/landing.ts'
import type { OriginFault } from '../core/outcome.ts'
import type { LandingRules, LiveReply } from '../core/reply.ts'
import { openCallStream } from '../origin/judge.ts'
import type { RecordingPlan } from './record-body.ts'

/** What an answer means that is still coming. */
export interface LiveLanding extends Pick<
  RecordingPlan,
  'onChunk' | 'toSettlement' | 'toCut' | 'toFault'
> {
  /** `null` where only the end of the body can tell. */
  readonly outcome: 'succeeded' | 'failed' | null
}

/** @param isInDoubt Whether another call of the operation may have been executed. */
export function landLive(reply: LiveReply, rules: LandingRules, isInDoubt: boolean): LiveLanding {
  const toFault = (fault: OriginFault) =>
    decideLanding({ kind: 'fault', fault, originStatus: reply.status }, rules, isInDoubt).settlement
  const call = openCallStream(reply, rules)
  if (call === null) {
    const isFailure = ownOutcomeOf(reply, rules, isInDoubt) === 'failed'
    const outcome = isFailure ? 'failed' : 'succeeded'
    return {
      outcome,
      onChunk: null,
      toSettlement: async (bodyBytes) => toSettlement(reply, outcome, bodyBytes, rules),
      toCut: async (fault) => toFault(fault),
      toFault,
    }
  }
  const toEnd = async (bodyBytes: number | null) =>
    landStreamed({ ...reply, said: await call.end() }, bodyBytes, rules, isInDoubt)
  return {
    outcome: null,
    onChunk: call.read,
    toSettlement: toEnd,
    toCut: async (fault, bodyBytes) => (call.hasResponse() ? toEnd(bodyBytes) : toFault(fault)),
    toFault,
  }
}
