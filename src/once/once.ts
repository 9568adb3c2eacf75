import { waitUntil } from 'cloudflare:workers'
import type { Hono } from 'hono'

import type { OnceOptions } from '../client/once.ts'
import { orAborted } from '../client/or-aborted.ts'
import { toRetryCall } from '../client/retry-call.ts'
import { deployFunction } from '../config/deployed-functions.ts'
import { deployPolicies } from '../config/deployed-policies.ts'
import type { Policy, PolicyOptions } from '../config/policy.ts'
import {
  type CallInput,
  keyOfCall,
  tenantOfCall,
  toCallInput,
} from '../core/function/call-input.ts'
import { passOn } from '../core/function/error-outcome.ts'
import { functionOrigin } from '../core/function/function-origin.ts'
import type { OnceContext } from '../core/function/once-context.ts'
import { DEPLOYMENT, type OncePolicy } from '../core/function/once-policy.ts'
import { checkResult } from '../core/function/result-schema.ts'
import type { FunctionEnd, Guarded } from '../core/function/run-function.ts'
import type { MessageFacts } from '../core/message-fate.ts'
import {
  type Any,
  type GatewayEnv,
  onceOf,
  type OnceScope,
  withInner,
} from '../http/gateway-env.ts'
import { createGateway } from '../http/gateway.ts'
import { idempotentFunction } from '../http/idempotent.ts'
import { guardedRoutes } from '../http/route-policy.ts'
import { recordRequest } from '../metrics/record-request.ts'
import { toResult } from './call-result.ts'
import { toFunctionResponse } from './function-response.ts'
import { readOncePolicy, toRouteOptions, type WorkerOncePolicy } from './once-policy.ts'
import { toOnceRequest, toWholeKey } from './once-request.ts'
import { findOuter, runGuarded, runStored } from './run-guarded.ts'

/**
 * A guarded function. Its first argument is the Worker's bindings, or the context of another guarded
 * function that calls it.
 */
export type Once<input, output> = (
  env: object,
  input: input,
  options?: OnceOptions,
) => Promise<output>

/**
 * Guards a function that has a side effect: it runs once for each key, and a repeat returns the stored
 * result. Call `once` where the module starts.
 *
 * The result is stored as JSON, and every caller gets it as JSON returns it. If the function throws
 * `NotExecuted`, the key is free again; after any other error the outcome is unknown, unless
 * `outcomes` says more. A guarded function that calls another one has other keys than a direct call.
 *
 * @param name Name of the operation in records and metrics. A key is unique within it.
 * @throws {Error} If the policy is invalid. The message names all fields.
 * @example
 * const issueRefund = once('refund', { key: business('/order') }, (input: Refund, { key }) =>
 *   payments.refund(input, { idempotencyKey: key }))
 * await issueRefund(env, { order: 'o_17', amount: 500 })
 */
export function once<input, output, env = Any>(
  name: string,
  policy: WorkerOncePolicy<input, output> & { readonly result?: undefined },
  fn: (input: input, context: OnceContext<env>) => output | Promise<output>,
): Once<input, output>
/** With a schema, the result is what that makes of it. */
export function once<input, stored, output, env = Any>(
  name: string,
  policy: WorkerOncePolicy<input, stored, output>,
  fn: (input: input, context: OnceContext<env>) => stored | Promise<stored>,
): Once<input, output>
export function once<input, stored, output>(
  name: string,
  policy: WorkerOncePolicy<input, stored, output>,
  fn: (input: input, context: OnceContext<Any>) => stored | Promise<stored>,
): Once<input, output> {
  const read = readOncePolicy(name, policy)
  const guarded: Guarded<input, stored, output> = { policy, fn }
  const app = createFunctionApp(toRouteOptions(name, policy))
  if (read.durable) deployFunction(name, (env, request) => runStored(guarded, env, request))
  const parts = { name, guarded, read, app }
  const retryCall = toRetryCall(policy)
  return function callOnce(env, input, { signal } = {}) {
    const begin = async () => {
      signal?.throwIfAborted()
      const own = toCallInput(name, input)
      return retryCall(() => call(parts, env, own), signal)
    }
    const work = findOuter(env).outer === null ? begin() : passOn(begin())
    // The result is stored, whoever waits for it.
    waitUntil(work.catch(() => {}))
    return signal === undefined ? work : orAborted(work, signal)
  }
}

/** A guarded function with all that its calls need. */
interface Parts<input, stored, output> {
  readonly name: string
  readonly guarded: Guarded<input, stored, output>
  readonly read: Policy
  readonly app: Hono<GatewayEnv>
}

/** The route of a function, in a gateway that is not reachable from outside. */
function createFunctionApp(options: PolicyOptions): Hono<GatewayEnv> {
  const app = createGateway({ tenant: (c) => onceOf(c.env)?.tenant ?? null })
  app.post('/:name', idempotentFunction(options), async (c) => {
    const scope = onceOf(c.env)
    if (scope === undefined) throw new Error('Only calls of functions come here.')
    return scope.run(c.var.hapax)
  })
  deployPolicies(guardedRoutes(app.routes), 'messages')
  return app
}

async function call<input, stored, output>(
  { name, guarded, read, app }: Parts<input, stored, output>,
  first: object,
  { value: input, text }: CallInput<input>,
): Promise<output> {
  const { env, outer } = findOuter(first)
  const run: { end: FunctionEnd<stored> | null; verdict: MessageFacts | null } = {
    end: null,
    verdict: null,
  }
  const { policy } = guarded
  const scope: OnceScope = {
    tenant: tenantOfCall(name, policy.tenant ?? DEPLOYMENT, input),
    consumer: outer?.operationId ?? '',
    asksFirst: typeof policy.unknown === 'object',
    origin: read.durable ? functionOrigin(name) : null,
    async run(operation) {
      run.end = await runGuarded(guarded, env, input, operation)
      return toFunctionResponse(run.end, policy.outcomes)
    },
    conclude(verdict, facts) {
      run.verdict = verdict
      recordRequest(env, { ...facts, method: 'ONCE' })
    },
  }
  const key = await keyOf(name, policy, { value: input, text }, read)
  const request = toOnceRequest({
    name,
    input: text,
    key,
    correlationId: outer?.correlationId ?? null,
  })
  const response = await app.fetch(request, withInner(env, scope), contextOfWorker)
  const result = await toResult(response, run)
  return checkResult(result, policy.result)
}

/** The key of a call; `null` if its route reads it from the input. */
async function keyOf<input>(
  name: string,
  { key }: Pick<OncePolicy<input, unknown>, 'key'>,
  { value, text }: CallInput<input>,
  { fingerprint }: Policy,
): Promise<string | null> {
  if (typeof key === 'function') return keyOfCall(name, key, value)
  if (key !== undefined) return null
  return toWholeKey(text, typeof fingerprint === 'object' ? fingerprint : NO_RULES)
}

const NO_RULES = { ignore: [], dates: [] }

/** Work of a call belongs to the event in which it was made. */
const contextOfWorker: ExecutionContext = {
  props: {},
  waitUntil: (work) => waitUntil(work),
  passThroughOnException: () => {},
} as ExecutionContext
