import path from 'node:path'

import {
  EXAMPLE_PATH,
  quote,
  styleOf,
  toClassExport,
  toExample,
  toImport,
  toMiddleware,
} from './code-style.ts'
import type { Module } from './module.ts'

/** A new main file. */
export interface Wrapper {
  /** Path in the project. */
  readonly file: string
  readonly text: string
  readonly because: readonly string[]
}

/**
 * Writes a main file that handles protected routes, and calls the old main file for everything else.
 *
 * @param main Path of the old main file in the project.
 * @param needsExtension Whether imports in the project name the extension of a file.
 */
export function wrapWorker(main: string, module: Module, needsExtension: boolean): Wrapper {
  const style = styleOf(module)
  const { end, newline } = style
  const { name, ext } = path.parse(main)
  const isTyped = /^\.[cm]?ts/.test(ext)
  const imported = isTyped ? ext.replace('ts', 'js').replace('jsx', 'js') : ext
  const from = quote(`./${name}${needsExtension || !isTyped ? imported : ''}`, style)
  const type = '{ fetch(...args: any[]): Response | Promise<Response> }'
  const lines = [
    toImport(['createWorker', 'credential', 'hapax', 'idempotent'], 'hapax', style),
    toImport(['Hono'], 'hono', style),
    '',
    `import worker from ${from}${end}`,
    '',
    `export * from ${from}${end}`,
    toClassExport(['DirectoryObject', 'IdempotencyObject'], style),
    '',
    `const app = new Hono()${end}`,
    `app${toMiddleware(style)}${end}`,
    '',
    ...toExample('app', style),
    '',
    '// Your Worker handles all other requests.',
    `const { fetch } = worker${isTyped ? ` as ${type}` : ''}${end}`,
    `app.all(${quote('*', style)}, (c) => fetch.call(worker, c.req.raw, c.env, c.executionCtx))${end}`,
    '',
    `export default { ...worker, ...createWorker(app) }${end}`,
    '',
  ]
  return {
    file: `${main.slice(0, main.lastIndexOf('/') + 1)}hapax${isTyped ? ext.replace('x', '') : ext}`,
    text: lines.join(newline),
    because: [
      `The new main file. It handles the protected routes, of which POST ${EXAMPLE_PATH} is an example, and passes all other requests to ${main}. It keeps all other handlers and exports.`,
      'Only one thing is different: if your fetch handler throws, the response is a 500 of Hono and not the error page of the platform. The error is in the log.',
    ],
  }
}
