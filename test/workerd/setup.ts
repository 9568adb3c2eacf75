import {
  abortAllDurableObjects,
  listDurableObjectIds,
  reset,
  runInDurableObject,
} from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterAll, afterEach, beforeAll, vi } from 'vitest'

import { listKeys, SNAPSHOTS } from './bucket.ts'

// A line of the log for every request would bury the report; a test that wants them spies.
Object.assign(console, { log: () => undefined })

/** Modules that remember something of requests, or of the gateways that were made. */
const REMEMBERING = [
  '/src/config/deployed-functions.ts',
  '/src/config/deployed-origins.ts',
  '/src/config/deployed-placement.ts',
  '/src/config/deployed-policies.ts',
  '/src/http/route-policy.ts',
  '/src/operators/access-keys.ts',
  '/src/origin/health.ts',
]

// Files share a runtime, since most of them take less time than it takes to start one. Each begins
// with modules that remember nothing, and its end takes back what it has stored.
forgetModules()
const usedIds = new Set<string>()
const idsOfTest = new Set<string>()
const namespaces = Object.getPrototypeOf(env.OPERATIONS) as DurableObjectNamespace
const { getByName } = namespaces

beforeAll(async () => {
  // A queue delivers messages of the file before when that is over. The objects that these began are
  // of the modules of that file, and a call of one fails here: "index.ts changed".
  await abortAllDurableObjects()
  namespaces.getByName = function remember(...args) {
    const stub = getByName.apply(this, args)
    usedIds.add(stub.id.toString())
    if (this !== env.DIRECTORY) idsOfTest.add(stub.id.toString())
    return stub
  }
})

// What an object would still do by its alarm must not meet the origin of a later test.
afterEach(async () => {
  const ids = [...idsOfTest]
  idsOfTest.clear()
  await Promise.all(
    ids.map((id) =>
      runInDurableObject(env.OPERATIONS.get(env.OPERATIONS.idFromString(id)), (_, { storage }) =>
        storage.deleteAlarm(),
      ),
    ),
  )
})

afterAll(async () => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  namespaces.getByName = getByName
  await Promise.all([wake(env.OPERATIONS), wake(env.DIRECTORY)])
  await reset()
  await SNAPSHOTS.delete(await listKeys())
}, 60_000)

/**
 * Has the modules that remember something evaluated again, and those that import them, however far
 * away. `vi.resetModules` would do so with all, which takes a second for each file.
 */
function forgetModules(): void {
  const loaded = evaluatedModules()
  const stale = new Set(
    [...loaded.keys()].filter((id) => REMEMBERING.some((end) => id.endsWith(end))),
  )
  // What is added while the set is read is read as well.
  for (const id of stale) {
    const node = loaded.get(id)
    if (node === undefined) continue
    for (const importer of node.importers) stale.add(importer)
    Object.assign(node, { promise: undefined, exports: undefined, evaluated: false })
    node.importers.clear()
  }
}

/** A module as Vite's runner keeps it, as far as it is looked at here. */
interface LoadedModule {
  readonly importers: Set<string>
}

/** What `vi.resetModules` resets: by the id of each module. */
function evaluatedModules(): ReadonlyMap<string, LoadedModule> {
  const { __vitest_worker__: state } = globalThis as unknown as {
    __vitest_worker__: {
      evaluatedModules: { idToModuleMap: ReadonlyMap<string, LoadedModule> }
    }
  }
  return state.evaluatedModules.idToModuleMap
}

/** Only objects that live are reset. */
async function wake(namespace: DurableObjectNamespace): Promise<void> {
  const ids = await listDurableObjectIds(namespace)
  const used = ids.filter((id) => usedIds.has(id.toString()))
  await Promise.all(used.map((id) => runInDurableObject(namespace.get(id), () => {})))
}
