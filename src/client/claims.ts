import { createError, HapaxError } from '../core/hapax-error.ts'
import type { RetryWord } from '../core/response/retry-word.ts'
import type { RetryOptions } from '../core/retry/retry-options.ts'
import { readRefusal } from './read-problem.ts'
import { retry } from './retry.ts'

/** The gateway that has the ledger. */
export interface LedgerGateway {
  /** URL of the gateway, with the path below which it is mounted. */
  readonly HAPAX_URL?: string | undefined
  /** A token of its secret `HAPAX_CLAIMS_TOKEN`. */
  readonly HAPAX_CLAIMS_TOKEN?: string | undefined
  /** Sends a request. Default: the platform's `fetch`. */
  readonly fetch?: typeof fetch
}

/** Says where the gateway is, as the variables of a process can: `process.env`. */
export type ClaimsEnv = LedgerGateway | Readonly<Record<string, string | undefined>>

/** A request about claims. */
export interface ClaimMessage {
  /** Id of the operation, and what is done; empty for a new claim. */
  readonly path: string
  /** JSON text. */
  readonly body: string
  /** How long one try may take, in milliseconds. */
  readonly timeoutMs: number
}

/**
 * Requests about claims can be repeated, so that a lost answer costs a moment and not the operation. The
 * deadline ends the tries: a gateway that restarts takes some seconds.
 */
const TRIES: RetryOptions = {
  attempts: 101,
  base: 100,
  cap: 2_000,
  deadline: 30_000,
  budget: false,
}

/**
 * Sends a request about claims until it has an answer.
 *
 * @param options How often it is sent.
 * @throws {HapaxError} The problem that it was answered with, or that there is no answer.
 */
export async function sendClaim(
  env: LedgerGateway,
  message: ClaimMessage,
  options = TRIES,
): Promise<unknown> {
  const answer = await retry(options, () => post(env, message))
  if (answer instanceof HapaxError) throw answer
  return answer
}

/**
 * Sends a request once.
 *
 * @returns The answer, or a conflict, which the same request would only meet again in a moment.
 * @throws {HapaxError} Every other problem.
 */
async function post(
  { HAPAX_URL = '', HAPAX_CLAIMS_TOKEN: token = '', fetch: send = fetch }: LedgerGateway,
  { path, body, timeoutMs }: ClaimMessage,
): Promise<unknown> {
  const response = await send(`${HAPAX_URL.replace(/\/$/, '')}/_hapax/claims${path}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body,
    signal: AbortSignal.timeout(timeoutMs),
  }).catch(throwUnreachable)
  if (response.ok) return response.json().catch(throwUnreachable)
  const problem = await readRefusal(response, Date.now())
  if (problem.code === '') return throwUnreachable(problem, problem.retry)
  if (response.status !== 409) throw problem
  return problem
}

function throwUnreachable(cause: unknown, word: RetryWord = 'same-key'): never {
  const detail = 'The gateway did not answer, or takes no claims.'
  throw createError({ code: 'gateway-unreachable', detail, retry: word, cause })
}
