import { waitUntil } from 'cloudflare:workers'

import { hasMetrics } from '../config/deployed-metrics.ts'
import type { HapaxEnv } from '../config/env.ts'
import type { RequestFacts } from '../core/request-facts.ts'
import { toDataPoint } from './data-point.ts'
import { logFault, logRequest } from './log.ts'
import { traceVerdict } from './trace.ts'

/** Writes the data point and the log line of a request. A failure must not affect the answer. */
export function recordRequest(env: HapaxEnv, facts: RequestFacts): void {
  logRequest(facts)
  try {
    traceVerdict(facts)
    const point = toDataPoint(facts)
    if (hasMetrics()) env.METRICS.writeDataPoint(point)
    if (env.HAPAX_POINTS_URL) sendPoint(env.HAPAX_POINTS_URL, point)
  } catch (error) {
    logFault('a data point could not be written', error)
  }
}

/** Also sends a point to a local engine, for development: the local binding drops every point. */
function sendPoint(url: string, point: AnalyticsEngineDataPoint): void {
  const body = JSON.stringify([{ ...point, timestamp: Date.now() }])
  const headers = { 'Content-Type': 'application/json' }
  const sent = fetch(url, { method: 'POST', headers, body }).then((response) =>
    response.body?.cancel(),
  )
  waitUntil(sent.catch((error: unknown) => logFault('a data point was not sent', error)))
}
