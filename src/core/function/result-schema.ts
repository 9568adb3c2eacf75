import { createError } from '../hapax-error.ts'

/** A schema of any library that follows Standard Schema (https://standardschema.dev), such as zod. */
export interface StandardSchema<output> {
  readonly '~standard': {
    readonly validate: (value: unknown) => Validated<output> | Promise<Validated<output>>
  }
}

type Validated<output> =
  | { readonly value: output; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] }

/** Checks a result on its way out of the ledger, and may convert it. */
export type ResultSchema<output> =
  | StandardSchema<output>
  | ((value: unknown) => output | Promise<output>)

/**
 * Checks the stored result of a function.
 *
 * @throws {HapaxError} `result-invalid`, if the schema does not accept it. It stays stored.
 */
export async function checkResult<output>(
  value: unknown,
  schema: ResultSchema<output> | undefined,
): Promise<output> {
  if (schema === undefined) return value as output
  try {
    // The schemas of some libraries are functions, which return what is wrong.
    if (!('~standard' in schema)) return await schema(value)
    const checked = await schema['~standard'].validate(value)
    if (checked.issues === undefined) return checked.value
    throw new Error(checked.issues.map(({ message }) => message).join(' '))
  } catch (cause) {
    throw createError({
      code: 'result-invalid',
      detail: 'The function was executed, but its stored result does not match the schema.',
      retry: 'never',
      cause,
    })
  }
}
