import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

import { vi } from 'vitest'

import { doctor } from '../../../../cli/doctor.ts'
import type { Finding } from '../../../../cli/doctor/finding.ts'
import type { Report } from '../../../../cli/doctor/report.ts'

/** Texts by file name. */
export type Files = Readonly<Record<string, string>>

export const MAIN = `import { createGateway, createWorker, credential, protect } from 'hapax'
export { DirectoryObject, IdempotencyObject } from 'hapax'
const app = createGateway({ tenant: credential('Authorization') })
app.post('/payments', protect())
export default createWorker(app)
`

export const TOML = `name = "shop"
main = "src/index.ts"
compatibility_date = "2026-10-15"
compatibility_flags = ["global_fetch_strictly_public"]

[vars]
ORIGIN_URL = "https://api.example.com"

[[durable_objects.bindings]]
name = "OPERATIONS"
class_name = "IdempotencyObject"

[[durable_objects.bindings]]
name = "DIRECTORY"
class_name = "DirectoryObject"

[exports.DirectoryObject]
type = "durable-object"
storage = "sqlite"

[exports.IdempotencyObject]
type = "durable-object"
storage = "sqlite"

[[analytics_engine_datasets]]
binding = "METRICS"
dataset = "hapax"
`

export const JSONC = `{
  // The shop.
  "name": "shop",
  "main": "src/index.ts",
  "compatibility_date": "2026-10-15",
  "compatibility_flags": ["global_fetch_strictly_public"],
  "vars": { "ORIGIN_URL": "https://api.example.com" },
  "durable_objects": {
    "bindings": [
      { "name": "OPERATIONS", "class_name": "IdempotencyObject" },
      { "name": "DIRECTORY", "class_name": "DirectoryObject" },
    ],
  },
  "migrations": [
    { "tag": "v1", "new_sqlite_classes": ["IdempotencyObject", "DirectoryObject"] },
  ],
  "analytics_engine_datasets": [{ "binding": "METRICS", "dataset": "hapax" }],
}
`

/** A project with one problem, and what is found of it. */
export interface Case {
  readonly when: string
  readonly files: Files
  readonly args?: readonly string[]
  readonly expected: Partial<Finding>
}

/** A project without a problem. */
export const GOOD: Files = {
  'wrangler.toml': TOML,
  'src/index.ts': MAIN,
  '.dev.vars': `HAPAX_DIGEST_KEY="${'d'.repeat(32)}"\n`,
  'node_modules/workerd/package.json': '{ "version": "1.20261023.1" }',
  'node_modules/wrangler/config-schema.json': '{ "definitions": { "DurableObjectExport": {} } }',
}

/** The same with a configuration in JSONC. */
export const GOOD_JSONC: Files = { ...without(GOOD, 'wrangler.toml'), 'wrangler.jsonc': JSONC }

export function without(files: Files, name: string): Files {
  return Object.fromEntries(Object.entries(files).filter(([one]) => one !== name))
}

/** What the command prints, and its exit code. */
export interface Run {
  readonly out: string
  readonly code: number
}

/** Runs the command in a directory with these files. */
export async function runDoctor(files: Files, ...args: readonly string[]): Promise<Run> {
  const directory = mkdtempSync(path.join(tmpdir(), 'hapax-doctor-'))
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(directory, name)), { recursive: true })
    writeFileSync(path.join(directory, name), text)
  }
  const written: string[] = []
  const spy = vi
    .spyOn(process.stdout, 'write')
    .mockImplementation((text) => written.push(String(text)) > 0)
  const before = process.exitCode
  try {
    await doctor([directory, ...args])
    return { out: written.join(''), code: Number(process.exitCode ?? 0) }
  } finally {
    process.exitCode = before
    spy.mockRestore()
    rmSync(directory, { recursive: true })
  }
}

/** Returns the report about these files. Asks no origin. */
export async function examine(files: Files, ...args: readonly string[]): Promise<Report> {
  const { out } = await runDoctor(files, '--json', '--offline', ...args)
  return JSON.parse(out) as Report
}

/** Returns the findings about these files. */
export async function findingsOf(
  files: Files,
  ...args: readonly string[]
): Promise<readonly Finding[]> {
  return (await examine(files, ...args)).findings
}
