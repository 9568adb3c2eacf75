/** A change of a configuration: `set` writes a field, `push` appends to an array. */
export interface ConfigEdit {
  readonly kind: 'push' | 'set'
  readonly path: readonly string[]
  readonly value: unknown
  /** Why it is needed, for the user. */
  readonly why: string
}

/** Changes of a configuration, and what the user should know about it. */
export interface ConfigPlan {
  readonly edits: readonly ConfigEdit[]
  readonly notes: readonly string[]
}

/** Makes a change in parsed settings. */
export function applyTo(settings: unknown, edit: ConfigEdit): Record<string, unknown> {
  const [field = '', ...rest] = edit.path
  const object = (settings ?? {}) as Record<string, unknown>
  const present = Object.hasOwn(object, field) ? object[field] : undefined
  if (rest.length > 0) {
    return { ...object, [field]: applyTo(present, { ...edit, path: rest }) }
  }
  const pushed = () => [...((present ?? []) as unknown[]), edit.value]
  return { ...object, [field]: edit.kind === 'set' ? edit.value : pushed() }
}
