import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

import * as z from 'zod'

const Manifest = z.object({
  version: z.string(),
  peerDependencies: z.object({ hono: z.string() }),
})

/** The versions of Hapax and Hono that a project gets. */
export function readVersions(): { readonly hapax: string; readonly hono: string } {
  const { version, peerDependencies } = readManifest()
  return { hapax: `^${version}`, hono: peerDependencies.hono }
}

/** The version of this package. */
export const readOwnVersion = (): string => readManifest().version

function readManifest() {
  const file = findUp(path.dirname(fileURLToPath(import.meta.url)))
  return Manifest.parse(JSON.parse(readFileSync(file, 'utf8')))
}

function findUp(directory: string): string {
  const file = path.join(directory, 'package.json')
  return existsSync(file) ? file : findUp(path.dirname(directory))
}
