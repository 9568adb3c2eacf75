import { bucketEndOf, keptUntil } from '../core/operation/bucket.ts'
import { dueAt } from '../core/operation/due.ts'
import {
  isSettled,
  NewerRecord,
  type OperationRecord,
  parseIfKnown,
} from '../core/operation/record.ts'
import { Aside } from './aside.ts'
import { type BucketPlace, Buckets } from './buckets.ts'
import type { DueRecord, RecordStore } from './record-store.ts'
import type { Tables } from './tables.ts'

/** Where a record is: in a bucket, set aside, or nowhere. */
type Place = BucketPlace | 'aside' | null

/** A record, and where it is. */
interface Known {
  readonly id: string
  readonly record: OperationRecord | null
  readonly place: Place
  /** The body beside it, if it was read with it. */
  readonly body?: ArrayBuffer | null
}

/** A record in progress. */
interface Open {
  /** `null`: a newer version wrote it, in a form that this one cannot read. */
  readonly record: OperationRecord | null
  readonly place: Place
  readonly dueAt: number
}

/**
 * The records of a shard, which guards many operations. What a request costs does not grow with their
 * number: a claim and its result are one row in a bucket, memory holds what is in progress, and only
 * what has an unknown outcome is set aside and looked at one by one.
 */
export class RecordBuckets implements RecordStore {
  readonly #buckets: Buckets
  readonly #aside: Aside
  #open: Map<string, Open> | null = null
  /** The ends of buckets with a record in progress that a newer version wrote: they are not dropped. */
  #keptEnds: ReadonlySet<number> = new Set()
  /** No operation in progress is due before this time. */
  #openDueAt = Infinity
  /** No operation that is set aside is due before this time; `null`: not known. */
  #asideDueAt: number | null = null
  /** The record that was read or written last: it is often the next one to be read. */
  #last: Known | null = null

  constructor(tables: Tables) {
    this.#buckets = new Buckets(tables)
    this.#aside = new Aside(tables)
  }

  read(id: string): OperationRecord | null {
    const open = this.#opened().get(id)
    if (open === undefined) return this.#known(id).record
    if (open.record === null) throw new NewerRecord()
    return open.record
  }

  #known(id: string): Known {
    if (this.#last?.id === id) return this.#last
    const found = this.#buckets.find(id)
    const record = found?.record ?? this.#aside.find(id)
    const place = found?.place ?? (record && 'aside')
    return (this.#last = { id, record, place, ...(found && { body: found.body }) })
  }

  write(id: string, record: OperationRecord, now: number, body?: Uint8Array | null): void {
    const known = this.#opened().get(id)
    // Where it is the same, only the time at which the alarm comes has changed.
    const place =
      known?.record === record ? known.place : this.#store(id, record, now, toStored(record, body))
    this.#last = { id, record, place }
    if (record.state !== 'in_progress') return void this.#opened().delete(id)
    this.#setOpen(id, { record, place, dueAt: dueAt(record, now) ?? Infinity })
  }

  #setOpen(id: string, open: Open): void {
    this.#opened().set(id, open)
    this.#openDueAt = Math.min(this.#openDueAt, open.dueAt)
  }

  /** Stores a record where it is, if it can stay there, or where it belongs. */
  #store(id: string, record: OperationRecord, now: number, body?: Uint8Array | null): Place {
    const from = this.#placeOf(id)
    if (record.state === 'unknown') {
      if (isBucket(from)) this.#buckets.delete(from)
      return this.#setAside(id, record, now, body)
    }
    if (isBucket(from) && keptUntil(record) <= from.endsAt) {
      const place = this.#buckets.update(from, { id, record, body })
      if (place !== null) return place
    }
    const kept = body === undefined ? this.readBody(id) : body
    this.#remove(id, from)
    const place = this.#buckets.insert(bucketEndOf(record, now), { id, record, body: kept })
    return place ?? this.#setAside(id, record, now, kept)
  }

  #setAside(id: string, record: OperationRecord, now: number, body?: Uint8Array | null): Place {
    const due = this.#aside.write(id, record, now, body)
    this.#asideDueAt = Math.min(this.#asideDue(), due ?? Infinity)
    return 'aside'
  }

  delete(id: string): void {
    this.#remove(id, this.#placeOf(id))
    this.#opened().delete(id)
    this.#last = { id, record: null, place: null }
  }

  forget(id: string): void {
    this.delete(id)
  }

  deleteForgotten(): void {}

  #remove(id: string, place: Place): void {
    if (isBucket(place)) this.#buckets.delete(place)
    else if (place === 'aside') this.#aside.delete(id)
  }

  readBody(id: string): Uint8Array<ArrayBuffer> | null {
    const place = this.#placeOf(id)
    if (place === null) return null
    const body = this.#takeBody(id, place)
    return body && new Uint8Array(body)
  }

  /** One that was read with its record is given away once: its reader may take the buffer. */
  #takeBody(id: string, place: Exclude<Place, null>): ArrayBuffer | null {
    if (this.#last?.id === id && this.#last.body !== undefined) {
      const { body, ...rest } = this.#last
      this.#last = rest
      return body
    }
    return place === 'aside' ? this.#aside.readBody(id) : this.#buckets.readBody(place)
  }

  /** The alarm of a shard looks after every claim. */
  watch(): void {}

  listDue(now: number, limit: number): DueRecord[] {
    const due: DueRecord[] = []
    let nextAt = Infinity
    for (const [id, { record, dueAt: at }] of this.#opened()) {
      if (record !== null && at <= now && due.length < limit) due.push({ id, record })
      else nextAt = Math.min(nextAt, at)
    }
    this.#openDueAt = nextAt
    const aside = this.#aside.listDue(now, limit)
    this.#asideDueAt = aside.length === limit ? now : this.#aside.dueAfter(now)
    return [...due, ...aside.filter(({ id }) => !this.#opened().has(id))]
  }

  dropEnded(now: number, inUse: readonly string[]): boolean {
    const ended = this.#droppable().filter((endsAt) => endsAt <= now)
    if (ended.length === 0) return false
    for (const id of [...this.#opened().keys(), ...inUse]) this.#moveFrom(ended, id, now)
    for (const endsAt of ended) this.#buckets.drop(endsAt)
    this.#last = null
    return true
  }

  /** Moves a record out of a bucket that is dropped. */
  #moveFrom(ended: readonly number[], id: string, now: number): void {
    const place = this.#placeOf(id)
    if (!isBucket(place) || !ended.includes(place.endsAt)) return
    const record = this.read(id)
    if (record === null) return
    const open = this.#opened().get(id)
    const body = this.readBody(id)
    this.delete(id)
    this.write(id, record, now, body)
    // One that is overdue, and was left for the next alarm, is still overdue.
    if (open !== undefined) this.#setOpen(id, { ...open, place: this.#placeOf(id) })
  }

  /** The ends of buckets that may be dropped, the latest first. */
  #droppable(): readonly number[] {
    // Also reads which those are.
    this.#opened()
    const ends = this.#buckets.ends()
    return this.#keptEnds.size === 0 ? ends : ends.filter((endsAt) => !this.#keptEnds.has(endsAt))
  }

  dueAt(): number {
    // Reads what is in progress, if that is not known: an alarm that is set without it would be too late.
    const firstEnd = this.#droppable().at(-1) ?? Infinity
    return Math.min(this.#openDueAt, this.#asideDue(), firstEnd)
  }

  isEmpty(): boolean {
    return this.#buckets.ends().length === 0 && this.#aside.isEmpty()
  }

  reload(): void {
    this.#buckets.reload()
    this.#open = null
    this.#openDueAt = Infinity
    this.#asideDueAt = null
    this.#last = null
  }

  #placeOf(id: string): Place {
    return (this.#opened().get(id) ?? this.#known(id)).place
  }

  #asideDue(): number {
    return (this.#asideDueAt ??= this.#aside.dueAfter(-Infinity))
  }

  #opened(): Map<string, Open> {
    return (this.#open ??= this.#loadOpen())
  }

  #loadOpen(): Map<string, Open> {
    const keptEnds = new Set<number>()
    const open = this.#buckets.listOpen().map(({ id, text, place }): [string, Open] => {
      const record = parseIfKnown(text)
      if (record === null) keptEnds.add(place.endsAt)
      // When it was due is not stored. The alarm finds out at once.
      const due = record && dueAt(record, record.claimedAt)
      return [id, { record, place, dueAt: due ?? Infinity }]
    })
    this.#keptEnds = keptEnds
    this.#openDueAt = open.reduce((first, [, { dueAt: at }]) => Math.min(first, at), Infinity)
    return new Map(open)
  }
}

/** What is stored as the body beside a record: only a result keeps the one that it has. */
function toStored(
  record: OperationRecord,
  body?: Uint8Array | null,
): Uint8Array | null | undefined {
  return body === undefined && !isSettled(record) ? null : body
}

const isBucket = (place: Place): place is BucketPlace => place !== null && place !== 'aside'
