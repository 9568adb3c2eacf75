import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest'

import { consume, createWorker, credential, type QueueConsumer } from '../../src/hapax.ts'
import { toStoredBytes } from '../../src/platform/at-rest.ts'
import { writeClone } from '../../src/queue/structured-clone.ts'
import { createOperatedGateway } from './gateway.ts'

const TOKEN = 'operator-token-of-this-test'

let log: MockInstance<typeof console.log>
beforeEach(() => {
  log = vi.spyOn(console, 'log').mockImplementation(() => {})
  vi.spyOn(console, 'error').mockImplementation(() => {})
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const never = () => new Promise<never>(() => {})
const fail = () => Promise.reject(new Error('disk I/O error'))
const FAULTS = [
  { how: 'fails', fault: fail },
  { how: 'never answers', fault: never },
]

const ENTRY = {
  operationId: 'a'.repeat(43),
  tenant: 'shop',
  operation: 'POST /payments',
  reason: 'origin-timeout',
  correlationId: 'c',
  since: 1_000,
  sequence: 1,
}
const LETTER = {
  id: 'letter',
  from: 'inbox',
  destination: null,
  type: 'jobs',
  tenant: null,
  operationId: null,
  correlationId: null,
  reason: 'broken',
  attempts: 3,
  at: 1_000,
}

/** A directory with one operation and one letter, all of whose answers come. */
const WHOLE = {
  listStuck: async () => ({ entries: [ENTRY], next: null }),
  strike: async () => {},
  listLetters: async () => ({ entries: [LETTER], next: null }),
  letter: async () => ({ ...LETTER, bytes: new Uint8Array() }),
  count: async () => ({ stuck: 1, letters: 1, letterBytes: 10, oldestAt: 1_000 }),
  dropLetter: async () => true,
}
const VIEW = { state: 'unknown', nextAttemptAt: null, timeline: [] }

/** Asks a deployment whose directory and objects are played. */
async function ask(
  path: string,
  played: { readonly directory?: object; readonly object?: object; readonly queue?: QueueConsumer },
  { method = 'GET', body = null }: { readonly method?: string; readonly body?: string | null } = {},
) {
  const app = createOperatedGateway({ tenant: credential('Authorization') })
  if (played.queue !== undefined) createWorker(app, { queue: played.queue })
  const ctx = createExecutionContext()
  const request = new Request<unknown, IncomingRequestCfProperties>(
    `https://gateway.test/_hapax/admin${path}`,
    { method, body, headers: { Authorization: `Bearer ${TOKEN}` } },
  )
  const vars = {
    HAPAX_ADMIN_TOKEN: TOKEN,
    DIRECTORY: { getByName: () => ({ ...WHOLE, ...played.directory }) },
    OPERATIONS: { getByName: () => ({ examine: async () => VIEW, ...played.object }) },
  }
  const answering = app.fetch(request, { ...env, ...vars }, ctx)
  await vi.advanceTimersByTimeAsync(24_000)
  const response = await answering
  vi.useRealTimers()
  await waitOnExecutionContext(ctx)
  const text = await response.text()
  return {
    status: response.status,
    again: response.headers.get('Retry-After'),
    body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
  }
}

describe.each(FAULTS)('a directory that $how', ({ fault }) => {
  it.each([
    { path: '/stuck', part: 'listStuck', method: 'GET' },
    { path: '/dead-letters', part: 'listLetters', method: 'GET' },
    { path: '/dead-letters/letter', part: 'letter', method: 'GET' },
    { path: '/dead-letters/letter', part: 'letter', method: 'DELETE' },
    { path: '/dead-letters/letter/replay', part: 'letter', method: 'POST' },
  ])('at $part is a 503: $method $path', async ({ path, part, method }) => {
    const answer = await ask(path, { directory: { [part]: fault } }, { method })
    expect(answer).toMatchObject({ status: 503, again: '5' })
    expect(answer.body['detail']).toContain('directory did not answer')
    expect(log).not.toHaveBeenCalled()
  })

  it.each(['/stuck', '/dead-letters'])(
    'at its count takes nothing of %s along, and no count is no zero',
    async (path) => {
      const { status, body } = await ask(path, { directory: { count: fault } })
      expect(status).toBe(200)
      expect(body).toMatchObject({ entries: [expect.anything()], total: null })
    },
  )

  it('at striking off takes nothing of the list along', async () => {
    const object = { examine: async () => null }
    const { status, body } = await ask('/stuck', { directory: { strike: fault }, object })
    expect(status).toBe(200)
    expect(body).toMatchObject({ entries: [], total: 1 })
  })

  it('at taking a letter off leaves it unconfirmed, and audited', async () => {
    const answer = await ask(
      '/dead-letters/letter',
      { directory: { dropLetter: fault } },
      { method: 'DELETE' },
    )
    expect(answer.status).toBe(503)
    expect(answer.body['detail']).toContain('Nobody knows')
    expect(String(log.mock.calls[0]?.[0])).toContain('"letterId":"letter"')
  })
})

describe.each(FAULTS)('a directory that $how, when a replay comes to a decision', ({ fault }) => {
  it('is a 503, since the next replay would not know it', async () => {
    const message = { id: 'm', queue: 'jobs', body: {}, attempts: 4, timestamp: new Date() }
    const written = new TextEncoder().encode(await writeClone(message))
    const bytes = await toStoredBytes(env, 'dead letter', LETTER.id, new Uint8Array(written))
    const held = { kind: 'held', fence: 1, reason: 'handler-threw', policy: 'hold', ageMs: 0 }
    const answer = await ask(
      '/dead-letters/letter/replay',
      {
        queue: consume(() => {}, { tenant: () => 'shop' }),
        object: { claim: async () => held },
        directory: { letter: async () => ({ ...LETTER, bytes }), decide: fault },
      },
      { method: 'POST' },
    )
    expect(answer).toMatchObject({ status: 503, again: '5' })
    expect(answer.body['detail']).toContain('directory did not answer')
    expect(log).not.toHaveBeenCalledWith(expect.stringContaining('audit'))
  })
})

describe.each(FAULTS)('an object that $how', ({ fault }) => {
  it.each([
    { path: `/operations/${'a'.repeat(43)}`, method: 'GET', sent: undefined },
    { path: '/operations/lookup', method: 'POST', sent: { tenant: 't', key: 'k' } },
  ])('is a 503 for $method $path', async ({ path, method, sent }) => {
    const body = sent === undefined ? null : JSON.stringify(sent)
    const answer = await ask(path, { object: { examine: fault } }, { method, body })
    expect(answer).toMatchObject({ status: 503, again: '5' })
    expect(answer.body['detail']).toContain('object of the operation did not answer')
  })
})

describe('the static assets', () => {
  function fetchPath(path: string, vars: object): Promise<Response> {
    const app = createOperatedGateway({ tenant: credential('Authorization') })
    const headers = { Authorization: `Bearer ${TOKEN}` }
    const request = new Request(`https://gateway.test${path}`, { headers })
    const bindings = { ...env, HAPAX_ADMIN_TOKEN: TOKEN, ...vars }
    return Promise.resolve(app.fetch(request, bindings, createExecutionContext()))
  }

  const faults = [
    ...FAULTS,
    { how: 'answer 500', fault: async () => new Response('no', { status: 500 }) },
  ]

  it.each(
    faults.flatMap(({ how, fault }) => [
      { how, fault, path: '/_hapax/dashboard' },
      { how, fault, path: '/_hapax/admin/openapi.json' },
    ]),
  )('are asked for $path again later where they $how', async ({ fault, path }) => {
    const answering = fetchPath(path, { ASSETS: { fetch: fault } })
    await vi.advanceTimersByTimeAsync(12_000)
    const response = await answering
    expect([response.status, response.headers.get('Retry-After')]).toEqual([503, '5'])
  })

  it.each([
    { name: 'there are none', vars: { ASSETS: undefined }, detail: 'binds no ASSETS' },
    {
      name: 'they are not built',
      vars: { ASSETS: { fetch: async () => new Response('no', { status: 404 }) } },
      detail: 'npm run build:dashboard',
    },
  ])('do not have the document of the admin API where $name', async ({ vars, detail }) => {
    const response = await fetchPath('/_hapax/admin/openapi.json', vars)
    expect(response.status).toBe(404)
    expect(await response.json()).toMatchObject({ detail: expect.stringContaining(detail) })
    expect((await fetchPath('/_hapax/dashboard', vars)).status).toBe(404)
  })
})
