import { BINDINGS, DATASET } from '../wrangler/bindings.ts'
import { migratedClasses, type WranglerSettings } from '../wrangler/config.ts'
import { decideCompatibility } from './compatibility.ts'
import { refuseConflicts } from './conflicts.ts'
import type { ConfigEdit, ConfigPlan } from './edit.ts'
import { type Scope, scopesOf } from './scope.ts'
import type { Toolchain } from './toolchain.ts'

/**
 * Decides what a configuration lacks.
 *
 * @throws Failure When it uses the names of Hapax for something else.
 */
export function decideSettings(settings: WranglerSettings, toolchain: Toolchain): ConfigPlan {
  const scopes = scopesOf(settings)
  const lifecycle = lifecycleOf(scopes, toolchain)
  for (const scope of scopes) refuseConflicts(scope)
  const compatibility = decideCompatibility(settings, toolchain)
  return {
    edits: [
      ...compatibility.edits,
      ...scopes.flatMap((scope) => [
        ...bindObjects(scope),
        ...declareClasses(scope, lifecycle),
        ...bindDataset(scope),
      ]),
    ],
    notes: compatibility.notes,
  }
}

/** How a configuration declares the classes of its Durable Objects. */
type Lifecycle = 'exports' | 'migrations'

/** What the project has counts, because Wrangler does not accept both. */
function lifecycleOf(scopes: readonly Scope[], { knowsExports }: Toolchain): Lifecycle {
  if (scopes.some(({ own }) => (own.migrations ?? []).length > 0)) return 'migrations'
  const hasExports = scopes.some(({ own }) =>
    Object.values(own.exports ?? {}).some(({ type }) => type === 'durable-object'),
  )
  return hasExports || knowsExports ? 'exports' : 'migrations'
}

function bindObjects({ path, suffix, own }: Scope): ConfigEdit[] {
  const present = own.durable_objects?.bindings?.map(({ name }) => name) ?? []
  return BINDINGS.filter(({ name }) => !present.includes(name)).map(
    ({ name, class_name, what }) => ({
      kind: 'push',
      path: [...path, 'durable_objects', 'bindings'],
      value: { name, class_name },
      why: `Binding ${name}${suffix}: the Durable Object ${class_name} ${what}.${inheritanceOf(suffix)}`,
    }),
  )
}

const inheritanceOf = (suffix: string) =>
  suffix === '' ? '' : ' A named environment does not inherit bindings.'

function bindDataset({ path, suffix, own }: Scope): ConfigEdit[] {
  const isThere = own.analytics_engine_datasets?.some(({ binding }) => binding === DATASET.binding)
  if (isThere === true) return []
  return [
    {
      kind: 'push',
      path: [...path, 'analytics_engine_datasets'],
      value: DATASET,
      why: `Binding ${DATASET.binding}${suffix}: each request on a protected route writes a data point to Analytics Engine.${inheritanceOf(suffix)}`,
    },
  ]
}

/** A named environment inherits both forms, unless it has its own. */
function declareClasses(scope: Scope, lifecycle: Lifecycle): ConfigEdit[] {
  const { path, own, resolved } = scope
  if (path.length > 0 && own[lifecycle] === undefined) return []
  const names = BINDINGS.map(({ class_name }) => class_name).toSorted()
  const known =
    lifecycle === 'exports'
      ? new Set(Object.keys(resolved.exports ?? {}))
      : new Set(migratedClasses(resolved.migrations ?? []).keys())
  const missing = names.filter((name) => !known.has(name))
  if (missing.length === 0) return []
  return lifecycle === 'exports' ? toExports(scope, missing) : [toMigration(scope, missing)]
}

function toExports({ path, suffix }: Scope, missing: readonly string[]): ConfigEdit[] {
  return missing.map((name) => ({
    kind: 'set',
    path: [...path, 'exports', name],
    value: { type: 'durable-object', storage: 'sqlite' },
    why: `Class ${name}${suffix}: a deployment creates it with SQLite storage.`,
  }))
}

function toMigration({ path, suffix, resolved }: Scope, missing: readonly string[]): ConfigEdit {
  const tags = resolved.migrations?.map(({ tag }) => tag) ?? []
  const versions = Array.from({ length: tags.length + 1 }, (_, index) => `hapax-v${index + 1}`)
  return {
    kind: 'push',
    path: [...path, 'migrations'],
    value: {
      tag: versions.find((each) => !tags.includes(each)),
      new_sqlite_classes: missing,
    },
    why: `Migration${suffix}: a deployment creates ${missing.length === 1 ? 'the class' : 'the classes'} ${missing.join(' and ')} with SQLite storage.`,
  }
}
