import { stringify } from 'yaml'

import { toVisible } from '../src/core/visible.ts'
import { toOpenApiFragment, type OpenApiFragment } from '../src/operators/protected-openapi.ts'
import { Failure, reasonOf } from './failure.ts'
import { isObject, type JsonObject } from './openapi/json.ts'
import { mergeOpenApi, type MergeOptions } from './openapi/merge.ts'
import { rewrite } from './openapi/rewrite.ts'
import { parseOptions } from './parse-options.ts'
import { print, printDocument, printError } from './print.ts'
import { readContract } from './read-contract.ts'
import { parseText, readText, writeText } from './text-file.ts'

const HELP = `Usage: hapax openapi --from <contract> [--into <document>] [--out <file>]

Exports the idempotency contract of a deployment as OpenAPI.

  --from <URL|file>  URL of a deployment, or URL or file of its contract
                     (/.well-known/idempotency)
  --into <file>      merge into this OpenAPI 3 document (JSON or YAML) and print the result.
                     The document changes only if --out names it
  --prefix <path>    gateway path that contains the document's paths
                     (default: taken from its servers)
  --add              add operations that the document does not have (default: report them)
  --out <file>       write to this file instead of standard output
  -h, --help         show this help
`

const OPTIONS = {
  from: { type: 'string' },
  into: { type: 'string' },
  prefix: { type: 'string' },
  add: { type: 'boolean' },
  out: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

/** `hapax openapi`: the contract as OpenAPI, alone or merged into a document. @throws Failure */
export async function openapi(args: string[]): Promise<void> {
  const asked = parseOptions({ args, options: OPTIONS }, HELP).values
  if (asked.help) {
    print(HELP)
    return
  }
  if (asked.from === undefined) throw new Failure(`--from is required.\n\n${HELP}`, 2)
  if (asked.into === undefined && (asked.add || asked.prefix !== undefined)) {
    throw new Failure('--add and --prefix require --into.', 2)
  }
  const fragment = toFragment(await readContract(asked.from), asked.from)
  const text =
    asked.into === undefined
      ? write(fragment, asked.out)
      : await merged(asked.into, fragment, {
          ...(asked.prefix !== undefined && { prefix: asked.prefix }),
          missing: asked.add ? 'add' : 'report',
        })
  if (asked.out === undefined) printDocument(text)
  else await writeText(asked.out, text)
}

function toFragment(
  contract: Parameters<typeof toOpenApiFragment>[0],
  from: string,
): OpenApiFragment {
  try {
    return toOpenApiFragment(contract)
  } catch (error) {
    // A pattern in a path is not a regular expression.
    throw new Failure(toVisible(`${from} contains an invalid path: ${reasonOf(error)}`))
  }
}

function write(fragment: OpenApiFragment, out = ''): string {
  if (/\.ya?ml$/i.test(out))
    return stringify(fragment, { lineWidth: 0, aliasDuplicateObjects: false })
  return `${JSON.stringify(fragment, null, 2)}\n`
}

async function merged(
  file: string,
  fragment: OpenApiFragment,
  options: MergeOptions,
): Promise<string> {
  const text = await readText(file)
  const before = toDocument(parseText(text, file), file)
  const { document, notes } = mergeOpenApi(before, fragment, options)
  for (const note of notes) printError(`hapax: ${toVisible(note)}\n`)
  return rewrite(text, before, document)
}

function toDocument(value: unknown, file: string): JsonObject {
  if (isObject(value)) {
    const { openapi: version, swagger } = value
    if (/^3\.\d/.test(String(version))) return value
    const found = version ?? swagger
    if (found !== undefined) {
      throw new Failure(
        toVisible(`${file} is OpenAPI ${JSON.stringify(found)}; the version must be 3.0 or later.`),
      )
    }
  }
  throw new Failure(toVisible(`${file} is not an OpenAPI document: it has no \`openapi: 3.x\`.`))
}
