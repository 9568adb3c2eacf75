import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { afterEach, describe, expect, it, vi } from 'vitest'

import type { UnknownRecord } from '../../src/core/operation/record.ts'
import {
  createGateway,
  credential,
  type IdempotencyObject,
  idempotent,
  type PolicyOptions,
  probe,
  protect,
} from '../../src/hapax.ts'
import { objectOf, readRecord } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'

afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect(policy))
  return clientOf(app, '/payments')
}

function advance(ms: number): void {
  const now = Date.now()
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(now + ms)
}

async function ringAlarm(key: string, afterMs: number): Promise<void> {
  advance(afterMs)
  await runDurableObjectAlarm(await objectOf(key))
}

const readUnknown = async (key: string) => (await readRecord(key)) as UnknownRecord | null

async function countStoredRequests(key: string): Promise<number> {
  const object = await objectOf(key)
  return runInDurableObject(object, (_: IdempotencyObject, { storage: { sql } }) => {
    return sql.exec("SELECT 1 FROM body WHERE belongs_to = 'request'").toArray().length
  })
}

const created = () => Response.json({ id: 'pay_1' }, { status: 201 })
const answer = (status: number) => () => new Response('', { status })
const problemOf = (response: Response) => [response.status, response.headers.get('Hapax-Error')]

/** An origin with a status resource beside its side effect; both can be changed while it is played. */
function playApi(api: { effect: () => Response; status: () => Response }) {
  const origin = playOrigin(({ method }) => (method === 'GET' ? api.status() : api.effect()))
  const countOf = (wanted: string) =>
    origin.requests.filter(({ method }) => method === wanted).length
  return { api, effects: () => countOf('POST'), probes: () => countOf('GET') }
}

describe('the grace of a probe', () => {
  const PROBED: PolicyOptions = { unknown: probe('/by-key/{key}'), timeout: '20s' }

  it('leaves it open what the origin does not know yet, and says when to come back', async () => {
    const played = playApi({ effect: answer(500), status: answer(404) })
    const send = clientWith(PROBED)
    await send('early')
    const endsAt = ((await readUnknown('early'))?.settledAt ?? Infinity) + 20_000
    const answers = await Promise.all([send('early'), send('early'), send('early')])
    for (const early of answers) {
      expect(problemOf(early)).toEqual([409, 'outcome-unknown'])
      expect(early.headers.get('X-Should-Retry')).toBe('true')
      const backAt = Date.now() + Number(early.headers.get('Retry-After')) * 1_000
      expect(backAt).toBeGreaterThanOrEqual(endsAt)
      expect(await early.json()).toMatchObject({ retry: 'wait' })
    }
    expect(played.effects()).toBe(1)
  })

  it('believes at once what the origin knows', async () => {
    const played = playApi({ effect: answer(500), status: answer(404) })
    const send = clientWith(PROBED)
    await send('late-commit')
    await send('late-commit')
    played.api.status = created
    const replay = await send('late-commit')
    expect([word(replay), await replay.text()]).toEqual(['replayed', '{"id":"pay_1"}'])
    expect(played.effects()).toBe(1)
  })

  it('has the operation executed again when it has ended, as the next attempt', async () => {
    const played = playApi({ effect: answer(500), status: answer(404) })
    const send = clientWith(PROBED)
    await send('over')
    played.api.effect = created
    advance(20_001)
    expect(word(await send('over'))).toBe('executed')
    expect(await readRecord('over')).toMatchObject({ state: 'succeeded', fence: 2 })
    expect(played.effects()).toBe(2)
  })

  it.each([
    { name: 'ends before the next question would come', grace: '20s', rings: [6_000, 11_000] },
    { name: 'ends before the second question', grace: '8s', rings: [6_000] },
  ] as const)('holds for the alarm, which asks again soon after it where it $name', async (row) => {
    const key = `alarm-${row.grace}`
    const played = playApi({ effect: answer(500), status: answer(404) })
    const send = clientWith({
      unknown: probe('/by-key/{key}', { grace: row.grace }),
      durable: true,
    })
    await send(key)
    played.api.effect = created
    for (const ms of row.rings) await ringAlarm(key, ms)
    const waiting = await readUnknown(key)
    expect(waiting).toMatchObject({ state: 'unknown' })
    expect(played.effects()).toBe(1)
    const graceMs = Number.parseInt(row.grace, 10) * 1_000
    expect(waiting?.recoveryAt).toBe((waiting?.settledAt ?? 0) + graceMs)
    await ringAlarm(key, (waiting?.recoveryAt ?? 0) - Date.now())
    expect(await readRecord(key)).toMatchObject({ state: 'succeeded', fence: 2 })
    expect(played.effects()).toBe(2)
  })

  it('holds for a handler in the Worker', async () => {
    let runs = 0
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/grants', idempotent(PROBED), (c) => {
      runs += 1
      if (runs === 1) throw new Error('half done')
      return c.text(`run ${runs}`)
    })
    const send = clientOf(app, '/grants')
    playOrigin(answer(404))
    await send('handler')
    expect(problemOf(await send('handler'))).toEqual([409, 'outcome-unknown'])
    advance(20_001)
    expect(await (await send('handler')).text()).toBe('run 2')
  })

  it('counts for what was held before the route had a status resource', async () => {
    const played = playApi({ effect: answer(500), status: answer(404) })
    await clientWith({})('redeployed')
    const send = clientWith(PROBED)
    expect(problemOf(await send('redeployed'))).toEqual([409, 'outcome-unknown'])
    expect(played.effects()).toBe(1)
  })
})

describe('a refusal of the caller', () => {
  const QUICK = { base: '1ms', cap: '2ms' } as const

  it.each([401, 403, 407])('frees the key at %i, and is not sent again', async (status) => {
    const origin = playOrigin(answer(status))
    const send = clientWith({ retry: { attempts: 4, ...QUICK } })
    const refused = await send(`refused-${status}`)
    expect([refused.status, word(refused)]).toEqual([status, 'not-executed'])
    expect(origin.requests).toHaveLength(1)
    expect(await readRecord(`refused-${status}`)).toBeNull()
  })

  it('is not sent again where the route leaves it open what it means', async () => {
    const origin = playOrigin(answer(401))
    const outcomes = { '401': 'unknown' } as const
    const retry = { attempts: 4, ...QUICK, on: ['unknown' as const] }
    const send = clientWith({ unknown: 'resend', outcomes, durable: true, retry })
    await send('open')
    expect(origin.requests).toHaveLength(1)
    expect(await readRecord('open')).toMatchObject({ state: 'unknown' })
    expect(await countStoredRequests('open')).toBe(0)
    await ringAlarm('open', 6_000)
    expect(origin.requests).toHaveLength(1)
  })

  it('ends what the alarm sends, and leaves the next request to decide', async () => {
    const played = playApi({ effect: answer(500), status: answer(404) })
    const send = clientWith({ unknown: 'resend', durable: true })
    await send('expired-token')
    played.api.effect = answer(401)
    await ringAlarm('expired-token', 6_000)
    expect(await readRecord('expired-token')).toMatchObject({
      state: 'unknown',
      fence: 2,
      recovery: { kind: 'resend', isDurable: false },
    })
    expect(await countStoredRequests('expired-token')).toBe(0)
    await ringAlarm('expired-token', 600_000)
    expect(played.effects()).toBe(2)
    played.api.effect = created
    expect(word(await send('expired-token'))).toBe('executed')
    expect(await readRecord('expired-token')).toMatchObject({ state: 'succeeded', fence: 3 })
  })

  it('by the status resource takes the stored credentials from the alarm', async () => {
    const played = playApi({ effect: answer(500), status: answer(401) })
    const send = clientWith({ unknown: probe('/by-key/{key}', { grace: 0 }), durable: true })
    await send('refused-probe')
    await ringAlarm('refused-probe', 6_000)
    expect(await countStoredRequests('refused-probe')).toBe(0)
    expect(await readRecord('refused-probe')).toMatchObject({
      state: 'unknown',
      recovery: { kind: 'probe', isDurable: false },
    })
    await ringAlarm('refused-probe', 11_000)
    expect(played.probes()).toBe(2)
    expect(await readRecord('refused-probe')).toMatchObject({ state: 'unknown' })
    expect(played.effects()).toBe(1)
  })

  it('of a stranger, and all of its failures, take no retry from another tenant', async () => {
    const origin = playOrigin(answer(503))
    const budget = { ratio: 0, floor: 3 }
    const send = clientWith({ retry: { attempts: 20, ...QUICK, budget } })
    const of = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } })
    // Not of the alarms of other tests.
    const callsOf = (token: string) =>
      origin.requests.filter(({ headers }) => headers.get('Authorization') === `Bearer ${token}`)
    for (const key of ['junk-1', 'junk-2', 'junk-3']) {
      await send(key, of('junk'))
    }
    // Three retries, and then none.
    expect(callsOf('junk')).toHaveLength(6)
    await send('victim', of('victim'))
    expect(callsOf('victim')).toHaveLength(4)
    expect(callsOf('junk')).toHaveLength(6)
    advance(60_000)
    await send('junk-4', of('junk'))
    expect(callsOf('junk')).toHaveLength(10)
  })
})

describe('an error', () => {
  const LOOKS_LIKE_PROOF = [
    new Error('The gift certificate could not be mailed'),
    new Error('TLS handshake failed'),
    new Error('DNS lookup failed.'),
    new TypeError('Request with a GET or HEAD method cannot have a body.'),
    Object.assign(new Error('too much'), { overloaded: true, retryable: true }),
    'connection refused',
  ]

  it.each(LOOKS_LIKE_PROOF.map((thrown, index) => ({ name: String(thrown), thrown, index })))(
    'proves nothing by its text: $name',
    async ({ thrown, index }) => {
      const origin = playOrigin(() => {
        // oxlint-disable-next-line typescript/only-throw-error -- a Worker may throw anything
        throw thrown
      })
      const send = clientWith({ retry: { attempts: 4, base: '1ms' } })
      expect(problemOf(await send(`error-${index}`))).toEqual([502, 'outcome-unknown'])
      expect(problemOf(await send(`error-${index}`))).toEqual([409, 'outcome-unknown'])
      expect(origin.requests).toHaveLength(1)
    },
  )
})

describe('a 503 of a proxy', () => {
  const keyOf = (name: string) => name.replaceAll(/\W+/g, '-')
  const LOST =
    'upstream connect error or disconnect/reset before headers. reset reason: connection termination'
  const envoy = () =>
    new Response(LOST, { status: 503, headers: { server: 'envoy', 'content-type': 'text/plain' } })

  async function gzipped(): Promise<Response> {
    const stream = new Blob([LOST]).stream().pipeThrough(new CompressionStream('gzip'))
    const bytes = await new Response(stream).arrayBuffer()
    const headers = { 'content-encoding': 'gzip' }
    return new Response(bytes, { status: 503, headers, encodeBody: 'manual' })
  }

  it.each([
    { name: 'Envoy', play: envoy, policy: {} },
    { name: 'one that compresses it', play: gzipped, policy: {} },
    {
      name: 'Envoy, over the limit of the route',
      play: envoy,
      policy: { limits: { response: 20 } },
    },
    {
      name: 'Envoy, where the route retries',
      play: envoy,
      policy: { retry: { attempts: 4, base: '1ms' as const } },
    },
  ])('proves nothing: $name', async ({ name, play, policy }) => {
    const origin = playOrigin(play)
    const send = clientWith(policy)
    const key = keyOf(name)
    const first = await send(key)
    expect([first.status, word(first)]).toEqual([503, 'unknown'])
    expect(problemOf(await send(key))).toEqual([409, 'outcome-unknown'])
    expect(origin.requests).toHaveLength(1)
    expect(await readRecord(key)).toMatchObject({
      state: 'unknown',
      attempts: [{ originStatus: 503, outcome: 'unknown' }],
    })
  })

  it('proves nothing when a handler hands it on', async () => {
    let runs = 0
    const app = createGateway({ tenant: credential('Authorization') })
    app.post('/handed-on', idempotent(), () => {
      runs += 1
      return envoy()
    })
    const send = clientOf(app, '/handed-on')
    expect((await send('handed-on')).status).toBe(503)
    expect(problemOf(await send('handed-on'))).toEqual([409, 'outcome-unknown'])
    expect(runs).toBe(1)
  })

  it.each([
    {
      name: 'the route says what it means',
      policy: { outcomes: { '503': 'not_executed' as const } },
      play: envoy,
    },
    {
      name: 'the origin says what it means',
      policy: {},
      play: () =>
        new Response(LOST, { status: 503, headers: { 'Idempotency-Outcome': 'not-executed' } }),
    },
    {
      name: 'the origin made it, and the proxy handed it on',
      policy: {},
      play: () =>
        Response.json(
          { error: 'maintenance' },
          {
            status: 503,
            headers: { server: 'envoy', 'x-envoy-upstream-service-time': '3', 'retry-after': '5' },
          },
        ),
    },
  ])('frees the key where $name', async ({ name, policy, play }) => {
    playOrigin(play)
    const send = clientWith(policy)
    const key = keyOf(name)
    expect(word(await send(key))).toBe('not-executed')
    expect(await readRecord(key)).toBeNull()
  })
})
