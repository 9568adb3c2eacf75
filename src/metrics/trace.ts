import { tracing } from 'cloudflare:workers'

import type { RequestFacts } from '../core/request-facts.ts'

type Attributes = Readonly<Record<string, string | number | undefined>>

/**
 * Makes a span of a piece of work: the platform's tracing nests it, samples it and exports it by
 * OpenTelemetry where the deployment says so. No key, no body, no credential is an attribute.
 */
export function traced<result>(
  name: string,
  attributes: Attributes,
  work: () => Promise<result>,
): Promise<result> {
  return tracing.enterSpan(name, (span) => {
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== undefined) span.setAttribute(key, value)
    }
    return work()
  })
}

/** A span of its own that says what became of a request: beside its claim and its call, under its invocation. */
export function traceVerdict(facts: RequestFacts): void {
  tracing.enterSpan(`hapax ${facts.status}`, (span) => {
    span.setAttribute('hapax.operation', facts.operation)
    span.setAttribute('hapax.status', facts.status)
    span.setAttribute('hapax.outcome', facts.outcome ?? '')
    span.setAttribute('hapax.operation_id', facts.operationId ?? '')
    span.setAttribute('hapax.correlation_id', facts.correlationId)
    span.setAttribute('hapax.tenant', facts.tenant ?? '')
    span.setAttribute('hapax.fence', facts.fence)
  })
}
