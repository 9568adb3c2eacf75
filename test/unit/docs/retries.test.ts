import { readFileSync } from 'node:fs'
import path from 'node:path'

import { describe, expect, it } from 'vitest'

import type { Measures } from '../../../bench/storm/layers.ts'
import { simulateStorm } from '../../../bench/storm/simulate.ts'
import { parsePolicy } from '../../../src/config/policy.ts'
import { parseDuration } from '../../../src/core/duration.ts'
import { RETRY_LIMITS, toRetryPolicy } from '../../../src/core/retry/retry-options.ts'
import type { RetryPolicy } from '../../../src/core/retry/retry.ts'

const page = readFileSync(path.resolve(import.meta.dirname, '../../../docs/retries.md'), 'utf8')

/** The cells of the row that begins so. */
function rowOf(first: string): string[] {
  const row = page.split('\n').find((line) => line.startsWith(`| \`${first}`)) ?? ''
  return row.split('|').map((cell) => cell.trim().replaceAll('`', ''))
}

function protectDefaults(): RetryPolicy {
  const read = parsePolicy({})
  if (!read.ok) throw new Error('A policy without a field is one.')
  return read.value.retry
}

describe('docs/retries.md', () => {
  it.each([
    { reader: 'retry()', defaults: toRetryPolicy() },
    { reader: 'createIdempotentFetch', defaults: toRetryPolicy() },
    { reader: 'protect', defaults: protectDefaults() },
  ])('says the defaults of $reader', ({ reader, defaults }) => {
    const [, , attempts, base, cap, deadline = '', budget = ''] = rowOf(reader)
    expect({
      attempts: Number(attempts),
      baseMs: parseDuration(base),
      capMs: parseDuration(cap),
      deadlineMs: parseDuration(deadline.split(',')[0]),
    }).toEqual({
      attempts: defaults.attempts,
      baseMs: defaults.baseMs,
      capMs: defaults.capMs,
      deadlineMs: defaults.deadlineMs,
    })
    const { ratio, floor } = defaults.budget || {}
    expect(budget).toMatch(new RegExp(`^${ratio} and ${floor}\\b`))
  })

  it('says the limits', () => {
    const limitOf = (field: string) => rowOf(field)[3]
    expect(limitOf('attempts')).toBe(`1 to ${RETRY_LIMITS.attempts}`)
    expect(limitOf('base')).toBe(`0 to ${RETRY_LIMITS.delayMs / 3_600_000}h`)
    expect(limitOf('cap')).toBe(limitOf('base'))
    expect(limitOf('deadline')).toBe(`0 to ${RETRY_LIMITS.deadlineMs / 3_600_000}h`)
  })
})

const ATTEMPTS = { client: 3, gateway: 5, worker: 4 }
const NONE: Measures = { hasJitter: false, isTold: false, hasBudget: false, hasBreaker: false }
const ALL: Measures = { hasJitter: true, isTold: true, hasBudget: true, hasBreaker: true }

const storm = (measures: Measures, attempts = ATTEMPTS) =>
  simulateStorm({ clients: 500, capacity: 2, seed: 1, measures, attempts })

describe('the storm of docs/retries.md, with fewer clients', () => {
  it('multiplies without the policy, and the origin does not come back', async () => {
    const { callsPerOperation, peak, recoverySeconds } = await storm(NONE)
    expect(callsPerOperation).toBeGreaterThan(50)
    expect(callsPerOperation).toBeLessThanOrEqual(3 * 5 * 4)
    expect(peak).toBeGreaterThan(40)
    expect(recoverySeconds).toBeNull()
  })

  it('is half as large where the layers tell each other their attempts', async () => {
    const { callsPerOperation } = await storm({ ...NONE, hasJitter: true, isTold: true })
    expect(callsPerOperation).toBeGreaterThan(20)
    // As `test/workerd/retry-layers.test.ts` counts.
    expect(callsPerOperation).toBeLessThanOrEqual(30)
  })

  it('is no larger than the retries of one layer where they have budgets', async () => {
    const { callsPerOperation, recoverySeconds } = await storm({ ...ALL, hasBreaker: false })
    expect(callsPerOperation).toBeLessThan(1.3 + ATTEMPTS.gateway)
    expect(recoverySeconds).toBeLessThanOrEqual(2)
  })

  it('is none with the whole policy: few calls, and most operations succeed after it', async () => {
    const { callsPerOperation, peak, failed, recoverySeconds } = await storm(ALL)
    expect(callsPerOperation).toBeLessThan(1.3)
    expect(peak).toBeLessThan(1.3 + ATTEMPTS.client)
    expect(failed).toBeLessThan(0.3)
    expect(recoverySeconds).toBeLessThanOrEqual(10)
  })

  it('fails every operation where nobody retries', async () => {
    const { callsPerOperation, failed, recoverySeconds } = await storm(NONE, {
      client: 1,
      gateway: 1,
      worker: 1,
    })
    expect([callsPerOperation, failed, recoverySeconds]).toEqual([1, 1, 0])
  })

  it('has the same numbers each time', async () => {
    expect(await storm(ALL)).toEqual(await storm(ALL))
  })
})
