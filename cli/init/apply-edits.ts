import path from 'node:path'
import { isDeepStrictEqual } from 'node:util'

import { Failure } from '../failure.ts'
import { parseWranglerConfig } from '../wrangler/config.ts'
import { toJsoncCandidates } from './edit-jsonc.ts'
import { toTomlCandidates } from './edit-toml.ts'
import { applyTo, type ConfigEdit } from './edit.ts'

/**
 * Applies changes to the text of a configuration. Comments, order and formatting stay. Parses the
 * result to verify that nothing else changed.
 *
 * @throws Failure When a change cannot be made without touching other fields.
 */
export function applyConfigEdits(text: string, file: string, edits: readonly ConfigEdit[]): string {
  const name = path.basename(file)
  const toCandidates = name.endsWith('.toml') ? toTomlCandidates : toJsoncCandidates
  return edits.reduce((before, edit) => {
    const wanted = applyTo(parse(before, name), edit)
    const after = toCandidates(before, edit)
      .map((candidate) => attempt(candidate))
      .find(
        (each) =>
          each !== null &&
          isDeepStrictEqual(
            attempt(() => parse(each, name)),
            wanted,
          ),
      )
    if (typeof after === 'string') return after
    throw new Failure(
      `${name} could not be changed at ${edit.path.join('.')} without changing other fields.`,
    )
  }, text)
}

/** As plain objects: a parser may give them another prototype. */
const parse = (text: string, name: string): unknown =>
  structuredClone(parseWranglerConfig(text, name))

function attempt<T>(make: () => T): T | null {
  try {
    return make()
  } catch {
    return null
  }
}
