import { deployedPolicies } from '../config/deployed-policies.ts'
import { collectBody } from '../core/body.ts'
import { decideUndoing, parseCodings } from '../core/content-coding.ts'
import { errorName } from '../core/error-name.ts'
import { isJson } from '../core/fingerprint/media-type.ts'
import { toHeaders } from '../core/headers.ts'
import {
  type AnswerToJudge,
  judgeAnswer,
  needsBody,
  type OutcomeFunction,
  type OutcomeJudge,
} from '../core/outcome-rules.ts'
import { OUTCOMES } from '../core/outcome.ts'
import type { AnswerHead, LandingRules, LiveReply, Reply } from '../core/reply.ts'
import { readRetryAfter } from '../core/retry-after.ts'
import { logFault } from '../metrics/log.ts'
import { decodeBody } from '../origin/decode-body.ts'

/** How an answer is read to judge it. */
export interface Judging {
  readonly rules: LandingRules
  /** Bytes of a decoded body at the most; a larger one is not read. */
  readonly limitBytes: number
}

/** Whether the body of an answer must be there before its outcome is known. */
export function isJudgedByBody({ headers }: AnswerHead, rules: LandingRules): boolean {
  return readsBody(judgesOf(rules), toHeaders(headers))
}

function readsBody(judges: readonly OutcomeJudge[], headers: Headers): boolean {
  const essence = essenceOf(headers)
  return needsBody(judges, { essence, isJson: isJson({ essence, parameters: [] }) })
}

/** Asks the route what a reply means, and reads what the origin says of another try. */
export async function judgeReply<reply extends Reply | LiveReply>(
  reply: reply,
  judging: Judging,
): Promise<reply> {
  return judgeBy(judgesOf(judging.rules), reply, judging.limitBytes)
}

/**
 * The same of an answer of the status resource. Its status is not the operation's, so that only what
 * reads the body is asked.
 */
export async function judgeStatus(reply: Reply, { rules, limitBytes }: Judging): Promise<Reply> {
  return judgeBy(judgesOf(rules).map(withoutStatuses), reply, limitBytes)
}

function withoutStatuses(judge: OutcomeJudge): OutcomeJudge {
  if (typeof judge === 'function') return judge
  return Object.fromEntries(Object.entries(judge).filter(([, said]) => typeof said !== 'string'))
}

async function judgeBy<reply extends Reply | LiveReply>(
  judges: readonly OutcomeJudge[],
  reply: reply,
  limitBytes: number,
): Promise<reply> {
  if (reply.kind === 'fault') return reply
  const { status, headers: fields } = reply
  const headers = toHeaders(fields)
  const body = reply.kind === 'answer' && readsBody(judges, headers) ? reply.body : null
  const read = body instanceof Uint8Array ? await readBody(body, headers, limitBytes) : {}
  const said = judgeAnswer(judges, { status, headers, ...read })
  return { ...reply, said, retryAfterMs: readRetryAfter(fields, Date.now()) }
}

/** The same by what comes before the body. */
export function judgeHead<head extends AnswerHead>(head: head, rules: LandingRules): head {
  const { status, headers } = head
  return { ...head, said: judgeAnswer(judgesOf(rules), { status, headers: toHeaders(headers) }) }
}

/** The route's rules and functions: those that came along, or those of the policy that is named. */
function judgesOf({ outcomes, judgedBy }: LandingRules): readonly OutcomeJudge[] {
  if (judgedBy === undefined) return [outcomes].flat()
  const policies = deployedPolicies(judgedBy.operation)
  const policy = policies[judgedBy.index] ?? policies[0]
  if (policy === undefined) return [isLost]
  return [policy.outcomes]
    .flat()
    .map((judge) => (typeof judge === 'function' ? carefully(judge) : judge))
}

/** The record was made by another version of the deployment, whose function is not there any more. */
const isLost: OutcomeFunction = () => {
  logFault('what an answer means is unknown', new Error('No route has its operation any more.'))
  return 'unknown'
}

function carefully(judge: OutcomeFunction): OutcomeFunction {
  return (answer) => {
    try {
      const word = judge(answer)
      if (word === undefined || OUTCOMES.includes(word)) return word
      throw new TypeError('It is no outcome.')
    } catch (error) {
      // Its message is not ours: it may hold what must not be logged.
      logFault(
        'a function in outcomes failed, so the outcome is unknown',
        new Error(errorName(error)),
      )
      return 'unknown'
    }
  }
}

async function readBody(
  bytes: Uint8Array<ArrayBuffer>,
  headers: Headers,
  limitBytes: number,
): Promise<Pick<AnswerToJudge, 'json' | 'text'>> {
  const decoded = await decode(bytes, headers.get('content-encoding') ?? '', limitBytes)
  if (decoded === null || decoded.byteLength === 0) return {}
  const text = new TextDecoder().decode(decoded)
  const isOfJson = isJson({ essence: essenceOf(headers), parameters: [] })
  return { text, json: isOfJson ? parseJson(text) : undefined }
}

/** @returns `null` where the body is encoded in a way that is not known here, or wrongly, or becomes too large. */
async function decode(
  bytes: Uint8Array<ArrayBuffer>,
  contentEncoding: string,
  limitBytes: number,
): Promise<Uint8Array | null> {
  if (parseCodings(contentEncoding).length === 0) return bytes
  const undoing = decideUndoing(contentEncoding, 'identity')
  const { body } = new Response(bytes)
  if (undoing === null || body === null) return null
  try {
    const stream = decodeBody(body, undoing.codings)
    const collected = await collectBody(stream, limitBytes)
    if (collected.kind === 'whole') return collected.bytes
    collected.rest.cancel().catch(() => {})
    return null
  } catch {
    return null
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const essenceOf = (headers: Headers) =>
  (headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
