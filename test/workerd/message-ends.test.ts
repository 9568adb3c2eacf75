import {
  createExecutionContext,
  createMessageBatch,
  runDurableObjectAlarm,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { HTTPException } from 'hono/http-exception'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import { attribute, consume, type ConsumeOptions, probe } from '../../src/hapax.ts'
import { playOrigin } from './origin.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
  // A status resource that knows nothing yet.
  playOrigin(() => new Response(null, { status: 503 }))
})

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const QUEUE = 'ends'
const MINUTE_MS = 60_000
let nth = 0
const fresh = (name: string) => `${name}-${(nth += 1)}`

/** How a message that has ended is met again. */
type Meeting = 'redelivered' | 'another' | 'replayed' | 'overridden'

interface Ended {
  readonly name: string
  readonly handler: () => Response
  readonly options?: Partial<ConsumeOptions>
  /** Secrets of the first delivery and of what comes later. */
  readonly secrets?: readonly [string, string]
}

const threw = () => {
  throw new Error('half done')
}
const refused = () => {
  throw new HTTPException(422)
}
const busy = () => {
  throw new HTTPException(503)
}
const done = () => new Response('done')
const unkept = (status: number) => () =>
  new Response('x', { status, headers: { 'Idempotency-Store': 'no-store' } })
const sealed = {
  options: { snapshot: { seal: true } },
  secrets: ['a'.repeat(32), 'b'.repeat(32)],
} as const

/** Lets a message come to its end, and meets it again later. */
async function meet(ended: Ended, afterMs: number, how: Meeting): Promise<string> {
  const { handler: end, options = {}, secrets = ['', ''] } = ended
  const type = fresh('type')
  const handler = vi.fn(end)
  const consumer = consume(
    { [type]: handler },
    {
      tenant: attribute('tenant'),
      key: attribute('order'),
      retention: '1h',
      tombstone: '1h',
      ...options,
    },
  )
  const points = vi.spyOn(env.METRICS, 'writeDataPoint')
  const body = { type, tenant: 'acme', order: fresh('order') }
  const tell = async (id: string, attempts: number, secret: string) => {
    const batch = createMessageBatch(QUEUE, [{ id, timestamp: new Date(), attempts, body }])
    const [message] = batch.messages
    const ack = message && vi.spyOn(message, 'ack')
    const ctx = createExecutionContext()
    await consumer(batch, { ...env, HAPAX_SEAL_KEY: secret }, ctx)
    await waitOnExecutionContext(ctx)
    if (ack?.mock.calls.length === 0) return 'retry'
    const letter = await env.DIRECTORY.getByName('directory').letter(`${QUEUE}:${id}`)
    return letter?.reason ?? 'ack'
  }
  const id = fresh('message')
  const [before, after] = secrets
  await tell(id, 1, before)
  const operationId = ((points.mock.calls.at(-1)?.[0]?.blobs ?? []) as string[])[7] ?? ''
  // The alarm makes a tombstone of it, and forgets it.
  const startedAt = Date.now()
  for (const passed of [0, 90 * MINUTE_MS, 180 * MINUTE_MS].filter((ms) => ms <= afterMs)) {
    vi.setSystemTime(startedAt + passed)
    if (passed > 0) await runDurableObjectAlarm(env.OPERATIONS.getByName(operationId))
  }
  const fateOf = async () => {
    if (how === 'redelivered') return tell(id, 2, after)
    if (how === 'another') return tell(fresh('other'), 1, after)
    const ctx = createExecutionContext()
    const message = { id, queue: QUEUE, body, attempts: 1, timestamp: new Date() }
    const mayExecute = how === 'overridden'
    const fate = await consumer.redo(message, { ...env, HAPAX_SEAL_KEY: after }, ctx, {
      mayExecute,
    })
    await waitOnExecutionContext(ctx)
    return fate.kind === 'dead-letter' ? fate.reason : fate.kind
  }
  return `${await fateOf()} ${handler.mock.calls.length}`
}

const SUCCEEDED = {
  kept: ['ack 1', 'ack 1', 'ack 1', 'ack 1'],
  buried: ['ack 1', 'ack 1', 'ack 1', 'ack 1'],
  forgotten: ['ack 2', 'ack 2', 'forgotten 1', 'ack 2'],
} as const
const FAILED = {
  // The first delivery of another message: who was refused has told of it.
  kept: ['failed 1', 'ack 1', 'failed 1', 'failed 1'],
  buried: ['failed 1', 'failed 1', 'failed 1', 'failed 1'],
  forgotten: ['failed 2', 'failed 2', 'forgotten 1', 'failed 2'],
} as const
const HELD = ['outcome-unknown 1', 'outcome-unknown 1', 'outcome-unknown 1', 'outcome-unknown 1']
const ASKED = ['retry 1', 'retry 1', 'retry 1', 'retry 1']
const FREE = ['retry 2', 'retry 2', 'forgotten 1', 'retry 2']

/** Of each state: the fate of a message and how often its handler has run, by how it is met. */
const STATES: readonly (Ended & {
  readonly expected: Readonly<Record<'kept' | 'buried' | 'forgotten', readonly string[]>>
})[] = [
  { name: 'succeeded', handler: done, expected: SUCCEEDED },
  { name: 'succeeded, not kept', handler: unkept(201), expected: SUCCEEDED },
  { name: 'succeeded, sealed', handler: done, ...sealed, expected: SUCCEEDED },
  { name: 'failed', handler: refused, expected: FAILED },
  { name: 'failed, not kept', handler: unkept(422), expected: FAILED },
  { name: 'failed, sealed', handler: refused, ...sealed, expected: FAILED },
  {
    name: 'unknown and held',
    handler: threw,
    expected: { kept: HELD, buried: HELD, forgotten: HELD },
  },
  {
    name: 'unknown and sent again',
    handler: threw,
    options: { unknown: 'resend' },
    expected: { kept: ['retry 2', 'retry 2', 'retry 2', 'retry 2'], buried: HELD, forgotten: FREE },
  },
  {
    name: 'unknown and asked about',
    handler: threw,
    options: { unknown: probe('/status/{key}') },
    expected: { kept: ASKED, buried: ASKED, forgotten: ASKED },
  },
  {
    name: 'not executed',
    handler: busy,
    expected: { kept: FREE, buried: FREE, forgotten: FREE },
  },
]

const AFTER_MS = { kept: 0, buried: 90 * MINUTE_MS, forgotten: 180 * MINUTE_MS }
const MEETINGS: readonly Meeting[] = ['redelivered', 'another', 'replayed', 'overridden']

describe('a message that has ended', () => {
  it.each(
    STATES.flatMap((state) =>
      (['kept', 'buried', 'forgotten'] as const).map((phase) => ({ ...state, state, phase })),
    ),
  )('as $name is told what it came to while that is $phase', async ({ state, phase }) => {
    const fates: string[] = []
    for (const how of MEETINGS) {
      fates.push(await meet(state, AFTER_MS[phase], how))
    }
    expect(fates).toEqual(state.expected[phase])
  })

  it('was done for another request: its own tombstone does not say that it was done', async () => {
    const type = fresh('type')
    const handler = vi.fn()
    const consumer = consume(
      { [type]: handler },
      { tenant: attribute('tenant'), key: attribute('order'), retention: '1h', tombstone: '1h' },
    )
    const order = fresh('order')
    const redo = async (amount: number, mayExecute: boolean) => {
      const ctx = createExecutionContext()
      const body = { type, tenant: 'acme', order, amount }
      const message = { id: fresh('m'), queue: QUEUE, body, attempts: 1, timestamp: new Date() }
      const fate = await consumer.redo(message, env, ctx, { mayExecute })
      await waitOnExecutionContext(ctx)
      return fate
    }
    expect((await redo(5, true)).kind).toBe('ack')
    expect(await redo(500, true)).toMatchObject({ kind: 'dead-letter', decision: 'mismatch' })
    vi.setSystemTime(Date.now() + 90 * MINUTE_MS)
    expect(await redo(500, true)).toMatchObject({ kind: 'dead-letter', decision: 'mismatch' })
    expect((await redo(5, true)).kind).toBe('ack')
    vi.setSystemTime(Date.now() + 90 * MINUTE_MS)
    expect(await redo(500, false)).toMatchObject({ kind: 'dead-letter', reason: 'forgotten' })
    expect(handler).toHaveBeenCalledTimes(1)
    expect((await redo(500, true)).kind).toBe('ack')
    expect(handler).toHaveBeenCalledTimes(2)
  })
})
