import {
  abortAllDurableObjects,
  createExecutionContext,
  createMessageBatch,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import {
  attribute,
  consume,
  type ConsumeOptions,
  forward,
  type Handlers,
  type IdempotencyObject,
  queue,
  type QueueConsumer,
} from '../../src/hapax.ts'
import { playOrigin } from './origin.ts'
import { until } from './until.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const QUEUE = 'faulty'
const { OUTBOX } = env as unknown as { OUTBOX: Queue }
let nth = 0
const fresh = (name: string) => `${name}-${(nth += 1)}`

/** Lets the disk refuse statements, from one of them on, counted from 1, until it is healed. */
async function refuse(from: number, count = Infinity) {
  const object = env.OPERATIONS.getByName('only to get at the prototype')
  const sql = await runInDurableObject(
    object,
    (_: IdempotencyObject, state) => Object.getPrototypeOf(state.storage.sql) as SqlStorage,
  )
  let statements = 0
  const { exec } = sql
  const spy = vi.spyOn(sql, 'exec').mockImplementation(function (this: SqlStorage, ...given) {
    statements += 1
    if (statements >= from && statements < from + count) throw new Error('disk I/O error')
    return exec.apply(this, given)
  })
  return { heal: () => spy.mockRestore(), wasReached: () => statements >= from }
}

interface Sent {
  readonly id: string
  readonly attempts: number
}

/** Delivers a message, and does not wait for what it leaves behind. */
async function deliver(consumer: QueueConsumer, { id, attempts }: Sent): Promise<'ack' | 'retry'> {
  const body = { type: 'paid', tenant: 'acme', id, amount: 1 }
  const batch = createMessageBatch(QUEUE, [{ id, timestamp: new Date(), attempts, body }])
  const [message] = batch.messages
  if (message === undefined) throw new Error('It is there.')
  const ack = vi.spyOn(message, 'ack')
  const retry = vi.spyOn(message, 'retry')
  await consumer(batch, env, createExecutionContext())
  expect(ack.mock.calls.length + retry.mock.calls.length).toBe(1)
  return ack.mock.calls.length === 1 ? 'ack' : 'retry'
}

const letterOf = (id: string) => env.DIRECTORY.getByName('directory').letter(`${QUEUE}:${id}`)

/**
 * Delivers a message again until it is told, each time a second later by a faked clock.
 *
 * @returns `ack`, or why it is a dead letter.
 */
async function endOf(consumer: QueueConsumer, id: string): Promise<string> {
  let attempts = 2
  await until(async () => {
    if (vi.isFakeTimers()) vi.setSystemTime(Date.now() + 1_000)
    return (await deliver(consumer, { id, attempts: (attempts += 1) })) === 'ack'
  })
  return (await letterOf(id))?.reason ?? 'ack'
}

const WAYS = [
  'a handler',
  'a handler that streams',
  'the origin',
  'an origin that streams',
] as const

/** A consumer whose work is done in one of the ways, and how often it was done. */
function consumerOf(way: (typeof WAYS)[number], over: Partial<ConsumeOptions> = {}) {
  let executions = 0
  const answer = () => {
    executions += 1
    const isStream = way.endsWith('streams')
    const headers = { 'Content-Type': isStream ? 'text/event-stream' : 'text/plain' }
    const body = new Response('done').body
    return isStream ? new Response(body, { headers }) : new Response('done', { headers })
  }
  playOrigin(answer)
  const handlers: Handlers = way.includes('handler')
    ? ({ id }, ctx) => {
        ctx.emit({ type: 'made', data: id, to: queue('OUTBOX') })
        return answer()
      }
    : forward('/faulty')
  const options = { tenant: attribute('tenant'), wait: 0, lease: '1s', retry: { attempts: 100 } }
  const consumer = consume(handlers, { ...options, ...over } as ConsumeOptions)
  return { consumer, executions: () => executions }
}

/** What the points of messages say of their settle. */
function watchSettles() {
  const spy = vi.spyOn(env.METRICS, 'writeDataPoint')
  return () => spy.mock.calls.map(([point]) => ((point?.blobs ?? []) as string[])[8])
}

describe('a disk that refuses from any statement on, and an object that dies then', () => {
  it.each(WAYS)('leaves a message of %s to be delivered again, or done', async (way) => {
    vi.useFakeTimers({ toFake: ['Date'] })
    for (let from = 1; ; from++) {
      const { consumer, executions } = consumerOf(way)
      const settles = watchSettles()
      const id = fresh('dies')
      const { heal, wasReached } = await refuse(from)
      const first = await deliver(consumer, { id, attempts: 1 })
      const isToldTaken = settles().some((settle) => settle === 'taken' || settle === 'late')
      await abortAllDurableObjects()
      heal()
      const executedFirst = executions()
      const end = await endOf(consumer, id)
      const seen = { from, first, isToldTaken, end, executions: executions() }
      // Told to be done is what is on disk; the rest is done by now, or a dead letter says why not.
      const mayBeUnknown = first === 'retry' && !isToldTaken && executedFirst === 1
      const expected = mayBeUnknown ? /^(?:ack|outcome-unknown)$/ : /^ack$/
      expect(seen).toMatchObject({ executions: 1, end: expect.stringMatching(expected) })
      expect(executedFirst === 0 && first === 'ack').toBe(false)
      vi.restoreAllMocks()
      if (!wasReached()) return
    }
  })
})

describe('a disk that refuses one statement', () => {
  it.each(['a handler', 'a handler that streams'] as const)(
    'costs %s nothing, and no event',
    async (way) => {
      for (let from = 1; ; from++) {
        const outbox = vi.spyOn(OUTBOX, 'send').mockResolvedValue(undefined as never)
        const points = vi.spyOn(env.METRICS, 'writeDataPoint')
        const { consumer, executions } = consumerOf(way)
        const id = fresh('once')
        const { heal, wasReached } = await refuse(from, 1)
        const first = await deliver(consumer, { id, attempts: 1 })
        heal()
        const end = first === 'retry' ? await endOf(consumer, id) : 'ack'
        expect({ from, end, executions: executions() }).toEqual({ from, end: 'ack', executions: 1 })
        const ids = points.mock.calls.map(([point]) => ((point?.blobs ?? []) as string[])[7] ?? '')
        const operationId = ids.findLast((one) => one !== '') ?? ''
        const sent = () =>
          outbox.mock.calls.filter(([event]) => (event as { data: unknown }).data === id)
        await until(async () => {
          await runDurableObjectAlarm(env.OPERATIONS.getByName(operationId))
          return sent().length > 0
        })
        expect({ from, sent: sent().length }).toEqual({ from, sent: 1 })
        vi.restoreAllMocks()
        if (!wasReached()) return
      }
    },
  )
})
