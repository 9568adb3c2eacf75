import { Failure } from '../failure.ts'
import {
  type CodeStyle,
  EXAMPLE_PATH,
  styleOf,
  toClassExport,
  toExample,
  toImport,
  toMiddleware,
} from './code-style.ts'
import { isFromHapax, type MainPlan, missingClasses, refuseTaken } from './main-file.ts'
import { type Module, rangeOf, type Statement } from './module.ts'
import { endOfLine, insert, type Splice, splice, startOfLine } from './splice.ts'

/** A changed file, and why. */
interface Edited {
  readonly text: string
  readonly because: readonly string[]
  /** Path of the example route, if there is one. */
  readonly example: string | null
}

/** One part of a change. */
interface Step {
  readonly splices: readonly Splice[]
  readonly because: string
  /** What it uses of Hapax. */
  readonly names: readonly string[]
}

type Edit = Extract<MainPlan, { kind: 'edit' }>
type ExportClasses = Extract<MainPlan, { kind: 'export-classes' }>

/**
 * Changes the main file of a Hono app. All other text stays as it is.
 *
 * @param name Path of the file, for messages.
 * @throws Failure When the names of Hapax are taken, or when routes follow the default export.
 */
export function editMain(plan: Edit | ExportClasses, name: string): Edited {
  const { module } = plan
  const style = styleOf(module)
  const steps = [
    ...(plan.kind === 'edit' ? toSteps(plan, style) : []),
    ...exportClasses(module, plan.main.statement, style),
  ]
  const wanted = steps.flatMap(({ names }) => names)
  refuseTaken(module, name, wanted)
  if (plan.kind === 'edit') refuseLateRoutes(plan, name)
  const all = [...importNames(module, wanted, style), ...steps]
  return {
    text: splice(
      module.text,
      all.flatMap(({ splices }) => splices),
    ),
    because: all.map(({ because }) => because),
    example: plan.kind === 'edit' && !hasMiddleware(plan) ? examplePath(plan) : null,
  }
}

const examplePath = ({ app }: Edit) => `${app.basePath}${EXAMPLE_PATH}`

const hasMiddleware = ({ app, module }: Edit) => app.isGateway || isFromHapax(module, 'hapax')

function toSteps(plan: Edit, style: CodeStyle): Step[] {
  return [...(hasMiddleware(plan) ? [] : [useMiddleware(plan, style)]), createWorker(plan)]
}

function useMiddleware(plan: Edit, style: CodeStyle): Step {
  const { app } = plan
  const { text } = plan.module
  const { newline } = style
  const middleware = toMiddleware(style)
  const example = toExample(app.name, style)
  const lines = app.isChained
    ? ['', ...example]
    : [`${app.name}${middleware}${style.end}`, '', ...example]
  const behind = behindStatement(text, app.statement)
  const isFollowed = /^\r?\n[ \t]*\S/.test(text.slice(behind))
  const block = `${newline}${lines.join(newline)}${isFollowed ? newline : ''}`
  const inChain = insert(app.createdTo, `${gapBeforeCall(text, app.createdTo)}${middleware}`)
  return {
    names: ['credential', 'hapax', 'idempotent'],
    because: `The middleware serves protected routes, and finds the tenant: each credential has its own keys. Other routes do not change. POST ${examplePath(plan)} is an example to try.`,
    splices: [...(app.isChained ? [inChain] : []), insert(behind, block)],
  }
}

/** Returns what stands between `new Hono()` and the dot of the next call. */
const gapBeforeCall = (text: string, at: number) => /^\s*(?=\.)/.exec(text.slice(at))?.[0] ?? ''

/** Behind a comment in the same line, but before other code. */
function behindStatement(text: string, statement: Statement): number {
  const { to } = rangeOf(statement)
  const end = endOfLine(text, to)
  return /^\s*(?:\/\/.*|\/\*[^*]*\*\/\s*)?$/.test(text.slice(to, end)) ? end : to
}

function createWorker({ use }: Edit): Step {
  const because =
    'createWorker checks the policies of all routes at start, and gives them to the objects.'
  const names = ['createWorker']
  if (use.kind === 'fetch') {
    const { from, to, name } = use
    return { names, because, splices: [{ from, to, text: `...createWorker(${name})` }] }
  }
  const { from, to } = rangeOf(use.expression)
  return { names, because, splices: [insert(from, 'createWorker('), insert(to, ')')] }
}

function exportClasses(module: Module, main: Statement, style: CodeStyle): Step[] {
  const missing = missingClasses(module)
  if (missing.length === 0) return []
  const at = beforeComments(module.text, main)
  const text = `${toClassExport(missing, style)}${style.newline}`
  return [
    {
      names: [],
      because: `The main file must export the Durable Object ${missing.length === 1 ? 'class' : 'classes'} ${missing.join(' and ')}, so that the platform finds them.`,
      splices: [insert(at, text)],
    },
  ]
}

/** Before the comments that belong to a statement. */
function beforeComments(text: string, statement: Statement): number {
  const { from } = rangeOf(statement)
  const comments = (statement.leadingComments ?? []).toReversed()
  return comments.reduce((at, comment) => {
    const { from: start, to } = rangeOf(comment)
    const isDirectlyAbove = /^[ \t]*\r?\n[ \t]*$/.test(text.slice(to, at))
    return isDirectlyAbove && startOfLine(text, start) === start ? start : at
  }, from)
}

function importNames(module: Module, wanted: readonly string[], style: CodeStyle): Step[] {
  const missing = wanted.filter((each) => !isFromHapax(module, each)).toSorted()
  if (missing.length === 0) return []
  const line = toImport(missing, 'hapax', style)
  const last = module.statements.findLast((each) => each.type === 'ImportDeclaration')
  const splices =
    last === undefined
      ? [insert(0, `${line}${style.newline}${style.newline}`)]
      : [insert(behindStatement(module.text, last), `${style.newline}${line}`)]
  return [{ names: [], because: `Imports ${missing.join(', ')}.`, splices }]
}

/** The Worker would start without their policies. */
function refuseLateRoutes({ module: { text }, main, app, use }: Edit, name: string): void {
  const { to } = use.kind === 'fetch' ? use : rangeOf(main.statement)
  const isLate = new RegExp(
    `\\b${app.name.replaceAll('$', '\\$')}\\s*\\.\\s*(?:all|basePath|delete|get|mount|on|options|patch|post|put|route|use)\\(`,
  ).test(text.slice(to))
  if (!isLate) return
  throw new Failure(`${name} adds routes after its default export. Move the export to the end.`)
}
