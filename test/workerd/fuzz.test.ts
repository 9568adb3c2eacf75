import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'

import { createGateway, credential, mcp, protect } from '../../src/hapax.ts'
import { contentEncoding, fieldLike, key, pairs, payload, SECRET } from '../fakes/hostile.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => vi.restoreAllMocks())

const RUNS = { numRuns: 500 }
const PATH = '/payments'
const CORRELATION = '0af7651916cd43dd8448eb211c80319c'

/** Every field that the gateway reads, and some that it must not believe. */
const headers = fc.record(
  {
    'Content-Encoding': contentEncoding,
    Accept: fieldLike('application/problem+json', '*/*;q=0.1', 'text/html, */*'),
    Prefer: fieldLike('wait=0', 'wait="1", x', 'return=minimal; wait=99999999999999999999'),
    Traceparent: fieldLike(`00-${CORRELATION}-b7ad6b7169203331-01`, `00-${'0'.repeat(32)}-0-00`),
    'X-Correlation-Id': fieldLike('req-1', SECRET, 'a b'),
    'X-Request-Deadline': fieldLike('9999999999999', '2099-01-01T00:00:00Z', '0', '-1', 'NaN'),
    'Idempotency-Attempt': fieldLike('1', '2', '0', '-1', '1e999', '0x10'),
    'Idempotency-Outcome': fieldLike('not-executed'),
    Origin: fieldLike('https://shop.test', 'null'),
    'Accept-Encoding': fieldLike('gzip', 'identity;q=0, *;q=0'),
    Cookie: fieldLike('a=b; c'),
    Connection: fieldLike('close', 'idempotency-key, authorization', 'x-correlation-id'),
  },
  { requiredKeys: [] },
)

const request = fc.record({
  key,
  search: pairs.map((text) => (text === '' ? '' : `?${text}`)),
  headers,
  payload,
})

type Fuzzed = typeof request extends fc.Arbitrary<infer value> ? value : never

/** A gateway of its own in front of an origin that takes everything. */
function open() {
  const origin = playOrigin(() => new Response('{"ok":true}', { status: 201 }))
  const app = createGateway({ tenant: credential('Authorization') })
  app.post(PATH, protect({ wait: 0, limits: { request: 65_536 } }))
  /** Each request is another tenant's, so that none meets the operation of an earlier one. */
  const newTenant = () => `Bearer ${crypto.randomUUID()}`
  const client = clientOf(app, PATH)
  const send = (sent: Fuzzed, tenant: string, more: Record<string, string> = {}) =>
    client(sent.key, {
      search: sent.search,
      body: sent.payload.body,
      headers: {
        'Content-Type': sent.payload.type,
        ...sent.headers,
        ...more,
        Authorization: tenant,
      },
    })
  return { origin, newTenant, send }
}

const PROBLEM = {
  instance: expect.stringMatching(/^\/payments#/),
  error: { type: expect.any(String), code: expect.any(String), message: expect.any(String) },
  type: expect.stringMatching(/^https:\/\/gateway\.test\/_hapax\/problems\/[a-z-]+$/),
  title: expect.any(String),
  detail: expect.stringMatching(/^[A-Z].*\.$/s),
  message: expect.stringMatching(/^[A-Z].*\.$/s),
  retryable: expect.any(Boolean),
  retry: expect.toBeOneOf(['same-key', 'new-key', 'wait', 'never']),
  correlationId: expect.stringMatching(/^[\w.:=+/-]{1,128}$/),
}

describe('a protected route, whatever is sent to it', () => {
  it('executes a request once, or refuses it with a problem and forwards nothing', async () => {
    const { origin, newTenant, send } = open()
    await fc.assert(
      fc.asyncProperty(request, async (sent) => {
        const before = origin.requests.length
        const response = await send(sent, newTenant(), { Accept: 'application/problem+json' })
        const refusal = response.headers.get('Hapax-Error')
        const forwarded = origin.requests.length - before
        expect({ word: word(response), status: response.status, refusal, forwarded }).toBeOneOf([
          { word: 'executed', status: 201, refusal: null, forwarded: 1 },
          {
            word: 'rejected',
            status: expect.toBeOneOf([400, 413]),
            refusal: expect.stringMatching(/^(?:key-invalid|payload-invalid|payload-too-large)$/),
            forwarded: 0,
          },
          // The deadline of the client has passed: nothing was sent.
          { word: 'rejected', status: 504, refusal: 'origin-timeout', forwarded: 0 },
        ])
        expect(await response.json()).toEqual(
          refusal === null ? { ok: true } : { ...PROBLEM, status: response.status },
        )
      }),
      RUNS,
    )
  }, 60_000)

  it('answers whatever it accepted in the same way again, and forwards it no more', async () => {
    const { origin, newTenant, send } = open()
    await fc.assert(
      fc.asyncProperty(request, async (sent) => {
        const tenant = newTenant()
        const first = await send(sent, tenant)
        const forwarded = origin.requests.length
        const again = await send(sent, tenant)
        const isExecuted = word(first) === 'executed'
        expect(word(again)).toBe(isExecuted ? 'replayed' : word(first))
        expect(again.status).toBe(first.status)
        expect(origin.requests).toHaveLength(forwarded)
      }),
      RUNS,
    )
  }, 60_000)

  it('repeats neither key nor body in an answer of its own, nor the key to the origin', async () => {
    const { origin, newTenant, send } = open()
    await fc.assert(
      fc.asyncProperty(request, fc.boolean(), async (sent, isBroken) => {
        const secretKey = isBroken ? `"${SECRET}` : SECRET
        const before = origin.requests.length
        // An id of the client's own is given back to it.
        const response = await send({ ...sent, key: secretKey }, newTenant(), {
          'X-Correlation-Id': 'mine',
          Traceparent: '',
        })
        const answer = JSON.stringify([...response.headers]) + (await response.text())
        expect(answer).not.toContain(SECRET)
        const keys = origin.requests.slice(before).map((one) => one.headers.get('Idempotency-Key'))
        expect(keys).toEqual(keys.map(() => expect.stringMatching(/^[\w-]{43}$/)))
      }),
      RUNS,
    )
  }, 60_000)
})

describe('a route of an MCP server, whatever a call is said to be', () => {
  const CALL = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: {} })
  const type = fc.oneof(
    payload.map((one) => one.type),
    fieldLike('application/json', 'application/json; charset=utf-8', 'text/plain;application/json'),
  )

  it('never sends one on as a message that is no call', async () => {
    const origin = playOrigin(() => new Response('{}'))
    const app = createGateway({ tenant: credential('Authorization') })
    app.post(PATH, protect({ key: mcp() }))
    const send = clientOf(app, PATH)
    const coding = fc.option(contentEncoding, { nil: undefined })
    await fc.assert(
      fc.asyncProperty(type, coding, async (contentType, encoding) => {
        const refused = await send('unused', {
          body: CALL,
          headers: {
            'Content-Type': contentType,
            ...(encoding !== undefined && { 'Content-Encoding': encoding }),
          },
        })
        expect(refused.headers.get('Hapax-Error')).toMatch(
          /^(?:key-missing|payload-invalid|payload-too-large)$/,
        )
      }),
      RUNS,
    )
    expect(origin.requests).toHaveLength(0)
  }, 60_000)
})
