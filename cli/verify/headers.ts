import { Failure } from '../failure.ts'

const FIELD = /^([!#$%&'*+.^_`|~\w-]+):\s*(.*)$/s
const VARIABLE = /\$\{(\w+)\}/g

/**
 * Reads headers that are written as `Name: value`. `${NAME}` in a value is a variable of the
 * environment, so that a secret need not be an argument, which other users of the machine can read.
 *
 * @returns Values by name, in lower case.
 * @throws Failure which never contains a value.
 */
export function readHeaders(
  texts: readonly string[],
  environment: NodeJS.ProcessEnv,
): Record<string, string> {
  return Object.fromEntries(texts.map((text) => readHeader(text, environment)))
}

function readHeader(text: string, environment: NodeJS.ProcessEnv): [string, string] {
  const [, name, written = ''] = FIELD.exec(text) ?? []
  if (name === undefined) throw new Failure("--header must be written as 'Name: value'.", 2)
  const value = written.replaceAll(VARIABLE, (_, variable: string) => {
    const found = environment[variable]
    if (found) return found
    throw new Failure(`The header ${name} needs ${variable}, which is not set.`, 2)
  })
  // `fetch` would report any other character with the value in its message.
  if (/^[\t -~]*$/.test(value)) return [name.toLowerCase(), value]
  throw new Failure(`The value of the header ${name} must be ASCII without line breaks.`, 2)
}
