import { EVERY, splitPointer } from '../json/pointer.ts'
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
 * Returns the outcome of an answer, or `undefined` to leave it to the next rule or the table. It may be
 * called twice. If it throws or returns anything else, the outcome is unknown.
 */
export type OutcomeFunction = (answer: JudgedAnswer) => Outcome | undefined

/** Rules, or a function for what no rule can say. */
export type OutcomeJudge = OutcomeRules | OutcomeFunction

/** What a route says about an answer. `isExact`: not only about a range of statuses. */
export interface Said {
  readonly outcome: Outcome
  readonly isExact: boolean
  /** Whether it only asks the client for input, with which the operation continues. */
  readonly isStep?: true
  /** Whether only the client can fix it, so that sending it again is useless. */
  readonly isRefusal?: true
  /** Whether it can also mean that an earlier call of the operation still runs. */
  readonly isNotYet?: true
}

/** The parts of an answer that judges read. */
export interface AnswerToJudge {
  readonly status: number
  readonly headers: Headers
  /** The body, if it is valid JSON; else `undefined`. */
  readonly json?: unknown
  /** The body as text, if it could be read. */
  readonly text?: string | null
}

/** Asks a route's judges in order. @returns `null` if none has a rule for the answer. */
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

/** Within one object, values in the body have priority over the status, and this over its range. */
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

/** If several values have different outcomes, the first of these counts. */
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
  // A key is freed only if all values say so.
  return counts === 'not_executed' && said.has(undefined) ? undefined : counts
}

/** The values at a pointer, in which `*` is every item and member. `undefined` if there is none. */
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

/** Whether judges need the body of an answer. @param essence Its media type, lower-case, without parameters. */
export function needsBody(
  judges: readonly OutcomeJudge[],
  { essence, isJson }: { readonly essence: string; readonly isJson: boolean },
): boolean {
  if (essence === 'text/event-stream') return false
  const readsBody = (rules: OutcomeRules) =>
    isJson && Object.values(rules).some((said) => typeof said !== 'string')
  return judges.some((judge) => typeof judge === 'function' || readsBody(judge))
}
