import { type Module, rangeOf } from './module.ts'
import { lineBreakOf } from './splice.ts'

/** How the code of a module is written. */
export interface CodeStyle {
  readonly quote: string
  /** What ends a statement: `;` or nothing. */
  readonly end: string
  readonly newline: string
}

/** Reads the style of a module from its imports, or from its other text if it has none. */
export function styleOf({ text, statements }: Module): CodeStyle {
  const found = statements.find((each) => each.type === 'ImportDeclaration') ?? statements[0]
  const { from, to } = found === undefined ? { from: 0, to: text.length } : rangeOf(found)
  const sample = text.slice(from, to)
  const isImport = found?.type === 'ImportDeclaration'
  const quoted = isImport ? sample : text
  return {
    quote: /['"]/.exec(quoted)?.[0] ?? "'",
    end: sample.endsWith(';') ? ';' : '',
    newline: lineBreakOf(text),
  }
}

/** Writes an import of several names. */
export function toImport(names: readonly string[], from: string, style: CodeStyle): string {
  return `import { ${names.join(', ')} } from ${quote(from, style)}${style.end}`
}

/** Writes the middleware that follows `app`. */
export function toMiddleware(style: CodeStyle): string {
  return `.use(hapax({ tenant: credential(${quote('Authorization', style)}) }))`
}

/** Path of the example route. */
export const EXAMPLE_PATH = '/hapax/example'

/** Writes the example route of an app. */
export function toExample(app: string, style: CodeStyle): string[] {
  return [
    '// An example: requests with the same Idempotency-Key get the same id. Delete it when you protect your own routes.',
    `${app}.post(${quote(EXAMPLE_PATH, style)}, idempotent(), (c) => c.json({ id: crypto.randomUUID() }, 201))${style.end}`,
  ]
}

/** Writes the export of the object classes. */
export function toClassExport(names: readonly string[], style: CodeStyle): string {
  return `export { ${names.join(', ')} } from ${quote('hapax', style)}${style.end}`
}

/** Writes a text that contains no quotes. */
export function quote(text: string, style: CodeStyle): string {
  return `${style.quote}${text}${style.quote}`
}
