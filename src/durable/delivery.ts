import type { HapaxEnv } from '../config/env.ts'
import type { CloudEvent, Destination } from '../core/event.ts'
import { readRetryAfter } from '../core/retry-after.ts'
import { isWebhookSecret, signWebhook } from '../core/webhook.ts'
import { inTime } from './in-time.ts'

/** How one delivery has ended. `reason` names no content of the event. */
export type DeliveryEnd =
  | { readonly kind: 'delivered' }
  /** It may be tried again, not sooner than in so many milliseconds. */
  | { readonly kind: 'failed'; readonly reason: string; readonly afterMs: number }
  /** It is of no use to try it again. */
  | { readonly kind: 'refused'; readonly reason: string }

const DELIVERY_TIMEOUT_MS = 15_000

/**
 * Delivers an event, in 15 seconds or not at all. It may arrive more than once: whoever takes it
 * knows it by its id.
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
        : post(env, destination.url, event)
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

async function post(env: HapaxEnv, url: string, event: CloudEvent): Promise<DeliveryEnd> {
  const { HAPAX_WEBHOOK_SECRET, HAPAX_WEBHOOK_SECRET_PREVIOUS } = env
  const present = [HAPAX_WEBHOOK_SECRET, HAPAX_WEBHOOK_SECRET_PREVIOUS].flatMap((one) => one || [])
  if (present.length === 0) return failed('there is no secret HAPAX_WEBHOOK_SECRET')
  // No receiver can verify by a malformed secret, and a good one must not fail with it.
  const secrets = present.filter(isWebhookSecret)
  if (secrets.length === 0) return failed('HAPAX_WEBHOOK_SECRET is not whsec_ and Base64')
  const body = JSON.stringify(event)
  const signal = AbortSignal.timeout(DELIVERY_TIMEOUT_MS)
  const signature = await signWebhook(secrets, event.id, Date.now(), body)
  const response = await fetch(url, {
    method: 'POST',
    headers: { ...signature, 'content-type': 'application/cloudevents+json; charset=utf-8' },
    body,
    // A receiver that has moved says so to its operator; events do not follow to where nobody sent them.
    redirect: 'manual',
    signal,
  })
  // The status says it all: nobody waits for the end of the rest.
  response.body?.cancel().catch(() => {})
  const { status, ok } = response
  if (ok) return { kind: 'delivered' }
  const reason = `the receiver answered ${status}`
  // 410: the receiver wants no more of them (Standard Webhooks).
  if (status === 410) return { kind: 'refused', reason }
  return failed(reason, readRetryAfter([...response.headers], Date.now()) ?? 0)
}

const failed = (reason: string, afterMs = 0): DeliveryEnd => ({ kind: 'failed', reason, afterMs })
