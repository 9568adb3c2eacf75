import { type Expression, type Module, rangeOf, type Statement, unwrap } from './module.ts'

/** A Hono app in a variable at the top level of a module. */
export interface HonoApp {
  /** Its variable. */
  readonly name: string
  /** The statement that creates it. */
  readonly statement: Statement
  /** Its base path, if the code says it as a text. */
  readonly basePath: string
  /** Where `new Hono()` ends, including its base path. */
  readonly createdTo: number
  /** Whether routes or middleware follow in the same expression. */
  readonly isChained: boolean
  /** Whether `createGateway` of Hapax made it. */
  readonly isGateway: boolean
}

type Creation = Omit<HonoApp, 'name' | 'statement'>

/**
 * Finds the app behind an expression, such as `app` or `app.get(…)`. Returns `null` if the expression
 * is not an app that this module creates.
 */
export function findHonoApp(module: Module, expression: Expression): HonoApp | null {
  const value = unwrap(expression)
  if (value.type === 'Identifier') {
    const variable = module.variables.get(value.name)
    if (variable?.value === null || variable?.value === undefined) return null
    const creation = creationOf(module, variable.value)
    if (creation !== null) {
      return { name: value.name, statement: variable.statement, ...creation }
    }
    return findHonoApp(module, variable.value)
  }
  const receiver = receiverOf(value)
  return receiver === null ? null : findHonoApp(module, receiver)
}

/** Returns whether a module creates a Hono app at its top level. */
export function createsHonoApp(module: Module): boolean {
  return [...module.variables.values()].some(
    ({ value }) => value !== null && creationOf(module, value) !== null,
  )
}

function creationOf(module: Module, expression: Expression): Creation | null {
  const value = unwrap(expression)
  const isGateway = isNamed(module, calleeOf(value), (name) => name === 'createGateway', 'hapax')
  if (isGateway || isNamed(module, classOf(value), (name) => name.endsWith('Hono'), 'hono')) {
    return { basePath: '', createdTo: rangeOf(value).to, isChained: false, isGateway }
  }
  const receiver = receiverOf(value)
  const inner = receiver === null ? null : creationOf(module, receiver)
  if (inner === null) return null
  if (inner.isChained || methodOf(value) !== 'basePath') return { ...inner, isChained: true }
  const basePath = `${inner.basePath}${argumentOf(value).replace(/\/$/, '')}`
  return { ...inner, basePath, createdTo: rangeOf(value).to }
}

const classOf = (value: Expression) => (value.type === 'NewExpression' ? value.callee : null)
const calleeOf = (value: Expression) => (value.type === 'CallExpression' ? value.callee : null)

/** Returns whether a node is a name that is imported from a package, such as `hono` or `@hono/x`. */
function isNamed(
  { imports }: Module,
  node: { type: string } | null,
  isWanted: (name: string) => boolean,
  from: string,
): boolean {
  if (node?.type !== 'Identifier') return false
  const { name } = node as { type: string; name: string }
  const source = imports.find(({ local }) => local === name)
  if (source === undefined || !isWanted(source.imported)) return false
  return source.from === from || new RegExp(`^@?${from}/`).test(source.from)
}

/** Returns `a` of `a.b(…)`. */
function receiverOf(value: Expression): Expression | null {
  if (value.type !== 'CallExpression') return null
  const { callee } = value
  return callee.type === 'MemberExpression' && callee.object.type !== 'Super' ? callee.object : null
}

function methodOf(value: Expression): string | null {
  if (value.type !== 'CallExpression' || value.callee.type !== 'MemberExpression') return null
  const { property } = value.callee
  return property.type === 'Identifier' ? property.name : null
}

function argumentOf(value: Expression): string {
  const [first] = value.type === 'CallExpression' ? value.arguments : []
  return first?.type === 'StringLiteral' ? first.value : ''
}
