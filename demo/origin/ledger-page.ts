/** What a side effect is called in the ledger. */
export type EffectKind = 'payment' | 'finalize' | 'ticket' | 'order-status' | 'grant' | 'contact'

/** A side effect as it goes into the ledger. */
export interface NewEffect {
  kind: EffectKind
  /** The `Idempotency-Key` that came with the request, which this API ignores; null without one. */
  key: string | null
  /** The `Idempotency-Attempt` that came with the request. */
  attempt: number | null
  /** What was made or changed. */
  id: string
}

/** A side effect as the ledger shows it. */
export interface Effect extends NewEffect {
  /** Epoch milliseconds. */
  at: number
}

/** Everything that the API ever did. */
export interface LedgerPage {
  /** Requests that reached a route with a side effect, whether it happened or not. */
  calls: number
  /** Side effects by kind. */
  counts: Partial<Record<EffectKind, number>>
  effects: Effect[]
  /** Every `Authorization` that came with these requests. */
  credentials: string[]
}
