import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it } from 'vitest'

import type { DeadLetter, Page, StuckEntry } from '../../src/directory/directory-guard.ts'
import {
  createGateway,
  credential,
  type PolicyOptions,
  probe,
  protect,
  webhook,
} from '../../src/hapax.ts'
import { idOf, objectOf } from './client.ts'
import { clientOf, word } from './gateway.ts'
import { playOrigin, playSlowOrigin } from './origin.ts'
import { pass, stopClock } from './stopped-clock.ts'

const DAY_MS = 86_400_000

stopClock()
const ring = async (key: string) => runDurableObjectAlarm(await objectOf(key))

/** The one of the deployment, or one of a test's own. */
const directoryOf = (name = 'directory') => env.DIRECTORY.getByName(name)

const ALL = { after: null, limit: 1_000 }
async function stuckOf(key: string): Promise<StuckEntry[]> {
  const operationId = await idOf(key)
  const { entries } = await directoryOf().listStuck(ALL)
  return entries.filter((entry) => entry.operationId === operationId)
}

const answer = (status: number) => new Response('x', { status, headers: { 'Content-Length': '1' } })

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect(policy))
  return clientOf(app, '/payments')
}

const PROBE: PolicyOptions = { unknown: probe('/payments/by-key/{key}', { grace: 0 }) }

describe('the list of unknown outcomes', () => {
  it('has an operation that is held at once, with why and since when', async () => {
    playOrigin(() => answer(500))
    const since = Date.now()
    await clientWith({})('held', { headers: { 'X-Correlation-Id': 'corr-1' } })
    await ring('held')
    expect(await stuckOf('held')).toEqual([
      {
        operationId: await idOf('held'),
        tenant: expect.stringMatching(/^[\w-]{43}$/),
        operation: 'POST /payments',
        reason: 'origin-answered',
        correlationId: 'corr-1',
        since,
        sequence: expect.any(Number),
      },
    ])
  })

  it('has one that is lost with its object as soon as that is found out', async () => {
    const origin = playSlowOrigin(() => answer(201))
    const lost = clientWith({})('lost')
    await origin.asked()
    await abortAllDurableObjects()
    await lost
    expect(await stuckOf('lost')).toEqual([])
    pass(6_000)
    await ring('lost')
    expect(await stuckOf('lost')).toMatchObject([{ reason: 'owner-lost' }])
  })

  it('has one that the alarm asks about only when that has not helped for a minute', async () => {
    playOrigin(({ method }) => answer(method === 'GET' ? 503 : 500))
    await clientWith(PROBE)('undecided')
    for (const ms of [0, 30_000, 29_999]) {
      pass(ms)
      await ring('undecided')
      expect(await stuckOf('undecided')).toEqual([])
    }
    pass(1)
    await ring('undecided')
    expect(await stuckOf('undecided')).toMatchObject([{ reason: 'origin-answered' }])
  })

  it('never has one that was resolved within that minute', async () => {
    let isKnown = false
    playOrigin(({ method }) => answer(method === 'GET' ? (isKnown ? 200 : 503) : 500))
    await clientWith(PROBE)('resolved')
    await ring('resolved')
    isKnown = true
    pass(6_000)
    await ring('resolved')
    pass(60_000)
    await ring('resolved')
    expect(await stuckOf('resolved')).toEqual([])
  })

  it('never has one that was resolved before the alarm came', async () => {
    let status = 500
    playOrigin(() => answer(status))
    const send = clientWith({ unknown: 'resend' })
    await send('resent')
    status = 201
    expect(word(await send('resent'))).toBe('executed')
    await ring('resent')
    expect(await stuckOf('resent')).toEqual([])
  })

  it('has one no more whose outcome has become known since', async () => {
    let status = 500
    playOrigin(() => answer(status))
    const send = clientWith({ unknown: 'resend' })
    await send('known-later')
    await ring('known-later')
    expect(await stuckOf('known-later')).toHaveLength(1)
    status = 201
    expect(word(await send('known-later'))).toBe('executed')
    await ring('known-later')
    expect(await stuckOf('known-later')).toEqual([])
  })

  it('costs no alarm where the outcome is known before anything was listed', async () => {
    playOrigin(({ method }) => answer(method === 'GET' ? 200 : 500))
    await clientWith(PROBE)('quiet')
    const since = Date.now()
    pass(6_000)
    await ring('quiet')
    const alarmAt = await runInDurableObject(await objectOf('quiet'), (_, { storage }) =>
      storage.getAlarm(),
    )
    expect(alarmAt).toBe(since + 6_000 + DAY_MS)
  })

  it('shows the newest first, part by part, each entry once, until it is struck off', async () => {
    const directory = directoryOf('paging')
    const ids = ['a', 'b', 'c', 'd', 'e']
    for (const operationId of ids) await directory.list(entryOf(operationId))
    // What is listed again comes to the front, and is still one.
    await directory.list({ ...entryOf('b'), reason: 'connection-lost' })
    expect(await pagesOf((question) => directory.listStuck(question), 2)).toMatchObject([
      [{ operationId: 'b', reason: 'connection-lost' }, { operationId: 'e' }],
      [{ operationId: 'd' }, { operationId: 'c' }],
      [{ operationId: 'a' }],
    ])
    for (const operationId of ['a', 'e', 'never heard of']) {
      await directory.unlist(operationId, Date.now())
    }
    expect(await pagesOf((question) => directory.listStuck(question), 3)).toMatchObject([
      [{ operationId: 'b' }, { operationId: 'd' }, { operationId: 'c' }],
    ])
  })

  it('ends a part where it ends exactly', async () => {
    const directory = directoryOf('exact')
    expect(await directory.listStuck({ after: null, limit: 2 })).toEqual({
      entries: [],
      next: null,
    })
    for (const operationId of ['a', 'b']) await directory.list(entryOf(operationId))
    expect((await directory.listStuck({ after: null, limit: 2 })).next).toBeNull()
    expect((await directory.listStuck({ after: null, limit: 1 })).next).not.toBeNull()
  })

  it('shows what comes meanwhile on no later part', async () => {
    const directory = directoryOf('meanwhile')
    for (const operationId of ['a', 'b', 'c']) await directory.list(entryOf(operationId))
    const { next } = await directory.listStuck({ after: null, limit: 2 })
    await directory.list(entryOf('d'))
    const rest = await directory.listStuck({ after: next, limit: 2 })
    expect(rest.entries.map(({ operationId }) => operationId)).toEqual(['a'])
  })
})

describe('the list of dead letters', () => {
  it('has a letter once, however often it is brought', async () => {
    const directory = directoryOf('twice')
    await directory.bury(letterOf('a'))
    await directory.bury({ ...letterOf('a'), attempts: 2 })
    const { entries } = await directory.listLetters(ALL)
    expect(entries.map(({ id, attempts }) => [id, attempts])).toEqual([['a', 2]])
  })

  it('shows heads alone, the newest first, part by part', async () => {
    const directory = directoryOf('letters')
    for (const id of ['a', 'b', 'c']) await directory.bury(letterOf(id))
    const pages = await pagesOf((question) => directory.listLetters(question), 2)
    expect(pages.map((page) => page.map(({ id }) => id))).toEqual([['c', 'b'], ['a']])
    const { bytes: _, ...head } = letterOf('c')
    expect(pages[0]?.[0]).toEqual(head)
  })

  it('gives a letter out whole, also after a restart, until it is dropped', async () => {
    await directoryOf('whole').bury(letterOf('a'))
    await abortAllDurableObjects()
    const directory = directoryOf('whole')
    expect(await directory.letter('a')).toEqual(letterOf('a'))
    expect(await directory.letter('b')).toBeNull()
    expect(await directory.dropLetter('a')).toBe(true)
    expect(await directory.dropLetter('a')).toBe(false)
    expect(await directory.letter('a')).toBeNull()
  })
})

function entryOf(operationId: string): StuckEntry {
  return {
    operationId,
    tenant: 'tenant-a',
    operation: 'POST /payments',
    reason: 'origin-timeout',
    correlationId: 'corr-1',
    since: 1,
  }
}

function letterOf(id: string): DeadLetter {
  return {
    id,
    from: 'outbox',
    destination: webhook('https://shop.test/hooks'),
    type: 'operation.succeeded',
    tenant: 'tenant-a',
    operationId: 'operation-1',
    correlationId: 'corr-1',
    reason: 'the receiver answered 410',
    attempts: 1,
    at: 1,
    bytes: new Uint8Array([0, 1, 2, 255]),
  }
}

/** Every part of a list. */
async function pagesOf<entry>(
  list: (question: { after: number | null; limit: number }) => Promise<Page<entry>>,
  limit: number,
): Promise<(readonly entry[])[]> {
  const pages: (readonly entry[])[] = []
  for (let after: number | null = null; ;) {
    const { entries, next }: Page<entry> = await list({ after, limit })
    pages.push(entries)
    if (next === null) return pages
    after = next
  }
}
