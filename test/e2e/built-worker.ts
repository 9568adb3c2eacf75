import { inject } from 'vitest'

/** A Worker that is ready to start. */
export interface BuiltWorker {
  /** The file of its bundle. */
  readonly bundle: string
  /** What its configuration says, as options of Miniflare. */
  readonly options: WorkerOptions
}

/** The options of Miniflare that are named here; there are others. */
interface WorkerOptions {
  readonly compatibilityDate: string
  readonly compatibilityFlags: readonly string[]
  readonly bindings: Readonly<Record<string, string>>
  readonly durableObjects: Readonly<Record<string, { readonly className: string }>>
  readonly analyticsEngineDatasets: Readonly<Record<string, unknown>>
  readonly ratelimits: Readonly<Record<string, { readonly simple: object }>>
}

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where `builder.ts` listens. */
    builderUrl: string
  }
}

/**
 * Gives the Worker of a `wrangler.toml`. It is built once for all test files.
 *
 * @param config A path from the root of the project, or an absolute one.
 */
export async function builtWorkerOf(config: string): Promise<BuiltWorker> {
  const response = await fetch(`${inject('builderUrl')}/${encodeURIComponent(config)}`)
  if (!response.ok) throw new Error(`Could not build ${config}: ${await response.text()}`)
  return (await response.json()) as BuiltWorker
}
