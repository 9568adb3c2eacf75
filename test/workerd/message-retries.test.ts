import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  attribute,
  consume,
  type ConsumeOptions,
  forward,
  type MessageHandler,
  NotExecuted,
  type QueueConsumer,
} from '../../src/hapax.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

const QUEUE = 'retried'
const busy: MessageHandler = () => {
  throw new NotExecuted()
}

let nth = 0

/** Delivers a message that was sent so long ago. @returns Its delay in seconds; else what became of it. */
async function deliver(
  consumer: QueueConsumer,
  { attempts = 1, ageMs = 0 } = {},
): Promise<number | string> {
  const id = `message-${(nth += 1)}`
  const told: (number | string)[] = []
  const message = {
    id,
    body: { tenant: 'acme', order: id },
    attempts,
    timestamp: new Date(Date.now() - ageMs),
    ack: () => void told.push('ack'),
    retry: (options?: QueueRetryOptions) => void told.push(options?.delaySeconds ?? 0),
  }
  const ctx = createExecutionContext()
  await consumer({ queue: QUEUE, messages: [message] } as unknown as MessageBatch, env, ctx)
  await waitOnExecutionContext(ctx)
  const letter = await env.DIRECTORY.getByName('directory').letter(`${QUEUE}:${id}`)
  return letter?.reason ?? told.join()
}

const consumerOf = (
  retry: ConsumeOptions['retry'],
  handler: MessageHandler | ReturnType<typeof forward> = busy,
) => consume(handler, { tenant: attribute('tenant'), wait: 0, ...(retry && { retry }) })

describe('the deadline of a consumer', () => {
  it('counts from the time at which the message was sent', async () => {
    const consumer = consumerOf({ base: 0, deadline: '10m' })
    expect(await deliver(consumer, { ageMs: 590_000 })).toBe('0')
    expect(await deliver(consumer, { ageMs: 600_000 })).toBe('retries-exhausted: not-executed')
  })

  it('ends the retries where the next delivery would come after it', async () => {
    vi.spyOn(Math, 'random').mockReturnValue(0.999_999)
    const consumer = consumerOf({ base: '1m', cap: '1m', deadline: '10m' })
    expect(await deliver(consumer, { ageMs: 530_000 })).toBe('60')
    expect(await deliver(consumer, { ageMs: 545_000 })).toBe('retries-exhausted: not-executed')
  })

  it('ends them where the origin wants to be left alone for longer', async () => {
    playOrigin(() => new Response('', { status: 503, headers: { 'Retry-After': '900' } }))
    const consumer = consumerOf({ base: 0, deadline: '10m' }, forward('/orders'))
    expect(await deliver(consumer)).toBe('retries-exhausted: not-executed')
    expect(await deliver(consumerOf({ base: 0 }, forward('/orders')))).toBe('900')
  })

  it('does not keep a message that comes late from being tried', async () => {
    const handler = vi.fn<MessageHandler>()
    const consumer = consumerOf({ deadline: '10m' }, handler)
    expect(await deliver(consumer, { ageMs: 3_600_000 })).toBe('ack')
    expect(handler).toHaveBeenCalledTimes(1)
  })

  it('is none by default', async () => {
    expect(await deliver(consumerOf({ base: 0 }), { ageMs: 86_400_000 })).toBe('0')
  })
})

describe('a NotExecuted of a handler', () => {
  it('says when its message comes back', async () => {
    const handler = () => {
      throw new NotExecuted('Later.', { retryAfter: '90s' })
    }
    expect(await deliver(consumerOf({ base: 0 }, handler))).toBe('90')
    expect(await deliver(consumerOf({ attempts: 1 }, handler))).toMatch(/^retries-exhausted/)
  })
})

describe('the budget of a consumer', () => {
  it('lets the messages wait for as long as the policy allows when it is used up', async () => {
    const consumer = consumerOf({ base: 0, cap: '10m', budget: { ratio: 0, floor: 2 } })
    const delays = [await deliver(consumer), await deliver(consumer), await deliver(consumer)]
    expect(delays).toEqual(['0', '0', '600'])
  })

  it('gets a share of the messages that come for the first time', async () => {
    const consumer = consumerOf({ base: 0, cap: '10m', budget: { ratio: 1, floor: 1 } })
    expect(await deliver(consumer)).toBe('0')
    expect(await deliver(consumer)).toBe('0')
    expect(await deliver(consumer, { attempts: 2 })).toBe('600')
  })

  it('is none by default', async () => {
    const consumer = consumerOf({ base: 0, cap: '10m' })
    for (let count = 0; count < 12; count++) expect(await deliver(consumer)).toBe('0')
  })
})
