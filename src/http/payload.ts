import type { Context } from 'hono'

import type { Policy } from '../config/policy.ts'
import { collectBody, type CollectedBody, continueBody } from '../core/body.ts'
import { type ReadBody, readBody } from '../core/fingerprint/fingerprint.ts'
import { payloadInvalid, payloadTooLarge } from '../core/problem-details.ts'
import type { Problem } from '../core/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { isTaken, keepBody, keepBytes, keptBytes } from './kept-body.ts'

/** The body of a request, read once and only where something needs it. */
export class Payload {
  readonly #c: Context<GatewayEnv>
  readonly #policy: Policy
  #collected: Promise<CollectedBody | null> | undefined
  #read: Promise<Result<ReadBody, Problem>> | undefined

  constructor(c: Context<GatewayEnv>, policy: Policy, collected?: Promise<CollectedBody | null>) {
    this.#c = c
    this.#policy = policy
    this.#collected = collected
  }

  /** Reads along while the request goes on with its own body, which waits for nothing here. */
  static beside(c: Context<GatewayEnv>, policy: Policy): Payload {
    const collected = collectCopy(c.req.raw, policy.limits.request)
    // Where nothing needs the body, nobody else is told that it broke off.
    collected.catch(() => {})
    return new Payload(c, policy, collected)
  }

  /** As it came; `null` where it has more bytes than the route allows, declared or sent. */
  async bytes(): Promise<Uint8Array<ArrayBuffer> | null> {
    const collected = await this.#collect()
    return collected?.kind === 'whole' ? collected.bytes : null
  }

  /** As it came, or why it is not accepted. */
  async whole(): Promise<Result<Uint8Array<ArrayBuffer>, Problem>> {
    const bytes = await this.bytes()
    return bytes === null ? err(payloadTooLarge(this.#policy.limits.request)) : ok(bytes)
  }

  /** What was read of it already, or `null`. */
  async soFar(): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.#collected !== undefined) return this.bytes()
    // Somebody else has read it: it is put back.
    if (isTaken(this.#c.req.raw)) await this.#collect()
    await this.restore()
    return null
  }

  /** As what its type says. */
  read(): Promise<Result<ReadBody, Problem>> {
    return (this.#read ??= this.#readAs())
  }

  async #readAs(): Promise<Result<ReadBody, Problem>> {
    const { fingerprint, limits } = this.#policy
    const whole = await this.whole()
    if (!whole.ok) return whole
    const rules = fingerprint === false || typeof fingerprint === 'function' ? ALL : fingerprint
    const read = await readBody(whole.value, this.#c.req.raw.headers, rules, limits.request)
    if (read.ok) return ok(read.value)
    const fault = read.error
    return err(
      fault.kind === 'payload-invalid'
        ? payloadInvalid(fault.reason)
        : payloadTooLarge(fault.limitBytes),
    )
  }

  /** Puts it back as it came, for whoever reads the request next. */
  async restore(): Promise<void> {
    const collected = await this.#collected
    if (collected?.kind === 'whole') restoreBody(this.#c, collected.bytes)
    if (collected?.kind === 'over') restoreBody(this.#c, continueBody(collected))
  }

  /** Puts it back where somebody has read it, for code of the deployer's that may read it as handlers do. */
  async restoreTaken(): Promise<void> {
    if (isTaken(this.#c.req.raw)) await this.restore()
  }

  /** @returns `null` where it declares more bytes than the route allows, and is not read. */
  #collect(): Promise<CollectedBody | null> {
    return (this.#collected ??= collect(this.#c, this.#policy.limits.request))
  }
}

const ALL = { ignore: [], dates: [] }

/** Puts a body back that was read: whoever reads it next gets it in every way that there is. */
export function restoreBody(
  c: Context<GatewayEnv>,
  body: Uint8Array<ArrayBuffer> | ReadableStream,
): void {
  if (c.req.raw.body === null || isBodyless(c.req.method)) return
  c.req.raw = new Request(c.req.raw, { body })
  if (body instanceof Uint8Array) keepBytes(c.req.raw, body)
  c.req.bodyCache = {}
  keepBody(c)
}

/** Puts a body back that somebody has read before. @throws {BodyLost} When its bytes are lost. */
export async function restoreTaken(c: Context<GatewayEnv>): Promise<void> {
  if (isTaken(c.req.raw)) restoreBody(c, await keptBytes(c))
}

/** Methods whose requests have no body by their meaning; none can be made with one, only handed on. */
export function isBodyless(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

async function collectCopy(request: Request, limitBytes: number): Promise<CollectedBody | null> {
  if (isDeclaredOver(request, limitBytes)) return null
  const copy = request.body === null ? null : request.clone().body
  const collected = await collectBody(copy, limitBytes)
  // What nobody reads of a copy would be kept for it.
  if (collected.kind === 'over') await collected.rest.cancel()
  return collected
}

const isDeclaredOver = ({ headers }: Request, limitBytes: number) =>
  Number(headers.get('content-length') ?? 0) > limitBytes

async function collect(c: Context<GatewayEnv>, limitBytes: number): Promise<CollectedBody | null> {
  const request = c.req.raw
  if (isTaken(request)) return collectBody(new Blob([await keptBytes(c)]).stream(), limitBytes)
  if (isDeclaredOver(request, limitBytes)) return null
  // What could not be put back is left where it is.
  const { body } = isBodyless(request.method) && request.body !== null ? request.clone() : request
  const collected = await collectBody(body, limitBytes)
  if (collected.kind === 'whole') keepBytes(request, collected.bytes)
  return collected
}
