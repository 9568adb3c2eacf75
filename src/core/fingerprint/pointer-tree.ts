import { EVERY, splitPointer } from '../json/pointer.ts'

/** What the rules say of a value and, asked by `branchAt`, of what lies beneath it. */
export interface PointerTree {
  /** The value is left out. */
  readonly isIgnored: boolean
  /** A date-time there is compared as the instant that it names. */
  readonly isDate: boolean
  /** Rules about what lies beneath. */
  readonly rules: readonly PointerRule[]
  /** Member names, or array indices in decimal, that a rule beneath begins with. */
  readonly names: ReadonlySet<string>
  /** Branches that were asked for. */
  readonly branches: Map<string, PointerTree | undefined>
}

interface PointerRule {
  readonly says: 'ignore' | 'date'
  /** What of its pointer is left. */
  readonly tokens: readonly string[]
}

/**
 * Arranges the pointers of the rules so that a parser can walk along; `undefined` where there are
 * none. The token `*` stands for every member and every item, also for a member of that name.
 *
 * @throws Error for a malformed pointer, which is a bad configuration.
 */
export function createPointerTree(
  ignore: readonly string[],
  dates: readonly string[],
): PointerTree | undefined {
  return toTree([...toRules('ignore', ignore), ...toRules('date', dates)])
}

function toRules(says: PointerRule['says'], pointers: readonly string[]): readonly PointerRule[] {
  return pointers.map((pointer) => ({ says, tokens: splitPointer(pointer) }))
}

/**
 * What the rules say of a member or an item: those that name it and those that are about every one.
 * Branches are made when they are asked for: all of them at once could be very many.
 */
export function branchAt(tree: PointerTree | undefined, token: string): PointerTree | undefined {
  if (tree === undefined) return undefined
  const name = tree.names.has(token) ? token : EVERY
  if (!tree.branches.has(name)) {
    const rules = tree.rules.filter(({ tokens: [first] }) => first === name || first === EVERY)
    tree.branches.set(name, toTree(rules.map(withoutFirst)))
  }
  return tree.branches.get(name)
}

const withoutFirst = ({ says, tokens }: PointerRule) => ({ says, tokens: tokens.slice(1) })

function toTree(all: readonly PointerRule[]): PointerTree | undefined {
  if (all.length === 0) return undefined
  const own = all.filter(({ tokens }) => tokens.length === 0)
  const rules = all.filter(({ tokens }) => tokens.length > 0)
  const names = new Set(rules.flatMap(({ tokens: [first = EVERY] }) => first))
  names.delete(EVERY)
  return {
    isIgnored: own.some(({ says }) => says === 'ignore'),
    isDate: own.some(({ says }) => says === 'date'),
    rules,
    names,
    branches: new Map(),
  }
}
