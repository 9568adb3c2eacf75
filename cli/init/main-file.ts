import { Failure } from '../failure.ts'
import { createsHonoApp, findHonoApp, type HonoApp } from './hono-app.ts'
import {
  declarationOf,
  exportedNames,
  type Expression,
  type Module,
  nameOf,
  parseModule,
  rangeOf,
  type Statement,
  unwrap,
} from './module.ts'

/** The object classes, which the main file of a Worker exports. */
const CLASSES = ['DirectoryObject', 'IdempotencyObject'] as const

/** What `init` does about the main file of a Worker. */
export type MainPlan =
  /** It is set up already. */
  | { readonly kind: 'done' }
  /** Only the classes are missing, which it does not export yet. */
  | { readonly kind: 'export-classes'; readonly module: Module; readonly main: MainExport }
  /** Its Hono app gets the middleware. */
  | {
      readonly kind: 'edit'
      readonly module: Module
      readonly main: MainExport
      readonly app: HonoApp
      readonly use: AppUse
    }
  /** Another file becomes the main file, and calls this one. */
  | { readonly kind: 'wrap'; readonly module: Module }

/** The default export of a module. */
interface MainExport {
  readonly statement: Statement
  /** Its expression, or the one of its variable. */
  readonly value: Expression
}

/** Where the default export uses the app. */
type AppUse =
  /** `export default app`. */
  | { readonly kind: 'app'; readonly expression: Expression }
  /** `fetch: app.fetch` in an object. The range is the whole property. */
  | { readonly kind: 'fetch'; readonly name: string; readonly from: number; readonly to: number }

/**
 * Decides what to do about a main file.
 *
 * @param name Path of the file, for messages.
 * @throws Failure When it has a form that `init` does not change.
 */
export function decideMain(text: string, name: string): MainPlan {
  const module = parseModule(text, name)
  const main = findMain(module, name)
  const { from, to } = rangeOf(main.value)
  if (/\bcreateWorker\(/.test(text.slice(from, to))) {
    const isDone = missingClasses(module).length === 0
    return isDone ? { kind: 'done' } : { kind: 'export-classes', module, main }
  }
  refuseTaken(module, name, CLASSES)
  const value = unwrap(main.value)
  return value.type === 'ObjectExpression'
    ? decideObject(module, main, value, name)
    : decideApp(module, main, value, name)
}

function decideApp(module: Module, main: MainExport, value: Expression, name: string): MainPlan {
  const app = value.type === 'Identifier' ? findHonoApp(module, value) : null
  if (app === null) throw new Failure(refuseValue(module, value, name))
  return { kind: 'edit', module, main, app, use: { kind: 'app', expression: value } }
}

function decideObject(
  module: Module,
  main: MainExport,
  value: ObjectExpression,
  name: string,
): MainPlan {
  const member = value.properties.find((each) => isFetch(each))
  if (member === undefined) {
    throw new Failure(`The default export of ${name} has no fetch handler.`)
  }
  const called = appOfFetch(member)
  const app = called === null ? null : findHonoApp(module, called)
  if (called !== null && app !== null) {
    const use: AppUse = { kind: 'fetch', name: called.name, ...rangeOf(member) }
    return { kind: 'edit', module, main, app, use }
  }
  if (!createsHonoApp(module)) return { kind: 'wrap', module }
  throw new Failure(
    `The fetch handler of ${name} does more than call one Hono app, so it is not clear where the protected routes belong.`,
  )
}

/** Returns the classes of Hapax that a module does not export. */
export function missingClasses(module: Module): string[] {
  const isAll = module.statements.some(
    (each) => each.type === 'ExportAllDeclaration' && each.source.value === 'hapax',
  )
  const exported = exportedNames(module)
  return isAll ? [] : CLASSES.filter((each) => !exported.has(each))
}

/**
 * Refuses a module that uses names of Hapax for something else.
 *
 * @throws Failure
 */
export function refuseTaken(module: Module, name: string, wanted: readonly string[]): void {
  const taken = wanted.filter((each) => module.names.has(each) && !isFromHapax(module, each))
  if (taken.length === 0) return
  throw new Failure(
    `${name} already uses ${taken.length === 1 ? 'the name' : 'the names'} ${taken.join(', ')} for something else.`,
  )
}

/** Returns whether a module imports a name from Hapax, without renaming it. */
export function isFromHapax({ imports }: Module, name: string): boolean {
  return imports.some(
    ({ local, imported, from }) => from === 'hapax' && local === name && imported === name,
  )
}

/** @throws Failure When the module has no default export that `init` understands. */
function findMain(module: Module, name: string): MainExport {
  const statement = module.statements.find((each) => each.type === 'ExportDefaultDeclaration')
  if (statement === undefined) throw new Failure(refuseWithoutDefault(module, name))
  const { declaration } = statement
  if (declaration.type === 'ClassDeclaration') throw new Failure(refuseClass(name))
  if (declaration.type === 'FunctionDeclaration' || declaration.type === 'TSDeclareFunction') {
    throw new Failure(`The default export of ${name} is a function. A Worker exports an object.`)
  }
  return { statement, value: objectOf(module, declaration) ?? declaration }
}

/** Returns the object in the variable that an expression names. */
function objectOf(module: Module, expression: Expression): Expression | null {
  const value = unwrap(expression)
  if (value.type !== 'Identifier') return null
  const object = module.variables.get(value.name)?.value ?? null
  return object !== null && unwrap(object).type === 'ObjectExpression' ? object : null
}

function refuseWithoutDefault(module: Module, name: string): string {
  const isScript = /\baddEventListener\(\s*['"`]fetch/.test(module.text)
  if (isScript) {
    return `${name} uses addEventListener('fetch'). Durable Objects need a Worker in the module format: export default { fetch }.`
  }
  const isListed = module.statements.some(
    (each) =>
      each.type === 'ExportNamedDeclaration' &&
      each.specifiers.some(({ exported }) => nameOf(exported) === 'default'),
  )
  return isListed
    ? `${name} has its default export in a list. Write it as: export default …`
    : `${name} has no default export.`
}

const refuseClass = (name: string) =>
  `The default export of ${name} is a class. Hapax makes the default entrypoint from a Hono app or an object.`

function refuseValue(
  { imports, names, statements }: Module,
  value: Expression,
  name: string,
): string {
  if (value.type !== 'Identifier') {
    return `The default export of ${name} is neither a variable with a Hono app nor an object.`
  }
  const source = imports.find(({ local }) => local === value.name)
  if (source !== undefined) {
    return `${name} imports its app from ${source.from}. The middleware of Hapax belongs there, before the routes.`
  }
  const isClass = statements.some((each) => {
    const declaration = declarationOf(each)
    return declaration.type === 'ClassDeclaration' && declaration.id?.name === value.name
  })
  if (isClass) return refuseClass(name)
  const what = names.has(value.name)
    ? 'is not made with new Hono() in this file'
    : 'is not declared'
  return `${name} exports ${value.name}, which ${what}.`
}

type ObjectExpression = Extract<Expression, { type: 'ObjectExpression' }>
type Member = ObjectExpression['properties'][number]

function isFetch(member: Member): boolean {
  if (member.type === 'SpreadElement' || member.computed) return false
  return member.key.type === 'Identifier' && member.key.name === 'fetch'
}

type Identifier = Extract<Expression, { type: 'Identifier' }>

/** Understands `fetch: app.fetch`, and functions that only pass their arguments on to it. */
function appOfFetch(member: Member): Identifier | null {
  if (member.type === 'SpreadElement') return null
  if (member.type === 'ObjectProperty' && member.value.type === 'MemberExpression') {
    return receiverOfFetch(member.value)
  }
  const handler = member.type === 'ObjectMethod' ? member : member.value
  if (!('params' in handler) || !('body' in handler)) return null
  const called = onlyCall(handler.body)
  if (called === null || !passesOn(called.arguments, handler.params)) return null
  return receiverOfFetch(called.callee)
}

function receiverOfFetch(callee: { readonly type: string }): Identifier | null {
  const { type, object, property } = callee as Partial<
    Extract<Expression, { type: 'MemberExpression' }>
  >
  const isFetchOf =
    type === 'MemberExpression' && property?.type === 'Identifier' && property.name === 'fetch'
  return isFetchOf && object?.type === 'Identifier' ? object : null
}

type Call = Extract<Expression, { type: 'CallExpression' }>
type Block = Extract<Statement, { type: 'BlockStatement' }>

/** Returns the call, if a function does nothing else. */
function onlyCall(body: Block | Expression): Call | null {
  const value = body.type === 'BlockStatement' ? onlyReturned(body) : body
  const called = value?.type === 'AwaitExpression' ? value.argument : value
  return called?.type === 'CallExpression' ? called : null
}

function onlyReturned({ body: [only, ...more] }: Block): Expression | null {
  return only?.type === 'ReturnStatement' && more.length === 0 ? (only.argument ?? null) : null
}

/** Returns whether arguments are the parameters of a function, in their order. */
function passesOn(
  args: readonly { type: string; name?: unknown }[],
  params: readonly { type: string; name?: unknown }[],
): boolean {
  return args.every(
    ({ type, name }, index) => type === 'Identifier' && name === params[index]?.name,
  )
}
