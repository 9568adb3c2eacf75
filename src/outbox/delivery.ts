import { type HapaxEnv, textOf } from '../config/env.ts'
import { fillHeader } from '../config/fill-header.ts'
import {
  type Destination,
  previousOf,
  type Webhook,
  WEBHOOK_SECRET,
} from '../core/event/destination.ts'
import type { DeliveryEnd } from '../core/event/event-delivery.ts'
import type { CloudEvent } from '../core/event/event.ts'
import { isWebhookSecret, signWebhook } from '../core/event/webhook.ts'
import { readOriginDirectives } from '../core/outcome/origin-directives.ts'
import { err, ok, type Result } from '../core/result.ts'
import { readRetryAfter } from '../core/retry/retry-after.ts'
import { inTime } from '../platform/in-time.ts'

const DELIVERY_TIMEOUT_MS = 15_000

/**
 * Delivers an event within 15 seconds; never throws. The event may arrive more than once, always
 * with the same id.
 */
export async function deliver(
  env: HapaxEnv,
  destination: Destination,
  event: CloudEvent,
): Promise<DeliveryEnd> {
  try {
    const delivery =
      destination.to === 'queue'
        ? send(env, destination.binding, event)
        : post(env, destination, event)
    return await inTime(delivery, DELIVERY_TIMEOUT_MS)
  } catch (error) {
    if (destination.to === 'queue') return failed('the queue did not take it')
    const isTimeout = error instanceof Error && error.name === 'TimeoutError'
    return failed(
      isTimeout ? 'the receiver did not answer in time' : 'the receiver could not be reached',
    )
  }
}

async function send(env: HapaxEnv, binding: string, event: CloudEvent): Promise<DeliveryEnd> {
  const producer = Reflect.get(env, binding) as Queue | undefined
  if (producer === undefined) return failed(`there is no queue binding ${binding}`)
  await producer.send(event, { contentType: 'json' })
  return { kind: 'delivered' }
}

async function post(env: HapaxEnv, to: Webhook, event: CloudEvent): Promise<DeliveryEnd> {
  const secrets = signersOf(env, to)
  if (!secrets.ok) return failed(secrets.error)
  const own = headersOf(env, to)
  if (!own.ok) return failed(own.error)
  const body = JSON.stringify(event)
  const signal = AbortSignal.timeout(DELIVERY_TIMEOUT_MS)
  const signature = await signWebhook(secrets.value, event.id, Date.now(), body)
  const response = await fetch(to.url, {
    method: 'POST',
    headers: {
      ...own.value,
      ...signature,
      ...(to.keyId !== undefined && { 'webhook-key-id': to.keyId }),
      'content-type': 'application/cloudevents+json; charset=utf-8',
    },
    body,
    // Events go only where they were sent: a receiver that has moved must be configured anew.
    redirect: 'manual',
    signal,
  })
  // Only the status counts.
  response.body?.cancel().catch(() => {})
  const { status, headers } = response
  // With any status a receiver may say that it has done nothing.
  const hasTaken = response.ok && readOriginDirectives(headers).outcome !== 'not-executed'
  if (hasTaken) return { kind: 'delivered' }
  const reason = `the receiver answered ${status}`
  // 410: the receiver wants no more of them (Standard Webhooks).
  if (status === 410) return { kind: 'refused', reason }
  return failed(reason, readRetryAfter([...headers], Date.now()) ?? 0)
}

/** Secrets that sign for a receiver: the present one, and the previous one during a rotation. */
function signersOf(
  env: HapaxEnv,
  { secret: name = WEBHOOK_SECRET }: Webhook,
): Result<readonly string[], string> {
  const present = [name, previousOf(name)].flatMap((one) => textOf(env, one) ?? [])
  if (present.length === 0) return err(`there is no secret ${name}`)
  // A malformed secret is skipped: a valid one beside it still works.
  const secrets = present.filter(isWebhookSecret)
  return secrets.length === 0 ? err(`${name} is not whsec_ and Base64`) : ok(secrets)
}

/** The receiver's own headers, with the values of their secrets. */
function headersOf(
  env: HapaxEnv,
  { headers = {} }: Webhook,
): Result<Record<string, string>, string> {
  const read: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    const filled = fillHeader(env, value)
    if (!filled.ok) return filled
    read[name] = filled.value
  }
  return ok(read)
}

const failed = (reason: string, afterMs = 0): DeliveryEnd => ({ kind: 'failed', reason, afterMs })
