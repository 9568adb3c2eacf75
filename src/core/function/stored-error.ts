/** What is stored of an error. Its stack and its other members may hold secrets. */
export interface StoredErrorForm {
  readonly name: string
  readonly message: string
  readonly code?: string | number
}

/** Picks what is stored of an error with which a function has failed for good. */
export function toStoredForm(error: unknown): StoredErrorForm {
  if (typeof error !== 'object' || error === null) return { name: 'Error', message: String(error) }
  const { name, message, code }: { name?: unknown; message?: unknown; code?: unknown } = error
  return {
    name: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? message : '',
    ...(isCode(code) && { code }),
  }
}

/** JSON has no other numbers. */
const isCode = (code: unknown): code is string | number =>
  typeof code === 'string' || Number.isFinite(code)

/** The error of an earlier execution, thrown again for a repeat: name, message and code are the same. */
export class StoredError extends Error {
  override readonly name: string
  readonly code: string | number | undefined
  /** Always `true`: the function did not run for this call. */
  readonly isReplayed = true

  constructor({ name, message, code }: StoredErrorForm) {
    super(message)
    this.name = name
    this.code = code
  }
}
