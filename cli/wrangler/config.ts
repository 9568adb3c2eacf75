import { readdir } from 'node:fs/promises'
import path from 'node:path'

import { parse as parseToml } from '@decimalturn/toml-patch'
import { type ParseError, parse as parseJsonc, printParseErrorCode } from 'jsonc-parser'
import * as z from 'zod'

import { toVisible, toVisibleLines } from '../../src/core/visible.ts'
import { Failure, reasonOf } from '../failure.ts'
import { readText } from '../text-file.ts'

const words = z.array(z.string())

const DurableObjectBinding = z.looseObject({
  name: z.string(),
  class_name: z.string(),
  script_name: z.string().optional(),
})

const Migration = z.looseObject({
  tag: z.string(),
  new_classes: words.optional(),
  new_sqlite_classes: words.optional(),
  deleted_classes: words.optional(),
  renamed_classes: z.array(z.looseObject({ from: z.string(), to: z.string() })).optional(),
  transferred_classes: z.array(z.looseObject({ to: z.string() })).optional(),
})

const DeclaredExport = z.looseObject({
  type: z.string(),
  storage: z.string().optional(),
  state: z.string().optional(),
})

const environment = {
  name: z.string().optional(),
  main: z.string().optional(),
  compatibility_date: z.string().optional(),
  compatibility_flags: words.optional(),
  vars: z.record(z.string(), z.unknown()).optional(),
  secrets: z.looseObject({ required: words.optional() }).optional(),
  durable_objects: z.looseObject({ bindings: z.array(DurableObjectBinding).optional() }).optional(),
  migrations: z.array(Migration).optional(),
  exports: z.record(z.string(), DeclaredExport).optional(),
  analytics_engine_datasets: z
    .array(z.looseObject({ binding: z.string(), dataset: z.string().optional() }))
    .optional(),
  services: z
    .array(
      z.looseObject({
        binding: z.string(),
        service: z.string(),
        entrypoint: z.string().optional(),
      }),
    )
    .optional(),
  r2_buckets: z.array(z.looseObject({ binding: z.string() })).optional(),
}

const EnvironmentSchema = z.looseObject(environment)
const ConfigSchema = z.looseObject({
  ...environment,
  env: z.record(z.string(), EnvironmentSchema).optional(),
})

/** The settings of one environment: what Hapax reads of them, and all other fields as they are. */
export type WranglerEnvironment = z.infer<typeof EnvironmentSchema>

/** A whole configuration. Its own fields belong to the default environment. */
export type WranglerSettings = z.infer<typeof ConfigSchema>

/** A migration of Durable Object classes. */
export type WranglerMigration = z.infer<typeof Migration>

/** The configuration file of a project. */
export interface WranglerConfig {
  readonly file: string
  readonly format: 'json' | 'toml'
  readonly text: string
  readonly settings: WranglerSettings
}

/** The names that Wrangler looks for, in its order. */
const FILE_NAMES = ['wrangler.json', 'wrangler.jsonc', 'wrangler.toml'] as const

/**
 * Finds and parses the Wrangler configuration of a directory. Returns `null` if there is none.
 *
 * @throws Failure When there is more than one, or when it is invalid.
 */
export async function findWranglerConfig(directory: string): Promise<WranglerConfig | null> {
  const present = await readdir(directory).catch((error: unknown) => {
    throw new Failure(toVisible(`${directory} could not be read: ${reasonOf(error)}`))
  })
  const [name, ...others] = FILE_NAMES.filter((one) => present.includes(one))
  if (name === undefined) return null
  if (others.length > 0) {
    throw new Failure(
      `The project has ${[name, ...others].join(' and ')}. Wrangler reads only ${name}. Delete the file that you do not use.`,
    )
  }
  return readWranglerConfig(path.join(directory, name))
}

async function readWranglerConfig(file: string): Promise<WranglerConfig> {
  const text = await readText(file)
  const format = file.endsWith('.toml') ? 'toml' : 'json'
  return { file, format, text, settings: parseWranglerConfig(text, path.basename(file)) }
}

/**
 * Parses a configuration.
 *
 * @param name Name of the file, which also decides whether it is TOML.
 * @throws Failure When it cannot be parsed, or when a field has a wrong type.
 */
export function parseWranglerConfig(text: string, name: string): WranglerSettings {
  const raw = name.endsWith('.toml') ? fromToml(text, name) : fromJsonc(text, name)
  const parsed = ConfigSchema.safeParse(raw)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new Failure(
    toVisible(`${name} is invalid: ${issue?.path.join('.') || 'the file'}: ${issue?.message}`),
  )
}

function fromToml(text: string, name: string): unknown {
  try {
    return parseToml(text)
  } catch (error) {
    throw new Failure(toVisibleLines(`${name} is not valid TOML: ${reasonOf(error)}`))
  }
}

function fromJsonc(text: string, name: string): unknown {
  const errors: ParseError[] = []
  const value: unknown = parseJsonc(text, errors, { allowTrailingComma: true })
  const [error] = errors
  if (error === undefined) return value
  const line = text.slice(0, error.offset).split('\n').length
  throw new Failure(
    `${name} is not valid JSONC: ${printParseErrorCode(error.error)} in line ${line}.`,
  )
}

/** Fields that a named environment does not inherit, from the validation of Wrangler 4.155. */
const NOT_INHERITED = new Set(
  `agent_memory ai ai_search ai_search_namespaces analytics analytics_engine_datasets artifacts browser
  cloudchamber connect containers d1_databases define dispatch_namespaces durable_objects flagship
  hyperdrive images k2 kv_namespaces media mtls_certificates pipelines queues r2_buckets ratelimits
  secrets secrets_store_secrets send_email services stream streaming_tail_consumers tail_consumers
  unsafe unsafe_hello_world vars vectorize version_metadata vpc_networks vpc_services worker_loaders
  workflows`.split(/\s+/),
)

/** Returns the names of the named environments, in their order. */
export function environmentNames(settings: WranglerSettings): string[] {
  return Object.keys(settings.env ?? {})
}

/**
 * Returns the settings of an environment as Wrangler resolves them: bindings and variables are the
 * environment's own, and all other fields come from the top level unless the environment sets them.
 * This includes `migrations` and `exports`, of which an environment's own replace all others.
 *
 * @param name Name of the environment. Without one, it is the default environment.
 * @throws Failure When there is no such environment.
 */
export function resolveEnvironment(
  settings: WranglerSettings,
  name: string | undefined,
): WranglerEnvironment {
  const { env = {}, ...top } = settings
  if (name === undefined) return top
  const own = Object.hasOwn(env, name) ? env[name] : undefined
  if (own === undefined) {
    const known = Object.keys(env).join(', ') || 'none'
    throw new Failure(
      toVisible(`There is no environment ${name} in the configuration. Known: ${known}.`),
      2,
    )
  }
  const inherited = Object.entries(top).filter(([field]) => !NOT_INHERITED.has(field))
  const withName = top.name === undefined ? {} : { name: `${top.name}-${name}` }
  return { ...Object.fromEntries(inherited), ...withName, ...own }
}

type Storage = 'kv' | 'sqlite' | 'transferred'

/** Returns the Durable Object classes that a migration history leaves, with their storage. */
export function migratedClasses(
  migrations: readonly WranglerMigration[],
): ReadonlyMap<string, Storage> {
  const classes = new Map<string, Storage>()
  for (const migration of migrations) migrate(classes, migration)
  return classes
}

function migrate(classes: Map<string, Storage>, migration: WranglerMigration): void {
  const add = (names: readonly string[] | undefined, storage: Storage) => {
    for (const name of names ?? []) classes.set(name, storage)
  }
  add(migration.new_classes, 'kv')
  add(migration.new_sqlite_classes, 'sqlite')
  const transferred = migration.transferred_classes?.map(({ to }) => to)
  add(transferred, 'transferred')
  for (const { from, to } of migration.renamed_classes ?? []) {
    classes.set(to, classes.get(from) ?? 'sqlite')
    classes.delete(from)
  }
  for (const name of migration.deleted_classes ?? []) classes.delete(name)
}
