import { listDurableObjectIds, reset, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterAll, beforeAll, vi } from 'vitest'

import { listKeys, SNAPSHOTS } from './bucket.ts'

// A line of the log for every request would bury the report; a test that wants them spies.
Object.assign(console, { log: () => undefined })

// Files share a runtime, since most of them take less time than it takes to start one. Each begins
// with modules of its own, for what these remember, and its end takes back what it has stored.
vi.resetModules()
const usedIds = new Set<string>()
const namespaces = Object.getPrototypeOf(env.OPERATIONS) as DurableObjectNamespace
const { getByName } = namespaces

beforeAll(() => {
  namespaces.getByName = function remember(...args) {
    const stub = getByName.apply(this, args)
    usedIds.add(stub.id.toString())
    return stub
  }
})

afterAll(async () => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  namespaces.getByName = getByName
  await Promise.all([wake(env.OPERATIONS), wake(env.DIRECTORY)])
  await reset()
  await SNAPSHOTS.delete(await listKeys())
}, 60_000)

/** Only objects that live are reset. */
async function wake(namespace: DurableObjectNamespace): Promise<void> {
  const ids = await listDurableObjectIds(namespace)
  const used = ids.filter((id) => usedIds.has(id.toString()))
  await Promise.all(used.map((id) => runInDurableObject(namespace.get(id), () => {})))
}
