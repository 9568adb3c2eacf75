import { parseDuration } from '../core/duration.ts'
import { type CallInput, keyOfCall, tenantOfCall } from '../core/function/call-input.ts'
import type { OnceContext } from '../core/function/once-context.ts'
import { checkResult } from '../core/function/result-schema.ts'
import { type FunctionEnd, type Guarded, runFunction } from '../core/function/run-function.ts'
import { StoredError, type StoredErrorForm } from '../core/function/stored-error.ts'
import { ClaimLostError, claimLost, createError, HapaxError } from '../core/hapax-error.ts'
import { NotExecuted } from '../core/outcome/not-executed.ts'
import type { SourceIn } from '../core/request/key-source.ts'
import { findOuter, runWithin } from './ambient.ts'
import { type LedgerGateway, sendClaim } from './claims.ts'
import { keepLease } from './lease.ts'
import { asJson, OMITTED, toSettleRequest } from './settle-request.ts'

/** A guarded function and its name. */
export interface Named<input, stored, output> extends Guarded<input, stored, output> {
  readonly name: string
}

/** The answer to a claim. */
type ClaimAnswer =
  | Granted
  | { readonly state: 'succeeded'; readonly result?: unknown }
  | { readonly state: 'failed'; readonly error: StoredErrorForm }

/** A claim that was granted: what the function learns of it, and how it is held. */
interface Granted extends Omit<OnceContext, 'signal' | 'env'> {
  readonly state: 'granted'
  readonly claim: string
  readonly leaseMs: number
  /** How long the claim took at the gateway, waiting for another one included, in milliseconds. */
  readonly claimMs: number
}

/** Default of `wait`, and how long an answer may take beside it. */
const WAIT_MS = 10_000
const TIMEOUT_MS = 20_000

/**
 * Claims the operation, and runs the function if the claim is granted.
 *
 * @param first Says where the gateway is, or is the context of another guarded function.
 * @throws What the function throws, now or before, or a `HapaxError` that says why there is no result.
 */
export async function callOnce<input, stored, output>(
  guarded: Named<input, stored, output>,
  first: object,
  input: CallInput<input>,
): Promise<output> {
  const { policy } = guarded
  const { env, outer } = findOuter(first)
  if (!env.HAPAX_URL || !env.HAPAX_CLAIMS_TOKEN) throw new TypeError(NO_GATEWAY)
  const body = await toOrder(guarded, input, outer?.operationId)
  const timeoutMs = (parseDuration(policy.wait) ?? WAIT_MS) + TIMEOUT_MS
  const askedAt = Date.now()
  const answer = (await sendClaim(env, { path: '', body, timeoutMs })) as ClaimAnswer
  if (answer.state === 'failed') throw new StoredError(answer.error)
  const result =
    answer.state === 'granted'
      ? await run(guarded, input.value, { ...answer, env, askedAt })
      : answer.result
  return checkResult(result, policy.result)
}

const NO_GATEWAY = 'once needs HAPAX_URL and HAPAX_CLAIMS_TOKEN in its first argument.'

/** The request of a call. A repeat of it, after a lost answer, gets the same claim. */
async function toOrder<input, stored>(
  { name, policy }: Named<input, stored, unknown>,
  { value, text }: CallInput<input>,
  outer: string | undefined,
): Promise<string> {
  const { key, tenant, unknown, outcomes: _, result: __, retry: ___, ...shared } = policy
  const order = JSON.stringify({
    operation: name,
    // Default: that of the token.
    tenant: tenant === undefined ? tenant : tenantOfCall(name, tenant, value),
    key: typeof key === 'function' ? await keyOfCall(name, key, value) : key && toSource(key),
    outer,
    claim: crypto.randomUUID(),
    policy: { ...shared, unknown: typeof unknown === 'object' ? unknown.kind : unknown },
  })
  return `${order.slice(0, -1)},"input":${text}}`
}

const toSource = (key: SourceIn<'business' | 'body'>) =>
  key.in === 'business' ? { business: key.pointers } : { body: key.pointer }

/** A claim that this process holds. */
interface Claimed extends Granted {
  readonly env: LedgerGateway
  /** Epoch milliseconds at which it was asked for. */
  readonly askedAt: number
}

/** Runs the function under the lease of its claim, and settles that. */
async function run<input, stored>(
  guarded: Guarded<input, stored, unknown>,
  input: input,
  claimed: Claimed,
): Promise<unknown> {
  const { state: _, claim, leaseMs, claimMs, askedAt, ...known } = claimed
  const { env, operationId, tenant } = known
  const toMessage = (action: string, more?: object) => ({
    path: `/${operationId}/${action}`,
    body: JSON.stringify({ claim, tenant, ...more }),
    timeoutMs: TIMEOUT_MS,
  })
  const { signal, stop } = keepLease(leaseMs, askedAt + claimMs, () =>
    sendClaim(env, toMessage('renew'), ONE_TRY),
  )
  try {
    const context = { ...known, signal }
    // The answer may have come so late that the lease is over.
    const end: FunctionEnd<stored> = signal.aborted
      ? { kind: 'threw', error: new NotExecuted() }
      : await runWithin(context, () => runFunction(guarded, input, context))
    const settle = (request: object) => sendClaim(env, toMessage('settle', request))
    await settle(toSettleRequest(end, guarded.policy.outcomes))
      .catch(async (error: unknown) => {
        // The gateway does not take the result, but has to know that the function was executed.
        if (end.kind === 'returned' && isRefusal(error)) return settle(OMITTED)
        throw error
      })
      .catch(throwIfLost)
    return toCallers(end)
  } finally {
    stop()
  }
}

const ONE_TRY = { attempts: 1 }

const isRefusal = (error: unknown) =>
  error instanceof HapaxError && error.code.startsWith('payload-')

/** A settle that does not arrive leaves the outcome unknown to the next caller, and not to this one. */
function throwIfLost(error: unknown): void {
  if (error instanceof ClaimLostError) throw claimLost()
}

/** The end of the function for its caller. */
function toCallers(end: FunctionEnd<unknown>): unknown {
  if (end.kind === 'returned') return asJson(end.result)
  if (end.kind === 'threw') throw end.error
  const detail = 'It is not known yet whether the function was executed.'
  throw createError({ code: 'outcome-unknown', detail, retry: 'wait', cause: end.error })
}
