import { columnsOf, LAYOUT, type PointFacts } from '../core/metric-columns.ts'
import type { RequestFacts } from '../core/request-facts.ts'

/** The platform's limit for an index, in bytes. */
const MAX_INDEX_BYTES = 96

const BLOBS = columnsOf('blob')
const DOUBLES = columnsOf('double')

/** Converts the facts of a request to a data point (`src/core/metric-columns.ts`, `docs/metrics.md`). */
export function toDataPoint(facts: RequestFacts): AnalyticsEngineDataPoint {
  const tenant = toIndex(facts.tenant ?? '')
  const point: PointFacts = { ...facts, tenant, layout: LAYOUT }
  return {
    indexes: [tenant],
    blobs: BLOBS.map((name) => point[name] ?? ''),
    doubles: DOUBLES.map((name) => point[name]),
  }
}

function toIndex(tenant: string): string {
  // Most tenants are digests: one byte for each character, and short.
  if (tenant.length <= MAX_INDEX_BYTES && /^[ -~]*$/.test(tenant)) return tenant
  const bytes = new TextEncoder().encode(tenant)
  return new TextDecoder().decode(bytes.subarray(0, MAX_INDEX_BYTES)).replace(/\uFFFD$/, '')
}
