import type { Context } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { routePath } from 'hono/route'

import { errorName } from '../core/error-name.ts'
import type { OperationContext } from '../core/operation/operation-context.ts'
import { NotExecuted } from '../core/outcome/not-executed.ts'
import { logFault, logThrown } from '../metrics/log.ts'
import { showsErrors } from './development.ts'
import type { ErrorFacts } from './error-facts.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { keepAlive } from './keep-alive.ts'
import { hasScope, scopeOf } from './request-scope.ts'

const works = new WeakMap<object, Omit<ErrorFacts, 'correlationId'>>()

/** Says what the handlers of a request work at, for the report of an error. @param operation Its name. */
export function nameWork(c: Context, operation: string, context: OperationContext): void {
  const { operationId, attempt, tenant } = context
  works.set(c.req, { operation, operationId, attempt, tenant })
}

/** The last reported error of a request: the app's error handler and the route see the same one. */
const reported = new WeakMap<object, { readonly error: unknown }>()

/** Whether an error that a handler threw is its answer. */
export function isAnswer(error: unknown): error is NotExecuted | HTTPException {
  return error instanceof NotExecuted || error instanceof HTTPException
}

/** Logs an error that a handler threw, and tells the hook of the gateway, once. An answer is not reported. */
export function reportError(
  c: Context<GatewayEnv>,
  error: unknown,
  message = 'a handler threw',
): void {
  if (!isReported(error) || !hasScope(c)) return
  const before = reported.get(c.req)
  if (before !== undefined && before.error === error) return
  reported.set(c.req, { error })
  const { correlation, onError } = scopeOf(c)
  const work = works.get(c.req) ?? { operation: `${c.req.method} ${routePath(c)}`, ...NO_WORK }
  const facts = { ...work, correlationId: correlation.correlationId }
  logThrown(message, error, facts, showsErrors(c))
  if (onError !== undefined) tell(c, () => onError(error, facts))
}

const NO_WORK = { operationId: null, attempt: 1, tenant: null } as const

/** An `HTTPException` of 5xx with a cause is an answer, but one that hides a bug or an outage. */
function isReported(error: unknown): boolean {
  if (!isAnswer(error)) return true
  return error instanceof HTTPException && error.status >= 500 && error.cause !== undefined
}

/** Calls the hook. A failure of the hook is only logged. */
function tell(c: Context, hook: () => unknown): void {
  try {
    const told = hook()
    if (told instanceof Promise) keepAlive(c, told.catch(logHook))
  } catch (error) {
    logHook(error)
  }
}

const logHook = (error: unknown) => logFault('onError failed', new Error(errorName(error)))
