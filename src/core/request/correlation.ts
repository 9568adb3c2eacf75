/** Links a request with its log line, its record, the origin's call and the response. */
export interface Correlation {
  readonly correlationId: string
  /** W3C Trace Context, version 00. */
  readonly traceparent: string
}

/** Letters that are safe in logs, headers and queries. */
const CORRELATION_ID = /^[\w.:=+/-]{1,128}$/
const TRACEPARENT = /^(?!ff)[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-[\da-f]{2}(?:$|-)/
const NO_TRACE = /^0+$/

/**
 * Takes the correlation id from `X-Correlation-Id`, else from the trace id of `traceparent` (W3C Trace
 * Context §3.2), else from `newId`, a random UUID. A value that is not safe for a log line is replaced.
 */
export function readCorrelation(headers: Headers, newId: () => string): Correlation {
  const own = headers.get('x-correlation-id') ?? ''
  const incoming = headers.get('traceparent') ?? ''
  const traceId = parseTraceId(incoming)
  const fresh = newId()
  const correlationId = CORRELATION_ID.test(own) ? own : (traceId ?? fresh)
  const traceparent = traceId === null ? toTraceparent(fresh, newId()) : incoming
  return { correlationId, traceparent }
}

/** The trace id of a `traceparent`; empty where it has none. */
export function traceIdOf(traceparent: string): string {
  return parseTraceId(traceparent) ?? ''
}

function parseTraceId(traceparent: string): string | null {
  const [, traceId, parentId] = TRACEPARENT.exec(traceparent) ?? []
  if (traceId === undefined || parentId === undefined) return null
  return NO_TRACE.test(traceId) || NO_TRACE.test(parentId) ? null : traceId
}

function toTraceparent(traceUuid: string, spanUuid: string): string {
  return `00-${toHex(traceUuid)}-${toHex(spanUuid).slice(-16)}-01`
}

const toHex = (uuid: string): string => uuid.replaceAll('-', '')
