import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { analyticsVars } from '../../demo/analytics-vars.ts'
import {
  METRICS_TOKEN,
  type Operated,
  REQUESTS,
  type Row,
  SENT,
  startOperated,
  TOKEN,
  TRACE,
} from './operators-mix.ts'

const CLI = path.resolve(import.meta.dirname, '../../cli/hapax.ts')

let operated: Operated

beforeAll(async () => {
  operated = await startOperated()
}, 120_000)

afterAll(() => operated?.stop())

describe('the figures of a mix of traffic', () => {
  it('are what was sent, and the origin has seen no more than that', async () => {
    const [row] = await operated.figures('summary')
    expect(row).toMatchObject({
      requests: REQUESTS,
      executed: SENT.executed,
      replayed: SENT.replayed,
      mismatches: SENT.mismatches,
      keyless: SENT.keyless,
      unknown: SENT.unknown + SENT.held,
    })
    expect(operated.origin.requests).toHaveLength(SENT.executed + SENT.unknown)
  })

  it('are the same for the command line', async () => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [CLI, 'analytics', 'summary', '--since', '1h', '--json'],
      { env: { ...process.env, ...analyticsVars(operated.engine) } },
    )
    const parsed = JSON.parse(stdout) as Row | Row[]
    expect([parsed].flat()[0]).toMatchObject({
      requests: REQUESTS,
      executed: SENT.executed,
      replayed: SENT.replayed,
    })
  })

  it('are the same for Prometheus', async () => {
    const headers = { Authorization: `Bearer ${METRICS_TOKEN}` }
    const response = await fetch(`${operated.gateway.url}/_hapax/metrics?window=1h`, { headers })
    const text = await response.text()
    expect(text).toContain(`\nhapax_requests ${REQUESTS}\n`)
    expect(text).toContain(`hapax_requests_by_verdict{verdict="executed"} ${SENT.executed}\n`)
    expect(text).toContain(`hapax_requests_by_verdict{verdict="replayed"} ${SENT.replayed}\n`)
    expect(text).toContain(`hapax_route_keyless_requests{route="POST /payments"} ${SENT.keyless}\n`)
    expect(text).toContain('\nhapax_stuck_operations 1\n')
    // Every line is a comment or a sample.
    const sample = /^[a-z_]+(?:\{(?:[a-z]+="(?:[^"\\]|\\.)*",?)+\})? [\d.e+-]+$/
    const lines = text
      .trimEnd()
      .split('\n')
      .filter((line) => !line.startsWith('# '))
    for (const line of lines) expect(line).toMatch(sample)
  })

  it.each([
    { name: 'no token', headers: {} },
    { name: 'the token of the admin API', headers: { Authorization: `Bearer ${TOKEN}` } },
  ])('are not told to Prometheus with $name', async ({ headers }) => {
    const response = await fetch(`${operated.gateway.url}/_hapax/metrics`, { headers })
    expect(response.status).toBe(401)
  })
})

describe('a correlation id', () => {
  it('leads from the request to the operation, its points, and the origin’s call', async () => {
    const found = await operated.admin(`/operations?correlation_id=${TRACE}`)
    const { operations, timeline } = (await found.json()) as {
      operations: { id: string; correlationId: string; traceparent: string }[]
      timeline: { what: string }[]
    }
    const [operation] = operations
    expect(operation).toMatchObject({
      correlationId: TRACE,
      traceparent: `00-${TRACE}-b7ad6b7169203331-01`,
    })
    expect(timeline.map(({ what }) => what)).toContain('executed')
    const [call] = operated.origin.requests
    expect(call?.headers).toMatchObject({
      'x-correlation-id': TRACE,
      'idempotency-key': operation?.id,
    })
    expect(operated.gateway.log()).toContain(`"correlationId":"${TRACE}"`)
    const view = (await (await operated.admin(`/operations/${operation?.id}`)).json()) as {
      timeline: { what: string }[]
    }
    const story = view.timeline.map(({ what }) => what)
    expect(story).toEqual(expect.arrayContaining(['created', 'claimed', 'executed', 'replayed']))
    expect(story).toContain('mismatch')
  })
})
