import type { Context, Handler, Hono } from 'hono'

import { policyWithDefaults } from '../config/deployed-origins.ts'
import { deployPolicies } from '../config/deployed-policies.ts'
import { parsePolicy, type PolicyOptions } from '../config/policy.ts'
import { header, type KeySource } from '../core/request/key-source.ts'
import type { ErrorHook } from '../http/error-facts.ts'
import { type GatewayEnv, messageOf, type MessageScope } from '../http/gateway-env.ts'
import { createGateway } from '../http/gateway.ts'
import { idempotent } from '../http/idempotent.ts'
import { protect } from '../http/protect.ts'
import { guardedRoutes } from '../http/route-policy.ts'
import { type Forwarding, isForwarding, type MessageHandler } from './message-handler.ts'
import type { PayloadSource } from './message-payload.ts'
import {
  event,
  isPayloadSource,
  messageId,
  type MessageKeySource,
  type MessageSource,
} from './message-source.ts'

/** Fields of a route's policy that messages have as well. */
const SHARED = [
  'operation',
  'retention',
  'tombstone',
  'wait',
  'origin',
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

/** Policy of all messages of a consumer, or of one type. */
export interface MessagePolicy extends SharedPolicy {
  /** The key of the operation: the first source that a message has. Default: the event, else the message. */
  readonly key?: MessageKeySource | readonly MessageKeySource[]
  /** The part of the message that is fingerprinted and forwarded, and contains the key. Default: `data` of a CloudEvent, else the whole body. */
  readonly payload?: PayloadSource
  /** Method and path of the HTTP route that shares these operations, such as `POST /reports`. */
  readonly request?: string
}

/** Whether messages have this field of a route's policy. */
export function isShared(name: string): boolean {
  return SHARED.some((shared) => shared === name)
}

/** The policy and the handler of one type of message. */
export type MessageEntry = MessagePolicy & { readonly handle: MessageHandler | Forwarding }

/** The route of one type of message, in a gateway that is not reachable from outside. */
export interface MessageRoute {
  readonly app: Hono<GatewayEnv>
  /** Its name in metrics. */
  readonly operation: string
  readonly isHeld: boolean
  readonly leaseMs: number
  /** How long a delivery may take, in milliseconds. */
  readonly timeoutMs: number
  /** `null`: the payload is forwarded to the origin. */
  readonly handler: MessageHandler | null
  readonly routeBy: MessageScope['routeBy']
  readonly method: string
  /** With `{/pointer}` for values of the payload. */
  readonly path: string
  readonly payload: PayloadSource | undefined
  /** Header fields with the keys that the route does not read from the payload. */
  readonly keys: readonly { readonly header: string; readonly source: MessageSource }[]
}

/** Short, because a message whose Worker died is delivered again after its lease. */
const LEASE = '30s'

/** How long a delivery waits for a handler in the Worker. */
const PATIENCE_MS = 120_000

/** As long as a queue keeps messages by default. A later delivery would be executed again. */
const RETENTION = '4d'

/**
 * Creates the route of a type of message.
 *
 * @param name Name of the type, which names an operation without an HTTP route.
 * @param onError Is told about errors of the handler.
 */
export function toMessageRoute(
  name: string,
  entry: MessageEntry,
  onError?: ErrorHook,
): MessageRoute {
  const { handle, key, payload, request, ...policy } = entry
  const handler = isForwarding(handle) ? null : handle
  const isOfRoute = handler === null || request !== undefined
  const { routeKeys, keys } = splitKeys(key, isOfRoute)
  const { method, path } = toTarget(name, entry)
  const operation = isOfRoute ? `${method} ${path}` : name
  const defaults = { operation, lease: LEASE, retention: RETENTION } satisfies PolicyOptions
  const options = { ...defaults, ...policy, key: routeKeys, required: true }
  const read = parsePolicy(options)
  if (!read.ok) throw new Error(read.error.join('\n'))
  const { unknown, lease } = read.value
  const policyOf = policyWithDefaults(options, read.value)
  return {
    app: createRouteApp({ method, handler, onError }, options),
    operation: options.operation ?? operation,
    isHeld: unknown === 'hold',
    leaseMs: lease,
    get timeoutMs() {
      const { timeout } = policyOf()
      // The object may ask the origin about an earlier call, and then call it again.
      if (handler === null) return 2 * timeout
      return policy.timeout === undefined ? PATIENCE_MS : timeout
    },
    handler,
    routeBy: isOfRoute ? toRouteBy(policy) : null,
    method,
    path,
    payload,
    keys,
  }
}

const toRouteBy = ({ operation }: PolicyOptions) => (operation === undefined ? 'path' : 'name')

function createRouteApp(
  { method, handler, onError }: RouteParts,
  options: PolicyOptions,
): Hono<GatewayEnv> {
  const app = createGateway({ tenant: (c) => messageOf(c.env)?.tenant ?? null, onError })
  if (handler === null) app.on(method, EVERY_PATH, protect(options))
  else app.on(method, EVERY_PATH, idempotent(options), runHandler)
  deployPolicies(guardedRoutes(app.routes), 'messages')
  return app
}

interface RouteParts extends Pick<MessageRoute, 'method' | 'handler'> {
  readonly onError: ErrorHook | undefined
}

/** Not `*`: for the path `/*`, Hono matches it twice, and a middleware would wait for itself. */
const EVERY_PATH = ['/', '/:path{.+}']

/** Method and path of the route of a type of message. */
export function toTarget(name: string, { handle, request }: MessageEntry) {
  const named = isForwarding(handle) ? `${handle.method} ${handle.forward}` : request
  const [method = '', path = ''] = (named ?? `POST /${encodeURIComponent(name)}`).split(' ')
  return { method, path }
}

/**
 * Separates the keys that the route reads from the payload from those that it gets in a header field.
 * Ids of events and messages, and all keys of a handler, are unique within the operation. Other keys
 * are shared with HTTP requests, and are unique within the same scope as on their route.
 */
export function splitKeys(key: MessagePolicy['key'] = [event(), messageId()], isOfRoute = false) {
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

const runHandler: Handler = async function runHandler(c: Context<GatewayEnv>) {
  const message = messageOf(c.env)
  if (message === undefined) throw new Error('Only messages come here.')
  const result = await message.runHandler(c)
  if (result instanceof Response) return result
  return result === undefined ? c.body(null, 204) : c.json(result)
}
