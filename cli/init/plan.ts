import path from 'node:path'

import { Failure } from '../failure.ts'
import { readVersions } from '../own-package.ts'
import { environmentNames, findWranglerConfig, type WranglerConfig } from '../wrangler/config.ts'
import { applyConfigEdits } from './apply-edits.ts'
import { toManual } from './by-hand.ts'
import { EXAMPLE_PATH } from './code-style.ts'
import { planDeployment } from './deployment.ts'
import { changeDevVars, SECRETS } from './dev-vars.ts'
import { editMain } from './edit-main.ts'
import type { ConfigEdit } from './edit.ts'
import { type FileChange, listDirectory, readProjectFile } from './files.ts'
import { decideMain } from './main-file.ts'
import { changeManifest } from './manifest.ts'
import { decideSettings } from './settings.ts'
import { readToolchain, type Toolchain, toolchainOn } from './toolchain.ts'
import { needsExtensions, notesOnTypes } from './tsconfig.ts'
import { TYPES_COMMAND, TYPES_FILE } from './types.ts'
import { wrapWorker } from './wrap-worker.ts'

/** All that `init` will do. */
export interface Plan {
  readonly changes: readonly FileChange[]
  /** What the user should know. */
  readonly notes: readonly string[]
  /** Whether the project has generated types of its bindings, which no longer fit. */
  readonly needsTypes: boolean
  /** Commands to run afterwards. */
  readonly next: readonly string[]
}

/**
 * Computes all changes of a directory. Writes nothing.
 *
 * @param nodeVersion Version of Node.js, which decides what npm installs.
 * @throws Failure When the project has a form that `init` does not change.
 */
export async function planInit(directory: string, nodeVersion: string): Promise<Plan> {
  const names = await listDirectory(directory)
  const config = names.length === 0 ? null : await findWranglerConfig(directory)
  const installed = readToolchain(path.resolve(directory))
  if (config === null) {
    const changes = await planDeployment(directory, installed ?? toolchainOn(nodeVersion))
    const isNew = changes.some(({ after }) => after.includes(EXAMPLE_PATH))
    const facts = { isTyped: true, example: isNew ? EXAMPLE_PATH : null }
    return { changes, notes: [], needsTypes: false, next: toNext(changes, names, facts) }
  }
  const toolchain = installed ?? toolchainOn('20')
  try {
    return await planProject(directory, config, toolchain)
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure(`${error.message}\n\n${toManual(path.basename(config.file), toolchain)}`)
  }
}

async function planProject(
  directory: string,
  config: WranglerConfig,
  toolchain: Toolchain,
): Promise<Plan> {
  const [manifest, devVars, tsconfig] = await Promise.all(
    ['package.json', '.dev.vars.example', 'tsconfig.json'].map((file) =>
      readProjectFile(directory, file),
    ),
  )
  if (typeof manifest !== 'string') throw new Failure('There is no package.json. Run npm init -y.')
  const main = mainOf(config)
  const settings = decideSettings(config.settings, toolchain)
  const code = await planMain(directory, main, tsconfig ?? null)
  const edits = [...settings.edits, ...(code.main === main ? [] : renameMain(config, code.main))]
  const name = path.basename(config.file)
  const changes = [
    ...toChange(
      name,
      config.text,
      applyConfigEdits(config.text, name, edits),
      edits.map(({ why }) => why),
    ),
    ...code.changes,
    ...changeManifest(manifest, { dependencies: readVersions() }),
    ...changeDevVars(devVars ?? null, SECRETS),
  ]
  const names = await listDirectory(directory)
  const isTyped = /\.[cm]?tsx?$/.test(main)
  const notes = [...settings.notes, ...(isTyped ? notesOnTypes(tsconfig ?? null) : [])]
  const needsTypes = names.includes(TYPES_FILE) && changes.some(({ file }) => file === name)
  const next = toNext(changes, names, { isTyped, example: code.example })
  return { changes, notes, needsTypes, next }
}

/** @throws Failure */
function mainOf({ settings, file }: WranglerConfig): string {
  const name = path.basename(file)
  if (settings['pages_build_output_dir'] !== undefined) {
    throw new Failure(
      `${name} is the configuration of Cloudflare Pages, which cannot export Durable Objects. Migrate to Workers: https://developers.cloudflare.com/workers/static-assets/migration-guides/migrate-from-pages/`,
    )
  }
  if (settings['no_bundle'] === true) {
    throw new Failure(`${name} sets no_bundle, so the Worker cannot import packages.`)
  }
  const { main, env = {} } = settings
  if (main === undefined) throw new Failure(`${name} has no main file.`)
  const other = environmentNames(settings).find((each) => (env[each]?.main ?? main) !== main)
  if (other === undefined) return main
  throw new Failure(`The environment ${other} has a main file of its own.`)
}

/** Changes of the code, and the main file afterwards. */
interface CodePlan {
  readonly main: string
  readonly changes: readonly FileChange[]
  /** Path of the example route, if there is one. */
  readonly example: string | null
}

async function planMain(
  directory: string,
  main: string,
  tsconfig: string | null,
): Promise<CodePlan> {
  const text = await readProjectFile(directory, main)
  if (text === null) {
    throw new Failure(
      `The main file ${main} is not there. If a build generates it, add Hapax to its source.`,
    )
  }
  const plan = decideMain(text, main)
  if (plan.kind === 'done') return { main, changes: [], example: null }
  if (plan.kind !== 'wrap') {
    const { text: after, because, example } = editMain(plan, main)
    return { main, changes: [{ file: main, before: text, after, because }], example }
  }
  const wrapper = wrapWorker(main, plan.module, needsExtensions(tsconfig))
  if ((await readProjectFile(directory, wrapper.file)) !== null) {
    throw new Failure(`${wrapper.file} is already there.`)
  }
  const { file, text: after, because } = wrapper
  return { main: file, changes: [{ file, before: null, after, because }], example: EXAMPLE_PATH }
}

function renameMain({ settings }: WranglerConfig, main: string): ConfigEdit[] {
  const named = environmentNames(settings).filter(
    (name) => settings.env?.[name]?.main !== undefined,
  )
  const paths = [['main'], ...named.map((name) => ['env', name, 'main'])]
  const why = `Main file ${main}: it calls the old one.`
  return paths.map((each) => ({ kind: 'set', path: each, value: main, why }))
}

function toChange(
  file: string,
  before: string,
  after: string,
  because: readonly string[],
): FileChange[] {
  return before === after ? [] : [{ file, before, after, because }]
}

/** Lock files of package managers other than npm. */
const LOCK_FILES = {
  'bun.lock': 'bun',
  'bun.lockb': 'bun',
  'pnpm-lock.yaml': 'pnpm',
  'yarn.lock': 'yarn',
}

function toNext(
  changes: readonly FileChange[],
  names: readonly string[],
  { isTyped, example }: { readonly isTyped: boolean; readonly example: string | null },
): string[] {
  if (changes.length === 0) return []
  const [, manager = 'npm'] =
    Object.entries(LOCK_FILES).find(([file]) => names.includes(file)) ?? []
  const isInstall = changes.some(({ file }) => file === 'package.json')
  return [
    ...(isInstall ? [`${manager} install`] : []),
    ...(isTyped ? [TYPES_COMMAND] : []),
    'npx wrangler dev',
    ...(example === null ? [] : [toRequest(example)]),
  ]
}

const toRequest = (at: string) =>
  `curl -i -X POST http://localhost:8787${at} -H 'Authorization: Bearer me' -H 'Idempotency-Key: 1'   # twice: both responses have the same id`
