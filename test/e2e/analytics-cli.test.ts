import { execFile } from 'node:child_process'
import { createServer } from 'node:http'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { AnalyticsEngine } from '../../dev/analytics-engine.ts'
import { close, listen } from '../../dev/local-server.ts'
import { RAW } from '../fakes/unseen.ts'
import { MIX, pointOf, write } from './analytics-mix.ts'

const bin = path.resolve(import.meta.dirname, '../../cli/hapax.ts')
const HOSTILE = '\u001B[2Jroute\u202E\r\u009B31m'

let engine: AnalyticsEngine
let closedUrl = ''
beforeAll(async () => {
  engine = await AnalyticsEngine.start()
  await write(engine, MIX)
  await write(engine, [pointOf({ operation: HOSTILE, status: 'mismatch' })], 'hostile')
  const other = createServer()
  closedUrl = await listen(other)
  await close(other)
})
afterAll(() => engine.close())

interface Run {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs the command with nothing in its environment but what is given. */
function run(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>()
  execFile(process.execPath, [bin, 'analytics', ...args], { env }, (error, out, err) =>
    resolve({ code: error === null ? 0 : Number(error.code), out, err }),
  )
  return promise
}

const analytics = (...args: readonly string[]) =>
  run(args, {
    HAPAX_ANALYTICS_URL: engine.url,
    // What is for the cloud stays there: the engine would not take it.
    CLOUDFLARE_API_TOKEN: 'cloud-token',
    CLOUDFLARE_ACCOUNT_ID: 'f'.repeat(32),
  })

describe('hapax analytics', () => {
  it('counts one under the other, each with its part of all requests', async () => {
    const { code, out, err } = await analytics('summary', '--since', '1h')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const lines = out.split('\n')
    expect(lines[0]).toMatch(/^requests +63 +100\.0 % +█{24}$/)
    expect(lines).toContainEqual(expect.stringMatching(/^store errors +3 +4\.8 % +█▏$/))
    expect(lines).toContainEqual(expect.stringMatching(/^recoveries +1 +1\.6 % +▍$/))
  })

  it('lists conflicts, the most first, with a bar each', async () => {
    const { out } = await analytics('conflicts', '--since', '1h')
    expect(out.split('\n').map((line) => line.trimEnd())).toEqual([
      expect.stringMatching(/^route +tenant +mismatches +observed +requests +mismatch share$/),
      expect.stringMatching(/^POST \/payments +acme +5 +0 +35 +14\.3 % +█{16}$/),
      expect.stringMatching(/^POST \/tickets +beta +1 +0 +13 +7\.7 % +███▎$/),
      expect.stringMatching(/^PUT \/shadow +beta +0 +1 +6 +0\.0 %$/),
      '',
    ])
  })

  it('draws what happened over time', async () => {
    const { out } = await analytics('traffic', '--since', '1h')
    expect(out).toMatch(/^requests +│[ ▁-█]{61,62}│ 63$/m)
    expect(out).toMatch(/^store errors +│ +█ +│ 3$/m)
    expect(out).toMatch(/last 1h, 1\.0 min each\n$/)
  })

  it.each(['stores', 'unknown'])('shows %s', async (name) => {
    const { code, out, err } = await analytics(name, '--since', '1h')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/\d/)
  })

  it.each([
    { args: ['--route', 'PUT /shadow', '--tenant', 'beta'], expected: 6 },
    { args: ['--since', '1ms'], expected: 0 },
  ])('counts with $args', async ({ args, expected }) => {
    const { out } = await analytics('summary', '--since', '1h', ...args, '--json')
    expect(JSON.parse(out)).toMatchObject([{ requests: expected }])
  })

  it('writes CSV', async () => {
    const { out } = await analytics('late', '--since', '1h', '--csv')
    expect(out.split('\r\n').slice(0, 2)).toEqual([
      'route,settles,late_taken,late_refused,late_share',
      expect.stringMatching(/^POST \/payments,9,1,1,0\.222/),
    ])
  })

  it.each([
    { args: ['correlation', 'correlation-4'], words: ['unknown', 'recovered', 'delivered'] },
    { args: ['operation', 'op-3'], words: ['unknown', 'unknown', 'unknown'] },
  ])('follows $args', async ({ args, words }) => {
    const { out } = await analytics(...args, '--since', '1h', '--json')
    const rows = JSON.parse(out) as { status: string }[]
    expect(rows.map(({ status }) => status)).toEqual(words)
  })

  it('says that there are more rows than it shows, and shows all of a timeline', async () => {
    const many = Array.from({ length: 1_200 }, (_, nth) =>
      pointOf({ status: 'mismatch', tenant: `t-${nth % 101}`, operationId: 'busy' }),
    )
    await write(engine, many, 'many')
    const shown = await analytics('conflicts', '--since', '1h', '--dataset', 'many', '--json')
    expect(JSON.parse(shown.out)).toHaveLength(100)
    expect(shown.err).toContain('only the first 100 rows are shown')
    const whole = await analytics(
      'operation',
      'busy',
      '--since',
      '1h',
      '--dataset',
      'many',
      '--json',
    )
    expect(JSON.parse(whole.out)).toHaveLength(1_200)
    expect(whole.err).toBe('')
  })

  it('runs any query, in any format', async () => {
    const sql = `SELECT blob1 AS route, sum(_sample_interval) AS n FROM hapax WHERE blob2 = 'EVENT' GROUP BY route`
    expect((await analytics('sql', sql)).out).toBe('route    n\npaid.v1  5\n')
    expect((await analytics('sql', `${sql} FORMAT TabSeparated`)).out).toBe('paid.v1\t5\n')
  })

  it.each([
    { as: 'a table', args: ['conflicts'] },
    { as: 'JSON', args: ['conflicts', '--json'] },
    { as: 'CSV', args: ['conflicts', '--csv'] },
    {
      as: 'a format of the engine',
      args: ['sql', 'SELECT blob1 FROM hostile FORMAT TabSeparated'],
    },
  ])('shows nothing that moves the cursor as $as', async ({ args }) => {
    const { out } = await analytics(...args, '--since', '1h', '--dataset', 'hostile')
    expect(out).toContain(String.raw`\u001b[2Jroute\u202e`)
    expect(out).not.toMatch(RAW)
  })

  it.each([
    {
      name: 'a wrong token',
      env: { HAPAX_ANALYTICS_TOKEN: 'wrong' },
      says: 'rejected this token (401: Authentication error)',
    },
    {
      name: 'the account of somebody else',
      env: { HAPAX_ANALYTICS_ACCOUNT: 'a'.repeat(32) },
      says: 'cannot read the analytics of the account aaaa',
    },
    {
      name: 'an account that is none',
      env: { HAPAX_ANALYTICS_ACCOUNT: 'mine' },
      says: 'does not know the account mine',
    },
  ])('says what to do about $name', async ({ env, says }) => {
    const result = await run(['summary'], { HAPAX_ANALYTICS_URL: engine.url, ...env })
    expect(result).toMatchObject({ code: 1, out: '' })
    expect(result.err).toMatch(/^hapax: /)
    expect(result.err).toContain(says)
    expect(result.err).not.toMatch(/^\s+at /m)
  })

  it('says where nobody answers', async () => {
    const result = await run(['summary'], { HAPAX_ANALYTICS_URL: closedUrl })
    expect(result).toMatchObject({ code: 1, out: '' })
    expect(result.err).toMatch(`hapax: ${closedUrl} could not be reached: `)
  })

  it.each([
    { args: ['summary', '--dataset', 'nowhere'], code: 1, says: 'There is no data' },
    { args: ['sql', 'DROP TABLE hapax'], code: 1, says: 'rejected' },
    { args: ['toString'], code: 2, says: 'Unknown query: toString.' },
  ])('exits with $code for $args', async ({ args, code, says }) => {
    const result = await analytics(...args)
    expect(result).toMatchObject({ code, out: '' })
    expect(result.err).toContain(says)
  })
})
