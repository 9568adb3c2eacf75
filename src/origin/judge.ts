import { deployedPolicies } from '../config/deployed-policies.ts'
import { errorName } from '../core/error-name.ts'
import type { AnswerFacts } from '../core/outcome/classify.ts'
import { ownOutcomeOf } from '../core/outcome/landing.ts'
import {
  type AnswerToJudge,
  judgeAnswer,
  needsBody,
  type OutcomeFunction,
  type OutcomeJudge,
  type Said,
} from '../core/outcome/outcome-rules.ts'
import { OUTCOMES } from '../core/outcome/outcome.ts'
import type { AnswerHead, EndedReply, LandingRules, Reply, ReplyOf } from '../core/outcome/reply.ts'
import {
  type CallAnswer,
  createResponseReader,
  findResponse,
  judgeCall,
  judgeMessages,
  parseJson,
} from '../core/outcome/rpc-outcome.ts'
import { readRetryAfter } from '../core/retry/retry-after.ts'
import { type Coding, decideUndoing, parseCodings } from '../core/wire/content-coding.ts'
import { createEventReader } from '../core/wire/event-stream.ts'
import { toHeaders } from '../core/wire/headers.ts'
import { essenceOf, isEventStream, isJson } from '../core/wire/media-type.ts'
import { logFault } from '../metrics/log.ts'
import { decodeBody, decodeBytes } from '../platform/decode-body.ts'

/** How an answer is read to judge it. */
export interface Judging {
  readonly rules: LandingRules
  /** Bytes of a decoded body at the most; a larger one is not read. */
  readonly limitBytes: number
}

/** Whether the body of an answer must be there before its outcome is known. */
export function isJudgedByBody(head: AnswerHead, rules: LandingRules): boolean {
  if (rules.rpcId !== undefined) return !isCallStream(head)
  return readsBody(judgesOf(rules), toHeaders(head.headers))
}

function readsBody(judges: readonly OutcomeJudge[], headers: Headers): boolean {
  const essence = essenceOf(headers)
  return needsBody(judges, { essence, isJson: isJson({ essence }) })
}

/** Asks the route what a reply means, and reads what the origin says of another try. */
export async function judgeReply<reply extends Reply>(
  reply: reply,
  judging: Judging,
): Promise<reply> {
  const { rules, limitBytes } = judging
  if (rules.rpcId === undefined || reply.kind === 'fault') {
    return judgeBy(judgesOf(rules), reply, limitBytes)
  }
  const said = reply.kind === 'answer' ? await judgeCallReply(reply, rules.rpcId, judging) : null
  return { ...reply, said, retryAfterMs: readRetryAfter(reply.headers, Date.now()) }
}

/**
 * The same for an answer of the status resource. Its HTTP status is not the operation's, so only rules
 * that read the body count.
 */
export async function judgeStatus(
  reply: EndedReply,
  { rules, limitBytes }: Judging,
): Promise<EndedReply> {
  const judged = await judgeBy(judgesOf(rules).map(withoutStatuses), reply, limitBytes)
  if (rules.rpcId === undefined || judged.kind === 'fault' || judged.said?.isExact === true) {
    return judged
  }
  const { status, headers: fields, body } = judged
  // A status resource without the operation says so by its HTTP status.
  if (status >= 300) return judged
  const headers = toHeaders(fields)
  const read = body instanceof Uint8Array ? await readMessages(body, headers, limitBytes) : []
  return { ...judged, said: judgeMessages(read) }
}

/** The messages of JSON-RPC in a body, as `JSON.parse` reads them; none in another one. */
async function readMessages(
  body: Uint8Array<ArrayBuffer>,
  headers: Headers,
  limitBytes: number,
): Promise<readonly unknown[]> {
  const bytes = await decode(body, headers, limitBytes)
  if (bytes === null) return []
  if (!isEventStream(headers)) return [parseJson(new TextDecoder().decode(bytes))].flat()
  const messages: unknown[] = []
  createEventReader((data) => messages.push(data === null ? null : parseJson(data)))(bytes)
  return messages.flat()
}

function withoutStatuses(judge: OutcomeJudge): OutcomeJudge {
  if (typeof judge === 'function') return judge
  return Object.fromEntries(Object.entries(judge).filter(([, said]) => typeof said !== 'string'))
}

async function judgeBy<reply extends Reply>(
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

/** The same by the head alone. */
export function judgeHead<head extends AnswerHead>(head: head, rules: LandingRules): head {
  const { status, headers } = head
  // The outcome of a call is in the body.
  if (rules.rpcId !== undefined) return { ...head, said: null }
  return { ...head, said: judgeAnswer(judgesOf(rules), { status, headers: toHeaders(headers) }) }
}

/** A body that is passed on, and contains the outcome of a call at its end. */
export interface CallStream {
  /** Takes the next chunk. */
  readonly read: (chunk: Uint8Array) => Promise<void>
  /** Whether the response has already arrived, in clear. */
  readonly hasResponse: () => boolean
  /** Says what the complete answer means. */
  readonly end: () => Promise<Said | null>
}

/** @returns `null` for an answer that is not a stream of events for a call. */
export function openCallStream(head: AnswerHead, rules: LandingRules): CallStream | null {
  const { rpcId } = rules
  if (rpcId === undefined || !isCallStream(head)) return null
  const { read, found } = createResponseReader(rpcId)
  const end = () => judgeCallAnswer(head, rules, found())
  const encoding = codingOf(toHeaders(head.headers))
  if (parseCodings(encoding).length === 0) {
    return {
      read: async (chunk) => read(chunk),
      hasResponse: () => typeof found() === 'object',
      end: async () => end(),
    }
  }
  const undoing = decideUndoing(encoding, 'identity')
  if (undoing === null) {
    return {
      read: async () => {},
      hasResponse: isNotClear,
      end: async () => judgeCallAnswer(head, rules, 'unreadable'),
    }
  }
  const decoding = openDecoding(undoing.codings, read)
  return { read: decoding.write, hasResponse: isNotClear, end: () => decoding.end().then(end) }
}

/** An encoded body that is cut off cannot be read to its end. */
const isNotClear = () => false

/** Undoes codings chunk by chunk. A fault ends it silently. */
function openDecoding(codings: readonly Coding[], onChunk: (chunk: Uint8Array) => void) {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
  const writer = writable.getWriter()
  const work = readAll(decodeBody(readable, codings), onChunk).catch(() => {})
  return {
    write: (chunk: Uint8Array) => writer.write(chunk).catch(() => {}),
    async end() {
      await writer.close().catch(() => {})
      await work
    },
  }
}

async function readAll(body: ReadableStream<Uint8Array>, onChunk: (chunk: Uint8Array) => void) {
  for await (const chunk of body) onChunk(chunk)
}

/** The outcome of an executed answer that is still arriving; `null`: only its end tells it. */
export function liveOutcomeOf(
  head: AnswerHead,
  rules: LandingRules,
  isInDoubt: boolean,
): 'succeeded' | 'failed' | null {
  if (rules.rpcId !== undefined && isCallStream(head)) return null
  const outcome = ownOutcomeOf({ kind: 'head', ...head }, rules, isInDoubt)
  return outcome === 'failed' ? 'failed' : 'succeeded'
}

/** A successful stream of events goes to its client while it comes: it may ask for something. */
function isCallStream({ status, headers }: AnswerHead): boolean {
  return status < 300 && isEventStream(toHeaders(headers))
}

async function judgeCallReply(
  reply: ReplyOf<'answer'>,
  rpcId: string,
  { rules, limitBytes }: Judging,
): Promise<Said | null> {
  const headers = toHeaders(reply.headers)
  const bytes =
    reply.body instanceof Uint8Array ? await decode(reply.body, headers, limitBytes) : null
  if (bytes === null) return judgeCallAnswer(reply, rules, 'unreadable')
  if (isEventStream(headers)) {
    const { read, found } = createResponseReader(rpcId)
    read(bytes)
    return judgeCallAnswer(reply, rules, found())
  }
  const text = new TextDecoder().decode(bytes)
  const json = parseJson(text)
  const response = findResponse(json, rpcId)
  return judgeCallAnswer(reply, rules, response ?? 'none', { text, json })
}

/** @param read What the rules of the route read if there is no response. */
function judgeCallAnswer(
  head: AnswerHead & AnswerFacts,
  rules: LandingRules,
  answer: CallAnswer,
  read: Pick<AnswerToJudge, 'json' | 'text'> = {},
): Said | null {
  const { status } = head
  const headers = toHeaders(head.headers)
  const content = typeof answer === 'object' ? { json: answer } : read
  return judgeCall(answer, judgeAnswer(judgesOf(rules), { status, headers, ...content }), head)
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

/** The record is from another version of the deployment, whose function does not exist any more. */
const isLost: OutcomeFunction = () => {
  logFault('what an answer means is unknown', new Error('No route has its operation any more.'))
  return 'unknown'
}

function carefully(judge: OutcomeFunction): OutcomeFunction {
  return (answer) => {
    try {
      const word = judge(answer)
      if (word === undefined || OUTCOMES.includes(word)) return word
      dropFailure(word)
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

/** Nobody awaits the promise of an asynchronous function; without this the platform would log its failure. */
function dropFailure(word: unknown): void {
  if (word instanceof Promise) word.catch(() => {})
}

async function readBody(
  bytes: Uint8Array<ArrayBuffer>,
  headers: Headers,
  limitBytes: number,
): Promise<Pick<AnswerToJudge, 'json' | 'text'>> {
  const decoded = await decode(bytes, headers, limitBytes)
  if (decoded === null || decoded.byteLength === 0) return {}
  const text = new TextDecoder().decode(decoded)
  const isOfJson = isJson({ essence: essenceOf(headers) })
  return { text, json: isOfJson ? parseJson(text) : undefined }
}

/** @returns `null` when the coding is unknown, the body is not encoded correctly, or becomes too large. */
async function decode(
  bytes: Uint8Array<ArrayBuffer>,
  headers: Headers,
  limitBytes: number,
): Promise<Uint8Array | null> {
  const encoding = codingOf(headers)
  if (parseCodings(encoding).length === 0) return bytes
  const decoded = await decodeBytes(bytes, encoding, limitBytes)
  return decoded?.kind === 'whole' ? decoded.bytes : null
}

const codingOf = (headers: Headers) => headers.get('content-encoding') ?? ''
