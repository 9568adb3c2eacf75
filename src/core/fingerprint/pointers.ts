import { err, ok, type Result } from '../result.ts'

/** What the rules say of a value and of what lies beneath it. */
export interface PointerTree {
  /** The value is left out. */
  readonly isIgnored: boolean
  /** A date-time there is compared as the instant that it names. */
  readonly isDate: boolean
  /** By member name, or by array index in decimal. */
  readonly children: ReadonlyMap<string, PointerTree>
}

interface Branch extends PointerTree {
  isIgnored: boolean
  isDate: boolean
  readonly children: Map<string, Branch>
}

/** `~` but before 0 or 1. */
const BAD_ESCAPE = /~(?![01])/

/**
 * Splits a JSON pointer (RFC 6901) into its reference tokens, unescaped.
 *
 * The error is a sentence. The pointer to the whole document, `''`, is refused: a fingerprint that
 * leaves out everything compares nothing.
 */
export function parsePointer(pointer: string): Result<readonly string[], string> {
  if (!pointer.startsWith('/')) return err(`"${pointer}" must begin with "/".`)
  if (BAD_ESCAPE.test(pointer)) return err(`"${pointer}" must write "~" as "~0" and "/" as "~1".`)
  const tokens = pointer.slice(1).split('/')
  return ok(tokens.map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~')))
}

/** Writes one reference token as a pointer, escaped. */
export const toPointer = (token: string): string =>
  `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`

/**
 * Arranges the pointers of the rules so that a parser can walk along; `undefined` where there are
 * none.
 *
 * @throws Error for a malformed pointer, which is a bad configuration.
 */
export function createPointerTree(
  ignore: readonly string[],
  dates: readonly string[],
): PointerTree | undefined {
  if (ignore.length === 0 && dates.length === 0) return undefined
  const root = createBranch()
  for (const pointer of ignore) plant(root, pointer).isIgnored = true
  for (const pointer of dates) plant(root, pointer).isDate = true
  return root
}

function createBranch(): Branch {
  return { isIgnored: false, isDate: false, children: new Map() }
}

function plant(root: Branch, pointer: string): Branch {
  const tokens = parsePointer(pointer)
  if (!tokens.ok) throw new Error(`Not a JSON pointer: ${tokens.error}`)
  let branch = root
  for (const token of tokens.value) {
    const child = branch.children.get(token) ?? createBranch()
    branch.children.set(token, child)
    branch = child
  }
  return branch
}
