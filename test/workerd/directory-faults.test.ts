import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'

import type { DeadLetter, StuckEntry } from '../../src/directory/directory-guard.ts'
import { LETTER_ROW_BYTES, MAX_LETTER_BYTES } from '../../src/directory/directory-object.ts'
import { type DirectoryObject, webhook } from '../../src/hapax.ts'

beforeEach(() => {
  vi.spyOn(console, 'error').mockImplementation(() => {})
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

const directoryOf = (name: string) => env.DIRECTORY.getByName(name)

/** Works inside a directory. */
const within = <result>(
  name: string,
  work: (directory: DirectoryObject, storage: DurableObjectStorage) => result | Promise<result>,
) =>
  runInDurableObject(directoryOf(name), (directory: DirectoryObject, { storage }) =>
    work(directory, storage),
  )

const entryOf = (operationId: string, since = 1): StuckEntry => ({
  operationId,
  tenant: 'tenant-a',
  operation: 'POST /payments',
  reason: 'origin-timeout',
  correlationId: 'corr-1',
  since,
})

const letterOf = (id: string, length = 4): DeadLetter => ({
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
  bytes: new Uint8Array(length),
})

const ALL = { after: null, limit: 1_000 }
const listed = async (name: string) =>
  (await directoryOf(name).listStuck(ALL)).entries.map(({ operationId }) => operationId)
const letters = async (name: string) =>
  (await directoryOf(name).listLetters(ALL)).entries.map(({ id }) => id)

/** What the tables hold, counted row by row. */
const counted = (name: string) =>
  within(name, (_, { sql }) => {
    const one = (query: string) => sql.exec<{ it: number | null }>(`SELECT ${query}`).one().it
    return {
      stuck: one('count(*) AS it FROM stuck'),
      letters: one('count(*) AS it FROM letter'),
      letterBytes: one(
        'coalesce(sum(octet_length(head) + octet_length(bytes)), 0) AS it FROM letter',
      ),
      oldestAt: one("min(head ->> '$.since') AS it FROM stuck"),
    }
  })

/** Puts so many operations on a list, as fast as that goes. */
const fill = (name: string, count: number) =>
  within(name, (_, { sql }) => {
    sql.exec(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
        INSERT INTO stuck (id, head) SELECT 'op-' || i, json_object('since', ? - i) FROM n`,
      count,
      count,
    )
  })

/** Rows that a directory reads for some work. */
const rowsRead = (name: string, work: (directory: DirectoryObject) => Promise<unknown>) =>
  within(name, async (directory, { sql }) => {
    const cursors: { readonly rowsRead: number }[] = []
    const prototype = Object.getPrototypeOf(sql) as SqlStorage
    const { exec } = prototype
    const spy = vi.spyOn(prototype, 'exec').mockImplementation(function (
      this: SqlStorage,
      ...given
    ) {
      const cursor = exec.apply(this, given)
      cursors.push(cursor)
      return cursor
    })
    await work(directory)
    spy.mockRestore()
    return cursors.reduce((sum, cursor) => sum + cursor.rowsRead, 0)
  })

describe('the count of a list', () => {
  it('reads as much of a hundred thousand as of twenty, and a page what it shows', async () => {
    await fill('few', 20)
    await fill('many', 100_000)
    const count = (directory: DirectoryObject) => directory.count()
    expect(await rowsRead('many', count)).toBe(await rowsRead('few', count))
    expect(await rowsRead('many', count)).toBeLessThan(10)
    expect(await directoryOf('many').count()).toMatchObject({ stuck: 100_000, oldestAt: 0 })
    const page = (limit: number, after: number | null) => (directory: DirectoryObject) =>
      directory.listStuck({ limit, after })
    for (const after of [null, 50_000, 11]) {
      expect(await rowsRead('many', page(10, after))).toBeLessThan(20)
    }
    expect(await rowsRead('many', page(100, null))).toBeLessThan(110)
  })

  it('is right of the letters as well, and of what they hold', async () => {
    const directory = directoryOf('letters')
    await directory.bury(letterOf('a', 1_000))
    await directory.bury(letterOf('b', 10))
    // Again, and larger: it is one letter still.
    await directory.bury(letterOf('a', 5_000))
    expect(await directory.count()).toEqual(await counted('letters'))
    expect((await directory.count()).letterBytes).toBeGreaterThan(5_010)
    // Its head is another, and shorter.
    await directory.bury({ ...letterOf('b', 10), from: 'inbox', decision: 'outcome-unknown' })
    await directory.undecide('operation-1')
    expect((await directory.letter('b'))?.decision).toBeUndefined()
    expect(await directory.count()).toEqual(await counted('letters'))
    await directory.dropLetter('a')
    await directory.dropLetter('never heard of')
    expect(await directory.count()).toEqual(await counted('letters'))
    expect((await directory.count()).letters).toBe(1)
  })

  it.each([
    'DELETE FROM stuck',
    "DELETE FROM stuck WHERE id = 'a'",
    "INSERT OR REPLACE INTO stuck (id, head) VALUES ('a', '{\"since\":7}')",
    "INSERT INTO stuck (id, head) VALUES ('z', '{\"since\":0}')",
  ])('is right after whatever writes to the table: %s', async (statement) => {
    const name = `written: ${statement}`
    for (const id of ['a', 'b', 'c']) await directoryOf(name).list(entryOf(id))
    await within(name, (_, { sql }) => void sql.exec(statement))
    expect(await directoryOf(name).count()).toEqual(await counted(name))
  })

  it('begins with what a directory of an earlier version holds', async () => {
    const directory = directoryOf('earlier')
    for (const id of ['a', 'b', 'c']) await directory.list(entryOf(id, 5))
    await directory.bury(letterOf('a', 1_000))
    await within('earlier', (_, { sql }) => {
      for (const list of ['stuck', 'letter']) {
        for (const when of ['replaced', 'changed', 'added', 'gone'])
          sql.exec(`DROP TRIGGER ${list}_${when}`)
      }
      sql.exec('DROP TABLE tally; DROP TABLE heard; DROP INDEX stuck_since')
      sql.exec("DELETE FROM stuck WHERE id = 'c'")
    })
    await evictDurableObject(directory)
    expect(await directory.count()).toEqual(await counted('earlier'))
    expect(await directory.count()).toMatchObject({ stuck: 2, letters: 1, oldestAt: 5 })
    await directory.unlist('a', 1)
    await directory.list(entryOf('d', 4))
    expect(await directory.count()).toMatchObject({ stuck: 2, oldestAt: 4 })
  })
})

describe('what an object says of its operation', () => {
  it('counts by when it was said, not by when it comes', async () => {
    const directory = directoryOf('late')
    await directory.list(entryOf('a'), 10)
    await directory.unlist('a', 20)
    // Given up by its sender, and there all the same.
    await directory.list(entryOf('a'), 15)
    expect(await listed('late')).toEqual([])
    await directory.list(entryOf('a'), 30)
    await directory.unlist('a', 25)
    expect(await listed('late')).toEqual(['a'])
    await directory.unlist('a', 31)
    expect(await listed('late')).toEqual([])
  })

  it('is not undone by who has read the list before', async () => {
    const directory = directoryOf('read before')
    await directory.list(entryOf('a'))
    const { entries: read } = await directory.listStuck(ALL)
    await directory.list(entryOf('a'))
    await directory.strike(read)
    expect(await listed('read before')).toEqual(['a'])
    await directory.strike((await directory.listStuck(ALL)).entries)
    expect(await listed('read before')).toEqual([])
  })

  it('is remembered for a quarter of an hour after it was taken off, and no longer', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 86_400_000 })
    const directory = directoryOf('remembered')
    await directory.list(entryOf('a'))
    await directory.unlist('a', Date.now() + 1)
    const heard = async () => {
      await runDurableObjectAlarm(directory)
      return within('remembered', (_, { sql }) => sql.exec('SELECT * FROM heard').toArray().length)
    }
    vi.setSystemTime(Date.now() + 900_001)
    expect(await heard()).toBe(1)
    vi.setSystemTime(Date.now() + 1)
    expect(await heard()).toBe(0)
    expect(await within('remembered', (_, storage) => storage.getAlarm())).toBeNull()
  })
})

describe('letters that would fill the directory', () => {
  it('are refused, so that there is room for the list, until there is room for them', async () => {
    const directory = directoryOf('full')
    await directory.bury(letterOf('a'))
    const { letterBytes } = await directory.count()
    await within('full', (_, { sql }) => {
      const room = MAX_LETTER_BYTES - letterBytes - 2 * LETTER_ROW_BYTES
      sql.exec("UPDATE tally SET bytes = ? WHERE list = 'letter'", room)
    })
    await directory.bury(letterOf('b'))
    await within('full', async (object) => {
      await expect(object.bury(letterOf('c', 1))).rejects.toThrow('too many dead letters')
    })
    expect(await letters('full')).toEqual(['b', 'a'])
    await directory.list(entryOf('stuck'))
    expect(await listed('full')).toEqual(['stuck'])
    // What is there already is not one more.
    await directory.bury(letterOf('b'))
    await directory.dropLetter('a')
    await directory.bury(letterOf('c', 1))
    expect(await letters('full')).toEqual(['c', 'b'])
  })

  it('are counted with what small ones hold of the storage beside their text', async () => {
    const directory = directoryOf('small')
    await within('small', (_, { sql }) => {
      // Of 744 bytes each, which is what an event of an operation comes to: 10 GB with all of it.
      sql.exec(`UPDATE tally SET entries = 10600000, bytes = 7886400000 WHERE list = 'letter'`)
    })
    await within('small', async (object) => {
      await expect(object.bury(letterOf('a'))).rejects.toThrow('too many dead letters')
    })
    expect((await directory.count()).letters).toBe(10_600_000)
  })
})

type Part = 'statement' | 'alarm'

/** Lets one use of a directory's storage fail, counted from 1. */
async function failAt(name: string, nth: number, part: Part) {
  const { sql, storage } = await within(name, (_, found) => ({
    sql: Object.getPrototypeOf(found.sql) as SqlStorage,
    storage: Object.getPrototypeOf(found) as DurableObjectStorage,
  }))
  let count = 0
  const failNow = () => {
    count += 1
    if (count === nth) throw new Error('disk I/O error')
  }
  const { exec } = sql
  const { setAlarm } = storage
  const spy =
    part === 'statement'
      ? vi.spyOn(sql, 'exec').mockImplementation(function (this: SqlStorage, ...given) {
          failNow()
          return exec.apply(this, given)
        })
      : vi.spyOn(storage, 'setAlarm').mockImplementation(function (
          this: DurableObjectStorage,
          ...given
        ) {
          failNow()
          return setAlarm.apply(this, given)
        })
  return { heal: () => spy.mockRestore(), wasReached: () => count >= nth }
}

const DONE = { stuck: ['b', 'a'], letters: ['b', 'a'] }

/** Each method that writes, and what the lists hold when it is done. */
const WRITES: readonly {
  readonly name: string
  readonly write: (directory: DirectoryObject) => Promise<unknown>
  readonly done: typeof DONE
}[] = [
  {
    name: 'list',
    write: (directory) => directory.list(entryOf('c')),
    done: { ...DONE, stuck: ['c', 'b', 'a'] },
  },
  {
    name: 'list again',
    write: (directory) => directory.list(entryOf('a')),
    done: { ...DONE, stuck: ['a', 'b'] },
  },
  {
    name: 'unlist',
    write: (directory) => directory.unlist('a', Date.now() + 1),
    done: { ...DONE, stuck: ['b'] },
  },
  {
    name: 'strike',
    write: async (directory) => {
      const { entries } = await directory.listStuck(ALL)
      await directory.strike(entries.filter(({ operationId }) => operationId === 'a'))
    },
    done: { ...DONE, stuck: ['b'] },
  },
  {
    name: 'bury',
    write: (directory) => directory.bury(letterOf('c')),
    done: { ...DONE, letters: ['c', 'b', 'a'] },
  },
  {
    name: 'bury again',
    write: (directory) => directory.bury(letterOf('a', 1_000)),
    done: { ...DONE, letters: ['a', 'b'] },
  },
  {
    name: 'dropLetter',
    write: (directory) => directory.dropLetter('a'),
    done: { ...DONE, letters: ['b'] },
  },
  { name: 'count', write: (directory) => directory.count(), done: DONE },
  {
    name: 'alarm',
    write: async (directory) => {
      await directory.alarm()
      // What failed in it comes again; here, at once.
      if ((await directory.count()).stuck > 1) await directory.alarm()
    },
    done: { ...DONE, stuck: ['b'] },
  },
]

describe('a directory whose store fails once', () => {
  it.each(
    WRITES.flatMap((one) => (['statement', 'alarm'] as const).map((part) => ({ ...one, part }))),
  )('at any $part of $name: all of it or nothing, and done when it is tried again', async (row) => {
    vi.spyOn(env.OPERATIONS, 'getByName').mockImplementation(
      (id) => ({ rearm: async () => (id === 'a' ? 'over' : 'in-doubt') }) as never,
    )
    for (let nth = 1; ; nth++) {
      const name = `${row.name} ${row.part} ${nth}`
      for (const id of ['a', 'b']) await directoryOf(name).list(entryOf(id))
      for (const id of ['a', 'b']) await directoryOf(name).bury(letterOf(id))
      const { heal, wasReached } = await failAt(name, nth, row.part)
      await within(name, (directory) => row.write(directory).catch(() => {}))
      heal()
      const left = { stuck: await listed(name), letters: await letters(name) }
      expect([DONE, row.done]).toContainEqual(left)
      expect(await directoryOf(name).count()).toEqual(await counted(name))
      await within(name, (directory) => row.write(directory))
      expect({ stuck: await listed(name), letters: await letters(name) }).toEqual(row.done)
      expect(await directoryOf(name).count()).toEqual(await counted(name))
      if (!wasReached()) return
    }
  })
})
