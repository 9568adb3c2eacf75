import type { Context } from 'hono'

import { ConfigurationFault } from '../config/configuration-fault.ts'

/** A body that a middleware has read, in a way that has lost its bytes. */
export class BodyLost extends ConfigurationFault {
  constructor() {
    super(
      'Code before the protected route has read the request body, and its bytes cannot be had any more. Read it there with c.req.json(), c.req.text(), c.req.formData() or c.req.arrayBuffer(), or from c.req.raw.clone(), and not from c.req.raw itself; or put that code behind the protection.',
    )
  }
}

/** The bytes of requests that were read: by Hono for others, or by the gateway itself. */
const kept = new WeakMap<Request, Promise<Uint8Array<ArrayBuffer>> | Uint8Array<ArrayBuffer>>()

/** Lets others still read a body that the gateway has read. */
export function keepBytes(request: Request, bytes: Uint8Array<ArrayBuffer>): void {
  kept.set(request, bytes)
}

/**
 * Makes every way in which Hono reads the body read its bytes first: what it makes of them is another
 * body when it is written out again. Hono makes a value of whatever stands in its cache already.
 */
export function keepBody(c: Context): void {
  // Whoever has read it before the gateway came has filled the cache.
  if (Object.keys(c.req.bodyCache).length > 0) return
  Object.defineProperty(c.req.bodyCache, 'arrayBuffer', {
    enumerable: true,
    configurable: true,
    get: () => readBytes(c.req.raw),
  })
}

/** A copy: whoever gets it may change it, or give it away. */
async function readBytes(request: Request): Promise<ArrayBuffer> {
  const known = kept.get(request) ?? request.arrayBuffer().then((bytes) => new Uint8Array(bytes))
  kept.set(request, known)
  return (await known).slice().buffer
}

/** Whether somebody has read the body, begun to, or split it. */
export function isTaken({ body, bodyUsed }: Request): boolean {
  return bodyUsed || body?.locked === true
}

/**
 * The bytes of a body that was read before.
 *
 * @throws {BodyLost} When nobody has kept them.
 */
export async function keptBytes(c: Context): Promise<Uint8Array<ArrayBuffer>> {
  const request = c.req.raw
  const bytes = kept.has(request) ? await readBytes(request) : await fromCache(c)
  if (bytes === null || bytes.detached) throw new BodyLost()
  return new Uint8Array(bytes)
}

/** What Hono keeps of a body that was read before the gateway came. */
async function fromCache(c: Context): Promise<ArrayBuffer | null> {
  const { arrayBuffer, blob, text } = Object.getOwnPropertyDescriptors(c.req.bodyCache)
  const cached: unknown = arrayBuffer?.value ?? blob?.value ?? text?.value
  const read: unknown = await Promise.resolve(cached)
  if (read instanceof ArrayBuffer) return read
  if (read instanceof Blob) return read.arrayBuffer()
  return typeof read === 'string' ? toSameBytes(read, c.req.header('Content-Length')) : null
}

/** @returns `null` where a text may be of other bytes: with a byte order mark before it, or no UTF-8. */
function toSameBytes(text: string, declared: string | undefined): ArrayBuffer | null {
  const bytes = new TextEncoder().encode(text)
  const isSame = !text.includes('\uFFFD') && Number(declared) === bytes.byteLength
  return isSame ? Uint8Array.from(bytes).buffer : null
}
