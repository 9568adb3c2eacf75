import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'

import { parse } from '@babel/parser'

/** Where something stands in the sources. */
export interface Place {
  /** Relative to the directory of the project. */
  readonly file: string
  readonly line: number
}

/** A call of something that the package exports, or of a route method with a path. */
export interface SourceCall extends Place {
  /** Name that it is exported under, or of the method. */
  readonly callee: string
  /** Its first argument, if that is a string. */
  readonly text: string | null
  /** Names of the functions whose calls are arguments. */
  readonly inner: readonly string[]
}

/** A property such as `seal: true`, in a call of something that the package exports. */
interface SourceOption extends Place {
  readonly name: string
  readonly value: boolean | number | string
  /** What is called, as the package names it. */
  readonly owner: string
  /** Tells calls in one file apart. */
  readonly call: number
}

/** What the sources of a Worker say, as far as it can be seen without running them. */
export interface SourceFacts {
  readonly main: string
  /** Names that the main file exports, and what stands behind each: an import or a superclass. */
  readonly exports: ReadonlyMap<string, string | null>
  /** Whether the main file exports all of another file, which may contain any name. */
  readonly exportsAll: boolean
  readonly calls: readonly SourceCall[]
  readonly options: readonly SourceOption[]
}

type Syntax = ReturnType<typeof parse>['program']
type Statement = Syntax['body'][number]

/** More than a Worker should have. */
const MAX_FILES = 500
const EXTENSIONS = ['', '.ts', '.tsx', '.js', '.mjs', '/index.ts', '/index.js']

/**
 * Reads the main file of a Worker and all files that it imports by a relative path.
 *
 * @param main Relative to the directory.
 * @returns `null` if there is no such file, or if it cannot be parsed.
 */
export function readSource(directory: string, main: string): SourceFacts | null {
  const files = [main]
  const calls: SourceCall[] = []
  const options: SourceOption[] = []
  let exported: Pick<SourceFacts, 'exports' | 'exportsAll'> | null = null
  // It grows while it is read.
  for (const file of files) {
    const syntax = readSyntax(path.join(directory, file))
    if (syntax === null) continue
    if (file === main) exported = exportsOf(syntax)
    const found = lookInto(syntax, file)
    calls.push(...found.calls)
    options.push(...found.options)
    const links = linksOf(directory, file, syntax)
    files.push(...links.filter((link) => !files.includes(link)).slice(0, MAX_FILES - files.length))
  }
  return exported === null ? null : { ...exported, main, calls, options }
}

/** Parses a file. @returns `null` if that is not possible. */
function readSyntax(file: string): Syntax | null {
  try {
    const plugins = ['typescript', 'jsx', 'decorators'] as const
    return parse(readFileSync(file, 'utf8'), {
      sourceType: 'module',
      errorRecovery: true,
      plugins: [...plugins],
    }).program
  } catch {
    return null
  }
}

/** The package, or the file of it in a clone of its repository. */
const isLibrary = (from: string) =>
  /^hapax(\/|$)|^\.{1,2}\/(.*\/)?(hapax|operators)\.ts$/.test(from)

function linksOf(directory: string, file: string, { body }: Syntax): string[] {
  return body.flatMap((statement) => {
    const source = 'source' in statement ? statement.source?.value : undefined
    if (source?.startsWith('.') !== true || isLibrary(source)) return []
    return resolve(directory, path.join(path.dirname(file), source)) ?? []
  })
}

/** Finds the file of an import, which may omit its extension or name that of the compiled file. */
function resolve(directory: string, file: string): string | undefined {
  const names = [...EXTENSIONS.map((one) => file + one), file.replace(/\.(m?)js$/, '.$1ts')]
  return names.find((name) =>
    statSync(path.join(directory, name), { throwIfNoEntry: false })?.isFile(),
  )
}

function exportsOf({ body }: Syntax): Pick<SourceFacts, 'exports' | 'exportsAll'> {
  const imported = importsOf({ body }, () => true)
  const superclasses = new Map(body.flatMap(superclassOf))
  const originOf = (name: string): string | null => {
    const above = superclasses.get(name)
    return imported.get(name) ?? (above === undefined ? null : (imported.get(above) ?? above))
  }
  const exports = body.flatMap((statement): [string, string | null][] => {
    if (statement.type !== 'ExportNamedDeclaration') return []
    const isOwn = statement.source === null || statement.source === undefined
    const specified = statement.specifiers.flatMap((one): [string, string | null][] =>
      one.type === 'ExportSpecifier'
        ? [[textOf(one.exported), isOwn ? originOf(one.local.name) : one.local.name]]
        : [],
    )
    return [
      ...specified,
      ...declaredBy(statement).map((name): [string, string | null] => [name, originOf(name)]),
    ]
  })
  return {
    exports: new Map(exports),
    exportsAll: body.some(({ type }) => type === 'ExportAllDeclaration'),
  }
}

function declaredBy(statement: Statement): string[] {
  if (statement.type !== 'ExportNamedDeclaration') return []
  const { declaration } = statement
  if (declaration?.type === 'ClassDeclaration') return [textOf(declaration.id ?? undefined)]
  if (declaration?.type !== 'VariableDeclaration') return []
  return declaration.declarations.flatMap(({ id }) => (id.type === 'Identifier' ? [id.name] : []))
}

function superclassOf(statement: Statement): [string, string][] {
  const node = statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement
  if (node?.type !== 'ClassDeclaration' || node.superClass?.type !== 'Identifier') return []
  return [[textOf(node.id ?? undefined), node.superClass.name]]
}

/** Local names of imports, and the names that they are exported under. */
function importsOf(
  { body }: Pick<Syntax, 'body'>,
  isFrom: (source: string) => boolean,
): Map<string, string> {
  const names = body.flatMap((statement) => {
    if (statement.type !== 'ImportDeclaration' || !isFrom(statement.source.value)) return []
    return statement.specifiers.flatMap((specifier): [string, string][] =>
      specifier.type === 'ImportSpecifier'
        ? [[specifier.local.name, textOf(specifier.imported)]]
        : [],
    )
  })
  return new Map(names)
}

/** A node, as far as it is looked at. */
interface Node {
  readonly type: string
  readonly name?: string
  readonly value?: unknown
  readonly key?: Node
  readonly callee?: Node
  readonly property?: Node
  readonly arguments?: readonly Node[]
  readonly start?: number | null | undefined
  readonly loc?: { readonly start: { readonly line: number } } | null | undefined
}

function lookInto(syntax: Syntax, file: string): Pick<SourceFacts, 'calls' | 'options'> {
  const imported = importsOf(syntax, isLibrary)
  const calls: SourceCall[] = []
  const options: SourceOption[] = []
  visit(syntax, null, (node, owner) => {
    const place = { file, line: node.loc?.start.line ?? 1 }
    const call = node.type === 'CallExpression' ? toCall(node, imported) : null
    if (call !== null) calls.push({ ...call, ...place })
    const value = toLiteral(node.value)
    if (node.type === 'ObjectProperty' && value !== null && owner !== null) {
      options.push({ name: textOf(node.key), value, ...owner, ...place })
    }
    const called = imported.get(textOf(node.callee))
    return called === undefined ? owner : { owner: called, call: node.start ?? 0 }
  })
  return { calls, options }
}

function toCall(
  { callee, arguments: given = [] }: Node,
  imported: ReadonlyMap<string, string>,
): Omit<SourceCall, keyof Place> | null {
  const [first] = given
  const text = first?.type === 'StringLiteral' ? textOf(first) : null
  const inner = given.flatMap((one) => imported.get(textOf(one.callee)) ?? [])
  if (callee?.type === 'MemberExpression') {
    const isRoute = text?.startsWith('/') === true && inner.length > 0
    return isRoute ? { callee: textOf(callee.property), text, inner } : null
  }
  const name = imported.get(textOf(callee))
  return name === undefined ? null : { callee: name, text, inner }
}

/** The text of an identifier or a string. */
function textOf(node: Node | undefined): string {
  const text = node?.name ?? node?.value
  return typeof text === 'string' ? text : ''
}

function toLiteral(node: unknown): SourceOption['value'] | null {
  if (!isNode(node) || !/^(Boolean|Numeric|String)Literal$/.test(node.type)) return null
  return node.value as SourceOption['value']
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string'

/** The innermost call of the package around a node. */
type Around = Pick<SourceOption, 'owner' | 'call'> | null

/** Sees each node, with what `see` has returned for the node around it. */
function visit(value: unknown, owner: Around, see: (node: Node, owner: Around) => Around): void {
  if (Array.isArray(value)) {
    for (const one of value) visit(one, owner, see)
    return
  }
  if (!isNode(value)) return
  const inner = see(value, owner)
  for (const child of Object.values(value)) {
    if (typeof child === 'object') visit(child, inner, see)
  }
}
