import { execFile } from 'node:child_process'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type BareGateway, startBareGateway } from './bare.ts'
import { json, type Origin, startOrigin } from './server.ts'

const root = path.resolve(import.meta.dirname, '../..')

let origin: Origin
let gateway: BareGateway

beforeAll(async () => {
  origin = await startOrigin()
  // What the named origins of its routes need.
  const vars = { PAYMENTS_URL: origin.url, PAYMENTS_TOKEN: 'token', LEDGER_TOKEN: 'token' }
  gateway = await startBareGateway({ origin, vars })
})
afterAll(async () => {
  await gateway.stop()
  await origin.close()
})

interface Run {
  readonly code: number
  /** What one of the commands prints as JSON. */
  readonly report: {
    readonly steps: readonly { readonly step: string; readonly result: string }[]
    readonly findings: readonly { readonly rule: string }[]
  }
}

function hapax(...args: readonly string[]): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>()
  const options = { cwd: root, env: { ...process.env, TOKEN: 'demo' } }
  const command = [path.join(root, 'cli/hapax.ts'), ...args, '--url', gateway.url, '--json']
  execFile(process.execPath, command, options, (error, out) =>
    resolve({
      code: error === null ? 0 : Number(error.code),
      report: JSON.parse(out) as Run['report'],
    }),
  )
  return promise
}

describe('hapax verify --smoke', () => {
  it('finds nothing wrong with a gateway, and executes one operation', async () => {
    origin.on('/hold/smoke', json(201, { id: 1 }))
    const safe = ['--path', '/hold/smoke', '--data', '{"amount":1}']
    const header = 'Authorization: Bearer ${TOKEN}'
    const { code, report } = await hapax('verify', '--smoke', ...safe, '--header', header)
    expect(report.steps.map(({ step, result }) => `${step}: ${result}`)).toEqual([
      'contract: passed',
      'problem page: passed',
      'key missing: passed',
      'tenant missing: passed',
      'executed: passed',
      'replayed: passed',
      'mismatch: passed',
    ])
    expect(code).toBe(0)
    expect(origin.requests.map((request) => request.path)).toEqual(['/hold/smoke'])
  })

  it('fails where callers have no credentials for the route', async () => {
    const { code, report } = await hapax('verify', '--smoke', '--path', '/hold/nobody')
    expect(code).toBe(1)
    expect(report.steps.at(-1)).toMatchObject({ step: 'executed', result: 'failed' })
    expect(origin.requestsTo('/hold/nobody')).toEqual([])
  })
})

describe('hapax doctor', () => {
  it('reads the template and the contract of a gateway', async () => {
    const { code, report } = await hapax('doctor', '--offline')
    // The test gateway has routes with a short retention and optional keys.
    expect(report.findings.map(({ rule }) => rule)).toEqual(
      expect.arrayContaining(['origin-loopback', 'retention-short', 'key-optional']),
    )
    expect(code).toBe(0)
  })
})
