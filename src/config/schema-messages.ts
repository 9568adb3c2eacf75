import type { $ZodErrorMap } from 'zod/v4/core'

const UNITS: Readonly<Record<string, string>> = { string: 'characters', array: 'items' }

/**
 * Words the faults that schemas of this project can find, as zod does in English. The table of zod also
 * contains the kinds and formats that no schema here has.
 */
export const toSchemaMessage: $ZodErrorMap = (issue) => {
  switch (issue.code) {
    case 'invalid_type':
      return `Invalid input: expected ${issue.expected}, received ${kindOf(issue.input)}`
    case 'invalid_value':
      return issue.values.length === 1
        ? `Invalid input: expected ${toList(issue.values)}`
        : `Invalid option: expected one of ${toList(issue.values, '|')}`
    case 'too_big':
      return `Too big: expected ${toBound(issue.origin, `<=${issue.maximum}`)}`
    case 'too_small':
      return `Too small: expected ${toBound(issue.origin, `>=${issue.minimum}`)}`
    case 'unrecognized_keys':
      return `Unrecognized key${issue.keys.length > 1 ? 's' : ''}: ${toList(issue.keys, ', ')}`
    case 'invalid_key':
      return `Invalid key in ${issue.origin}`
    case 'invalid_format':
    case 'invalid_union':
    case 'invalid_element':
    case 'not_multiple_of':
    case 'custom':
      // Their schemas have texts of their own.
      return undefined
  }
}

const toList = (values: readonly unknown[], separator = '') =>
  values.map((value) => (typeof value === 'string' ? `"${value}"` : String(value))).join(separator)

function toBound(origin: string, bound: string): string {
  const unit = UNITS[origin]
  return unit === undefined ? `${origin} to be ${bound}` : `${origin} to have ${bound} ${unit}`
}

function kindOf(input: unknown): string {
  if (typeof input === 'number') return Number.isFinite(input) ? 'number' : String(input)
  if (typeof input !== 'object') return typeof input
  if (input === null) return 'null'
  const { name = 'Object' }: { readonly name?: string } = Object(input.constructor)
  return name === 'Object' || name === 'Array' ? name.toLowerCase() : name
}
