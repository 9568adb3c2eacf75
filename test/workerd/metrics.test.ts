import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'

import { idOf, send } from './client.ts'
import { playOrigin } from './origin.ts'

let log: MockInstance<typeof console.log>
beforeEach(() => {
  vi.spyOn(env.METRICS, 'writeDataPoint')
  log = vi.spyOn(console, 'log').mockImplementation(() => {})
})
afterEach(() => vi.restoreAllMocks())

const points = () => vi.mocked(env.METRICS.writeDataPoint).mock.calls.map(([point]) => point)
const lines = () => log.mock.calls.map(([line]) => JSON.parse(String(line)))

describe('a request on a protected route', () => {
  it('writes one point with the columns of docs/metrics.md, and one line with the same facts', async () => {
    playOrigin(() => new Response('{}', { status: 201, headers: { 'Content-Length': '2' } }))
    const headers = { 'X-Correlation-Id': 'corr-1' }
    await send({ key: 'counted', headers })
    expect(points()).toHaveLength(1)
    const operationId = await idOf('counted')
    expect(points()[0]).toEqual({
      indexes: [expect.stringMatching(/^[\w-]{43}$/)],
      blobs: [
        'POST /payments',
        'POST',
        'executed',
        '',
        'succeeded',
        expect.stringMatching(/^[\w-]{43}$/),
        'corr-1',
        operationId,
        'taken',
        '',
        'header',
        '',
        expect.stringMatching(/^[\da-f]{32}$/),
        '',
      ],
      doubles: [1, 201, 1, ...Array.from({ length: 5 }, () => expect.any(Number)), 12, 1],
    })
    expect(lines()).toEqual([
      expect.objectContaining({
        message: 'request',
        operation: 'POST /payments',
        status: 'executed',
        httpStatus: 201,
        outcome: 'succeeded',
        correlationId: 'corr-1',
        operationId,
      }),
    ])
  })

  it.each([
    { name: 'a replay', request: { key: 'seen' }, expected: ['replayed', ''] },
    {
      name: 'a mismatch',
      request: { key: 'seen', body: '{}' },
      expected: ['mismatch', 'key-reused'],
    },
    { name: 'a missing key', request: {}, expected: ['rejected', 'key-missing'] },
    { name: 'a bad key', request: { key: 'a,b' }, expected: ['rejected', 'key-invalid'] },
  ])('counts $name', async ({ request, expected }) => {
    playOrigin(() => new Response('ok'))
    await send({ key: 'seen' })
    await send(request)
    expect(points().at(-1)?.blobs?.slice(2, 4)).toEqual(expected)
  })

  it('writes no key, no credential and no body anywhere', async () => {
    playOrigin(() => new Response('marked-answer'))
    await send({ key: 'marked-key', body: '{"a":"marked-body"}' })
    await send({ key: 'marked-key', body: '{"a":"marked-other"}' })
    const written = JSON.stringify([points(), lines()])
    expect(written).not.toMatch(/marked|tenant-a/)
  })

  it('costs the client nothing when the point cannot be written', async () => {
    playOrigin(() => new Response('ok'))
    vi.mocked(env.METRICS.writeDataPoint).mockImplementation(() => {
      throw new Error('too many points')
    })
    expect((await send({ key: 'no-point' })).status).toBe(200)
  })
})

describe('a request on any other route', () => {
  it('is not counted', async () => {
    playOrigin(() => new Response('ok'))
    await send({ path: '/elsewhere', key: 'k' })
    expect(points()).toHaveLength(0)
    expect(lines()).toHaveLength(0)
  })
})
