import { describe, expect, it } from 'vitest'

import { createAnalyticsClient, toApiUrl } from '../../../src/analytics/client.ts'

const TOKEN = 'a-token'
const API = toApiUrl('a1'.repeat(16))

/** A client whose API always gives the same answer, and what it was sent. */
function clientOf(answer: () => Response | Promise<Response>) {
  const sent: { url: string; init: RequestInit }[] = []
  const client = createAnalyticsClient({
    url: API,
    token: TOKEN,
    fetch: async (url, init = {}) => {
      sent.push({ url: new Request(url).url, init })
      return answer()
    },
  })
  return { client, sent }
}

const tableOf = (type: string, value: unknown) => () =>
  Response.json({ meta: [{ name: 'n', type }], data: [{ n: value }], rows: 1 })

const envelopeOf = (code: number, message: string) =>
  JSON.stringify({ success: false, errors: [{ code, message }] })

describe('toApiUrl', () => {
  it.each([
    {
      name: 'the cloud',
      url: toApiUrl('abc'),
      expected: 'https://api.cloudflare.com/client/v4/accounts/abc/analytics_engine/sql',
    },
    {
      name: 'a local engine',
      url: toApiUrl('abc', 'http://127.0.0.1:8789/'),
      expected: 'http://127.0.0.1:8789/client/v4/accounts/abc/analytics_engine/sql',
    },
    {
      name: 'an account that is none',
      url: toApiUrl('../x?y'),
      expected: 'https://api.cloudflare.com/client/v4/accounts/..%2Fx%3Fy/analytics_engine/sql',
    },
  ])('names the SQL API of $name', ({ url, expected }) => {
    expect(url).toBe(expected)
  })
})

describe('createAnalyticsClient', () => {
  it('sends the query as it is, with the token', async () => {
    const { client, sent } = clientOf(tableOf('String', 'x'))
    await client.query('SELECT 1')
    expect(sent).toMatchObject([
      {
        url: API,
        init: { method: 'POST', body: 'SELECT 1', headers: { Authorization: `Bearer ${TOKEN}` } },
      },
    ])
    expect(sent[0]?.init.redirect).toBe('manual')
  })

  it.each([
    { type: 'UInt64', value: '12', expected: 12 },
    { type: 'Float64', value: 1.5, expected: 1.5 },
    { type: 'Nullable(Float64)', value: null, expected: null },
    { type: 'Float64', value: 'nan', expected: null },
    { type: 'String', value: '12', expected: '12' },
    { type: 'DateTime', value: '2026-11-24 13:43:48', expected: '2026-11-24T13:43:48Z' },
    { type: "DateTime('Etc/UTC')", value: '2026-11-24 13:43:48', expected: '2026-11-24T13:43:48Z' },
  ])('reads $value of the type $type as $expected', async ({ type, value, expected }) => {
    const { client } = clientOf(tableOf(type, value))
    expect(await client.query('SELECT 1')).toEqual([{ n: expected }])
  })

  it('gives a text as it came', async () => {
    const { client } = clientOf(() => new Response('a\tb\n'))
    expect(await client.text('SELECT 1 FORMAT TabSeparated')).toBe('a\tb\n')
  })

  it.each([
    { status: 401, body: envelopeOf(10_000, 'Authentication error'), kind: 'unauthorized' },
    { status: 400, body: envelopeOf(9106, 'Missing headers'), kind: 'unauthorized' },
    { status: 400, body: envelopeOf(6003, 'Invalid request headers'), kind: 'unauthorized' },
    { status: 403, body: envelopeOf(10_000, 'Authentication error'), kind: 'forbidden' },
    { status: 404, body: envelopeOf(7003, 'Could not route'), kind: 'not-found' },
    { status: 400, body: envelopeOf(7003, 'Could not route'), kind: 'not-found' },
    { status: 429, body: 'Too many', kind: 'rate-limited' },
    { status: 422, body: 'Input was invalid: no', kind: 'refused' },
    { status: 400, body: 'no', kind: 'refused' },
    {
      status: 422,
      body: 'Input was invalid: unable to find type of column: nope',
      kind: 'refused',
    },
    {
      status: 422,
      body: 'Input was invalid: unable to find type of column: "timestamp"',
      kind: 'no-data',
    },
    { status: 422, body: 'unable to find type of column: double1', kind: 'no-data' },
    { status: 302, body: '', kind: 'failed' },
    { status: 500, body: 'oh', kind: 'failed' },
    { status: 200, body: '<p>Hello</p>', kind: 'failed' },
    { status: 200, body: '{"success":true}', kind: 'failed' },
  ])('tells $status with $body as $kind', async ({ status, body, kind }) => {
    const { client } = clientOf(() => new Response(body, { status }))
    await expect(client.query('SELECT 1')).rejects.toMatchObject({ name: 'AnalyticsError', kind })
  })

  it('says what the API said, in one line and no more than that', async () => {
    const { client } = clientOf(() => new Response(`a\n b${'c'.repeat(600)}`, { status: 422 }))
    const error = (await client.query('SELECT 1').catch((cause: unknown) => cause)) as Error
    expect(error.message).toMatch(/^422: a bc+$/)
    expect(error.message.length).toBeLessThan(520)
    expect(error.message).not.toContain(TOKEN)
  })

  it.each([
    { name: 'no answer', answer: () => Promise.reject(new TypeError('fetch failed')) },
    {
      name: 'an answer that breaks off',
      answer: () =>
        new Response(new ReadableStream({ start: (stream) => stream.error(new Error('gone')) })),
    },
  ])('tells $name as unreachable, with the cause', async ({ answer }) => {
    const { client } = clientOf(answer)
    await expect(client.query('SELECT 1')).rejects.toMatchObject({
      kind: 'unreachable',
      cause: expect.any(Error) as Error,
    })
  })
})
