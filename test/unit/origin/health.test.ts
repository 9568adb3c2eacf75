import { describe, expect, it } from 'vitest'

import { OriginHealth } from '../../../src/origin/health.ts'
import { retryPolicyOf } from '../../fakes/build.ts'

const POLICY = retryPolicyOf({ budget: { ratio: 0, floor: 3 } })
const NOW = 1_000_000

/** Retries until the budget pays no more, and says how often it did. */
function exhaust(health: OriginHealth, tenant: string, now = NOW): number {
  let retries = 0
  while (retries < 100 && health.admitRetry(POLICY, tenant, now)) retries += 1
  return retries
}

describe('OriginHealth', () => {
  it('leaves the retries of one tenant alone when another has used up its own', () => {
    const health = new OriginHealth()
    expect(exhaust(health, 'stranger')).toBe(3)
    expect(exhaust(health, 'stranger')).toBe(0)
    expect(exhaust(health, 'victim')).toBe(3)
  })

  it('gives a tenant that was quiet for a minute its free retries again', () => {
    const health = new OriginHealth()
    exhaust(health, 'tenant')
    expect(exhaust(health, 'tenant', NOW + 20_000)).toBe(1)
    expect(exhaust(health, 'tenant', NOW + 80_000)).toBe(3)
  })

  it('gives a tenant its free retries again while others and its own other routes go on', () => {
    const health = new OriginHealth()
    const others = retryPolicyOf({ budget: { ratio: 0, floor: 0 } })
    exhaust(health, 'tenant')
    for (let afterMs = 0; afterMs < 60_000; afterMs += 100) {
      health.admit(others, 'tenant', NOW + afterMs)
      health.admitRetry(POLICY, 'stranger', NOW + afterMs)
    }
    expect(exhaust(health, 'tenant', NOW + 60_100)).toBe(3)
  })

  it('takes nothing out of a budget for a retry that the circuit stops', () => {
    const health = new OriginHealth()
    const policy = { ...POLICY, breaker: { failures: 1, cooldownMs: 1_000 } }
    health.report(policy, { hasFailed: true, now: NOW })
    expect(health.admitRetry(policy, 'tenant', NOW)).toBe(false)
    expect(exhaust(health, 'tenant')).toBe(3)
  })

  it('remembers the budgets of a thousand tenants, those that were heard of last', () => {
    const health = new OriginHealth()
    exhaust(health, 'first')
    exhaust(health, 'second')
    for (let index = 0; index < 998; index++) health.admit(POLICY, `tenant ${index}`, NOW)
    health.admit(POLICY, 'first', NOW)
    health.admit(POLICY, 'one more', NOW)
    expect(exhaust(health, 'first')).toBe(0)
    expect(exhaust(health, 'second')).toBe(3)
  })

  it('opens the circuit for every tenant', () => {
    const health = new OriginHealth()
    const policy = retryPolicyOf({ breaker: { failures: 2, cooldownMs: 1_000 } })
    for (const now of [NOW, NOW + 1]) {
      health.admit(policy, 'one', now)
      health.report(policy, { hasFailed: true, now })
    }
    expect(health.admit(policy, 'another', NOW + 2)).toBeGreaterThan(0)
  })

  it('lets one call try the origin after the cooldown, or another one if that is not made', () => {
    const health = new OriginHealth()
    const policy = retryPolicyOf({ breaker: { failures: 1, cooldownMs: 1_000 } })
    health.report(policy, { hasFailed: true, now: NOW })
    expect(health.reserve(policy, NOW + 999).retryAfterMs).toBe(1_000)
    const first = health.reserve(policy, NOW + 1_000)
    expect(first.retryAfterMs).toBeNull()
    expect(health.reserve(policy, NOW + 1_000).retryAfterMs).toBe(1_000)
    first.giveBack()
    const second = health.reserve(policy, NOW + 1_000)
    expect(second.retryAfterMs).toBeNull()
    health.report(policy, { hasFailed: false, now: NOW + 1_001 })
    second.giveBack()
    expect(health.reserve(policy, NOW + 1_002).retryAfterMs).toBeNull()
  })
})
