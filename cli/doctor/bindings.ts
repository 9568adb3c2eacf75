import { BINDINGS, DATASET } from '../wrangler/bindings.ts'
import { migratedClasses } from '../wrangler/config.ts'
import { inheritedPath, ownPath, toAddTable, toAppend, toSet } from './change.ts'
import type { Finding } from './finding.ts'
import type { Project } from './project.ts'
import type { SourceFacts } from './source.ts'

type ObjectBinding = (typeof BINDINGS)[number]

const PURPOSE: Readonly<Record<ObjectBinding['name'], string>> = {
  OPERATIONS: 'Hapax keeps each operation in an object of this class.',
  DIRECTORY: 'Hapax lists stuck operations and dead letters in this object.',
}

/** Checks that the bindings are there, and that each has the right class or type. */
export function checkBindings(project: Project): Finding[] {
  const objects = BINDINGS.flatMap((binding) => checkObject(project, binding))
  return [...objects, ...checkMetrics(project)]
}

const bindingsOf = ({ settings }: Project) => settings.durable_objects?.bindings ?? []

function checkObject(project: Project, { name, class_name: expected }: ObjectBinding): Finding[] {
  const { config } = project
  const target = ownPath(project, ['durable_objects', 'bindings'])
  const index = bindingsOf(project).findIndex((binding) => binding.name === name)
  const found = bindingsOf(project)[index]
  if (found === undefined) {
    return [
      {
        rule: 'binding-missing',
        severity: 'error',
        what: `The binding ${name} is missing${inEnvironment(project)}.`,
        why: `${PURPOSE[name]} Without it, every protected request fails with gateway-misconfigured.${notInherited(project)}`,
        change: toAppend(config, target, { name, class_name: expected }),
      },
    ]
  }
  const other = originOf(project, found.class_name)
  if (other === null || other === expected || found.script_name !== undefined) return []
  return [
    {
      rule: 'binding-class',
      severity: 'error',
      what: `The binding ${name} is of the class ${found.class_name}.`,
      why: `It must be ${expected} or a class that extends it. ${PURPOSE[name]}`,
      change: toSet(config, [...target, index, 'class_name'], expected),
    },
  ]
}

/** The class of the package behind a name; `null` if only running the code would show it. */
function originOf({ source }: Project, name: string): string | null {
  if (BINDINGS.some((binding) => binding.class_name === name)) return name
  return source?.exports.get(name) ?? null
}

function checkMetrics(project: Project): Finding[] {
  const { config, settings, source } = project
  const isThere = settings.analytics_engine_datasets?.some(
    ({ binding }) => binding === DATASET.binding,
  )
  const isOff = source?.options.some(({ name, value }) => name === 'metrics' && value === false)
  if (isThere === true || isOff === true) return []
  const target = ownPath(project, ['analytics_engine_datasets'])
  return [
    {
      rule: 'binding-missing',
      severity: 'error',
      what: `The binding METRICS is missing${inEnvironment(project)}.`,
      why: `Each request on a protected route writes a data point to this dataset. To do without, set metrics: false in the options of the gateway.${notInherited(project)}`,
      change: toAppend(config, target, { ...DATASET, dataset: datasetOf(project) }),
    },
  ]
}

/** Each environment should have a dataset of its own. */
const datasetOf = ({ environment }: Project) =>
  environment === undefined || environment === 'production'
    ? DATASET.dataset
    : `${DATASET.dataset}_${environment}`

const inEnvironment = ({ environment }: Project) =>
  environment === undefined ? '' : ` in env.${environment}`

const notInherited = ({ environment }: Project) =>
  environment === undefined ? '' : ' An environment does not inherit bindings from the top level.'

/** Checks that the main file exports the classes, and that they are declared with SQLite. */
export function checkClasses(project: Project): Finding[] {
  if (project.source === null) return [unreadable(project)]
  const own = bindingsOf(project).filter(
    ({ name, script_name: script }) =>
      script === undefined && BINDINGS.some((binding) => binding.name === name),
  )
  const classes = own.map((binding) => binding.class_name)
  return [...checkExported(project.source, classes), ...checkDeclared(project, classes)]
}

const unreadable = ({ settings: { main } }: Project): Finding => ({
  rule: 'main-unreadable',
  severity: 'error',
  what: main === undefined ? 'The field main is missing.' : `${main} could not be read.`,
  why: 'Wrangler deploys this file. It exports the classes of Hapax.',
})

function checkExported(source: SourceFacts, classes: readonly string[]): Finding[] {
  const missing = classes.filter((name) => !source.exports.has(name))
  if (missing.length === 0 || source.exportsAll) return []
  const text = `export { ${missing.toSorted().join(', ')} } from 'hapax'`
  return [
    {
      rule: 'class-not-exported',
      severity: 'error',
      what: `${source.main} does not export ${missing.join(' and ')}.`,
      why: 'The platform finds the class of an object by its name among the exports of the main file.',
      change: { file: source.main, line: 1, how: 'add', text },
    },
  ]
}

function checkDeclared(project: Project, classes: readonly string[]): Finding[] {
  if (classes.length === 0) return []
  const { settings, tools } = project
  const declared = settings.exports ?? {}
  const migrated = migratedClasses(settings.migrations ?? [])
  const unknown = classes.filter((name) => !Object.hasOwn(declared, name) && !migrated.has(name))
  const inKv = classes.filter(
    (name) => migrated.get(name) === 'kv' || (declared[name]?.storage ?? 'sqlite') !== 'sqlite',
  )
  const usesExports = Object.keys(declared).length > 0
  return [
    ...notDeclared(project, unknown),
    ...inKv.map(notSqlite),
    ...(usesExports && tools.knowsExports === false ? [exportsUnknown()] : []),
    ...(usesExports && migrated.size > 0 ? [bothDeclared()] : []),
  ]
}

function notDeclared(project: Project, names: readonly string[]): Finding[] {
  const { config, settings, tools } = project
  const [first] = names
  if (first === undefined) return []
  const because = {
    rule: 'class-not-declared',
    severity: 'error',
    why: 'Cloudflare creates the storage of a class when it is declared. A deployment without it is rejected.',
  } as const
  if (tools.knowsExports !== false && settings.migrations === undefined) {
    return names.map((name) => ({
      ...because,
      what: `The class ${name} is not declared in exports.`,
      change: toAddTable(config, inheritedPath(project, ['exports', name]), {
        type: 'durable-object',
        storage: 'sqlite',
      }),
    }))
  }
  const migration = {
    tag: `hapax-${(settings.migrations?.length ?? 0) + 1}`,
    new_sqlite_classes: names,
  }
  const what = `No migration creates ${names.join(' and ')}.`
  const change = toAppend(config, inheritedPath(project, ['migrations']), migration)
  return [{ ...because, what, change }]
}

const notSqlite = (name: string): Finding => ({
  rule: 'class-without-sqlite',
  severity: 'error',
  what: `The class ${name} is declared without SQLite.`,
  why: 'Hapax stores operations in SQLite. The storage of a class cannot be changed: declare a class with another name in new_sqlite_classes, or delete this one if it was never deployed.',
})

const exportsUnknown = (): Finding => ({
  rule: 'exports-unknown',
  severity: 'error',
  what: 'The installed Wrangler does not know exports in the configuration.',
  why: 'It ignores the field, so the classes are not declared. Update Wrangler (Node.js 22.12 or newer), or use migrations with new_sqlite_classes.',
})

const bothDeclared = (): Finding => ({
  rule: 'exports-and-migrations',
  severity: 'error',
  what: 'The configuration has exports and migrations.',
  why: 'Wrangler accepts only one of them. Keep migrations if the Worker was deployed with them.',
})
