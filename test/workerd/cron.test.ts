import {
  createExecutionContext,
  createScheduledController,
  waitOnExecutionContext,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'

import {
  createGateway,
  createWorker,
  cron,
  type CronOptions,
  type CronTick,
  fromHeader,
  NotExecuted,
  once,
  type OnceContext,
} from '../../src/hapax.ts'

/** No test waits for a real delay. */
const AT_ONCE = { base: 0 } as const

/** A job that ends in one way after the other, and what it was told. */
function job(name: string, options: CronOptions, ...ends: readonly unknown[]) {
  const runs: { readonly tick: CronTick; readonly context: OnceContext }[] = []
  const scheduled = cron(name, options, (tick, context) => {
    const end = ends[runs.length]
    runs.push({ tick, context })
    if (end instanceof Error) throw end
    return end
  })
  const worker = createWorker(createGateway({ tenant: fromHeader('X-Tenant') }), { scheduled })
  /** Rings for a tick, as the platform does. @param minute Which tick it is. */
  const ring = async (minute = 0, expression = '* * * * *') => {
    const controller = createScheduledController({
      scheduledTime: new Date(Date.UTC(2026, 0, 1, 0, minute)),
      cron: expression,
    })
    const ctx = createExecutionContext()
    try {
      await worker.scheduled?.(controller, env, ctx)
      return 'done'
    } catch (error) {
      return (error as Error).message
    } finally {
      await waitOnExecutionContext(ctx)
    }
  }
  return { ring, runs }
}

const busy = () => new NotExecuted('The provider is busy.')
const lost = () => new Error('The connection was lost.')

describe('a tick', () => {
  it('is executed once, however often it comes', async () => {
    const { ring, runs } = job('tick', {})
    expect(await Promise.all([ring(), ring()])).toEqual(['done', 'done'])
    expect(await ring()).toBe('done')
    expect(runs.map(({ tick }) => tick)).toEqual([
      { cron: '* * * * *', scheduledTime: Date.UTC(2026, 0, 1) },
    ])
  })

  it('is another one at another time, and of another trigger', async () => {
    const { ring, runs } = job('ticks', {})
    await ring(0)
    await ring(1)
    await ring(1, '*/1 * * * *')
    expect(runs.map(({ tick }) => (tick.scheduledTime / 60_000) % 60)).toEqual([0, 1, 1])
    expect(new Set(runs.map(({ context }) => context.key)).size).toBe(3)
  })

  it('of which nothing was executed is tried again, with the same key', async () => {
    const { ring, runs } = job('busy', { retry: AT_ONCE }, busy(), busy())
    expect(await ring()).toBe('done')
    expect(runs).toHaveLength(3)
    expect(new Set(runs.map(({ context }) => context.key)).size).toBe(1)
  })

  it('is given up after the attempts, and can be rung again', async () => {
    const { ring, runs } = job('given up', { retry: { ...AT_ONCE, attempts: 2 } }, busy(), busy())
    expect(await ring()).toBe('The provider is busy.')
    expect(runs).toHaveLength(2)
    expect(await ring()).toBe('done')
    expect(runs).toHaveLength(3)
  })

  it('does not wait longer for another try than its deadline allows', async () => {
    const later = new NotExecuted('Later.', { retryAfter: '1h' })
    const { ring, runs } = job('later', { retry: { deadline: '24h' } }, later)
    expect(await ring()).toBe('Later.')
    expect(runs).toHaveLength(1)
  })
})

describe('a tick whose outcome is unknown', () => {
  it('is held: it is not tried again', async () => {
    const { ring, runs } = job('held', { retry: AT_ONCE }, lost())
    expect(await ring()).toBe('The connection was lost.')
    expect(await ring()).toMatch(/not known/)
    expect(runs).toHaveLength(1)
  })

  it('is tried again under resend, and the function is told', async () => {
    const { ring, runs } = job('resent', { retry: AT_ONCE, unknown: 'resend' }, lost(), busy())
    expect(await ring()).toBe('done')
    expect(runs.map(({ context }) => context.attempt)).toEqual([1, 2, 3])
    expect(runs[1]?.context.inDoubtMs).toEqual(expect.any(Number))
  })

  it('is not tried again after a failure that the policy names', async () => {
    const failure = Object.assign(new Error('Declined.'), { code: 'declined' })
    const options = { retry: AT_ONCE, unknown: 'resend', outcomes: { declined: 'failed' } } as const
    const { ring, runs } = job('failed', options, failure)
    expect([await ring(), await ring()]).toEqual(['Declined.', 'Declined.'])
    expect(runs).toHaveLength(1)
  })
})

it('a job whose options are wrong does not start, and each of them is named', () => {
  const options = { retry: { attempts: 0, deadline: '10m' }, unknown: 'guess' }
  const wrong = options as unknown as CronOptions
  expect(() => cron('wrong', wrong, () => {})).toThrow(/'wrong'.*retry\.attempts.*unknown/s)
  const soon = { retry: { deadline: 'soon' as '1s' } }
  expect(() => cron('wrong', soon, () => {})).toThrow(/retry\.deadline/)
})

describe('retry of a guarded function', () => {
  it('is not made unless the policy says so', async () => {
    let runs = 0
    const run = once('no retry', {}, () => {
      runs += 1
      throw busy()
    })
    await expect(run(env, 1)).rejects.toThrow('busy')
    expect(runs).toBe(1)
  })

  it('calls again after what outcomes call not executed', async () => {
    let runs = 0
    const policy = {
      retry: { ...AT_ONCE, attempts: 2 },
      outcomes: { RateLimited: 'not_executed' },
    } as const
    const run = once('limited', policy, () => {
      runs += 1
      if (runs === 1) throw Object.assign(new Error('Slow down.'), { name: 'RateLimited' })
      return runs
    })
    expect(await run(env, 1)).toBe(2)
  })

  it('ends with the signal of its call', async () => {
    const controller = new AbortController()
    const run = once('aborted', { retry: { attempts: 9, base: '1h', cap: '1h' } }, () => {
      controller.abort(new Error('enough'))
      throw busy()
    })
    await expect(run(env, 1, { signal: controller.signal })).rejects.toThrow('enough')
  })
})
