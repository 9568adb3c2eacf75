import { concat } from '../core/bytes.ts'
import type { OperationRecord, SettledRecord } from '../core/record.ts'
import { countFrom, estimateReceipt } from '../core/retention.ts'
import { logFault } from '../metrics/log.ts'
import {
  type AnswerBody,
  type BodyRef,
  type BodyTable,
  PIECE_BYTES,
  type Pieces,
  type SpilledPiece,
  toPieces,
  type UnstoredBody,
} from './body-table.ts'
import type { ReadEnd } from './byte-stream.ts'
import { Holds } from './holds.ts'
import type { RecordTable } from './record-table.ts'
import type { Transactions } from './transactions.ts'

/** Most keys that are deleted in the bucket at once; R2 takes 1,000. */
const SWEEP_BATCH = 1_000

/** How soon it is looked again whether a body is still read that is to go, in milliseconds. */
const LEFT_LOOK_MS = 60_000

/**
 * The bodies of an object's operations: stored requests and answers, who reads them, and when they go.
 * What says `now` runs inside a transaction of the ledger.
 */
export class Bodies {
  readonly #table: BodyTable
  readonly #records: RecordTable
  readonly #transactions: Transactions
  readonly #holds = new Holds((ref) => this.#letGo(ref))

  constructor(table: BodyTable, records: RecordTable, transactions: Transactions) {
    this.#table = table
    this.#records = records
    this.#transactions = transactions
  }

  /**
   * Stores pieces of a body that is still coming; they count for nothing before the settle.
   *
   * @throws {Error} When the operation is there no more: nothing would ever delete them.
   */
  write({ operationId, body }: BodyRef, pieces: Pieces): void {
    this.#transactions.withoutAlarm(() => {
      if (this.#records.read(operationId) === null) throw new Error('The operation was forgotten.')
      this.#table.write(operationId, body, pieces)
    })
  }

  /** @returns One piece of an answer, or where it is, or `null` behind its end. */
  readPart(
    { operationId, body }: BodyRef,
    part: number,
  ): Uint8Array<ArrayBuffer> | SpilledPiece | null {
    return this.#table.readPart(operationId, body, part)
  }

  /** @returns The stored request, or `null` when there is none. */
  readRequest(operationId: string): Uint8Array<ArrayBuffer> | null {
    const parts: Uint8Array<ArrayBuffer>[] = []
    for (let part = 0; ; part++) {
      const piece = this.#table.readPart(operationId, 'request', part)
      if (!(piece instanceof Uint8Array)) break
      parts.push(piece)
    }
    return parts.length === 0 ? null : concat(parts)
  }

  /** Stores the request of a claim, or none. */
  writeRequest(id: string, stored: Uint8Array | null): void {
    this.dropRequest(id)
    if (stored === null) return
    this.#table.write(id, 'request', { firstPart: 0, pieces: toPieces(stored) })
  }

  dropRequest(id: string): void {
    this.#table.delete(id, 'request')
  }

  /** Stores what is not stored yet of the body of a result. */
  writeResult(id: string, body: UnstoredBody): void {
    this.#table.write(id, body.generation, body)
  }

  /** Whether all pieces of a body are there that were stored before its settle. */
  isWhole(id: string, body: UnstoredBody | null): boolean {
    if (body === null || body.firstPart === 0) return true
    return this.#table.hasParts(id, body.generation, body.firstPart)
  }

  /** Whether the client whose request made a result still reads it, bit by bit. */
  isBeingRead(operationId: string, record: OperationRecord | null): boolean {
    if (!isSettled(record) || !isReadInPieces(record)) return false
    return this.#holds.hasFirst({ operationId, body: bodyOf(record) })
  }

  /**
   * Keeps an answer for who reads or records it, whatever becomes of its operation.
   *
   * @returns Lets it go: the last one to do so deletes it, unless it is the operation's result.
   */
  hold(ref: BodyRef): () => void {
    return this.#holds.take(ref)
  }

  /**
   * Notes that the client whose request made an answer reads it: until it does so no more that does
   * not expire, and retention counts from then.
   *
   * @returns Notes that it was handed all of it, or has left.
   */
  awaitReceipt(ref: BodyRef): (how: ReadEnd) => void {
    this.#holds.noteFirst(ref)
    return (how) => {
      this.#noteReceipt(ref, how)
      this.#holds.forgetFirst(ref)
    }
  }

  /** The client whose request made a result was handed all of it, or has left. */
  #noteReceipt({ operationId, body }: BodyRef, how: ReadEnd): void {
    const endedAt = Date.now()
    try {
      const record = this.#records.read(operationId)
      if (!isSettled(record) || bodyOf(record) !== body || !isReadInPieces(record)) return
      const moved = countFrom(record, how === 'whole' ? estimateReceipt(record, endedAt) : endedAt)
      if (moved === null) return
      this.#transactions.run((now) => this.#records.write(operationId, moved, now))
    } catch (error) {
      logFault('retention could not be counted from when the client has the result', error)
    }
  }

  /** Deletes every answer of an operation but the result in its record; one that is being read goes later. */
  dropAnswers(operationId: string, record: OperationRecord | null, now: number): void {
    for (const body of this.#table.listAnswers(operationId)) {
      this.#dropAnswer({ operationId, body }, record, now)
    }
  }

  /** Looks again at answers that are to go and were still read, at most so many. */
  dropLeft(now: number, limit: number): void {
    for (const ref of this.#table.listLeft(now, limit)) {
      this.#dropAnswer(ref, this.#records.read(ref.operationId), now)
    }
  }

  #dropAnswer(ref: BodyRef, record: OperationRecord | null, now: number): void {
    if (isResult(ref, record)) return this.#table.keep(ref)
    if (!this.#holds.has(ref)) return this.#table.delete(ref.operationId, ref.body)
    this.#holds.leave(ref)
    this.#table.leave(ref, now + LEFT_LOOK_MS)
  }

  /** The last one has let an answer go. Where it cannot be deleted now, the alarm or the next claim does it. */
  #letGo(ref: BodyRef): void {
    try {
      if (isResult(ref, this.#records.read(ref.operationId))) return
      this.#transactions.run(() => this.#table.delete(ref.operationId, ref.body))
    } catch (error) {
      logFault('an answer that nobody reads any more could not be deleted', error)
    }
  }

  /** Keys in the bucket that belong to nothing any more. */
  listGarbage(): string[] {
    return this.#table.listGarbage(SWEEP_BATCH)
  }

  /** Forgets keys that are deleted in the bucket. */
  dropGarbage(spillKeys: readonly string[]): void {
    this.#transactions.run(() => this.#table.dropGarbage(spillKeys))
  }
}

/** Which stored answer is the result of an operation. */
export function bodyOf(record: SettledRecord): AnswerBody {
  return record.generation ?? 'response'
}

function isResult({ body }: BodyRef, record: OperationRecord | null): boolean {
  return isSettled(record) && bodyOf(record) === body && !isOmitted(record)
}

function isSettled(record: OperationRecord | null): record is SettledRecord {
  return record?.state === 'succeeded' || record?.state === 'failed'
}

/** Whether a result is so large that a client gets it bit by bit: smaller ones are on their way at once. */
function isReadInPieces(record: SettledRecord): boolean {
  return record.snapshot.bodyBytes > PIECE_BYTES || isOmitted(record)
}

/** Whether nothing is kept of the body of a result. */
const isOmitted = ({ snapshot }: SettledRecord) => snapshot.body === 'omitted'
