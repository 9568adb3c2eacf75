import { runInDurableObject } from 'cloudflare:test'
import { env } from 'cloudflare:workers'
import fc from 'fast-check'
import { expect, it } from 'vitest'

import { keptUntil } from '../../src/core/operation/bucket.ts'
import { dueAt } from '../../src/core/operation/due.ts'
import type { OperationRecord } from '../../src/core/operation/record.ts'
import { RecordBuckets } from '../../src/object/record-buckets.ts'
import { Tables } from '../../src/object/tables.ts'
import { probeOf, runningOf, settledOf, tombstoneOf, unknownOf } from '../fakes/build.ts'

const MINUTE_MS = 60_000

/** Four operations share one number, and two another. */
const IDS = ['A', 'B', 'C', 'D', 'E', 'F'].map(
  (first, nth) => first + 'A'.repeat(30) + (nth < 4 ? 'A' : 'B') + 'A'.repeat(11),
)

/** What happens to the records of a shard. */
type Step =
  | {
      readonly kind: 'write'
      readonly nth: number
      readonly state: OperationRecord['state']
      readonly minutes: number
      readonly body: string | null | undefined
    }
  | { readonly kind: 'delete'; readonly nth: number }
  | { readonly kind: 'pass'; readonly minutes: number }
  | { readonly kind: 'tidy' }
  | { readonly kind: 'restart' }

const nth = fc.nat({ max: IDS.length - 1 })
const STEP: fc.Arbitrary<Step & { readonly isRolledBack: boolean }> = fc
  .oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('write' as const),
        nth,
        state: fc.constantFrom('in_progress', 'in_progress', 'succeeded', 'unknown', 'expired'),
        minutes: fc.constantFrom(1, 3, 10, 100),
        body: fc.constantFrom('one', 'two', null, undefined),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), nth }) },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('pass' as const),
        minutes: fc.constantFrom(0.5, 2, 15, 200),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('tidy' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
  )
  .chain((step) =>
    fc.integer({ min: 0, max: 9 }).map((dice) => ({ ...step, isRolledBack: dice === 0 })),
  )

interface Known {
  readonly record: OperationRecord
  readonly body: string | null
  readonly dueAt: number
}

/** A record as it is after so many minutes of retention. */
function recordOf({ state, minutes }: Extract<Step, { kind: 'write' }>, now: number) {
  const retentionMs = minutes * MINUTE_MS
  const base = { claimedAt: now, createdAt: now, retentionMs }
  const ended = { ...base, settledAt: now, expiresAt: now + retentionMs }
  switch (state) {
    case 'in_progress':
      return runningOf({ ...base, owner: { kind: 'worker', leaseUntil: now + 2 * MINUTE_MS } })
    case 'succeeded':
    case 'failed':
      return settledOf(ended)
    case 'expired':
      return tombstoneOf({ ...ended, tombstoneMs: retentionMs })
    case 'unknown':
      return unknownOf({
        ...base,
        settledAt: now,
        recovery: probeOf(),
        recoveryAt: now + 5_000,
      })
  }
}

/** Runs steps on the records of a shard, and compares them with a map after each. */
class Comparison {
  readonly #storage: DurableObjectStorage
  #store: RecordBuckets
  #tables: Tables
  #now = 1_000_000 * MINUTE_MS
  #known = new Map<string, Known>()

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage
    for (const name of this.#listTables()) storage.sql.exec(`DROP TABLE ${name}`)
    this.#tables = new Tables(storage)
    this.#store = new RecordBuckets(this.#tables)
  }

  take(step: Step & { readonly isRolledBack: boolean }): void {
    if (step.kind === 'pass') this.#now += step.minutes * MINUTE_MS
    else if (step.kind === 'restart') this.#restart()
    else {
      const before = new Map(this.#known)
      try {
        this.#tables.transaction(() => {
          this.#do(step)
          if (step.isRolledBack) throw new Error('rolled back')
        })
      } catch (error) {
        if (!step.isRolledBack) throw error
        this.#known = before
        this.#store.reload()
      }
    }
  }

  #restart(): void {
    this.#tables = new Tables(this.#storage)
    this.#store = new RecordBuckets(this.#tables)
  }

  #do(step: Step): void {
    if (step.kind === 'write') this.#write(step)
    if (step.kind === 'delete') {
      const id = IDS[step.nth] ?? ''
      this.#store.delete(id)
      this.#known.delete(id)
    }
    if (step.kind === 'tidy') this.#tidy()
  }

  #write(step: Extract<Step, { kind: 'write' }>): void {
    const id = IDS[step.nth] ?? ''
    const record = recordOf(step, this.#now)
    // Only a result has a body, and keeps it unless it gets another one.
    const given = record.state === 'succeeded' ? step.body : undefined
    const bytes = typeof given === 'string' ? new TextEncoder().encode(given) : given
    this.#store.write(id, record, this.#now, bytes)
    const kept = record.state === 'succeeded' ? (this.#known.get(id)?.body ?? null) : null
    const body = given === undefined ? kept : given
    this.#known.set(id, { record, body, dueAt: dueAt(record, this.#now) ?? Infinity })
  }

  #tidy(): void {
    for (const { id, record } of this.#store.listDue(this.#now, 2)) {
      if (isOpen(record)) {
        this.#store.write(id, record, this.#now)
        this.#known.set(id, { record, body: null, dueAt: dueAt(record, this.#now) ?? Infinity })
      } else {
        this.#store.delete(id)
        this.#known.delete(id)
      }
    }
    this.#store.dropEnded(this.#now, [])
    for (const [id, { record }] of this.#known) {
      const isOver = !isOpen(record) && keptUntil(record) <= this.#now
      if (isOver && this.#store.read(id) === null) this.#known.delete(id)
    }
  }

  /** What the shard says, and what it has to say. */
  compare(): { readonly said: unknown; readonly known: unknown } {
    const ids = [...this.#known.keys()]
    const firstDue = Math.min(
      ...Array.from(this.#known.values(), ({ record, dueAt: at }) =>
        isOpen(record) ? at : Infinity,
      ),
    )
    const isInTime = this.#store.dueAt() <= Math.max(firstDue, this.#now)
    return {
      said: [IDS.map((id) => this.#read(id)), this.#countRows(), isInTime],
      known: [IDS.map((id) => this.#known.get(id) ?? null).map(pick), ids.length, true],
    }
  }

  #read(id: string) {
    const record = this.#store.read(id)
    const body = record?.state === 'succeeded' ? this.#store.readBody(id) : null
    return record && { record, body: body && new TextDecoder().decode(body) }
  }

  #countRows(): number {
    const rows = this.#listTables().flatMap((name) =>
      this.#storage.sql.exec(`SELECT 1 FROM ${name}`).toArray(),
    )
    return rows.length
  }

  #listTables(): string[] {
    const sql =
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'"
    return Array.from(this.#storage.sql.exec<{ name: string }>(sql), ({ name }) => name)
  }
}

const isOpen = ({ state }: OperationRecord) => state === 'in_progress' || state === 'unknown'

const pick = (known: Known | null) => known && { record: known.record, body: known.body }

it('keeps the records of a shard as a map would, whatever happens to them', async () => {
  const stub = env.OPERATIONS.getByName('records in buckets')
  await runInDurableObject(stub, (_, { storage }) => {
    fc.assert(
      fc.property(fc.array(STEP, { maxLength: 40 }), (steps) => {
        const comparison = new Comparison(storage)
        for (const step of steps) {
          comparison.take(step)
          const { said, known } = comparison.compare()
          expect(said).toEqual(known)
        }
      }),
      { numRuns: 300 },
    )
  })
})
