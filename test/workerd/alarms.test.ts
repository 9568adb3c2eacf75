import {
  abortAllDurableObjects,
  evictDurableObject,
  runDurableObjectAlarm,
  runInDurableObject,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { describe, expect, it, vi } from 'vitest'

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
import { playOrigin, playSlowOrigin } from './origin.ts'
import { pass, stopClock } from './stopped-clock.ts'
import { until } from './until.ts'

const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

stopClock()

const answer = (status: number) => new Response('x', { status, headers: { 'Content-Length': '1' } })

function clientWith(policy: PolicyOptions) {
  const app = createGateway({ tenant: credential('Authorization') })
  app.post('/payments', protect(policy))
  return clientOf(app, '/payments')
}

const PROBE: PolicyOptions = { unknown: probe('/payments/by-key/{key}') }

/** The store of the objects, as a test breaks it. */
async function storageOf(key: string): Promise<DurableObjectStorage> {
  return runInDurableObject(
    await objectOf(key),
    (_: IdempotencyObject, { storage }) => Object.getPrototypeOf(storage) as DurableObjectStorage,
  )
}

const readAlarm = async (key: string) =>
  runInDurableObject(await objectOf(key), (_: IdempotencyObject, { storage }) => storage.getAlarm())

/** As the platform leaves an alarm that has failed too often: nothing rings, and nobody was told. */
const giveUpAlarm = async (key: string) =>
  runInDurableObject(await objectOf(key), (_: IdempotencyObject, { storage }) =>
    storage.deleteAlarm(),
  )

/** Rings as the platform does; `runDurableObjectAlarm` takes the alarm away where it fails. */
const ring = async (key: string) =>
  runInDurableObject(await objectOf(key), (object: IdempotencyObject) => object.alarm())

const ringDirectory = (name = 'directory') => runDurableObjectAlarm(env.DIRECTORY.getByName(name))

const readDirectoryAlarm = (name = 'directory') =>
  runInDurableObject(env.DIRECTORY.getByName(name), (_: DirectoryObject, { storage }) =>
    storage.getAlarm(),
  )

describe('the alarm of an operation', () => {
  it('does not come again and again where a call takes longer than its result is kept', async () => {
    const { release, asked } = playSlowOrigin(() => answer(201))
    const sent = clientWith({ retention: 100 })('outlasts')
    await asked()
    pass(200)
    await ring('outlasts')
    expect(((await readAlarm('outlasts')) ?? Infinity) - Date.now()).toBeGreaterThan(1_000)
    release()
    expect(word(await sent)).toBe('executed')
  })

  it('never fails, and comes again after a pause that grows, until it is done', async () => {
    let isKnown = false
    playOrigin(({ method }) => answer(method === 'GET' && isKnown ? 200 : 500))
    const send = clientWith(PROBE)
    await send('broken-store')
    const storage = await storageOf('broken-store')
    const spy = vi.spyOn(storage, 'transactionSync').mockImplementation(() => {
      throw new Error('disk I/O error')
    })
    const pauses: number[] = []
    for (let nth = 1; nth <= 9; nth++) {
      await ring('broken-store')
      pauses.push(((await readAlarm('broken-store')) ?? 0) - Date.now())
    }
    expect(pauses).toEqual([5, 10, 20, 40, 80, 160, 300, 300, 300].map((s) => s * 1_000))
    spy.mockRestore()
    isKnown = true
    pass(300_000)
    await ring('broken-store')
    expect(word(await send('broken-store'))).toBe('replayed')
  })

  it('does not begin a recovery twice that goes on while it comes again', async () => {
    const gate = Promise.withResolvers<void>()
    const { setTimeout: wait } = globalThis
    vi.spyOn(globalThis, 'setTimeout').mockImplementation((work: () => void, ms?: number) =>
      wait(work, ms === 2_000 ? 20 : ms),
    )
    const { requests } = playOrigin(async ({ method }) => {
      if (method === 'GET') await gate.promise
      return answer(method === 'GET' ? 200 : 500)
    })
    const send = clientWith(PROBE)
    await send('long-recovery')
    for (let nth = 1; nth <= 3; nth++) {
      pass(60_000)
      await ring('long-recovery')
    }
    expect(requests.map(({ method }) => method)).toEqual(['POST', 'GET'])
    gate.resolve()
    await until(async () => word(await send('long-recovery')) === 'replayed')
  })

  it('leaves the rest to the platform where it cannot even be set again', async () => {
    playOrigin(() => answer(500))
    await clientWith({})('broken-for-good')
    const storage = await storageOf('broken-for-good')
    const fail = () => {
      throw new Error('disk I/O error')
    }
    vi.spyOn(storage, 'transactionSync').mockImplementation(fail)
    vi.spyOn(storage, 'setAlarm').mockImplementation(fail)
    await runInDurableObject(await objectOf('broken-for-good'), async (object: IdempotencyObject) =>
      expect(object.alarm()).rejects.toThrow('disk I/O error'),
    )
  })

  it.each(['alive', 'evicted'])(
    'that the platform has given up is set again by the next request: the object is %s',
    async (state) => {
      const key = `given-up-${state}`
      playOrigin(() => answer(201))
      const send = clientWith({ tombstone: '30d' })
      await send(key)
      await giveUpAlarm(key)
      if (state === 'evicted') await evictDurableObject(await objectOf(key))
      pass(DAY_MS + 1)
      expect(word(await send(key))).toBe('expired')
      expect(await readAlarm(key)).toBe(Date.now() + 1)
    },
  )
})

describe('a question about an operation', () => {
  it.each(['alive', 'evicted'])(
    'sets the alarm again that the platform has given up: the object is %s',
    async (state) => {
      const key = `asked-about-${state}`
      playOrigin(() => answer(500))
      await clientWith(PROBE)(key)
      const object = await objectOf(key)
      const { tenant } = (await object.examine(await idOf(key))) ?? { tenant: '' }
      const question = { operationId: await idOf(key), tenant, waitMs: 0, knownState: null }
      await giveUpAlarm(key)
      if (state === 'evicted') await evictDurableObject(object)
      pass(HOUR_MS)
      expect(await object.inspect(question)).toMatchObject({ state: 'unknown' })
      expect(await readAlarm(key)).toBe(Date.now() + 1)
    },
  )
})

describe('the alarm of the directory', () => {
  it('comes hourly while something is on the list, and not otherwise', async () => {
    const directory = env.DIRECTORY.getByName('rounds')
    vi.spyOn(env.OPERATIONS, 'getByName').mockImplementation(
      () => ({ rearm: async () => 'in-doubt' }) as never,
    )
    expect(await readDirectoryAlarm('rounds')).toBeNull()
    await directory.list(entryOf('a'))
    const at = Date.now() + HOUR_MS
    expect(await readDirectoryAlarm('rounds')).toBe(at)
    pass(60_000)
    await directory.list(entryOf('b'))
    expect(await readDirectoryAlarm('rounds')).toBe(at)
    pass(HOUR_MS)
    await ringDirectory('rounds')
    expect(await readDirectoryAlarm('rounds')).toBe(Date.now() + HOUR_MS)
    pass(60_000)
    for (const operationId of ['a', 'b']) await directory.unlist(operationId, Date.now())
    pass(HOUR_MS - 60_000)
    await ringDirectory('rounds')
    expect(await readDirectoryAlarm('rounds')).toBeNull()
  })

  it('rings for an operation whose own alarm was given up: recovered without any client', async () => {
    let isKnown = false
    const origin = playOrigin(({ method }) => answer(method === 'GET' && isKnown ? 200 : 500))
    await clientWith(PROBE)('forgotten')
    pass(61_000)
    await ring('forgotten')
    await giveUpAlarm('forgotten')
    await abortAllDurableObjects()
    isKnown = true
    pass(HOUR_MS)
    expect(await readAlarm('forgotten')).toBeNull()
    await ringDirectory()
    expect(await readAlarm('forgotten')).toBe(Date.now() + 1)
    const asked = origin.requests.length
    await ring('forgotten')
    expect(origin.requests).toHaveLength(asked + 1)
    await ring('forgotten')
    expect(await stuck()).not.toContain(await idOf('forgotten'))
  })

  it('goes through a long list part by part, whatever becomes of one of them', async () => {
    const directory = env.DIRECTORY.getByName('long')
    const ids = Array.from({ length: 70 }, (_, index) => `operation-${index}`)
    for (const operationId of ids) await directory.list(entryOf(operationId))
    const asked: string[] = []
    const rearm = async (name: string) => {
      asked.push(name)
      if (name === 'operation-3') throw new Error('overloaded')
    }
    vi.spyOn(env.OPERATIONS, 'getByName').mockImplementation(
      (name) => ({ rearm: () => rearm(name) }) as never,
    )
    pass(HOUR_MS)
    await ringDirectory('long')
    expect(asked.toSorted()).toEqual(ids.slice(0, 60).toSorted())
    expect(await readDirectoryAlarm('long')).toBe(Date.now() + 1_000)
    await ringDirectory('long')
    expect(asked.toSorted()).toEqual(ids.toSorted())
    expect(await readDirectoryAlarm('long')).toBe(Date.now() + HOUR_MS)
    await ringDirectory('long')
    expect(asked).toHaveLength(130)
  })

  it('is set again by whoever looks at the list, where the platform has given it up', async () => {
    const directory = env.DIRECTORY.getByName('dead')
    await directory.list(entryOf('a'))
    await runInDurableObject(directory, (_: DirectoryObject, { storage }) => storage.deleteAlarm())
    await directory.count()
    await vi.waitFor(async () => expect(await readDirectoryAlarm('dead')).not.toBeNull())
  })

  it('never fails, and comes again after a pause', async () => {
    const directory = env.DIRECTORY.getByName('faulty')
    await directory.list(entryOf('a'))
    await runInDurableObject(directory, async (object: DirectoryObject, { storage }) => {
      const exec = vi.spyOn(Object.getPrototypeOf(storage.sql) as SqlStorage, 'exec')
      exec.mockImplementationOnce(() => {
        throw new Error('disk I/O error')
      })
      await object.alarm()
      expect(await storage.getAlarm()).toBe(Date.now() + 5_000)
    })
  })
})

async function stuck(): Promise<string[]> {
  const directory = env.DIRECTORY.getByName('directory')
  const { entries } = await directory.listStuck({ after: null, limit: 1_000 })
  return entries.map(({ operationId }) => operationId)
}

function entryOf(operationId: string) {
  return {
    operationId,
    tenant: 'tenant-a',
    operation: 'POST /payments',
    reason: 'origin-timeout' as const,
    correlationId: 'corr-1',
    since: 1,
  }
}

describe('the alarm of an operation that is held when it is lost', () => {
  it('is set once: with its claim, a little behind the end of retention', async () => {
    const setAlarm = vi.spyOn(await storageOf('elsewhere'), 'setAlarm')
    playOrigin(() => answer(201))
    await clientWith({ retention: '64h' })('once')
    expect(setAlarm).toHaveBeenCalledTimes(1)
    expect(await readAlarm('once')).toBe(Date.now() + 65 * HOUR_MS)
    pass(64 * HOUR_MS)
    expect(word(await clientWith({ retention: '64h' })('once'))).toBe('executed')
  })

  it('comes sooner for a call that takes long, and finds that its object was lost', async () => {
    const timer = vi.spyOn(globalThis, 'setTimeout')
    const origin = playSlowOrigin(() => answer(201))
    const lost = clientWith({})('long')
    await origin.asked()
    expect(await readAlarm('long')).toBeGreaterThan(Date.now() + DAY_MS)
    pass(5_000)
    const [look] = timer.mock.calls.find(([, ms]) => ms === 5_000) ?? []
    await runInDurableObject(await objectOf('long'), () => look?.())
    expect(await readAlarm('long')).toBeLessThan(Date.now() + 6_000)
    await abortAllDurableObjects()
    await lost
    pass(6_000)
    await runDurableObjectAlarm(await objectOf('long'))
    const { entries } = await env.DIRECTORY.getByName('directory').listStuck({
      after: null,
      limit: 9,
    })
    expect(entries).toMatchObject([{ operationId: await idOf('long'), reason: 'owner-lost' }])
  })

  it('lists at the end of retention what was lost when its call had just begun', async () => {
    const origin = playSlowOrigin(() => answer(201))
    const lost = clientWith({})('brief')
    await origin.asked()
    await abortAllDurableObjects()
    await lost
    expect(await stuck()).not.toContain(await idOf('brief'))
    pass(DAY_MS * (1 + 1 / 64))
    await runDurableObjectAlarm(await objectOf('brief'))
    expect(await stuck()).toContain(await idOf('brief'))
    expect(word(await clientWith({})('brief'))).toBe('unknown')
  })
})
