import type { RequestFacts } from './request-facts.ts'

/** Bump when a column changes its meaning; queries filter on it. */
const SCHEMA_VERSION = 1

/** The platform's limit for an index, in bytes; a name in ASCII has as many letters. */
const MAX_INDEX_BYTES = 96

/**
 * Lays a request out as a data point, as `docs/metrics.md` says. Queries address columns by
 * position, so they are appended to, never reordered.
 *
 * The index is the tenant: the platform samples per index, so that a loud tenant does not hide
 * a quiet one.
 */
export function toDataPoint(facts: RequestFacts): AnalyticsEngineDataPoint {
  const tenant = toIndex(facts.tenant ?? '')
  return {
    indexes: [tenant],
    blobs: [
      facts.operation, // blob1
      facts.method, // blob2
      facts.status, // blob3
      facts.problem ?? '', // blob4
      facts.outcome ?? '', // blob5
      tenant, // blob6
      facts.correlationId, // blob7
      facts.operationId ?? '', // blob8
      facts.settle ?? '', // blob9
      facts.wouldBe ?? '', // blob10
      facts.keySource ?? '', // blob11
      facts.disposition ?? '', // blob12
      facts.traceId, // blob13
    ],
    doubles: [
      SCHEMA_VERSION, // double1
      facts.httpStatus, // double2
      facts.fence, // double3
      facts.totalMs, // double4
      facts.claimMs, // double5
      facts.originMs, // double6
      facts.waitedMs, // double7
      facts.ageMs, // double8
      facts.requestBytes, // double9
      facts.originCalls, // double10
    ],
  }
}

function toIndex(tenant: string): string {
  const bytes = new TextEncoder().encode(tenant)
  return new TextDecoder().decode(bytes.subarray(0, MAX_INDEX_BYTES)).replace(/\uFFFD$/, '')
}
