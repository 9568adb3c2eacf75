import { waitUntil } from 'cloudflare:workers'
import type { Hono } from 'hono'

import { orAborted } from '../client/or-aborted.ts'
import { deployFunction } from '../config/deployed-functions.ts'
import { deployPolicies } from '../config/deployed-policies.ts'
import type { Policy, PolicyOptions } from '../config/policy.ts'
import { toCanonicalValue } from '../core/fingerprint/canonical-value.ts'
import { functionOrigin } from '../core/function/function-origin.ts'
import type { OnceContext } from '../core/function/once-context.ts'
import { DEPLOYMENT, type OncePolicy } from '../core/function/once-policy.ts'
import { checkResult } from '../core/function/result-schema.ts'
import type { FunctionEnd, Guarded } from '../core/function/run-function.ts'
import { createError } from '../core/hapax-error.ts'
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
import { toRetryCall } from './retry-call.ts'
import { findOuter, passOn, runGuarded, runStored } from './run-guarded.ts'

/** Options of one call of a guarded function. */
export interface OnceOptions {
  /** Ends the wait for the result. The function goes on. */
  readonly signal?: AbortSignal
}

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
      const own = toOwnInput(name, input)
      return retryCall(() => call(parts, env, own), signal)
    }
    const work = passOn(env, begin())
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

/** The input of a call. */
interface Input<input> {
  readonly value: input
  /** The same as JSON. */
  readonly text: string
}

async function call<input, stored, output>(
  { name, guarded, read, app }: Parts<input, stored, output>,
  first: object,
  { value: input, text }: Input<input>,
): Promise<output> {
  const { env, outer } = findOuter(first)
  const run: { end: FunctionEnd<stored> | null; verdict: MessageFacts | null } = {
    end: null,
    verdict: null,
  }
  const { policy } = guarded
  const scope: OnceScope = {
    tenant: tenantOf(name, policy, input),
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

/**
 * Copies an input: its caller may change it before the function runs, or tries again.
 *
 * @throws {TypeError} If it is no JSON.
 */
function toOwnInput<input>(name: string, input: input): Input<input> {
  const text = toText(name, input)
  return { value: input === undefined ? input : (JSON.parse(text) as input), text }
}

function toText(name: string, input: unknown): string {
  if (input === undefined) return 'null'
  if (toCanonicalValue(input) === null) throw new TypeError(`The input of ${name} must be JSON.`)
  return JSON.stringify(input)
}

/** @throws {HapaxError} `tenant-missing`, if there is none. */
function tenantOf<input>(
  name: string,
  { tenant = DEPLOYMENT }: Pick<OncePolicy<input, unknown>, 'tenant'>,
  input: input,
): string {
  const found: unknown = typeof tenant === 'function' ? tenant(input) : tenant
  if (isText(found)) return found
  const detail = `The tenant of ${name} must be a text that is not empty.`
  throw createError({ code: 'tenant-missing', detail, retry: 'never' })
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

/**
 * The key of a call; `null` if its route reads it from the input.
 *
 * @throws {HapaxError} `key-missing`, if the function of the policy returns none.
 */
async function keyOf<input>(
  name: string,
  { key }: Pick<OncePolicy<input, unknown>, 'key'>,
  { value, text }: Input<input>,
  { fingerprint }: Policy,
): Promise<string | null> {
  if (typeof key === 'function') {
    const found: unknown = await key(value)
    if (isText(found)) return found
    const detail = `The key of ${name} must be a text that is not empty.`
    throw createError({ code: 'key-missing', detail, retry: 'never' })
  }
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
