import type { CallEnd } from './call-end.ts'

/** What a note says beside the end of the call. */
export interface NoteFacts {
  /** How the model asks for it once more on purpose; `null` where it cannot. */
  readonly again: { readonly argument: string; readonly next: number } | null
  /** Whether the tool threw. */
  readonly isError: boolean
  /** Whether the tool has made an earlier request that was executed, or may have been. */
  readonly isPartial: boolean
  /** Calls with these arguments so far, this one counted. */
  readonly attempt: number
}

const SAME_CALL = 'call the same tool with exactly the same arguments'
const NO_DETOUR =
  'Do not try it with other arguments or with another tool: that could execute it twice.'
const TELL = 'tell the user'

/**
 * Says to a model what became of its call and what to do next. Made of facts, in fixed words.
 *
 * @returns An empty text where there is nothing to say.
 */
export function toNote(end: CallEnd, facts: NoteFacts): string {
  const said = say(end, facts)
  return said === '' ? '' : `About this call: ${said}`
}

function say(end: CallEnd, facts: NoteFacts): string {
  if (facts.isError && (end.kind === 'executed' || end.kind === 'repeated')) {
    // Also when an event stream breaks off, whose headers say more than is known.
    return `The API answered, but the tool failed afterwards. ${toStart(SAME_CALL)}: it is not executed again, and you learn the result.`
  }
  switch (end.kind) {
    case 'executed':
      return 'It was executed now. The same call, made again, returns this result and is not executed again.'
    case 'repeated':
      return sayRepeated(end, facts)
    case 'failed':
      return sayFailed(end, facts)
    case 'running':
      return `The same call is still running, and was not started again. ${waitThen(end.retryAfterMs, SAME_CALL)} to get its result.`
    case 'unknown':
      return sayUnknown(end)
    case 'key-reused':
      return sayReused(end.pointers, facts)
    case 'expired':
      return `An earlier call with the same arguments has ended, and its result is no longer stored. Nothing was executed now.${sayAgain(facts)}`
    case 'not-kept':
      return 'It was executed once, and its result cannot be returned again. Do not call it again. If you need the result, read it in another way.'
    case 'not-executed':
      return `${sayNothing(facts)}. ${waitThen(end.retryAfterMs, SAME_CALL)} to try again.`
    case 'no-result':
      return `There is no result yet. ${waitThen(end.retryAfterMs, SAME_CALL)}: it is executed, or you get its result.`
    case 'unprotected':
      return 'It was sent without protection. Do not call it again: that could execute it twice.'
    case 'rejected':
      return `It was rejected: ${end.because} ${sayNothing(facts)}. Correct the arguments if they are the cause. Otherwise, ${TELL}.`
    case 'unreported':
      return sayUnreported(facts)
  }
}

function sayRepeated({ ageMs, isJoined }: CallEnd & { kind: 'repeated' }, facts: NoteFacts) {
  const when = ageMs === null ? 'before' : `${toWords(ageMs, Math.round)} ago`
  const which = isJoined
    ? 'The same call was already running, and this is its result.'
    : `This is the earlier result: the same call was executed ${when}.`
  return `${which} Nothing was executed again. The work is done, so do not call it again.${sayAgain(facts)}`
}

function sayFailed({ status, isRepeat }: CallEnd & { kind: 'failed' }, facts: NoteFacts): string {
  const which = isRepeat
    ? `This is the earlier answer, with status ${status}. Nothing was executed again.`
    : `The API answered with status ${status}.`
  return `${which} This answer is final: the same call gets it again. Correct the arguments if they are the cause. Otherwise, ${TELL}.${sayAgain(facts)}`
}

function sayUnknown(end: CallEnd & { kind: 'unknown' }): string {
  const { isHeld, status, retryAfterMs, correlationId } = end
  const because =
    status === null
      ? 'It is not known whether this was executed.'
      : `The answer has status ${status}, so it is not known whether this was executed.`
  if (!isHeld) {
    return `${because} ${waitThen(retryAfterMs, SAME_CALL)}: it is not executed twice, and you learn the result. ${NO_DETOUR}`
  }
  const id = correlationId === null ? '' : `, with the correlation id ${correlationId}`
  return `${because} It is held until the API or its operator has found out, so calling again does not help now. ${NO_DETOUR} Tell the user that the outcome is open${id}.`
}

function sayNothing({ isPartial }: NoteFacts): string {
  return isPartial
    ? 'A part of this call was executed, or may have been, and the rest was not'
    : 'Nothing was executed by this call'
}

function sayReused(pointers: readonly string[], facts: NoteFacts): string {
  const where = pointers.length === 0 ? '' : ` The two requests differ at ${pointers.join(', ')}.`
  return `${sayNothing(facts)}: the tool has sent another request with the key of this call before.${where} This is a fault of the tool, so calling again does not help. Stop, and ${TELL}.`
}

function sayUnreported({ isError, attempt }: NoteFacts): string {
  if (isError) {
    return `It failed, and it is not known whether it had an effect. If you try again, ${SAME_CALL}: only then it has the same idempotency key.`
  }
  return attempt === 1
    ? ''
    : 'You made the same call before. It had the same idempotency key, by which the API can tell that both are one.'
}

function sayAgain({ again }: NoteFacts): string {
  if (again === null) return ''
  return ` If it is wanted once more on purpose, call it with "${again.argument}": ${again.next}.`
}

/** @param what An imperative that begins in lower case. */
function waitThen(retryAfterMs: number | null, what: string): string {
  if (retryAfterMs === null || retryAfterMs === 0) return toStart(what)
  return `Wait ${toWords(retryAfterMs, Math.ceil)}, then ${what}`
}

const toStart = (what: string) => what.charAt(0).toUpperCase() + what.slice(1)

const UNITS = [
  { ms: 86_400_000, name: 'day' },
  { ms: 3_600_000, name: 'hour' },
  { ms: 60_000, name: 'minute' },
] as const

/** A time in the largest unit that it has two of, and at least 1. */
function toWords(ms: number, round: (count: number) => number): string {
  const { ms: unitMs, name } = UNITS.find((unit) => ms >= 2 * unit.ms) ?? SECOND
  const count = Math.max(1, round(ms / unitMs))
  return `${count} ${name}${count === 1 ? '' : 's'}`
}

const SECOND = { ms: 1_000, name: 'second' } as const
