import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { Policy } from '../config/policy.ts'
import { logFault } from '../metrics/log.ts'
import { admit } from './admit.ts'
import { announce } from './announce.ts'
import { toCallersAnswer } from './callers-answer.ts'
import { conclude, type Subject, subjectOf } from './conclude.ts'
import { findKey, type FoundKey } from './find-key.ts'
import { type GatewayEnv, MESSAGE } from './gateway-env.ts'
import type { GuardedWork } from './guarded-work.ts'
import { isEnforced, observe } from './observe.ts'
import { Payload } from './payload.ts'
import {
  guardLost,
  keyMissing,
  misconfigured,
  rejected,
  tenantMissing,
  type Verdict,
} from './verdict.ts'

/** What every protected route does around its own work: admission, problems, one conclusion. */
export async function guard(
  c: Context<GatewayEnv>,
  policy: Policy,
  work: GuardedWork,
): Promise<Response> {
  const subject = subjectOf(c, policy)
  // Nothing that goes wrong while observing is any of the client's business.
  if (policy.mode === 'observe' && !(await isEnforced(c, policy))) {
    return observe(c, policy, work, subject)
  }
  return orMisconfigured(c, subject, () => guardAs(c, policy, work, subject))
}

async function orMisconfigured(
  c: Context<GatewayEnv>,
  subject: Subject,
  work: () => Promise<Response>,
): Promise<Response> {
  try {
    return await work()
  } catch (error) {
    logFault('a protected route failed before anything was recorded', error)
    return conclude(c, subject, misconfigured(error))
  }
}

async function guardAs(
  c: Context<GatewayEnv>,
  policy: Policy,
  work: GuardedWork,
  subject: Subject,
): Promise<Response> {
  const payload = new Payload(c, policy)
  const found = await findKey(c, policy, payload)
  if (found.kind === 'no-operation') {
    await payload.restore()
    return work.untouched()
  }
  const source = found.kind === 'none' ? 'none' : found.source
  const known: Subject = { ...subject, source, callId: found.call?.id ?? null }
  return orMisconfigured(c, known, async () => {
    switch (found.kind) {
      case 'refused':
        return conclude(c, known, rejected(found.problem))
      case 'none':
        return guardKeyless(c, policy, work, { payload, subject: known })
      case 'key':
        return guardOperation(c, policy, work, { payload, found, subject: known })
    }
  })
}

/** A request of which is known by now whether it has a key. */
interface Read {
  readonly payload: Payload
  readonly subject: Subject
}

async function guardKeyless(
  c: Context<GatewayEnv>,
  policy: Policy,
  work: GuardedWork,
  { payload, subject }: Read,
): Promise<Response> {
  // A message without a key would be done again with every delivery.
  if (policy.required || c.env[MESSAGE] !== undefined)
    return conclude(c, subject, rejected(keyMissing(policy)))
  const response = await work.unprotected(subject, await payload.soFar())
  return announce(c, policy, response, 'key-missing')
}

async function guardOperation(
  c: Context<GatewayEnv>,
  policy: Policy,
  work: GuardedWork,
  { payload, subject, found }: Read & { readonly found: Extract<FoundKey, { kind: 'key' }> },
): Promise<Response> {
  const identity = await c.var.hapax.identify(c)
  if (identity.kind !== 'known') return conclude(c, subject, rejected(tenantMissing(identity)))
  const { tenant, isVerified } = identity
  const introduced = { operation: subject.operation, tenant, isVerified, found }
  const admission = await admit(c, policy, introduced, payload)
  if (!admission.ok) return conclude(c, { ...subject, tenant }, rejected(admission.error))

  const { claim, body, call } = admission.value
  const { operationId } = claim
  const known = { ...subject, tenant, operationId, requestBytes: body.byteLength }
  const askedAt = Date.now()
  const verdict = await work.admitted(admission.value).catch(toFault)
  const isOpen = policy.onStoreError === 'open' && c.env[MESSAGE] === undefined
  if (verdict.isUnclaimed === true && isOpen) {
    return work.unprotected(known, body)
  }
  const answered = { ...known, guardMs: Date.now() - askedAt }
  try {
    return conclude(c, answered, call === null ? verdict : await toCallersAnswer(c, call, verdict))
  } catch (error) {
    // Something was recorded by now, and a retry is told what: this is no fault of the request.
    logFault('an answer could not be given out', error)
    return conclude(c, answered, guardLost())
  }
}

/**
 * Nobody goes around an object that does not answer, not even where the route is open: there is one
 * for each key, so what it is overloaded with, or lost in, are requests with this very key.
 */
function toFault(error: unknown): Verdict {
  if (error instanceof ConfigurationFault) throw error
  logFault('the object of an operation could not be reached, or was reset', error)
  return guardLost()
}
