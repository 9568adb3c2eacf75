import type { Context } from 'hono'

import type { HapaxEnv } from '../config/env.ts'
import { createDigests, type Digest } from '../core/digest.ts'
import { decideFate, type MessageFate, type VerdictFacts } from '../core/disposition.ts'
import { parseKey } from '../core/key.ts'
import { emit } from '../http/emit.ts'
import { type GatewayEnv, MESSAGE, type MessageScope } from '../http/gateway-env.ts'
import { logFault } from '../metrics/log.ts'
import { NO_FACTS } from '../metrics/no-facts.ts'
import { recordRequest } from '../metrics/record-request.ts'
import type { Consumer, MessageRoute } from './consumer.ts'
import type { MessageContext } from './handler.ts'
import { memberOf, readSource, readTenant, type ReceivedMessage } from './message-source.ts'
import { type MessagePayload, toPayload } from './payload.ts'

/** What became of a message, with what is known of its operation. */
export type HandledFate = MessageFate & {
  readonly tenant: string | null
  readonly operationId: string | null
}

/** A message whose fate is asked for once more is asked about so often. */
const MAX_TURNS = 3

/** Handles one delivery of a message: as a request on a route of its own. */
export async function handle(
  consumer: Consumer,
  message: ReceivedMessage,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<HandledFate> {
  const startedAt = Date.now()
  const digest = digestOf(env.HAPAX_DIGEST_KEY)
  const read = await readMessage(consumer, message, digest)
  if (typeof read === 'string') {
    recordPoison(env, message, startedAt)
    return { kind: 'dead-letter', reason: read, tenant: null, operationId: null }
  }
  for (let turn = 1; ; turn++) {
    // oxlint-disable-next-line no-await-in-loop -- the next one after this one's end
    const fate = await handleOnce(consumer, read, env, ctx)
    if (fate.kind !== 'again') return fate
    if (turn === MAX_TURNS) return { ...fate, kind: 'retry', reason: 'unsettled' }
  }
}

/** A message that can be handled. */
interface Read {
  readonly message: ReceivedMessage
  readonly type: string
  readonly tenant: string
  readonly route: MessageRoute
  readonly payload: MessagePayload
  readonly path: string
}

/** @returns Why it can never be handled, where that is so. */
async function readMessage(
  consumer: Consumer,
  message: ReceivedMessage,
  digest: Digest,
): Promise<Read | string> {
  const type = readSource(consumer.type, message) ?? ''
  const route = consumer.routeOf(type)
  if (route === undefined) return 'no-handler: no handler takes messages of this type'
  const tenant = await readTenant(consumer.tenant, message, digest)
  if (tenant === null) return 'tenant-missing: the message does not say whose it is'
  const payload = toPayload(message.body, route.payload)
  if (payload === null) return 'payload-invalid: the message has no payload that could be compared'
  const path = expand(route.path, payload.value)
  if (path === null) return 'payload-invalid: a value of the path is not in the payload'
  return { message, type, tenant, route, payload, path }
}

/** Puts values of a payload into a path. @returns `null` where one is missing. */
function expand(path: string, payload: unknown): string | null {
  let isWhole = true
  const expanded = path.replaceAll(/\{(\/[^{}]*)\}/g, (_, pointer: string) => {
    const tokens = pointer.slice(1).split('/')
    const value = tokens.reduce<unknown>((at, token) => {
      return memberOf(at, token.replaceAll('~1', '/').replaceAll('~0', '~'))
    }, payload)
    if (typeof value !== 'string' && typeof value !== 'number') isWhole = false
    return encodeURIComponent(String(value))
  })
  return isWhole ? expanded : null
}

async function handleOnce(
  consumer: Consumer,
  read: Read,
  env: HapaxEnv,
  ctx: ExecutionContext,
): Promise<HandledFate> {
  const { message, tenant, route, type, payload } = read
  let fate: HandledFate | null = null
  const scope: MessageScope = {
    tenant,
    message: { ...message, type, payload: payload.value },
    contextOf: (c) => contextOf(c, env, tenant),
    conclude(facts) {
      fate = { ...decide(consumer, read, facts), tenant, operationId: facts.operationId }
      return fate.kind === 'again' ? null : fate.kind
    },
  }
  const request = await toRequest(read)
  const response = await route.app.fetch(request, { ...env, [MESSAGE]: scope }, ctx)
  // Nobody reads it; but what streams is settled at its end.
  await response.body?.pipeTo(new WritableStream()).catch(() => {})
  if (fate !== null) return fate
  logFault('a message was not concluded', new Error(type))
  return { kind: 'retry', reason: 'fault', tenant, operationId: null }
}

function decide({ retry }: Consumer, { message, route }: Read, facts: VerdictFacts): MessageFate {
  const isFirst = message.attempts === 1
  const fate = decideFate(facts, { isFirst, isHeld: route.isHeld })
  const isLast = fate.kind === 'retry' && message.attempts >= retry.attempts
  return isLast ? { kind: 'dead-letter', reason: `retries-exhausted: ${fate.reason}` } : fate
}

function contextOf(c: Context<GatewayEnv>, env: HapaxEnv, tenant: string): MessageContext {
  return {
    env,
    tenant,
    correlationId: c.var.hapax.correlation.correlationId,
    emit: (event) => emit(c, event),
    waitUntil: (work) => c.executionCtx.waitUntil(work),
  }
}

const INSIDE = 'https://queue.hapax.internal'

async function toRequest({ message, route, payload, path }: Read): Promise<Request> {
  const headers = new Headers({ 'Content-Type': payload.type })
  for (const { header, source } of route.keys) {
    const key = readSource(source, message)
    // oxlint-disable-next-line no-await-in-loop -- there are one or two of them
    if (key !== null) headers.set(header, await toField(key))
  }
  const ties = { 'X-Correlation-Id': 'correlationid', Traceparent: 'traceparent' }
  for (const [name, attribute] of Object.entries(ties)) {
    const value = memberOf(message.body, attribute)
    if (typeof value === 'string' && /^[!-~]+$/.test(value)) headers.set(name, value)
  }
  return new Request(INSIDE + path, { method: route.method, headers, body: payload.bytes })
}

/** A key of a message may be any text; one that no header could bring is told by its digest. */
async function toField(key: string): Promise<string> {
  return /^[!-~]*$/.test(key) && parseKey(key).ok ? key : digestKey('message key', key)
}

const digestOf = createDigests()
const digestKey = digestOf(undefined)

function recordPoison(env: HapaxEnv, { queue }: ReceivedMessage, startedAt: number): void {
  recordRequest(env, {
    ...NO_FACTS,
    operation: queue,
    method: 'QUEUE',
    status: 'rejected',
    tenant: null,
    correlationId: '',
    operationId: null,
    fence: 0,
    totalMs: Date.now() - startedAt,
    ageMs: 0,
    disposition: 'dead-letter',
  })
}
