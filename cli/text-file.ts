import { readFile, writeFile } from 'node:fs/promises'

import { parse as parseYaml } from 'yaml'

import { toVisible } from '../src/core/visible.ts'
import { Failure, reasonOf } from './failure.ts'

/** Reads a file as UTF-8. @throws Failure */
export async function readText(file: string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).replace(/^\uFEFF/, '')
  } catch (error) {
    const isMissing = error instanceof Error && 'code' in error && error.code === 'ENOENT'
    const name = toVisible(file)
    throw new Failure(
      isMissing
        ? `File not found: ${name}.`
        : `${name} could not be read: ${toVisible(reasonOf(error))}`,
    )
  }
}

/** Writes a file as UTF-8. @throws Failure */
export async function writeText(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text)
  } catch (error) {
    throw new Failure(toVisible(`${file} could not be written: ${reasonOf(error)}`))
  }
}

/** Returns whether a text is JSON. Otherwise it may be YAML. */
export function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/**
 * Parses JSON or YAML.
 *
 * @param where Name of the text in messages.
 * @throws Failure
 */
export function parseText(text: string, where: string): unknown {
  if (isJson(text)) return JSON.parse(text)
  try {
    return parseYaml(text, { merge: true })
  } catch (error) {
    throw new Failure(`${toVisible(where)} is neither JSON nor YAML: ${reasonOf(error).trim()}`)
  }
}
