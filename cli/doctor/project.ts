import path from 'node:path'
import { parseEnv } from 'node:util'

import { Failure } from '../failure.ts'
import {
  findWranglerConfig,
  resolveEnvironment,
  type WranglerEnvironment,
} from '../wrangler/config.ts'
import { type InstalledTools, readInstalledTools, readOptional } from '../wrangler/installed.ts'
import type { ConfigScope } from './change.ts'
import { readSource, type SourceFacts } from './source.ts'

/** Variables and secrets for a local server. */
interface LocalVariables {
  /** `null` if there is no such file. */
  readonly file: string | null
  readonly text: string
  readonly values: Readonly<Record<string, string>>
}

/** What `hapax doctor` reads of a project. */
export interface Project extends ConfigScope {
  readonly directory: string
  /** Of the environment, as Wrangler resolves them. */
  readonly settings: WranglerEnvironment
  /** `null` if the main file is missing or cannot be parsed. */
  readonly source: SourceFacts | null
  readonly local: LocalVariables
  readonly tools: InstalledTools
}

/**
 * Reads a project.
 *
 * @param environment Name of the environment. Without one, it is the default environment.
 * @throws Failure When there is no configuration, or when it is invalid.
 */
export async function readProject(
  directory: string,
  environment: string | undefined,
): Promise<Project> {
  const config = await findWranglerConfig(directory)
  if (config === null) {
    throw new Failure(
      'There is no Wrangler configuration in this directory. Run hapax init, or name the directory.',
    )
  }
  const settings = resolveEnvironment(config.settings, environment)
  return {
    directory,
    config,
    environment,
    settings,
    source: settings.main === undefined ? null : readSource(directory, settings.main),
    local: readLocal(directory, environment),
    tools: readInstalledTools(directory),
  }
}

/** Reads the file that `wrangler dev` takes: that of the environment, else the one for all. */
function readLocal(directory: string, environment: string | undefined): LocalVariables {
  const names = [...(environment === undefined ? [] : [`.dev.vars.${environment}`]), '.dev.vars']
  for (const file of names) {
    const text = readOptional(path.join(directory, file))
    if (text !== null) return { file, text, values: parseEnv(text) as Record<string, string> }
  }
  return { file: null, text: '', values: {} }
}
