import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'
import type { Policy } from '../config/policy.ts'
import { type ReadBody, readBody } from '../core/fingerprint/fingerprint.ts'
import { notPlainJson, payloadInvalid, payloadTooLarge } from '../core/response/problem-details.ts'
import type { Problem } from '../core/response/problem.ts'
import { err, ok, type Result } from '../core/result.ts'
import { collectBody, type CollectedBody, continueBody } from '../core/wire/body.ts'
import type { MediaType } from '../core/wire/media-type.ts'
import type { GatewayEnv } from './gateway-env.ts'

/** The body of a request, read once and only if it is needed. */
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

  /** Reads a copy of the body, while the request goes on with its own. */
  static beside(c: Context<GatewayEnv>, policy: Policy): Payload {
    const collected = collectCopy(c.req.raw, policy.limits.request)
    // If the body is not needed, its error is not reported.
    collected.catch(() => {})
    return new Payload(c, policy, collected)
  }

  /** The bytes; `null` if there are more than the route allows, declared or sent. */
  async bytes(): Promise<Uint8Array<ArrayBuffer> | null> {
    const collected = await this.#collect()
    return collected?.kind === 'whole' ? collected.bytes : null
  }

  /** The bytes, or why they are not accepted. */
  async whole(): Promise<Result<Uint8Array<ArrayBuffer>, Problem>> {
    const bytes = await this.bytes()
    return bytes === null ? err(payloadTooLarge(this.#policy.limits.request)) : ok(bytes)
  }

  /** The bytes, if they were read already. */
  async soFar(): Promise<Uint8Array<ArrayBuffer> | null> {
    if (this.#collected !== undefined) return this.bytes()
    // Other code has read the body, so it is restored.
    if (isTaken(this.#c.req.raw)) await this.#collect()
    await this.restore()
    return null
  }

  /** The body, parsed by its media type. */
  read(): Promise<Result<ReadBody, Problem>> {
    return (this.#read ??= this.#readAs())
  }

  /** As the text of a JSON document. @param what Names the document in the problem. */
  async readPlainJson(what: 'A batch' | 'A message of MCP'): Promise<Result<string, Problem>> {
    const read = await this.read()
    if (!read.ok) return read
    const { bytes } = read.value
    return isPlainJson(read.value) ? ok(new TextDecoder().decode(bytes)) : err(notPlainJson(what))
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

  /** Restores the body for the next reader of the request. */
  async restore(): Promise<void> {
    const collected = await this.#collected
    if (collected?.kind === 'whole') restoreBody(this.#c, collected.bytes)
    if (collected?.kind === 'over') restoreBody(this.#c, continueBody(collected))
  }

  /** Restores the body if it was read, for functions of the policy. */
  async restoreTaken(): Promise<void> {
    if (isTaken(this.#c.req.raw)) await this.restore()
  }

  /** @returns `null` if it declares more bytes than the route allows. It is not read then. */
  #collect(): Promise<CollectedBody | null> {
    return (this.#collected ??= collect(this.#c, this.#policy.limits.request))
  }
}

const ALL = { ignore: [], dates: [] }

/** Restores a body that was read, so that it can be read again in every way. */
export function restoreBody(
  c: Context<GatewayEnv>,
  body: Uint8Array<ArrayBuffer> | ReadableStream,
): void {
  if (c.req.raw.body === null || isBodyless(c.req.method)) return
  c.req.raw = new Request(c.req.raw, { body })
  if (body instanceof Uint8Array) kept.set(c.req.raw, body)
  c.req.bodyCache = {}
  keepBody(c)
}

/** Restores a body that other code has read. @throws {BodyLost} If its bytes are lost. */
export async function restoreTaken(c: Context<GatewayEnv>): Promise<void> {
  restoreBody(c, await keptBytes(c))
}

/** Whether requests of a method have no body. None can be created with one, only passed on. */
export function isBodyless(method: string): boolean {
  return method === 'GET' || method === 'HEAD'
}

async function collectCopy(request: Request, limitBytes: number): Promise<CollectedBody | null> {
  if (isDeclaredOver(request, limitBytes)) return null
  const copy = request.body === null ? null : request.clone().body
  const collected = await collectBody(copy, limitBytes)
  // The platform buffers the unread part of a copy.
  if (collected.kind === 'over') await collected.rest.cancel()
  return collected
}

const isDeclaredOver = ({ headers }: Request, limitBytes: number) =>
  Number(headers.get('content-length') ?? 0) > limitBytes

async function collect(c: Context<GatewayEnv>, limitBytes: number): Promise<CollectedBody | null> {
  const request = c.req.raw
  if (isTaken(request)) return collectBody(new Blob([await keptBytes(c)]).stream(), limitBytes)
  if (isDeclaredOver(request, limitBytes)) return null
  // A body that could not be restored is only copied.
  const source = isBodyless(request.method) && request.body !== null ? request.clone() : request
  const collected = await collectFrom(source, limitBytes)
  if (collected.kind === 'whole') kept.set(request, collected.bytes)
  return collected
}

/** Reads a body at once if it declares its length: in chunks it takes much longer. */
async function collectFrom(source: Request, limitBytes: number): Promise<CollectedBody> {
  if (!source.headers.has('content-length')) return collectBody(source.body, limitBytes)
  const bytes = new Uint8Array(await source.arrayBuffer())
  // A request that code has made can hold more than it declares.
  if (bytes.byteLength > limitBytes) return collectBody(new Blob([bytes]).stream(), limitBytes)
  return { kind: 'whole', bytes }
}

/** Whether every reader takes it for the same JSON: in another charset, the bytes could be another message. */
function isPlainJson({ canonical, type }: ReadBody): boolean {
  return canonical.kind === 'json' && charsetsOf(type).every((charset) => /^utf-?8$/.test(charset))
}

function charsetsOf(type: MediaType | undefined): readonly string[] {
  const named = type?.parameters.filter(([name]) => name === 'charset') ?? []
  return named.map(([, charset]) => charset.toLowerCase())
}

/** A middleware has read the body in a way that lost its bytes. */
class BodyLost extends ConfigurationFault {
  constructor() {
    super(
      'Code before the protected route has read the request body, and its bytes cannot be had any more. Read it there with c.req.json(), c.req.text(), c.req.formData() or c.req.arrayBuffer(), or from c.req.raw.clone(), and not from c.req.raw itself; or put that code behind the protection.',
    )
  }
}

/** The bytes of requests that Hono or the gateway has read. Others can still read these bodies. */
const kept = new WeakMap<Request, Promise<Uint8Array<ArrayBuffer>> | Uint8Array<ArrayBuffer>>()

/**
 * Makes Hono read the bytes first, in whichever way a handler reads the body: the parsed value would
 * not give the same bytes again. Hono derives every other form from the one in its cache.
 */
export function keepBody(c: Context): void {
  // Code before the gateway has read the body and filled the cache.
  if (Object.keys(c.req.bodyCache).length > 0) return
  const cache = {
    get arrayBuffer() {
      return readBytes(c.req.raw)
    },
  }
  // Hono's cache holds promises, whatever its type says.
  c.req.bodyCache = cache as unknown as typeof c.req.bodyCache
}

/** Returns a copy, because the reader may change or transfer it. */
async function readBytes(request: Request): Promise<ArrayBuffer> {
  const known = kept.get(request) ?? request.arrayBuffer().then((bytes) => new Uint8Array(bytes))
  kept.set(request, known)
  return (await known).slice().buffer
}

/** Whether other code has read the body, begun to read it, or split it. */
export function isTaken({ body, bodyUsed }: Request): boolean {
  return bodyUsed || body?.locked === true
}

/** The bytes of a body that was read before. @throws {BodyLost} When they were not kept. */
async function keptBytes(c: Context): Promise<Uint8Array<ArrayBuffer>> {
  const request = c.req.raw
  const bytes = kept.has(request) ? await readBytes(request) : await fromCache(c)
  if (bytes === null || bytes.detached) throw new BodyLost()
  return new Uint8Array(bytes)
}

/** The bytes in Hono's cache, if the body was read before the gateway. */
async function fromCache(c: Context): Promise<ArrayBuffer | null> {
  const { arrayBuffer, blob, text } = Object.getOwnPropertyDescriptors(c.req.bodyCache)
  const cached: unknown = arrayBuffer?.value ?? blob?.value ?? text?.value
  const read: unknown = await Promise.resolve(cached)
  if (read instanceof ArrayBuffer) return read
  if (read instanceof Blob) return read.arrayBuffer()
  return typeof read === 'string' ? toSameBytes(read, c.req.header('Content-Length')) : null
}

/** @returns `null` if the text may have had other bytes: a byte order mark, or invalid UTF-8. */
function toSameBytes(text: string, declared: string | undefined): ArrayBuffer | null {
  const bytes = new TextEncoder().encode(text)
  const isSame = !text.includes('\uFFFD') && Number(declared) === bytes.byteLength
  return isSame ? Uint8Array.from(bytes).buffer : null
}
