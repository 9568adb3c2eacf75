import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { beforeEach, describe, expect, it, vi } from 'vitest'

import type { ListedEntry } from '../../src/directory/directory-guard.ts'
import {
  createGateway,
  credential,
  type DirectoryObject,
  type IdempotencyObject,
  type PolicyOptions,
  probe,
  protect,
} from '../../src/hapax.ts'
import { idOf, objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin } from './origin.ts'
import { pass, stopClock } from './stopped-clock.ts'
import { until } from './until.ts'

const HOUR_MS = 3_600_000

stopClock()

beforeEach(() => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
})

const ring = async (key: string) => runDurableObjectAlarm(await objectOf(key))
const directory = () => env.DIRECTORY.getByName('directory')

async function entryOf(key: string): Promise<ListedEntry | null> {
  const operationId = await idOf(key)
  const { entries } = await directory().listStuck({ after: null, limit: 1_000 })
  return entries.find((entry) => entry.operationId === operationId) ?? null
}

/** Notices of an operation that wait in its object. */
const noticesOf = async (key: string) =>
  runInDurableObject(await objectOf(key), (_: IdempotencyObject, { storage: { sql } }) => {
    const [table] = sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'event'")
    if (table === undefined) return []
    const rows = sql.exec<{ sequence: number; due_at: number }>(
      `SELECT sequence, due_at FROM event WHERE head LIKE '%"directory"%'`,
    )
    return rows.toArray()
  })

const answer = (status: number) => new Response('x', { status, headers: { 'Content-Length': '1' } })

/** An origin whose calls end one by one, when they are told to. */
function playHeldOrigin() {
  // Made here: what an object has made, no other may bring to its end.
  const ends = Array.from({ length: 10 }, () => Promise.withResolvers<number>())
  const { requests } = playOrigin(async () => {
    const status = await ends[requests.length - 1]?.promise
    return answer(status ?? 500)
  })
  return {
    asked: (count: number) => until(() => requests.length === count),
    end: (nth: number, status: number) => ends[nth - 1]?.resolve(status),
  }
}

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/transfers', protect(policy))
  return clientOf(app, '/transfers')
}

const DURABLE: PolicyOptions = { unknown: 'resend', durable: true }

describe('an operation that is sent again and again through an outage', () => {
  it('is listed once, with one age, until an end of it is known', async () => {
    const origin = playHeldOrigin()
    const first = clientWith(DURABLE)('outage')
    await origin.asked(1)
    const since = Date.now()
    origin.end(1, 500)
    await first
    pass(60_000)
    let listed: ListedEntry | null = null
    for (let call = 2; call <= 6; call++) {
      const ringing = ring('outage')
      await origin.asked(call)
      // In progress, and no end of it is known.
      listed ??= await until(() => entryOf('outage'))
      expect(listed).toMatchObject({ since, reason: 'origin-answered' })
      expect(await entryOf('outage')).toEqual(listed)
      pass(30_000)
      origin.end(call, 500)
      await ringing
      expect(await noticesOf('outage')).toEqual([])
      expect(await entryOf('outage')).toEqual(listed)
      pass(300_000)
    }
    const ringing = ring('outage')
    await origin.asked(7)
    origin.end(7, 201)
    await ringing
    await ring('outage')
    expect(await entryOf('outage')).toBeNull()
  })

  it('is listed after a minute also where it is in progress then', async () => {
    const origin = playHeldOrigin()
    const first = clientWith(DURABLE)('minute')
    await origin.asked(1)
    const since = Date.now()
    origin.end(1, 500)
    await first
    pass(6_000)
    const ringing = ring('minute')
    await origin.asked(2)
    const [notice] = await noticesOf('minute')
    expect(notice?.due_at).toBe(since + 60_000)
    origin.end(2, 500)
    await ringing
    expect(await noticesOf('minute')).toEqual([notice])
    vi.setSystemTime(since + 60_000)
    const last = ring('minute')
    await origin.asked(3)
    await until(() => entryOf('minute'))
    origin.end(3, 500)
    await last
  })

  it('is on the list while the next request sends it again', async () => {
    const origin = playHeldOrigin()
    const send = clientWith({ unknown: 'resend' })
    const first = send('by-hand')
    await origin.asked(1)
    origin.end(1, 500)
    await first
    await ring('by-hand')
    const listed = await entryOf('by-hand')
    expect(listed).not.toBeNull()
    const second = send('by-hand')
    await origin.asked(2)
    await ring('by-hand')
    expect(await entryOf('by-hand')).toEqual(listed)
    origin.end(2, 500)
    await second
    await ring('by-hand')
    expect(await entryOf('by-hand')).toEqual(listed)
  })

  it('is struck off where no call of it was executed, though it is sent again after that', async () => {
    let status = 500
    playOrigin(() => {
      const reply = answer(status)
      if (status === 503) reply.headers.set('Idempotency-Outcome', 'not-executed')
      return reply
    })
    const send = clientWith(DURABLE)
    await send('unexecuted', { headers: { Prefer: 'respond-async, wait=1' } })
    pass(60_000)
    await ring('unexecuted')
    await until(() => entryOf('unexecuted'))
    status = 503
    pass(60_000)
    await ring('unexecuted')
    const { state } = (await (await objectOf('unexecuted')).examine(await idOf('unexecuted'))) ?? {}
    expect(state).toBe('in_progress')
    await ring('unexecuted')
    expect(await entryOf('unexecuted')).toBeNull()
    status = 201
    pass(300_000)
    await ring('unexecuted')
    await ring('unexecuted')
    expect(await entryOf('unexecuted')).toBeNull()
  })

  it('tells the list nothing of a retry within one request', async () => {
    let calls = 0
    playOrigin(() => answer((calls += 1) === 1 ? 500 : 201))
    const send = clientWith({ unknown: 'resend', retry: { attempts: 2, on: ['unknown'] } })
    expect(word(await send('retried'))).toBe('executed')
    expect(calls).toBe(2)
    expect(await noticesOf('retried')).toEqual([])
  })
})

describe('a notice for the list', () => {
  it('does not wait behind one that is due later', async () => {
    let status = 503
    playOrigin(({ method }) => answer(method === 'GET' ? status : 500))
    await clientWith({ unknown: probe('/transfers/by-key/{key}', { grace: 0 }) })('overtakes')
    // Listed before its time, as by an object that has told the list and has not heard so.
    await directory().list({
      operationId: await idOf('overtakes'),
      tenant: 't',
      operation: 'o',
      reason: 'origin-answered',
      correlationId: 'c',
      since: 1,
    })
    await runInDurableObject(
      await objectOf('overtakes'),
      (_: IdempotencyObject, { storage }) =>
        void storage.sql.exec('UPDATE event SET failures = 1, due_at = due_at + 600000'),
    )
    status = 200
    pass(6_000)
    await ring('overtakes')
    await ring('overtakes')
    expect(await entryOf('overtakes')).toBeNull()
    expect(await noticesOf('overtakes')).toEqual([])
  })

  it('is not taken off by the end of the delivery of an older one', async () => {
    let status = 500
    playOrigin(() => answer(status))
    const send = clientWith({ unknown: 'resend' })
    await send('replaced')
    const gate = Promise.withResolvers<void>()
    const open = env.DIRECTORY.getByName.bind(env.DIRECTORY)
    const told: string[] = []
    vi.spyOn(env.DIRECTORY, 'getByName').mockImplementation(
      (name) =>
        ({
          list: async (...given: Parameters<DirectoryObject['list']>) => {
            told.push('list')
            await gate.promise
            return open(name).list(...given)
          },
          unlist: async (...given: Parameters<DirectoryObject['unlist']>) => {
            told.push('unlist')
            return open(name).unlist(...given)
          },
        }) as never,
    )
    const ringing = ring('replaced')
    await until(() => told.length === 1)
    status = 201
    expect(word(await send('replaced'))).toBe('executed')
    const [notice] = await noticesOf('replaced')
    expect(notice).toBeDefined()
    gate.resolve()
    await ringing
    await ring('replaced')
    vi.mocked(env.DIRECTORY.getByName).mockRestore()
    expect(told).toEqual(['list', 'unlist'])
    expect(await entryOf('replaced')).toBeNull()
    expect(await noticesOf('replaced')).toEqual([])
  })

  it('stays where its operation is erased before the list has heard of it', async () => {
    playOrigin(() => answer(500))
    await clientWith({})('erased')
    await ring('erased')
    expect(await entryOf('erased')).not.toBeNull()
    const object = await objectOf('erased')
    const operationId = await idOf('erased')
    const resolution = {
      outcome: 'failed',
      status: 402,
      headers: [],
      body: new Uint8Array(),
    } as const
    await object.operate(operationId, { kind: 'resolve', ...resolution })
    await object.operate(operationId, { kind: 'erase' })
    await ring('erased')
    expect(await entryOf('erased')).toBeNull()
  })
})

describe('the round of the directory', () => {
  it('strikes off what has come to an end and whose word was lost, and nothing else', async () => {
    let status = 500
    playOrigin(() => answer(status))
    const send = clientWith({})
    await send('in-doubt')
    await ring('in-doubt')
    status = 201
    await send('done')
    for (const key of ['done', 'never-heard-of']) {
      await directory().list({
        operationId: await idOf(key),
        tenant: 't',
        operation: 'o',
        reason: 'owner-lost',
        correlationId: 'c',
        since: 1,
      })
    }
    pass(HOUR_MS)
    await runDurableObjectAlarm(directory())
    expect(await entryOf('in-doubt')).not.toBeNull()
    expect(await entryOf('done')).toBeNull()
    expect(await entryOf('never-heard-of')).toBeNull()
  })

  it('lets an operation be of which its object says nothing', async () => {
    vi.spyOn(env.OPERATIONS, 'getByName').mockImplementation(
      // As an object of an earlier version answers, and one that fails.
      (id) =>
        ({ rearm: () => (id === 'a' ? Promise.resolve() : Promise.reject(new Error())) }) as never,
    )
    const silent = env.DIRECTORY.getByName('silent')
    const entry = {
      tenant: 't',
      operation: 'o',
      reason: 'owner-lost',
      correlationId: 'c',
      since: 1,
    } as const
    for (const operationId of ['a', 'b']) await silent.list({ operationId, ...entry })
    await runDurableObjectAlarm(silent)
    expect(await silent.count()).toMatchObject({ stuck: 2 })
  })
})
