import { retry, type RetryTry } from '../../src/client/retry.ts'
import { parsePolicy } from '../../src/config/policy.ts'
import { NotExecuted } from '../../src/core/outcome/not-executed.ts'
import { readOuterRetry } from '../../src/core/retry/outer-retry.ts'
import { retryAfterMs } from '../../src/core/retry/retry-after.ts'
import type { RetryOptions } from '../../src/core/retry/retry-options.ts'
import {
  boundRetry,
  type RetryAsk,
  retryCalls,
  type RetryPolicy,
} from '../../src/core/retry/retry.ts'
import { OriginHealth } from '../../src/origin/health.ts'
import type { CallAnswer, Origin } from './origin.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** Which parts of the retry policy the layers use. */
export interface Measures {
  /** Whether delays double and are drawn by chance. Else each one is 100 ms. */
  readonly hasJitter: boolean
  /** Whether a layer tells the next one its attempt and deadline. */
  readonly isTold: boolean
  /** Whether retries are a share of the calls. */
  readonly hasBudget: boolean
  /** Whether the gateway stops calling an origin that fails. */
  readonly hasBreaker: boolean
}

/** What every layer needs. */
export interface Surroundings {
  readonly clock: VirtualClock
  readonly random: () => number
  readonly measures: Measures
}

/** One call of one layer. */
interface Call {
  readonly tenant: string
  readonly headers: Headers
  /** Is told about each call that reaches the origin. */
  readonly onOrigin: () => void
}

/** What a layer answers to the one before it. */
interface Reply {
  readonly answer: CallAnswer
  readonly ask: RetryAsk
}

/** One process of a layer. */
export type Layer = (call: Call) => Promise<Reply>

/** A layer that repeats its calls with `retry()`: a client, or a service behind the gateway. */
export function createCaller(attempts: number, around: Surroundings, next: Layer): Layer {
  const options = optionsOf(attempts, around.measures)
  const { clock, measures } = around
  const how = { now: clock.now, sleep: clock.sleep, random: chanceOf(around), retryIf }
  return async function callAgain(call) {
    let last: Reply = { answer: 'refused', ask: {} }
    const work = async ({ attempt, deadlineAt }: RetryTry) => {
      last = await next({ ...call, headers: toHeaders(measures, attempt, deadlineAt) })
      if (last.answer !== 'served') throw toError(last)
    }
    await retry(options, work, { ...how, outer: call.headers }).catch(() => {})
    return last
  }
}

/** The gateway: its policy as `protect()` reads it, and budgets and circuit as `protect()` has them. */
export function createGateway(attempts: number, around: Surroundings, next: Layer): Layer {
  const { clock, random, measures } = around
  const health = new OriginHealth()
  const policy = policyOf(attempts, measures)
  return async function forward({ tenant, headers, onOrigin }) {
    const openMs = health.admit(policy, tenant, clock.now())
    if (openMs !== null) {
      return { answer: 'refused', ask: { minimumMs: retryAfterMs(openMs, random()) } }
    }
    const bounds = boundRetry(policy, readOuterRetry(headers), clock.now())
    return retryCalls<Reply>(policy, bounds, {
      async call(attempt) {
        const reply = await next({ tenant, headers: passOn(headers, attempt, measures), onOrigin })
        health.report(policy, { hasFailed: reply.answer !== 'served', now: clock.now() })
        return reply
      },
      outcomeOf: ({ answer }) => OUTCOMES[answer],
      askOf: ({ ask }) => ask,
      async pause(delayMs) {
        if (!health.admitRetry(policy, tenant, clock.now())) return false
        await clock.sleep(delayMs)
        return true
      },
      now: clock.now,
      random: chanceOf(around),
    })
  }
}

const OUTCOMES = { served: 'succeeded', refused: 'not_executed', timeout: 'unknown' } as const

function policyOf(attempts: number, measures: Measures): RetryPolicy {
  const options = optionsOf(attempts, measures)
  const retries = { ...options, breaker: measures.hasBreaker && {} }
  const read = parsePolicy({ unknown: 'resend', retry: retries })
  if (!read.ok) throw new Error(read.error.join('\n'))
  return read.value.retry
}

/** The call of the origin itself. */
export function createLastLayer(origin: Origin): Layer {
  return async function callOrigin({ onOrigin }) {
    onOrigin()
    return { answer: await origin.call(CALL_TIMEOUT_MS), ask: {} }
  }
}

const CALL_TIMEOUT_MS = 2_000

/** A policy as a user writes it, and a new value, so that its budget is its own. */
function optionsOf(attempts: number, { hasJitter, hasBudget }: Measures): RetryOptions {
  const delays = hasJitter ? {} : ({ base: '100ms', cap: '100ms' } as const)
  return { attempts, ...delays, ...(!hasBudget && { budget: false }) }
}

const chanceOf = ({ measures, random }: Surroundings) =>
  measures.hasJitter ? random : () => 1 - Number.EPSILON

/** The headers by which a layer tells the next one about its retries. */
function toHeaders({ isTold }: Measures, attempt: number, deadlineAt: number): Headers {
  if (!isTold) return NO_HEADERS
  return new Headers({
    'Idempotency-Attempt': String(attempt),
    'X-Request-Deadline': String(deadlineAt),
  })
}

/** The gateway passes the deadline of its caller on, and says its own attempt. */
function passOn(headers: Headers, attempt: number, { isTold }: Measures): Headers {
  if (!isTold) return NO_HEADERS
  const inner = new Headers(headers)
  inner.set('Idempotency-Attempt', String(attempt))
  return inner
}

const NO_HEADERS = new Headers()

/** What `retry()` obeys. */
function toError({ answer, ask }: Reply): Error {
  if (answer === 'timeout') return TIMEOUT
  const { minimumMs } = ask
  return minimumMs === undefined ? REFUSED : new NotExecuted('503', { retryAfter: minimumMs })
}

const TIMEOUT = new Error('There was no answer in time.')
/** The origin is idempotent, as `unknown: 'resend'` of the gateway says. */
const retryIf = (error: unknown) => error === TIMEOUT
const REFUSED = new NotExecuted()
