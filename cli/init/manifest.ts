import { parse as parseJsonc, type ParseError } from 'jsonc-parser'
import * as z from 'zod'

import { Failure } from '../failure.ts'
import { toJsoncCandidates } from './edit-jsonc.ts'
import type { ConfigEdit } from './edit.ts'
import type { FileChange } from './files.ts'

const names = z.record(z.string(), z.string()).optional()
const Manifest = z.looseObject({
  scripts: names,
  dependencies: names,
  devDependencies: names,
  peerDependencies: names,
})

/** A package.json. */
type Manifest = z.infer<typeof Manifest>

/** Parses a package.json. @throws Failure */
function parseManifest(text: string): Manifest {
  const errors: ParseError[] = []
  const parsed = Manifest.safeParse(parseJsonc(text, errors))
  if (errors.length === 0 && parsed.success) return parsed.data
  throw new Failure('package.json could not be parsed.')
}

/** Fields that a package.json should have. */
export interface Wanted {
  readonly scripts?: Readonly<Record<string, string>>
  readonly dependencies: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
}

/** Adds the scripts and dependencies that a package.json does not have, whatever their version. */
export function changeManifest(before: string, wanted: Wanted): FileChange[] {
  const manifest = parseManifest(before)
  const present = {
    ...manifest.peerDependencies,
    ...manifest.devDependencies,
    ...manifest.dependencies,
  }
  const edits = Object.entries(wanted).flatMap(([field, entries]) => {
    const known = field === 'scripts' ? (manifest.scripts ?? {}) : present
    return Object.entries(entries as Record<string, string>)
      .filter(([name]) => !Object.hasOwn(known, name))
      .map(([name, value]) => toEdit(field, name, value))
  })
  if (edits.length === 0) return []
  const after = edits.reduce((text, edit) => toJsoncCandidates(text, edit)[0]?.() ?? text, before)
  return [{ file: 'package.json', before, after, because: edits.map(({ why }) => why) }]
}

function toEdit(field: string, name: string, value: string): ConfigEdit {
  const why = field === 'scripts' ? `Script ${name}: ${value}.` : `Dependency ${name}.`
  return { kind: 'set', path: [field, name], value, why }
}
