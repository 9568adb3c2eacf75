import { waitUntil } from 'cloudflare:workers'

import { logFault } from './log.ts'

/**
 * Sends a point to another engine as well. For development: the local binding of Analytics Engine
 * drops every point.
 */
export function sendPoint(url: string, point: AnalyticsEngineDataPoint): void {
  const body = JSON.stringify([{ ...point, timestamp: Date.now() }])
  const headers = { 'Content-Type': 'application/json' }
  const sent = fetch(url, { method: 'POST', headers, body }).then((response) =>
    response.body?.cancel(),
  )
  waitUntil(sent.catch((error: unknown) => logFault('a data point was not sent', error)))
}
