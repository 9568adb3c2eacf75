import { describe, expect, it } from 'vitest'

import { connect, toFailure } from '../../../../cli/analytics/connect.ts'
import { AnalyticsError, type AnalyticsFault } from '../../../../src/analytics/client.ts'

const CLOUD = { CLOUDFLARE_API_TOKEN: 'secret', CLOUDFLARE_ACCOUNT_ID: 'acme' }
const LOCAL = { HAPAX_ANALYTICS_URL: 'http://127.0.0.1:1', HAPAX_ANALYTICS_ACCOUNT: 'here' }

describe('connect', () => {
  it.each([
    { name: 'nothing', env: {}, says: 'CLOUDFLARE_API_TOKEN is not set' },
    {
      name: 'an empty token',
      env: { ...CLOUD, CLOUDFLARE_API_TOKEN: ' ' },
      says: 'CLOUDFLARE_API_TOKEN is not set',
    },
    {
      name: 'a token alone',
      env: { CLOUDFLARE_API_TOKEN: 'secret' },
      says: 'CLOUDFLARE_ACCOUNT_ID is not set',
    },
    {
      name: 'a URL that is none',
      env: { ...CLOUD, HAPAX_ANALYTICS_URL: 'localhost:1' },
      says: 'HAPAX_ANALYTICS_URL must be a URL',
    },
  ])('says what is missing with $name in the environment', ({ env, says }) => {
    expect(() => connect(env)).toThrow(says)
    expect(() => connect(env)).not.toThrow('secret')
  })

  it.each([{ env: CLOUD }, { env: LOCAL }, { env: { ...CLOUD, ...LOCAL } }])(
    'is content with $env',
    ({ env }) => {
      expect(connect(env)).toHaveProperty('query')
    },
  )
})

describe('toFailure', () => {
  it.each<{ kind: AnalyticsFault; says: string }>([
    { kind: 'unauthorized', says: 'rejected this token (403: no)' },
    { kind: 'forbidden', says: 'cannot read the analytics of the account acme (403: no)' },
    { kind: 'not-found', says: 'does not know the account acme' },
    { kind: 'no-data', says: 'this dataset is empty' },
    { kind: 'refused', says: 'was rejected (403: no)' },
    { kind: 'rate-limited', says: 'is rate limiting queries' },
    { kind: 'failed', says: "Cloudflare's API failed (403: no)" },
  ])('says what $kind means', ({ kind, says }) => {
    const failure = toFailure(new AnalyticsError(kind, '403: no'), CLOUD)
    expect(failure).toMatchObject({ exitCode: 1, message: expect.stringContaining(says) as string })
    expect(failure.message).not.toContain('secret')
  })

  it('says why nobody answered, and where', () => {
    const cause = new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') })
    const error = new AnalyticsError('unreachable', 'no', { cause })
    expect(toFailure(error, LOCAL).message).toBe(
      'http://127.0.0.1:1 could not be reached: connect ECONNREFUSED',
    )
  })

  it('names the account of a local engine', () => {
    expect(toFailure(new AnalyticsError('forbidden', 'no'), LOCAL).message).toContain(
      'account here',
    )
  })
})
