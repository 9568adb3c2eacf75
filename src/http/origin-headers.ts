import type { Context } from 'hono'

import type { HeaderField } from '../core/operation/snapshot.ts'
import { hasMcp } from '../core/request/key-source.ts'
import { toOriginEncodings } from '../core/wire/content-coding.ts'
import { foldName, toOriginHeaders } from '../core/wire/headers.ts'
import { acceptedEncodings, IDENTITY } from './client-coding.ts'
import type { Exchange } from './exchange.ts'
import type { GatewayEnv } from './gateway-env.ts'
import { scopeOf } from './request-scope.ts'

/** Headers of the gateway itself. */
interface Said {
  /** The `Idempotency-Key` for the origin, if any. */
  readonly key?: string | null
  /** Encodings to ask for. Default: those that the client accepts. */
  readonly encodings?: string
  /** The fields of the request, if they were read before. */
  readonly fields?: readonly HeaderField[]
}

/** The headers for the origin: those of the request, with those of the gateway replacing them. */
export function originHeadersOf(c: Context<GatewayEnv>, said: Said = {}): HeaderField[] {
  const {
    key = null,
    fields = c.req.raw.headers,
    encodings = toOriginEncodings(acceptedEncodings(c.req.raw)),
  } = said
  const { correlationId, traceparent } = scopeOf(c).correlation
  const own: HeaderField[] = [
    ['x-correlation-id', correlationId],
    ['traceparent', traceparent],
    ...(key === null ? [] : [['idempotency-key', key] as const]),
    ['accept-encoding', encodings],
  ]
  const replaced = new Set(own.map(([name]) => name))
  const passed = toOriginHeaders(fields)
  return [...passed.filter(([name]) => !replaced.has(foldName(name))), ...own]
}

/** The headers of a forwarded request. */
export function forwardedHeadersOf(
  { c, policy }: Exchange,
  said: Pick<Said, 'key' | 'fields'>,
): HeaderField[] {
  // The answer to one JSON-RPC call may be rewritten for another, so it must be readable.
  return originHeadersOf(c, hasMcp(policy.key) ? { ...said, encodings: IDENTITY } : said)
}
