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
    // Most requests are not sampled.
    if (span.isTraced) span.setAttributes(attributes)
    return work()
  })
}

/** Adds a span with the result of a request, next to those of its claim and its call. */
export function traceVerdict(facts: RequestFacts): void {
  tracing.enterSpan(`hapax ${facts.status}`, (span) => {
    if (!span.isTraced) return
    span.setAttributes({
      'hapax.operation': facts.operation,
      'hapax.status': facts.status,
      'hapax.outcome': facts.outcome ?? '',
      'hapax.operation_id': facts.operationId ?? '',
      'hapax.correlation_id': facts.correlationId,
      'hapax.tenant': facts.tenant ?? '',
      'hapax.fence': facts.fence,
    })
  })
}
