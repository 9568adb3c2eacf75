import { type Duration, parseDuration } from '../duration.ts'

/** Options of `NotExecuted`. */
export interface NotExecutedOptions {
  /** Status of the response: 400 to 599. Default, also for any other number: 503. */
  readonly status?: number
  /** When the client should send the request again: the `Retry-After` of the response. */
  readonly retryAfter?: Duration
  /** The error that is the reason. It is not logged. */
  readonly cause?: unknown
}

const DEFAULT_STATUS = 503

const ERROR_STATUS = /^[45]\d\d$/

/**
 * Thrown by a handler that has changed nothing: the key is free again, and a retry runs the handler
 * anew. Without an error handler of the app, Hono answers with `getResponse()`, whose body is the
 * message.
 *
 * @example throw new NotExecuted('The provider is down.', { retryAfter: '30s' })
 */
export class NotExecuted extends Error {
  override readonly name = 'NotExecuted'
  readonly status: number
  /** Milliseconds, or `null`. */
  readonly retryAfterMs: number | null

  constructor(
    message = 'Nothing was executed. Send the same request again with the same key.',
    options: NotExecutedOptions = {},
  ) {
    super(message, options)
    const { status = DEFAULT_STATUS } = options
    // A malformed option must not make the outcome unknown.
    this.status = ERROR_STATUS.test(String(status)) ? status : DEFAULT_STATUS
    this.retryAfterMs = parseDuration(options.retryAfter)
  }

  /** The response of the handler. */
  getResponse(): Response {
    const response = new Response(this.message, { status: this.status })
    if (this.retryAfterMs !== null) {
      const seconds = Math.max(1, Math.ceil(this.retryAfterMs / 1_000))
      response.headers.set('Retry-After', String(seconds))
    }
    return response
  }
}

/** Whether an error is a `NotExecuted`, also of another entry of the package, which has its own copy of the class. */
export function isNotExecuted(error: unknown): error is NotExecuted {
  return error instanceof Error && error.name === 'NotExecuted' && 'retryAfterMs' in error
}
