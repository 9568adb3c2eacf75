import { readFileSync } from 'node:fs'
import path from 'node:path'

import { afterAll, beforeAll, describe, expect, it } from 'vitest'

import { type BareGateway, startBareGateway } from './bare.ts'
import { json, type Origin, startOrigin } from './server.ts'
import {
  ANSWERS,
  BODY,
  HAPAX_WEBHOOK_SECRET,
  HELD,
  LARGE_BYTES,
  OTHER_BODY,
  OTHER_POINTERS,
  SECRETS,
} from './stored-cases.ts'
import { loadState, type StateFacts } from './stored-state.ts'

/**
 * The gateway of today starts on what earlier versions have stored (`test/fixtures`), an hour after
 * they were killed. Nothing here knows how it is stored.
 */
const HAPAX_ADMIN_TOKEN = 'operator-token-of-this-test'
const STATES = ['09f73e0', '6626a7e'].flatMap((commit) => [
  { commit, how: 'clear', secrets: {} },
  { commit, how: 'sealed', secrets: SECRETS },
])
const FOUND = json(200, { found: true })

interface Received {
  readonly status: number
  readonly headers: Headers
  readonly bytes: Buffer
}

describe.each(STATES)('what $commit has stored ($how)', ({ commit, how, secrets }) => {
  let origin: Origin
  let gateway: BareGateway
  let facts: StateFacts
  const isClear = how === 'clear'

  beforeAll(async () => {
    origin = await startOrigin()
    origin.on('/status', ({ path: asked }) =>
      asked.endsWith(`=${facts.keys['/asked/done']}`) ? FOUND : json(404, {}),
    )
    const file = path.join(import.meta.dirname, `../fixtures/state-${commit}/${how}.sql`)
    gateway = await startBareGateway({
      origin,
      config: path.join(import.meta.dirname, 'state-gateway/wrangler.toml'),
      vars: { HAPAX_WEBHOOK_SECRET, HAPAX_ADMIN_TOKEN, ...secrets },
      fill(state) {
        facts = loadState(readFileSync(file, 'utf8'), state, origin.url)
      },
    })
  })
  afterAll(async () => {
    await gateway.stop()
    await origin.close()
  })

  async function send(where: string, body = BODY): Promise<Received> {
    const response = await fetch(`${gateway.url}${where}`, {
      method: 'POST',
      headers: {
        Authorization: 'Bearer demo',
        'Content-Type': 'application/json',
        'Idempotency-Key': where,
      },
      body,
    })
    const bytes = Buffer.from(await response.arrayBuffer())
    return { status: response.status, headers: response.headers, bytes }
  }

  /** Sends what the alarm may be at work on as well: a retry that joins it is sent once more. */
  async function sendBesideAlarm(where: string): Promise<Received> {
    const first = await send(where)
    return wordOf(first) === 'joined' ? send(where) : first
  }

  const operate = (where: string, method = 'GET') =>
    fetch(`${gateway.url}/_hapax/admin/${where}`, {
      method,
      headers: { Authorization: `Bearer ${HAPAX_ADMIN_TOKEN}` },
    })

  async function examine(where: string): Promise<unknown> {
    return (await operate(`operations/${facts.keys[where]}`)).json()
  }

  const wordOf = ({ headers }: Received) => headers.get('Idempotency-Status')
  const told = (received: Received) => [
    received.status,
    received.headers.get('Hapax-Error') ?? wordOf(received),
  ]

  describe('a result', () => {
    it.each(Object.keys(ANSWERS))('%s is replayed byte by byte', async (where) => {
      const { status = 200, headers = {}, body = '' } = ANSWERS[where] ?? {}
      const replay = await send(where)
      expect(told(replay)).toEqual([status, 'replayed'])
      expect(replay.bytes).toEqual(Buffer.from(body))
      const kept = Object.keys(headers).map((name) => [name, replay.headers.get(name)])
      expect(Object.fromEntries(kept)).toEqual(headers)
      expect(origin.requestsTo(where)).toEqual([])
    })

    it.runIf(isClear)('of several pieces is replayed byte by byte', async () => {
      const replay = await send('/kept/large')
      expect(told(replay)).toEqual([200, 'replayed'])
      expect(replay.bytes.equals(Buffer.alloc(LARGE_BYTES))).toBe(true)
    })

    it('is shown to operators', async () => {
      expect(await examine('/kept/failed')).toMatchObject({
        state: 'failed',
        attempts: [{ fence: 1, originStatus: 422, outcome: 'failed' }],
        result: { bodyBytes: 25, body: 'kept', isSealed: !isClear },
      })
    })
  })

  it.each(['/kept/small', '/held/unknown', '/handled/kept', '/held/lost'])(
    'a key that is used again with another body tells where it differs: %s',
    async (where) => {
      const mismatch = await send(where, OTHER_BODY)
      expect(told(mismatch)).toEqual([409, 'key-reused'])
      const problem = JSON.parse(mismatch.bytes.toString()) as object
      expect(problem).toMatchObject({ differs: ['body'], pointers: OTHER_POINTERS })
      expect(origin.requestsTo(where)).toEqual([])
    },
  )

  describe('an operation without a known end', () => {
    it.each(HELD)('is held: %s', async (where) => {
      expect(told(await send(where))).toEqual([409, 'outcome-unknown'])
      expect(told(await send(where))).toEqual([409, 'outcome-unknown'])
      expect(origin.requestsTo(where)).toEqual([])
    })

    it('is on the list of operators', async () => {
      const wanted = ['/held/unknown', '/unlisted', '/held/lost']
      const list = async () => {
        const answer = await operate('stuck?limit=100')
        const { entries } = (await answer.json()) as { entries: { id: string }[] }
        return entries.map(({ id }) => id)
      }
      const ids = wanted.map((where) => facts.keys[where])
      await expect.poll(list).toEqual(expect.arrayContaining(ids))
      expect(await examine('/held/lost')).toMatchObject({ state: 'unknown', reason: 'owner-lost' })
    })

    it('is forgotten when an operator erases it', async () => {
      const erased = await operate(`operations/${facts.keys['/held/erased']}`, 'DELETE')
      expect(erased.status).toBe(204)
      expect(told(await send('/held/erased'))).toEqual([201, 'executed'])
    })

    it('is asked about with the key that the origin knows', async () => {
      // Sealed, only the client's key opens what comes back: the alarm does not ask.
      if (isClear) await origin.received('/status')
      const done = await sendBesideAlarm('/asked/done')
      expect(told(done)).toEqual([200, 'replayed'])
      expect(done.bytes.toString()).toBe(FOUND.body)
      expect(origin.requestsTo('/asked/done')).toEqual([])
      expect(told(await sendBesideAlarm('/asked/not-done'))).toEqual([201, 'executed'])
      const [request, ...others] = origin.requestsTo('/asked/not-done')
      expect(request?.headers['idempotency-key']).toBe(facts.keys['/asked/not-done'])
      expect(others).toEqual([])
    })

    const resent = ['/resent/lost', '/resent/unknown', ...(isClear ? ['/half'] : [])]
    it.each(resent)('is sent again by the next request: %s', async (where) => {
      const again = await send(where)
      expect(told(again)).toEqual([201, 'executed'])
      expect(again.bytes.toString()).toBe('{"nth":1}')
      const replay = await send(where)
      expect(told(replay)).toEqual([201, 'replayed'])
      expect(replay.bytes.toString()).toBe('{"nth":1}')
      const [request, ...others] = origin.requestsTo(where)
      expect(request?.headers['idempotency-key']).toBe(facts.keys[where])
      expect(request?.headers['idempotency-attempt']).toBe('2')
      expect(others).toEqual([])
    })

    it.each(['/durable/lost', '/durable/unknown'])(
      'is sent again by the alarm, as its client sent it: %s',
      async (where) => {
        const request = await origin.received(where)
        expect(request.body.toString()).toBe(BODY)
        expect(request.headers['idempotency-key']).toBe(facts.keys[where])
        expect(request.headers['idempotency-attempt']).toBe('2')
        await expect.poll(() => examine(where)).toMatchObject({ state: 'succeeded' })
        const replay = await send(where)
        expect(told(replay)).toEqual([201, 'replayed'])
        expect(replay.bytes.toString()).toBe('{"nth":1}')
        expect(origin.requestsTo(where)).toHaveLength(1)
      },
    )
  })

  it.each(['/gone', '/brief/kept'])('an expired key is refused: %s', async (where) => {
    expect(told(await send(where))).toEqual([410, 'key-expired'])
    expect(origin.requestsTo(where)).toEqual([])
    await expect.poll(() => examine(where)).toMatchObject({ state: 'expired' })
  })

  describe('events', () => {
    const idsAt = (where: string) =>
      origin.requestsTo(where).map(({ headers }) => headers['webhook-id'])

    it('are delivered once, with the id that they had', async () => {
      await origin.received('/hooks/told')
      await expect.poll(() => examine('/told')).toMatchObject({ pendingEvents: 0 })
      expect(idsAt('/hooks/told')).toEqual(facts.events['/hooks/told'])
      expect(told(await send('/told'))).toEqual([201, 'replayed'])
    })

    it('of one operation are delivered in their order', async () => {
      await origin.received('/hooks/emitted', 2)
      const [first = ''] = facts.events['/hooks/emitted'] ?? []
      expect(idsAt('/hooks/emitted')).toEqual([first, first.replace(/succeeded$/, '1')])
      expect(told(await send('/emitted'))).toEqual([202, 'replayed'])
    })
  })

  it('makes room for new operations', async () => {
    expect(told(await send('/kept/new'))).toEqual([201, 'executed'])
    expect(told(await send('/kept/new'))).toEqual([201, 'replayed'])
  })
})
