import { EVERY, splitPointer } from './json/pointer.ts'
import type { Outcome } from './outcome.ts'

/**
 * A route's own outcomes. A key is a status (`'409'`), a range (`'5xx'`), or a JSON pointer into the
 * answer's body, whose values have outcomes: `'/error/code': { THROTTLED: 'not_executed', '*': 'failed' }`.
 */
export type OutcomeRules = Readonly<Record<string, Outcome | ValueOutcomes>>

/** Outcomes by a value in the body, as text; `'*'` is every value that is not named. */
type ValueOutcomes = Readonly<Record<string, Outcome>>

/** An answer as a function in `outcomes` gets it. */
export interface JudgedAnswer {
  readonly status: number
  readonly headers: Headers
  /** JSON parsed, anything else as text; `null` where there is none, or it cannot be read. */
  readonly body: unknown
}

/**
 * Says what an answer means, or `undefined`: then the next rule does, or the table. It may be asked twice.
 * Where it throws, or returns anything else, the outcome is unknown.
 */
export type OutcomeFunction = (answer: JudgedAnswer) => Outcome | undefined

/** Rules, or a function for what no rule can say. */
export type OutcomeJudge = OutcomeRules | OutcomeFunction

/** What a route says of an answer. `isExact`: not only of a range of statuses. */
export interface Said {
  readonly outcome: Outcome
  readonly isExact: boolean
  /** Whether it only asks the client for more: the operation goes on when that comes. */
  readonly isStep?: true
  /** Whether only the client can mend it, so that nothing is gained by sending it again. */
  readonly isRefusal?: true
  /** Whether it can also mean that an earlier call of the operation still runs. */
  readonly isNotYet?: true
}

/** What judges read. */
export interface AnswerToJudge {
  readonly status: number
  readonly headers: Headers
  /** The body where it is JSON that parses; else `undefined`. */
  readonly json?: unknown
  /** The body as text, where it could be read. */
  readonly text?: string | null
}

/** Asks a route's judges in their order what an answer means. @returns `null` where none says something. */
export function judgeAnswer(judges: readonly OutcomeJudge[], answer: AnswerToJudge): Said | null {
  for (const judge of judges) {
    const said = typeof judge === 'function' ? ask(judge, answer) : readRules(judge, answer)
    if (said !== null) return said
  }
  return null
}

function ask(judge: OutcomeFunction, { status, headers, json, text = null }: AnswerToJudge) {
  const body = json === undefined ? text : json
  return toSaid(judge({ status, headers, body }))
}

/** Within one object the body says more than the status, and a status more than its range. */
function readRules(rules: OutcomeRules, { status, json }: AnswerToJudge): Said | null {
  const byBody = json === undefined ? undefined : judgeBody(rules, json)
  return (
    toSaid(byBody ?? outcomeAt(rules, String(status))) ??
    toSaid(outcomeAt(rules, `${Math.floor(status / 100)}xx`), false)
  )
}

function toSaid(outcome: Outcome | undefined, isExact = true): Said | null {
  return outcome === undefined ? null : { outcome, isExact }
}

function outcomeAt(rules: OutcomeRules, key: string): Outcome | undefined {
  const said = Object.hasOwn(rules, key) ? rules[key] : undefined
  return typeof said === 'string' ? said : undefined
}

function judgeBody(rules: OutcomeRules, json: unknown): Outcome | undefined {
  for (const [pointer, outcomes] of Object.entries(rules)) {
    const said = typeof outcomes === 'string' ? undefined : judgeValues(outcomes, pointer, json)
    if (said !== undefined) return said
  }
  return undefined
}

/** Where several values are meant and say different things, the first of these counts. */
const MOST_CAREFUL_FIRST: readonly Outcome[] = ['unknown', 'succeeded', 'failed', 'not_executed']

function judgeValues(outcomes: ValueOutcomes, pointer: string, json: unknown): Outcome | undefined {
  const said = new Set(
    valuesAt(json, splitPointer(pointer)).map((value) => {
      if (value === undefined) return value
      const text = toText(value)
      return text !== null && Object.hasOwn(outcomes, text) ? outcomes[text] : outcomes['*']
    }),
  )
  const counts = MOST_CAREFUL_FIRST.find((outcome) => said.has(outcome))
  // A key is freed only where all say so.
  return counts === 'not_executed' && said.has(undefined) ? undefined : counts
}

/**
 * The values that a pointer means; `*` stands for every item and every member. `undefined` where there is
 * none.
 */
function valuesAt(value: unknown, [token, ...rest]: readonly string[]): readonly unknown[] {
  if (token === undefined) return [value]
  if (typeof value !== 'object' || value === null) return [undefined]
  if (token === EVERY) return Object.values(value).flatMap((inner) => valuesAt(inner, rest))
  const isThere = Object.hasOwn(value, token) && !(Array.isArray(value) && token === 'length')
  return isThere ? valuesAt(Reflect.get(value, token), rest) : [undefined]
}

/** @returns `null` for an array or an object, which has no text of its own. */
function toText(value: unknown): string | null {
  if (typeof value === 'string') return value
  return typeof value === 'object' && value !== null ? null : JSON.stringify(value)
}

/**
 * Whether judges must have the body of an answer of this type before they can say what it means.
 *
 * @param essence Its media type, in lower case, without parameters.
 */
export function needsBody(
  judges: readonly OutcomeJudge[],
  { essence, isJson }: { readonly essence: string; readonly isJson: boolean },
): boolean {
  if (essence === 'text/event-stream') return false
  return judges.some((judge) =>
    typeof judge === 'function'
      ? true
      : isJson && Object.values(judge).some((said) => typeof said !== 'string'),
  )
}
