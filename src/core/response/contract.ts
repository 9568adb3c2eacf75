import type { KeyScope, KeySource } from '../request/key-source.ts'
import type { Preset } from './preset.ts'
import type { ProblemSlug } from './problem.ts'
import type { RetryWord } from './retry-word.ts'

/** What a deployment promises about its protected routes, as machines read it. */
export interface Contract {
  /** Version of this document's form. */
  readonly version: 1
  readonly operations: readonly ContractOperation[]
}

/** One protected route. Times are seconds, sizes are bytes. */
export interface ContractOperation {
  /** Its name in records and metrics. */
  readonly operation: string
  /** `ALL` where the route takes every method. */
  readonly method: string
  /** Methods that are protected; absent: `method`, or where that is `ALL` every one, safe ones only with a key. */
  readonly methods?: readonly string[]
  /** Hono's pattern, such as `/orders/:id/status`. */
  readonly path: string
  readonly mode: 'enforce' | 'observe'
  /** `false` if no `hapax()` precedes the route, which then refuses every request. Else it is absent. */
  readonly tenant?: boolean
  readonly preset: Preset
  readonly key: {
    readonly required: boolean
    /** Tried in this order. */
    readonly sources: readonly ContractKeySource[]
    readonly format: 'any' | 'uuid' | 'pattern'
    /** What a key must match, as ECMAScript writes it; only where that is the format. */
    readonly pattern?: string
    /** The flags of the pattern. */
    readonly flags?: string
    readonly minLength: number
    readonly maxLength: number
  }
  /** How long a result is replayed, from the end of the operation. */
  readonly retentionSeconds: number
  /** How long after that a late retry is refused. */
  readonly tombstoneSeconds: number
  /** How long a duplicate waits for the call that runs. */
  readonly waitSeconds: number
  readonly timeoutSeconds: number
  readonly fingerprint: {
    readonly version: string
    readonly ignore: readonly string[]
    readonly dates: readonly string[]
    readonly headers: readonly string[]
    readonly query: boolean | { readonly ignore: readonly string[] }
    /**
     * What is compared instead: nothing but the operation, or a value that the route makes of the
     * request, beside method and path.
     */
    readonly by?: 'nothing' | 'function'
  }
  readonly limits: { readonly requestBytes: number; readonly responseBytes: number }
  /** What is done about an outcome that nobody knows. */
  readonly unknown: 'hold' | 'probe' | 'resend'
  /**
   * Under `probe`: how long after a call was given up the API's word that it was not executed does
   * not count.
   */
  readonly probeGraceSeconds?: number
  /** Whether `Prefer: respond-async` is obeyed from the first request on. */
  readonly respondAsync: boolean
  /** What may be answered instead of the operation's own answer. */
  readonly problems: readonly {
    readonly type: ProblemSlug
    readonly status: number
    readonly title: string
    readonly retry: RetryWord
  }[]
}

/** Where a key is read from: what clients need to know of a source. Documents of earlier versions have no scope. */
export type ContractKeySource = Told<KeySource>

type Told<source> = source extends KeySource
  ? { readonly scope?: KeyScope } & {
      readonly [member in Exclude<keyof source, 'scope' | 'read' | 'code' | 'concurrency'>]: Frozen<
        source[member]
      >
    }
  : never

type Frozen<value> = value extends string[] ? readonly string[] : value
