import { parse, type ParseResult, type ParserPlugin } from '@babel/parser'

import { toVisible } from '../../src/core/visible.ts'
import { Failure, reasonOf } from '../failure.ts'

/** A statement at the top level of a module. */
export type Statement = ParseResult['program']['body'][number]
/** An expression. */
export type Expression = Extract<Statement, { type: 'ExpressionStatement' }>['expression']
type Declaration = Extract<Statement, { type: 'VariableDeclaration' }>
type Declarator = Declaration['declarations'][number]

/** A parsed module, and the names at its top level. */
export interface Module {
  readonly text: string
  readonly statements: readonly Statement[]
  readonly imports: readonly Import[]
  /** Variables by name. */
  readonly variables: ReadonlyMap<string, Variable>
  /** All names that are declared or imported at the top level. */
  readonly names: ReadonlySet<string>
}

/** A name that a module imports. */
interface Import {
  readonly local: string
  /** The name in the other module. `*` is all of it. */
  readonly imported: string
  readonly from: string
}

/** A variable at the top level. */
interface Variable {
  readonly statement: Statement
  readonly value: Expression | null
}

/**
 * Parses a module in TypeScript or JavaScript, with JSX.
 *
 * @param name Name of the file. Its extension decides on the syntax.
 * @throws Failure
 */
export function parseModule(text: string, name: string): Module {
  const { body } = parseText(text, name).program
  const variables = new Map(body.flatMap((statement) => variablesOf(statement)))
  const imports = body.flatMap((statement) => importsOf(statement))
  const names = new Set([
    ...imports.map(({ local }) => local),
    ...variables.keys(),
    ...body.flatMap((statement) => namesOf(declarationOf(statement))),
  ])
  return { text, statements: body, imports, variables, names }
}

function parseText(text: string, name: string): ParseResult {
  const isTyped = /\.[cm]?tsx?$/.test(name)
  // `<T>value` is a type assertion in TypeScript, and an element in JSX.
  const hasJsx = !/\.[cm]?ts$/.test(name)
  const plugins: ParserPlugin[] = [
    ...(isTyped ? ['typescript' as const] : []),
    ...(hasJsx ? ['jsx' as const] : []),
    'decorators',
  ]
  try {
    return parse(text, { sourceType: 'module', plugins })
  } catch (error) {
    throw new Failure(toVisible(`${name} could not be parsed: ${reasonOf(error)}`))
  }
}

function importsOf(statement: Statement): Import[] {
  if (statement.type !== 'ImportDeclaration') return []
  return statement.specifiers.map((specifier) => ({
    local: specifier.local.name,
    imported: importedName(specifier),
    from: statement.source.value,
  }))
}

type Specifier = Extract<Statement, { type: 'ImportDeclaration' }>['specifiers'][number]

function importedName(specifier: Specifier): string {
  if (specifier.type === 'ImportDefaultSpecifier') return 'default'
  if (specifier.type === 'ImportNamespaceSpecifier') return '*'
  return nameOf(specifier.imported)
}

/** Returns the name in a specifier, which can be written as a string. */
export function nameOf(
  node: { type: 'Identifier'; name: string } | { type: 'StringLiteral'; value: string },
): string {
  return node.type === 'Identifier' ? node.name : node.value
}

/** Returns what a statement declares, also if it exports it. */
export function declarationOf(statement: Statement): Statement {
  const isExport = statement.type === 'ExportNamedDeclaration'
  return isExport ? (statement.declaration ?? statement) : statement
}

function variablesOf(statement: Statement): [string, Variable][] {
  const declaration = declarationOf(statement)
  if (declaration.type !== 'VariableDeclaration') return []
  return declaration.declarations.flatMap((each) =>
    each.id.type === 'Identifier'
      ? [[each.id.name, { statement, value: each.init ?? null }] as [string, Variable]]
      : [],
  )
}

/** Types live beside values, so they do not count. */
function namesOf(statement: Statement): string[] {
  if (statement.type === 'VariableDeclaration') {
    return statement.declarations.flatMap(({ id }) => patternNames(id))
  }
  const isNamed =
    statement.type === 'FunctionDeclaration' ||
    statement.type === 'ClassDeclaration' ||
    statement.type === 'TSEnumDeclaration'
  return isNamed && statement.id ? [statement.id.name] : []
}

/** Names in patterns such as `{ a, b: [c] }`. */
function patternNames(pattern: Declarator['id'] | { type: string }): string[] {
  const node = pattern as { type: string; name?: string } & Record<string, unknown>
  if (node.type === 'Identifier') return [String(node.name)]
  const inner = [
    node['properties'],
    node['elements'],
    node['value'],
    node['argument'],
    node['left'],
  ]
  return inner
    .flat()
    .filter((each) => typeof each === 'object' && each !== null && 'type' in each)
    .flatMap((each) => patternNames(each as { type: string }))
}

/** Returns the expression inside of `as`, `satisfies` and parentheses. */
export function unwrap(expression: Expression): Expression {
  const isWrapped =
    expression.type === 'TSAsExpression' ||
    expression.type === 'TSSatisfiesExpression' ||
    expression.type === 'TSNonNullExpression' ||
    expression.type === 'TSTypeAssertion' ||
    expression.type === 'ParenthesizedExpression'
  return isWrapped ? unwrap(expression.expression) : expression
}

/** Returns the names that a module exports itself, without those of `export *`. */
export function exportedNames({ statements }: Module): Set<string> {
  return new Set(
    statements.flatMap((statement) => {
      if (statement.type !== 'ExportNamedDeclaration') return []
      const named = statement.specifiers.map(({ exported }) => nameOf(exported))
      return [...named, ...namesOf(declarationOf(statement))]
    }),
  )
}

/** Returns where a node is. */
export function rangeOf(node: { start?: number | null; end?: number | null }): {
  from: number
  to: number
} {
  return { from: node.start ?? 0, to: node.end ?? 0 }
}
