/** Why a command ends without having done its work, in words for whoever typed it. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly exitCode: 1 | 2

  /** @param exitCode 1: it could not be done; 2: it was not asked for in the right way. */
  constructor(message: string, exitCode: 1 | 2 = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

/** The reason that an error of the platform gives, without its stack. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // `fetch` says what went wrong in the cause; of several addresses, each has its own.
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0])
  return error.cause === undefined ? error.message : reasonOf(error.cause)
}
