import type { Context } from 'hono'

import { toOriginEncodings } from '../core/content-coding.ts'
import { foldName, toOriginHeaders } from '../core/headers.ts'
import { hasMcp } from '../core/key-source.ts'
import type { HeaderField } from '../core/snapshot.ts'
import { acceptedEncodings, IDENTITY } from './client-coding.ts'
import type { Exchange } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'

/** What the gateway says to the origin for a route. */
interface Said {
  /** What the origin gets as `Idempotency-Key`, if anything. */
  readonly key?: string | null
  /** Encodings to ask for, where not those that the client accepts. */
  readonly encodings?: string
}

/** What the origin gets of the request's headers, with the gateway's own in place of all their twins. */
export function originHeadersOf(c: Context<GatewayEnv>, said: Said = {}): HeaderField[] {
  const { key = null, encodings = toOriginEncodings(acceptedEncodings(c.req.raw)) } = said
  const { correlationId, traceparent } = c.var.hapax.correlation
  const own: HeaderField[] = [
    ['x-correlation-id', correlationId],
    ['traceparent', traceparent],
    ...(key === null ? [] : [['idempotency-key', key] as const]),
    ['accept-encoding', encodings],
  ]
  const replaced = new Set(own.map(([name]) => name))
  const passed = toOriginHeaders(c.req.raw.headers)
  return [...passed.filter(([name]) => !replaced.has(foldName(name))), ...own]
}

/** What the origin gets of the headers of a request that is forwarded. @param key Its `Idempotency-Key`, if any. */
export function forwardedHeadersOf({ c, policy }: Exchange, key: string | null): HeaderField[] {
  // The answer to one JSON-RPC call becomes the answer to another, and must be read for that.
  return originHeadersOf(c, hasMcp(policy.key) ? { key, encodings: IDENTITY } : { key })
}
