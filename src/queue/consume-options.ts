import * as z from 'zod/mini'

import { parsePolicy, retryFields, toLine, toRetryTimes, wholeNumber } from '../config/policy.ts'
import { parsePointer } from '../core/json/pointer.ts'
import type { RetryOptions } from '../core/retry/retry-options.ts'
import type { RetryPolicy } from '../core/retry/retry.ts'
import { SharedBudget } from '../core/retry/shared-budget.ts'
import type { ErrorHook } from '../http/error-facts.ts'
import { type Forwarding, isForwarding, isHandler, type MessageHandler } from './message-handler.ts'
import {
  isShared,
  type MessageEntry,
  type MessagePolicy,
  type MessageRoute,
  splitKeys,
  toMessageRoute,
  toTarget,
} from './message-route.ts'
import {
  attribute,
  isMessageSource,
  isPayloadSource,
  isTenantSource,
  type MessageKeySource,
  type MessageSource,
  type TenantSource,
} from './message-source.ts'

/** Options of `consume`. */
export interface ConsumeOptions extends MessagePolicy {
  /** The tenant of a message. There is no default, because a shared tenant would mix up the keys of two parties. */
  readonly tenant: TenantSource
  /** The type of a message. Default: the attribute `type`. */
  readonly type?: MessageSource
  /**
   * When a message is delivered again, and after how many deliveries it becomes a dead letter. The
   * deadline counts from the time at which the message was sent. Default: `{ attempts: 4, base: '5s',
   * cap: '5m', budget: false }`, without a deadline.
   */
  readonly retry?: RetryOptions
  /** How many messages of a batch run at once. Default: 10. */
  readonly concurrency?: number
  /**
   * Name of the consumer: each consumer executes an event once. Default: the first queue that
   * `createWorker` gives it. A consumer of every queue has no name.
   */
  readonly name?: string
  /** Is told about each error that a handler throws, as the option of `createGateway` of this name. */
  readonly onError?: ErrorHook
}

/** Handlers by type of message; `'*'` handles all other types. */
export type Handlers =
  | MessageHandler
  | Forwarding
  | Readonly<Record<string, MessageHandler | Forwarding | MessageEntry>>

/** A consumer, with its options read. */
export interface Consumer {
  readonly name?: string | undefined
  readonly tenant: TenantSource
  readonly type: MessageSource
  readonly retry: RetryPolicy
  /** Shared by all messages that this isolate gets. */
  readonly budget: SharedBudget
  readonly concurrency: number
  readonly routeOf: (type: string) => MessageRoute | undefined
}

const EVERY_OTHER = '*'

/** The options that `consume` itself reads. The default allows as many deliveries as a queue makes (`max_retries = 3`). */
const OptionsSchema = z.object({
  tenant: z.custom<TenantSource>(isTenantSource, "must be attribute('tenant') or a function"),
  type: z._default(
    z.custom<MessageSource>(isMessageSource, "must be attribute('type') or a function"),
    () => attribute('type'),
  ),
  retry: z.prefault(
    z.strictObject(
      retryFields({
        attempts: 4,
        baseMs: 5_000,
        capMs: 300_000,
        deadlineMs: Infinity,
        budget: false,
      }),
    ),
    {},
  ),
  concurrency: z._default(wholeNumber(1, 100), 10),
  name: z.optional(z.string().check(z.minLength(1, 'must not be empty'))),
  onError: z.optional(
    z.custom<ErrorHook>((hook) => typeof hook === 'function', 'must be a function'),
  ),
})

/** @throws {Error} If an option is invalid. The message names it. */
export function readConsumer(handlers: Handlers, options: ConsumeOptions): Consumer {
  const parsed = OptionsSchema.safeParse(options ?? {})
  const shared = Object.fromEntries(
    Object.entries(options ?? {}).filter(([name]) => !Object.hasOwn(OptionsSchema.shape, name)),
  )
  const entries = toEntries(handlers).map(
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
  // Types that share a handler are one operation, so they share their keys.
  const firstOf = (handle: unknown) => entries.find(([, entry]) => entry.handle === handle)?.[0]
  const { retry, onError, ...read } = parsed.data
  const routes = new Map(
    entries.map(([name, entry]) => [
      name,
      toMessageRoute(firstOf(entry.handle) ?? name, entry, onError),
    ]),
  )
  return {
    ...read,
    retry: { ...toRetryTimes(retry), on: ['not_executed', 'unknown'], breaker: false },
    budget: new SharedBudget(retry.budget),
    routeOf: (type) => routes.get(type) ?? routes.get(EVERY_OTHER),
  }
}

function toEntries(handlers: Handlers): [string, MessageEntry][] {
  if (isHandler(handlers)) return [[EVERY_OTHER, { handle: handlers }]]
  return Object.entries(handlers ?? {}).map(([name, entry]) => [
    name,
    isHandler(entry) ? { handle: entry } : entry,
  ])
}

/** What is wrong with an entry: a line for each wrong field. */
function faultsOf(entry: MessageEntry): string[] {
  const { handle, key, payload, request, ...policy } = entry
  const { method, path } = toTarget('', entry)
  const isKeyed = [key ?? []].flat().every(isKeySource)
  const names = Object.keys(policy)
  const shared = Object.fromEntries(Object.entries(policy).filter(([name]) => isShared(name)))
  const read = parsePolicy({ ...shared, ...(isKeyed && { key: splitKeys(key).routeKeys }) })
  const rules = [
    { holds: isHandler(handle), fault: MUST_BE.handle },
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

/** A message has a body. */
const METHODS: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH', 'DELETE'])
