import type { OutcomeDirective } from './outcome.ts'

/** What an origin may say of an operation in the headers of its answer. */
export interface OriginDirectives {
  /** `Idempotency-Outcome: executed | not-executed`, or `null`. */
  readonly outcome: OutcomeDirective | null
  /** `false` for `Idempotency-Store: no-store`: that it was executed is remembered, the answer is not. */
  readonly isStorable: boolean
  /** `Idempotency-Store: max-age=…` in milliseconds, or `null`: the route's retention holds. */
  readonly retentionMs: number | null
  /** `Idempotency-Result-Status` of a status resource, or `null`. */
  readonly resultStatus: number | null
}

const MAX_AGE = /(?:^|,)\s*max-age\s*=\s*"?(\d{1,9})"?\s*(?=$|,)/i
const NO_STORE = /(?:^|,)\s*no-store\s*(?=$|,)/i
/** What was executed is remembered for a moment at least: a retry may be on its way already. */
const MIN_RETENTION_MS = 1_000

const STATUS = /^[2-5]\d\d$/

/** Reads them; what is not understood counts as not said. */
export function readOriginDirectives(headers: Headers): OriginDirectives {
  const store = headers.get('idempotency-store') ?? ''
  const resultStatus = headers.get('idempotency-result-status') ?? ''
  const [, seconds] = MAX_AGE.exec(store) ?? []
  return {
    outcome: parseOutcome(headers.get('idempotency-outcome')),
    isStorable: !NO_STORE.test(store),
    retentionMs: seconds === undefined ? null : Math.max(MIN_RETENTION_MS, Number(seconds) * 1_000),
    resultStatus: STATUS.test(resultStatus) ? Number(resultStatus) : null,
  }
}

function parseOutcome(value: string | null): OutcomeDirective | null {
  const word = value?.trim().toLowerCase()
  return word === 'executed' || word === 'not-executed' ? word : null
}
