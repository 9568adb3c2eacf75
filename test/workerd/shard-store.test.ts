import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import { afterEach, describe, expect, it, vi } from 'vitest'

import type { ClaimRequest } from '../../src/core/operation/claim.ts'
import type { Settlement } from '../../src/core/operation/settle.ts'
import type { IdempotencyObject } from '../../src/hapax.ts'
import { Ledger } from '../../src/object/ledger.ts'
import { createGeneration } from '../../src/object/pieces.ts'
import { resendOf } from '../fakes/build.ts'

afterEach(() => void vi.useRealTimers())

const DAY_MS = 86_400_000

/** Ids as the gateway makes them: base64url of 32 bytes. */
const idOf = (nth: number) => {
  const bytes = new Uint8Array(32)
  new DataView(bytes.buffer).setUint32(20, (nth * 2_654_435_761) >>> 0)
  new DataView(bytes.buffer).setUint32(4, nth)
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '')
}

const requestOf = (id: string, facts: Partial<ClaimRequest> = {}): ClaimRequest => ({
  operationId: id,
  operation: 'POST /payments',
  tenant: 'tenant',
  fingerprint: `v1:${id}`,
  places: '',
  claimId: crypto.randomUUID(),
  correlationId: 'correlation',
  traceparent: '',
  recovery: { kind: 'hold' },
  reauthorizePath: null,
  isAccepted: false,
  events: [],
  retentionMs: DAY_MS,
  tombstoneMs: 0,
  leaseMs: 60_000,
  ...facts,
})

const SNAPSHOT = { status: 201, headers: [], corsOrigin: null, body: 'kept', bodyBytes: 3 } as const
const DONE: Settlement = {
  outcome: 'succeeded',
  evidence: { originStatus: 201, fault: null },
  snapshot: SNAPSHOT,
  retentionMs: null,
}
const LOST: Settlement = {
  outcome: 'unknown',
  reason: 'connection-lost',
  evidence: { originStatus: null, fault: 'lost' },
}

const bodyOf = (text: string) => ({
  generation: createGeneration(),
  firstPart: 0,
  pieces: [new TextEncoder().encode(text)],
})

/** Runs work on the ledger of a shard of its own, and counts what it costs. */
async function inShard<result>(
  name: string,
  work: (ledger: Ledger, cost: () => Cost, storage: DurableObjectStorage) => result,
): Promise<result> {
  const stub = env.OPERATIONS.getByName(`shard:1:${name}`)
  return runInDurableObject(stub, (_: IdempotencyObject, { storage }) => {
    const cursors: SqlStorageCursor<Record<string, SqlStorageValue>>[] = []
    let alarms = 0
    const sql = new Proxy(storage.sql, {
      get(target, property) {
        if (property !== 'exec') return Reflect.get(target, property) as unknown
        return (...given: Parameters<SqlStorage['exec']>) => {
          const cursor = target.exec(...given)
          cursors.push(cursor)
          return cursor
        }
      },
    })
    const counted = new Proxy(storage, {
      get(target, property) {
        if (property === 'sql') return sql
        const value = Reflect.get(target, property) as unknown
        if (property === 'setAlarm') alarms += 1
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    const cost = () => {
      const spent = {
        statements: cursors.length,
        read: cursors.reduce((sum, { rowsRead }) => sum + rowsRead, 0),
        written: cursors.reduce((sum, { rowsWritten }) => sum + rowsWritten, 0),
        alarms,
      }
      cursors.length = 0
      alarms = 0
      return spent
    }
    return work(new Ledger(counted, true, () => false), cost, storage)
  })
}

interface Cost {
  readonly statements: number
  readonly read: number
  readonly written: number
  readonly alarms: number
}

function claim(ledger: Ledger, id: string, facts: Partial<ClaimRequest> = {}) {
  const decision = ledger.claim(requestOf(id, facts), null)
  if (decision.kind !== 'execute') throw new Error(`It was not granted: ${decision.kind}`)
  return { operationId: id, fence: decision.record.fence, claimId: decision.record.claimId }
}

const look = (ledger: Ledger, id: string) => ledger.look(requestOf(id)).kind

/** Moves the clock of the object. */
function pass(ms: number): void {
  const now = Date.now()
  vi.useFakeTimers({ toFake: ['Date'] })
  vi.setSystemTime(now + ms)
}

const namesOf = (storage: DurableObjectStorage) =>
  Array.from(
    storage.sql.exec<{ name: string }>("SELECT name FROM sqlite_master WHERE type = 'table'"),
    ({ name }) => name.replace(/_\d+$/, ''),
  ).filter((name) => !name.startsWith('_cf'))

describe('the records of a shard', () => {
  it('cost two rows written in the life of an operation, however many there are', async () => {
    const costs = await inShard('cost', (ledger, cost) => {
      claim(ledger, idOf(0))
      cost()
      const measure = (nth: number) => {
        const ref = claim(ledger, idOf(nth))
        ledger.settle(ref, DONE, bodyOf('one'))
        const life = cost()
        expect(look(ledger, idOf(nth))).toBe('replay')
        return [life, cost()]
      }
      const early = measure(1)
      for (let nth = 10; nth < 2_000; nth += 1) {
        ledger.settle(claim(ledger, idOf(nth)), DONE, bodyOf('one'))
      }
      cost()
      return [early, measure(2)]
    })
    const [[life, repeat], later] = costs as [[Cost, Cost], [Cost, Cost]]
    expect(life).toMatchObject({ written: 2, alarms: 0 })
    expect(life.statements).toBeLessThanOrEqual(4)
    expect(repeat).toMatchObject({ written: 0, alarms: 0 })
    expect(repeat.read).toBeLessThanOrEqual(4)
    expect(later).toEqual([life, repeat])
  })

  it('go with their bucket, which costs nothing, and the storage is given back', async () => {
    const before = await inShard('expiry', (ledger, _, storage) => {
      ledger.settle(claim(ledger, idOf(1), { retentionMs: 600_000 }), DONE, bodyOf('short'))
      ledger.settle(claim(ledger, idOf(2)), DONE, bodyOf('long'))
      return namesOf(storage)
    })
    expect(before).toEqual(['bucket', 'bucket'])
    pass(600_000 + 240_000)
    const after = await inShard('expiry', (ledger, cost, storage) => {
      cost()
      ledger.tidy()
      const { written } = cost()
      return {
        written,
        names: namesOf(storage),
        kinds: [look(ledger, idOf(1)), look(ledger, idOf(2))],
      }
    })
    expect(after).toEqual({ written: 0, names: ['bucket'], kinds: ['execute', 'replay'] })
    pass(2 * DAY_MS)
    await runDurableObjectAlarm(env.OPERATIONS.getByName('shard:1:expiry'))
    await inShard('expiry', (_, __, storage) => expect(namesOf(storage)).toEqual([]))
  })

  it('are found by their whole id where two ids share a number', async () => {
    const [one, other, third] = ['A'.repeat(43), `B${'A'.repeat(42)}`, `C${'A'.repeat(42)}`]
    await inShard('same', (ledger) => {
      const first = claim(ledger, one)
      const second = claim(ledger, other)
      ledger.settle(first, DONE, bodyOf('one'))
      ledger.settle(second, DONE, bodyOf('two'))
      ledger.settle(claim(ledger, third), DONE, bodyOf('three'))
      const words = [one, other, third].map((id) => {
        const record = ledger.find(id)
        if (record?.state !== 'succeeded' || record.generation === undefined) return null
        const piece = ledger.bodies.readPart(id, record.generation, 0)
        return piece instanceof Uint8Array ? new TextDecoder().decode(piece) : null
      })
      expect(words).toEqual(['one', 'two', 'three'])
    })
  })

  it('in progress are recovered once each, even where more share a number than it has places', async () => {
    const ids = Array.from('ABCDEFGHIJKLMNOPQRS', (first) => first + 'A'.repeat(42))
    await inShard('crowd', (ledger) => {
      const recovery = resendOf({ isDurable: true })
      for (const id of ids) claim(ledger, id, { operation: 'POST /crowd', recovery })
      pass(60_001)
      expect(ledger.tidy().recoverable.map(({ id }) => id)).toEqual(ids)
    })
  })

  it('in progress are known again after a restart, and not in doubt before their lease is over', async () => {
    const id = idOf(7)
    await inShard('restart', (ledger) => void claim(ledger, id))
    await abortAllDurableObjects()
    await inShard('restart', (ledger) => expect(look(ledger, id)).toBe('in_flight'))
    pass(60_001)
    await inShard('restart', (ledger) => {
      ledger.tidy()
      expect(ledger.find(id)).toMatchObject({ state: 'unknown', reason: 'owner-lost' })
      expect(look(ledger, id)).toBe('hold')
    })
  })

  it('in progress keep their alarm where a restarted shard only sets it again', async () => {
    const claimedAt = Date.now()
    await inShard('rearm', (ledger) => {
      ledger.settle(claim(ledger, idOf(1)), DONE, bodyOf('one'))
      claim(ledger, idOf(2))
    })
    const alarmAt = await inShard('rearm', (ledger, _, storage) => {
      ledger.transactions.setAlarmAgain()
      return storage.getAlarm()
    })
    expect((alarmAt ?? Infinity) - claimedAt).toBeLessThan(90_000)
  })

  it('that are in doubt, or still run, outlive their bucket', async () => {
    const [held, running] = [idOf(1), idOf(2)]
    await inShard('outlive', (ledger) => {
      ledger.settle(claim(ledger, held, { retentionMs: 60_000 }), LOST, null)
      claim(ledger, running, { retentionMs: 60_000, leaseMs: 2 * DAY_MS })
    })
    pass(DAY_MS)
    await inShard('outlive', (ledger, _, storage) => {
      ledger.tidy()
      expect([look(ledger, held), look(ledger, running)]).toEqual(['hold', 'in_flight'])
      expect(namesOf(storage)).toContain('bucket')
    })
  })

  it('that were lost by the hundred are all found at once, also behind the end of their bucket', async () => {
    await inShard('lost', (ledger) => {
      for (let nth = 1; nth <= 250; nth++) claim(ledger, idOf(nth), { retentionMs: 60_000 })
    })
    pass(DAY_MS)
    await inShard('lost', async (ledger, _, storage) => {
      const found = () => storage.sql.exec('SELECT 1 FROM operation').toArray().length
      const soonCounts: number[] = []
      for (let alarms = 0; alarms < 3; alarms++) {
        const isSoon = ((await storage.getAlarm()) ?? Infinity) < Date.now() + 1_000
        ledger.tidy()
        if (isSoon) soonCounts.push(found())
      }
      expect(soonCounts).toEqual([100, 200, 250])
    })
  })

  it('take the pieces of large bodies with them', async () => {
    const id = idOf(3)
    const large = 'x'.repeat(100_000)
    await inShard('large', (ledger, _, storage) => {
      ledger.settle(
        claim(ledger, id, { retentionMs: 60_000 }),
        {
          ...DONE,
          snapshot: { ...SNAPSHOT, bodyBytes: large.length },
        },
        bodyOf(large),
      )
      claim(ledger, idOf(4))
      expect(storage.sql.exec('SELECT 1 FROM body').toArray()).toHaveLength(1)
    })
    pass(DAY_MS / 2)
    await inShard('large', (ledger, _, storage) => {
      ledger.tidy()
      expect(storage.sql.exec('SELECT 1 FROM body').toArray()).toHaveLength(0)
    })
  })

  it('that a newer version wrote are left alone, and do not hold up the others', async () => {
    const [done, running] = [idOf(1), idOf(2)]
    await inShard('newer', (ledger, _, storage) => {
      ledger.settle(claim(ledger, done, { retentionMs: 60_000 }), DONE, bodyOf('one'))
      claim(ledger, running, { retentionMs: 60_000 })
      for (const { name } of storage.sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name LIKE 'bucket%'")
        .toArray()) {
        storage.sql.exec(`UPDATE ${name} SET record = json_set(record, '$.version', 99)`)
      }
    })
    pass(DAY_MS)
    await inShard('newer', (ledger) => {
      expect(() => look(ledger, running)).toThrow('newer version')
      expect(look(ledger, idOf(3))).toBe('execute')
      ledger.tidy()
      expect(() => look(ledger, running)).toThrow('newer version')
    })
  })

  it('with a large body that a newer version wrote do not hold up the alarm', async () => {
    const [ended, newer] = [idOf(1), idOf(2)]
    const large = bodyOf('x'.repeat(100_000))
    const snapshot = { ...SNAPSHOT, bodyBytes: 100_000 }
    await inShard('newer-large', (ledger, _, storage) => {
      ledger.settle(claim(ledger, ended, { retentionMs: 60_000 }), DONE, bodyOf('one'))
      ledger.settle(claim(ledger, newer), { ...DONE, snapshot }, large)
      const [{ name }] = storage.sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name LIKE 'bucket%'")
        .toArray()
        .toSorted((one, other) => (one.name > other.name ? -1 : 1)) as [{ name: string }]
      storage.sql.exec(`UPDATE ${name} SET record = json_set(record, '$.version', 99)`)
    })
    pass(DAY_MS / 2)
    await inShard('newer-large', async (ledger, _, storage) => {
      ledger.tidy()
      expect(namesOf(storage)).toEqual(['bucket', 'body'])
      // An answer that was to go when its readers had left.
      storage.sql
        .exec(`CREATE TABLE left_body (operation_id TEXT NOT NULL, belongs_to TEXT NOT NULL,
        due_at INTEGER NOT NULL, PRIMARY KEY (operation_id, belongs_to)) STRICT, WITHOUT ROWID`)
      const sql = 'INSERT INTO left_body VALUES (?, ?, 0)'
      storage.sql.exec(sql, newer, large.generation)
    })
    await inShard('newer-large', async (ledger, _, storage) => {
      ledger.tidy()
      expect(storage.sql.exec('SELECT 1 FROM body').toArray()).toHaveLength(1)
      expect(((await storage.getAlarm()) ?? Infinity) - Date.now()).toBeGreaterThan(30_000)
    })
  })

  it('that are kept much longer than usual share few buckets', async () => {
    await inShard('many', (ledger, _, storage) => {
      for (let nth = 1; nth <= 120; nth++) {
        const ref = claim(ledger, idOf(nth), { retentionMs: 60_000 })
        ledger.settle(ref, { ...DONE, retentionMs: 30 * DAY_MS }, bodyOf('one'))
        pass(120_000)
        ledger.tidy()
      }
      expect(namesOf(storage).length).toBeLessThan(20)
      expect(look(ledger, idOf(1))).toBe('replay')
    })
  })

  it('are as before where a transaction fails', async () => {
    const id = idOf(5)
    await inShard('rollback', (ledger, _, storage) => {
      const ref = claim(ledger, id)
      const [bucket] = storage.sql
        .exec<{ name: string }>("SELECT name FROM sqlite_master WHERE name LIKE 'bucket%'")
        .toArray()
      storage.sql.exec(`CREATE TRIGGER refusal BEFORE UPDATE ON ${bucket?.name ?? ''}
        BEGIN SELECT RAISE(ABORT, 'the disk is full'); END`)
      expect(() => ledger.settle(ref, DONE, bodyOf('one'))).toThrow('the disk is full')
      expect(ledger.find(id)).toMatchObject({ state: 'in_progress' })
      storage.sql.exec('DROP TRIGGER refusal')
      expect(ledger.settle(ref, DONE, bodyOf('one'))).toBe('taken')
      expect(look(ledger, id)).toBe('replay')
    })
  })
})
