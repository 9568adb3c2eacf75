import {
  environmentNames,
  resolveEnvironment,
  type WranglerEnvironment,
  type WranglerSettings,
} from '../wrangler/config.ts'

/** An environment of a configuration. */
export interface Scope {
  /** Where its fields are. */
  readonly path: readonly string[]
  /** For messages: nothing for the default environment. */
  readonly suffix: string
  readonly own: WranglerEnvironment
  readonly resolved: WranglerEnvironment
}

/** Returns the default environment and all named ones. */
export function scopesOf(settings: WranglerSettings): Scope[] {
  const named = environmentNames(settings).map((name) => ({
    path: ['env', name],
    suffix: ` in the environment ${name}`,
    own: settings.env?.[name] ?? {},
    resolved: resolveEnvironment(settings, name),
  }))
  const top = resolveEnvironment(settings, undefined)
  return [{ path: [], suffix: '', own: top, resolved: top }, ...named]
}
