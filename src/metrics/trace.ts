import { tracing } from 'cloudflare:workers'

import type { RequestFacts } from '../core/request-facts.ts'

type Attributes = Readonly<Record<string, string | number | undefined>>

/**
 * Runs work in a span of the platform's tracing, which samples and exports it by the deployment's
 * configuration. Attributes must not contain a key, body or credential.
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

/** Adds a span with the result of a request, next to those of its claim and its call. */
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
