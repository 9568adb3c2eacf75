/**
 * Counts what objects do to their storage, at the storage API: statements, rows and alarms are what
 * the platform bills.
 */
import type { DurableObject } from 'cloudflare:workers'

/** What the objects of a class have done. */
interface StorageCounts {
  /** Calls of the object: each is a billed request, as is each alarm. */
  calls: number
  alarms: number
  statements: number
  rowsRead: number
  rowsWritten: number
  setAlarms: number
  deleteAlls: number
}

type ObjectClass = new (ctx: DurableObjectState, env: never) => DurableObject<unknown>

const counts: StorageCounts = noCounts()
let cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = []
let aheadMs = 0

const realNow = Date.now.bind(Date)
Date.now = () => realNow() + aheadMs

function noCounts(): StorageCounts {
  return {
    calls: 0,
    alarms: 0,
    statements: 0,
    rowsRead: 0,
    rowsWritten: 0,
    setAlarms: 0,
    deleteAlls: 0,
  }
}

/** Takes what was counted since the last time. */
function takeCounts(): StorageCounts {
  // A cursor knows its rows when they have been read.
  for (const { rowsRead, rowsWritten } of cursors) {
    counts.rowsRead += rowsRead
    counts.rowsWritten += rowsWritten
  }
  cursors = []
  const taken = { ...counts }
  Object.assign(counts, noCounts())
  return taken
}

/** Ids of the objects of operations that have lived. */
const operations = new Set<string>()

/** A class of objects that counts. @param ids Takes the ids of its objects; by default for operations. */
export function counting(base: ObjectClass, ids = operations) {
  countCalls(base.prototype as Record<string, unknown>)
  return class extends base {
    constructor(ctx: DurableObjectState, env: never) {
      countStorage(ctx.storage)
      ids.add(ctx.id.toString())
      super(ctx, env)
    }

    /** Leaves memory, as an idle object does. */
    async leave(): Promise<void> {
      await this.ctx.storage.sync()
      this.ctx.abort('It leaves memory.')
    }

    /** Rings the alarm when it is due, by a clock that is set forward. @returns Whether there was one. */
    async lapse(): Promise<boolean> {
      const { storage } = this.ctx
      const at = await storage.getAlarm()
      if (at === null) return false
      aheadMs = Math.max(aheadMs, at - realNow() + 1)
      // As the platform does before it rings.
      await storage.deleteAlarm()
      counts.alarms += 1
      await this.alarm?.()
      return true
    }
  }
}

function countCalls(prototype: Record<string, unknown>): void {
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const method = prototype[name]
    if (name === 'constructor' || name === 'alarm' || typeof method !== 'function') continue
    prototype[name] = function called(this: unknown, ...args: unknown[]): unknown {
      counts.calls += 1
      return Reflect.apply(method, this, args)
    }
  }
}

function countStorage(storage: DurableObjectStorage): void {
  const { sql } = storage
  const exec = sql.exec.bind(sql)
  sql.exec = ((query: string, ...bindings: unknown[]) => {
    counts.statements += 1
    // The cursor of several statements counts the rows of the last one only.
    const statements = query.split(';').filter((statement) => statement.trim() !== '')
    for (const statement of statements.slice(0, -1)) cursors.push(exec(statement))
    const cursor = exec(statements.at(-1) ?? query, ...bindings)
    cursors.push(cursor)
    return cursor
  }) as typeof sql.exec
  countKeyValues(storage.kv)
  const setAlarm = storage.setAlarm.bind(storage)
  storage.setAlarm = (at, options) => {
    counts.setAlarms += 1
    return setAlarm(at, options)
  }
  const deleteAll = storage.deleteAll.bind(storage)
  storage.deleteAll = (options) => {
    counts.deleteAlls += 1
    return deleteAll(options)
  }
}

/** The synchronous key-value storage: each call is a row. */
function countKeyValues(kv: SyncKvStorage): void {
  const get = kv.get.bind(kv)
  kv.get = (key: string) => {
    counts.rowsRead += 1
    return get(key)
  }
  const put = kv.put.bind(kv)
  kv.put = (key, value) => {
    counts.rowsWritten += 1
    put(key, value)
  }
  const remove = kv.delete.bind(kv)
  kv.delete = (key) => {
    counts.rowsWritten += 1
    return remove(key)
  }
}

interface CountingObject {
  leave(): Promise<void>
  lapse(): Promise<boolean>
}

/** So many alarms at most: more of them would be one that always sets the next. */
const ALARM_LIMIT = 1_000

/** Lets all operations expire. */
async function lapseAll(objects: readonly CountingObject[]): Promise<void> {
  for (const object of objects)
    for (let alarm = 0; alarm < ALARM_LIMIT; alarm += 1) if (!(await object.lapse())) break
}

/** Lets all objects leave memory. */
async function leaveAll(objects: readonly CountingObject[]): Promise<void> {
  // Each ends with the error of its end.
  await Promise.allSettled(objects.map((object) => object.leave()))
}

/** What a Worker needs whose objects count. */
interface CountedEnv {
  readonly OPERATIONS: DurableObjectNamespace
}

/**
 * A Worker that also tells what its objects have counted: at `/bench/counts`, at `/bench/lapse` after
 * all have expired, and at `/bench/leave` after all have left memory.
 */
export function withCounts<Env extends object>(
  worker: ExportedHandler<Env>,
): ExportedHandler<Env & CountedEnv> {
  return {
    async fetch(request, env, ctx) {
      const { pathname } = new URL(request.url)
      const objects = () =>
        [...operations].map((id) => {
          const stub: unknown = env.OPERATIONS.get(env.OPERATIONS.idFromString(id))
          return stub as CountingObject
        })
      if (pathname === '/bench/lapse') await lapseAll(objects())
      if (pathname === '/bench/leave') await leaveAll(objects())
      if (pathname.startsWith('/bench/')) return Response.json(takeCounts())
      return worker.fetch?.(request, env, ctx) ?? new Response(null, { status: 404 })
    },
  }
}
