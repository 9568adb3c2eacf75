import type { Handler, Hono } from 'hono'
import * as z from 'zod/mini'

import { deployPolicies } from '../config/deployed-policies.ts'
import { duration, parsePolicy, type PolicyOptions, toLine, wholeNumber } from '../config/policy.ts'
import type { Duration } from '../core/duration.ts'
import { parsePointer } from '../core/json/pointer.ts'
import { header, type KeySource } from '../core/key-source.ts'
import type { RetryPolicy } from '../core/retry.ts'
import { type GatewayEnv, MESSAGE } from '../http/gateway-env.ts'
import { createGateway } from '../http/gateway.ts'
import { idempotent } from '../http/idempotent.ts'
import { protect } from '../http/protect.ts'
import { guardedRoutes } from '../http/route-policy.ts'
import type { Forwarding, MessageHandler } from './handler.ts'
import type { PayloadSource } from './message-payload.ts'
import {
  attribute,
  event,
  isMessageSource,
  isPayloadSource,
  isTenantSource,
  messageId,
  type MessageKeySource,
  type MessageSource,
  type TenantSource,
} from './message-source.ts'

/** What of a route's policy holds for messages as well. */
const SHARED = [
  'operation',
  'retention',
  'tombstone',
  'wait',
  'timeout',
  'lease',
  'fingerprint',
  'outcomes',
  'unknown',
  'durable',
  'limits',
  'snapshot',
  'forwardKey',
  'events',
] as const satisfies readonly (keyof PolicyOptions)[]

type SharedPolicy = Pick<PolicyOptions, (typeof SHARED)[number]>

/** What may be said of all messages, and of one type otherwise. */
export interface MessagePolicy extends SharedPolicy {
  /** What names the operation; of a list, the first that a message has. Default: the event, else the message. */
  readonly key?: MessageKeySource | readonly MessageKeySource[]
  /** What the message is about: fingerprint and key are read there, and it is forwarded. Default: `data` of a CloudEvent, else all of it. */
  readonly payload?: PayloadSource
  /** Method and path of the HTTP route whose operations these are as well, such as `POST /reports`. */
  readonly request?: string
}

/** How messages are consumed. */
export interface ConsumeOptions extends MessagePolicy {
  /** Whose a message is. There is no default: a shared tenant would mix up the keys of two parties. */
  readonly tenant: TenantSource
  /** What kind of message it is. Default: the attribute `type`. */
  readonly type?: MessageSource
  /** When a message is delivered again, and after how many deliveries it is a dead letter. */
  readonly retry?: {
    readonly attempts?: number
    readonly base?: Duration
    readonly cap?: Duration
  }
  /** Messages of a batch that are handled at once. Default: 10. */
  readonly concurrency?: number
  /**
   * Names the consumer: what its handlers have done for an event, those of another consumer have not.
   * Default: the first queue that `createWorker` gives it; no name where it consumes every queue.
   */
  readonly name?: string
}

/** How one type of message is handled. */
type HandlerEntry =
  | MessageHandler
  | Forwarding
  | (MessagePolicy & { readonly handle: MessageHandler | Forwarding })

/** Handlers by type of message; `'*'` takes every other. */
export type Handlers = MessageHandler | Forwarding | Readonly<Record<string, HandlerEntry>>

/** One type of message as a route of a gateway that nobody reaches from outside. */
export interface MessageRoute {
  readonly app: Hono<GatewayEnv>
  /** Its name in metrics. */
  readonly operation: string
  readonly isHeld: boolean
  readonly leaseMs: number
  /** How long a delivery takes at the most, in milliseconds. */
  readonly timeoutMs: number
  /** Whether the object does it, which goes on when the delivery is over. */
  readonly isForwarded: boolean
  /** Whether its operations are those of an HTTP route. */
  readonly isOfRoute: boolean
  /** Whether its policy says what they are called. */
  readonly isNamed: boolean
  readonly method: string
  /** With `{/pointer}` for values of the payload. */
  readonly path: string
  readonly payload: PayloadSource | undefined
  /** Header fields that bring the keys which the route does not read from the payload. */
  readonly keys: readonly { readonly header: string; readonly source: MessageSource }[]
}

export interface Consumer {
  readonly name?: string
  readonly tenant: TenantSource
  readonly type: MessageSource
  readonly retry: Pick<RetryPolicy, 'attempts' | 'baseMs' | 'capMs'>
  readonly concurrency: number
  readonly routeOf: (type: string) => MessageRoute | undefined
}

const EVERY_OTHER = '*'

/** What `consume` alone reads of its options. The defaults of `retry`: as many deliveries as a queue makes (`max_retries = 3`), in some minutes. */
const OptionsSchema = z.object({
  tenant: z.custom<TenantSource>(isTenantSource, "must be attribute('tenant') or a function"),
  type: z._default(
    z.custom<MessageSource>(isMessageSource, "must be attribute('type') or a function"),
    () => attribute('type'),
  ),
  retry: z.prefault(
    z.strictObject({
      attempts: z._default(wholeNumber(1, 101), 4),
      base: z._default(duration({ maxMs: 43_200_000 }), 5_000),
      cap: z._default(duration({ maxMs: 43_200_000 }), 300_000),
    }),
    {},
  ),
  concurrency: z._default(wholeNumber(1, 100), 10),
  name: z.optional(z.string().check(z.minLength(1, 'must not be empty'))),
})

/** @throws {Error} When an option is not valid, naming it. */
export function readConsumer(handlers: Handlers, options: ConsumeOptions): Consumer {
  const parsed = OptionsSchema.safeParse(options ?? {})
  const {
    tenant: _,
    type: __,
    retry: ___,
    concurrency: ____,
    name: _____,
    ...shared
  } = options ?? {}
  const entries = [...toEntries(handlers)].map(
    ([name, entry]) => [name, { ...shared, ...entry }] as const,
  )
  const faults = [
    ...(parsed.error?.issues ?? []).map(toLine),
    ...entries.flatMap(([name, entry]) => faultsOf(entry).map((fault) => `${name}: ${fault}`)),
    ...(entries.length === 0 ? ['handlers: must have one for a type of message at least'] : []),
  ]
  if (!parsed.success || faults.length > 0) {
    throw new Error(['The options of consume() are not valid:', ...faults].join('\n  '))
  }
  // Types with one handler are one kind of operation: what it does for one, it has done for all.
  const nameOf = (handle: unknown) => entries.find(([, entry]) => entry.handle === handle)?.[0]
  const routes = new Map(
    entries.map(([name, entry]) => [name, toRoute(nameOf(entry.handle) ?? name, entry)]),
  )
  const { tenant, type, retry, concurrency, name } = parsed.data
  return {
    ...(name !== undefined && { name }),
    tenant,
    type,
    concurrency,
    retry: { attempts: retry.attempts, baseMs: retry.base, capMs: retry.cap },
    routeOf: (of) => routes.get(of) ?? routes.get(EVERY_OTHER),
  }
}

/** A message comes back when the lease of whoever had it has ended, so it is a short one. */
const LEASE = '30s'

/** How long a delivery waits for a handler in the Worker. */
const PATIENCE_MS = 120_000

/** As long as a queue keeps messages by default: one that came after it would be done again. */
const RETENTION = '4d'

type Entry = MessagePolicy & { readonly handle: MessageHandler | Forwarding }

function toEntries(handlers: Handlers): ReadonlyMap<string, Entry> {
  if (typeof handlers === 'function' || isForwarding(handlers)) {
    return new Map([[EVERY_OTHER, { handle: handlers }]])
  }
  return new Map(
    Object.entries(handlers ?? {}).map(([name, entry]): [string, Entry] => {
      const isBare = typeof entry === 'function' || isForwarding(entry)
      return [name, isBare ? { handle: entry } : entry]
    }),
  )
}

function isForwarding(value: unknown): value is Forwarding {
  const isObject = typeof value === 'object' && value !== null
  return isObject && 'forward' in value && typeof value.forward === 'string'
}

/** What is wrong with an entry: a line for each wrong field. */
function faultsOf(entry: Entry): string[] {
  const { handle, key, payload, request, ...policy } = entry
  const { method, path } = toTarget('', entry)
  const isKeyed = [key ?? []].flat().every(isKeySource)
  const names = Object.keys(policy)
  const shared = Object.fromEntries(Object.entries(policy).filter(([name]) => isShared(name)))
  const read = parsePolicy({ ...shared, ...(isKeyed && { key: splitKeys(key).routeKeys }) })
  const rules = [
    { holds: typeof handle === 'function' || isForwarding(handle), fault: MUST_BE.handle },
    { holds: isKeyed, fault: MUST_BE.key },
    { holds: typeof payload !== 'string' || parsePointer(payload).ok, fault: MUST_BE.payload },
    { holds: METHODS.has(method) && path.startsWith('/'), fault: MUST_BE.request },
    { holds: request === undefined || !isForwarding(handle), fault: MUST_BE.requestOnce },
  ]
  return [
    ...names.filter((name) => !isShared(name)).map((name) => `${name}: is no option here`),
    ...rules.filter(({ holds }) => !holds).map(({ fault }) => fault),
    ...(read.ok ? [] : read.error),
  ]
}

const MUST_BE = {
  handle: 'handle: must be a function or forward(path)',
  key: 'key: must be event(), messageId(), attribute(name), body(pointer), business(...pointers), a function, or a list of them',
  payload: "payload: must be a JSON pointer such as '/order', or a function",
  request:
    "request: must be a method that takes a body, and a path, as in 'POST /reports'; so must those of forward()",
  requestOnce: 'request: forward() says it already; what names both is operation',
} as const

const isKeySource = (source: unknown) =>
  isMessageSource(source) || isPayloadSource(source as MessageKeySource)

const isShared = (name: string) => SHARED.some((shared) => shared === name)

/** A message has a body. */
const METHODS: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])

function toRoute(name: string, entry: Entry): MessageRoute {
  const { handle, key, payload, request, ...policy } = entry
  const isOfRoute = isForwarding(handle) || request !== undefined
  const { routeKeys, keys } = splitKeys(key, isOfRoute)
  const { method, path } = toTarget(name, entry)
  const operation = isOfRoute ? `${method} ${path}` : name
  const defaults: PolicyOptions = { operation, lease: LEASE, retention: RETENTION }
  const options = { ...defaults, ...policy, key: routeKeys, required: true }
  const read = parsePolicy(options)
  if (!read.ok) throw new Error(read.error.join('\n'))
  const { unknown, lease, timeout } = read.value
  const isForwarded = isForwarding(handle)
  // The origin may be asked what became of an earlier call, and be called again.
  const handlerMs = policy.timeout === undefined ? PATIENCE_MS : timeout
  const timeoutMs = isForwarded ? 2 * timeout : handlerMs
  const app = createGateway({ tenant: (c) => c.env[MESSAGE]?.tenant ?? null })
  if (isForwarding(handle)) app.on(method, EVERY_PATH, protect(options))
  else app.on(method, EVERY_PATH, idempotent(options), handlerOf(handle))
  deployPolicies(guardedRoutes(app.routes), 'messages')
  const ends = { isHeld: unknown === 'hold', leaseMs: lease, timeoutMs, isForwarded, isOfRoute }
  const named = {
    operation: options.operation ?? operation,
    isNamed: policy.operation !== undefined,
  }
  return { app, ...named, ...ends, method, path, payload, keys }
}

/** Not `*`: Hono finds that twice for the path `/*`, and a middleware would wait for itself. */
const EVERY_PATH = ['/', '/:path{.+}']

/** Values of the payload in a path. */
export const PLACEHOLDER = /\{(\/[^{}]*)\}/g

function toTarget(name: string, { handle, request }: Entry) {
  const named = isForwarding(handle) ? `${handle.method} ${handle.forward}` : request
  const [method = '', path = ''] = (named ?? `POST /${encodeURIComponent(name)}`).split(' ')
  return { method, path }
}

/**
 * What is not read from the payload is brought to the route in header fields. Ids of events and
 * messages, and all that names what a handler does, count within the operation; what else names a
 * request as well counts as its route says.
 */
function splitKeys(key: MessagePolicy['key'] = [event(), messageId()], isOfRoute = false) {
  const keys: { readonly header: string; readonly source: MessageSource }[] = []
  const routeKeys = [key].flat().map((source: MessageKeySource, index): KeySource => {
    if (isPayloadSource(source)) {
      return source.in === 'body' && !isOfRoute ? { ...source, scope: 'operation' } : source
    }
    const field = `Hapax-Message-Key-${index + 1}`
    keys.push({ header: field, source })
    return header(field, { scope: isOfRoute && !isMadeElsewhere(source) ? 'tenant' : 'operation' })
  })
  return { routeKeys, keys }
}

const isMadeElsewhere = (source: MessageSource) =>
  typeof source !== 'function' && source.in !== 'attribute'

function handlerOf(handle: MessageHandler): Handler<GatewayEnv> {
  return async function handled(c) {
    const scope = c.env[MESSAGE]
    if (scope === undefined) throw new Error('Only messages come here.')
    const result = await handle(scope.message, scope.contextOf(c))
    if (result instanceof Response) return result
    return result === undefined ? c.body(null, 204) : c.json(result)
  }
}
