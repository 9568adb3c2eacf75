import { AsyncLocalStorage } from 'node:async_hooks'

import { DOUBT_FIELD, RECOVERY_FIELD, TENANT_FIELD } from '../config/deployed-functions.ts'
import type { HapaxEnv } from '../config/env.ts'
import type { OnceContext } from '../core/function/once-context.ts'
import { DEPLOYMENT } from '../core/function/once-policy.ts'
import { type FunctionEnd, type Guarded, runFunction } from '../core/function/run-function.ts'
import type { OperationContext } from '../core/operation/operation-context.ts'
import { NotExecuted } from '../core/outcome/not-executed.ts'
import { logThrown } from '../metrics/log.ts'
import { toFunctionResponse } from './function-response.ts'

/** The guarded function that runs, for calls of other guarded functions within it. */
const ambient = new AsyncLocalStorage<OnceContext>()

/** Contexts of functions that run, with which they may call others. */
const contexts = new WeakSet<object>()

/** Who calls a guarded function: the bindings, and the guarded function that runs, if one does. */
export function findOuter(first: object) {
  const isContext = contexts.has(first)
  const outer = isContext ? (first as OnceContext) : (ambient.getStore() ?? null)
  return { env: (isContext ? outer?.env : first) as HapaxEnv, outer }
}

/** Runs a function for a claim, and tells it and what it calls about the operation. */
export async function runGuarded<input, stored>(
  guarded: Guarded<input, stored, unknown>,
  env: HapaxEnv,
  input: input,
  operation: OperationContext,
): Promise<FunctionEnd<stored>> {
  const { operationId, tenant, key } = operation
  const context = {
    ...operation,
    operationId: operationId ?? '',
    tenant: tenant ?? DEPLOYMENT,
    key: key ?? '',
    env,
  }
  contexts.add(context)
  const end = await ambient.run(context, () => runFunction(guarded, input, context))
  if (end.kind === 'undecided' && end.error !== undefined)
    report('a probe threw', end.error, context)
  return end
}

/** Logs the name of an error, and what the function worked at. */
function report(message: string, error: unknown, context: OnceContext<HapaxEnv>): void {
  const { operationId, attempt, tenant, correlationId, env } = context
  const facts = { operationId, attempt, tenant, correlationId }
  logThrown(message, error, facts, env.HAPAX_LOG_ERRORS === 'true')
}

/** Runs a function in an object, for a call whose caller is gone. */
export async function runStored<input, stored>(
  guarded: Guarded<input, stored, unknown>,
  env: HapaxEnv,
  request: Request,
): Promise<Response> {
  const { headers, signal } = request
  const field = (name: string) => headers.get(name) ?? ''
  const key = field('Idempotency-Key')
  const operation = {
    operationId: key,
    key,
    attempt: Number(field('Idempotency-Attempt')),
    tenant: decodeURIComponent(field(TENANT_FIELD)),
    correlationId: field('X-Correlation-Id'),
    inDoubtMs: headers.has(DOUBT_FIELD) ? Number(field(DOUBT_FIELD)) : null,
    signal,
  }
  const mayRun = operation.inDoubtMs === null || isAllowed(guarded, field(RECOVERY_FIELD))
  const end: FunctionEnd<stored> = mayRun
    ? await runGuarded(guarded, env, (await request.json()) as input, operation)
    : { kind: 'undecided' }
  try {
    return toFunctionResponse(end, guarded.policy.outcomes)
  } catch (error) {
    if (error instanceof NotExecuted) return error.getResponse()
    report('a function threw', error, { ...operation, env })
    return new Response(null, { status: 500 })
  }
}

/**
 * Whether a function may run again after an unknown outcome. The policy may have changed since the
 * claim, and the safer one counts.
 *
 * @param recovery What the policy said then.
 */
function isAllowed({ policy }: Guarded<never, unknown>, recovery: string): boolean {
  const { unknown = 'hold' } = policy
  return typeof unknown === 'object' || (unknown === 'resend' && recovery === 'resend')
}
