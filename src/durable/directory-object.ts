import { DurableObject } from 'cloudflare:workers'

import type { HapaxEnv } from '../config/env.ts'
import { errorName } from '../core/error-name.ts'
import { logFault } from '../metrics/log.ts'
import { Alarm } from './alarm.ts'
import {
  type DeadLetter,
  type Directory,
  type Page,
  type PageQuestion,
  type StuckEntry,
  toListed,
} from './directory-guard.ts'

/** How often every object of the list is asked to see to its alarm, in milliseconds. */
const ROUND_MS = 3_600_000
/** Most objects that are asked in one alarm, and the pause before the next ones are. */
const ROUND_BATCH = 60
const ROUND_PAUSE_MS = 1_000
/** Most that are asked at once: the platform allows six connections. */
const ASKED_AT_ONCE = 6

/** Key under which stands where a round has come to. */
const CURSOR = 'round'

interface Row extends Record<string, SqlStorageValue> {
  sequence: number
  head: string
}

/**
 * What an operator should look at, of a whole deployment: operations whose outcome is unknown, and
 * dead letters. Both are rare, so one object holds them all; the operations themselves know nothing
 * of each other.
 */
export class DirectoryObject extends DurableObject<HapaxEnv> implements Directory {
  readonly #alarm = new Alarm((at) => this.ctx.storage.setAlarm(at))

  constructor(ctx: DurableObjectState, env: HapaxEnv) {
    super(ctx, env)
    ctx.storage.sql.exec(`
      CREATE TABLE IF NOT EXISTS stuck (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        head TEXT NOT NULL
      ) STRICT;
      CREATE TABLE IF NOT EXISTS letter (
        sequence INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        head TEXT NOT NULL,
        bytes BLOB NOT NULL
      ) STRICT;`)
  }

  async list(entry: StuckEntry): Promise<void> {
    this.#sql.exec(
      'INSERT OR REPLACE INTO stuck (id, head) VALUES (?, ?)',
      entry.operationId,
      JSON.stringify(entry),
    )
    await this.#keepRounds()
  }

  async listStuck(question: PageQuestion): Promise<Page<StuckEntry>> {
    this.#keepRoundsLater()
    return this.#page<StuckEntry>('stuck', question)
  }

  async strike(entries: readonly Pick<StuckEntry, 'operationId' | 'since'>[]): Promise<void> {
    const sql = "DELETE FROM stuck WHERE id = ? AND head ->> '$.since' <= ?"
    for (const { operationId, since } of entries) this.#sql.exec(sql, operationId, since)
  }

  /** The same letter twice is one: whoever buries it may not have heard that it was done. */
  async bury({ bytes, ...head }: DeadLetter): Promise<void> {
    this.#sql.exec(
      'INSERT OR REPLACE INTO letter (id, head, bytes) VALUES (?, ?, ?)',
      head.id,
      JSON.stringify(toListed(head)),
      bytes,
    )
  }

  async undecide(operationId: string): Promise<void> {
    this.#sql.exec(
      `UPDATE letter
        SET head = json_set(json_remove(head, '$.decision'), '$.reason', ?)
        WHERE head ->> '$.operationId' = ? AND head ->> '$.from' = 'inbox'
          AND coalesce(head ->> '$.decision', head ->> '$.reason') = 'outcome-unknown'`,
      'not_executed: resolved by an operator',
      operationId,
    )
  }

  async listLetters(question: PageQuestion): Promise<Page<Omit<DeadLetter, 'bytes'>>> {
    return this.#page<Omit<DeadLetter, 'bytes'>>('letter', question)
  }

  async letter(id: string): Promise<DeadLetter | null> {
    const rows = this.#sql.exec<{ head: string; bytes: ArrayBuffer }>(
      'SELECT head, bytes FROM letter WHERE id = ?',
      id,
    )
    const [row] = rows.toArray()
    if (row === undefined) return null
    const head = JSON.parse(row.head) as Omit<DeadLetter, 'bytes'>
    return { ...head, bytes: new Uint8Array(row.bytes) }
  }

  async count(): Promise<{ stuck: number; letters: number; oldestAt: number | null }> {
    this.#keepRoundsLater()
    return this.#sql
      .exec<{ stuck: number; letters: number; oldestAt: number | null }>(
        `SELECT (SELECT count(*) FROM stuck) AS stuck, (SELECT count(*) FROM letter) AS letters,
          (SELECT min(head ->> '$.since') FROM stuck) AS oldestAt`,
      )
      .one()
  }

  async dropLetter(id: string): Promise<boolean> {
    return this.#sql.exec('DELETE FROM letter WHERE id = ?', id).rowsWritten > 0
  }

  /**
   * Asks the objects of the list to see to their alarms, some of them each time: an object whose
   * alarm the platform has given up recovers nothing until somebody comes, and it may be that nobody
   * does.
   */
  override alarm(): Promise<void> {
    return this.#alarm.ring(async () => {
      const sql = 'SELECT sequence, id FROM stuck WHERE sequence > ? ORDER BY sequence LIMIT ?'
      const after = this.ctx.storage.kv.get<number>(CURSOR) ?? 0
      const rows = this.#sql.exec<{ sequence: number; id: string }>(sql, after, ROUND_BATCH)
      const batch = rows.toArray()
      await this.#rearm(batch.map(({ id }) => id))
      const isOver = batch.length < ROUND_BATCH
      this.ctx.storage.kv.put(CURSOR, isOver ? 0 : (batch.at(-1)?.sequence ?? 0))
      if (isOver) await this.#keepRounds()
      else await this.ctx.storage.setAlarm(Date.now() + ROUND_PAUSE_MS)
    })
  }

  /** One that does not answer is no concern of the others: it is asked again in the next round. */
  async #rearm(operationIds: string[]): Promise<void> {
    const ask = async () => {
      for (let id = operationIds.shift(); id !== undefined; id = operationIds.shift()) {
        try {
          // oxlint-disable-next-line no-await-in-loop -- each of those at once takes one after the other
          await this.env.OPERATIONS.getByName(id).rearm()
        } catch (error) {
          logFault('an object did not see to its alarm', new Error(errorName(error)))
        }
      }
    }
    await Promise.all(Array.from({ length: ASKED_AT_ONCE }, ask))
  }

  /** Where there is a list there is a next round, also when the platform has given an alarm up. */
  async #keepRounds(): Promise<void> {
    const [first] = this.#sql.exec('SELECT 1 FROM stuck LIMIT 1')
    if (first === undefined) return
    const now = Date.now()
    const alarmAt = await this.ctx.storage.getAlarm()
    if (alarmAt === null) await this.ctx.storage.setAlarm(now + ROUND_MS)
    else if (alarmAt < now - ROUND_PAUSE_MS) await this.ctx.storage.setAlarm(now + ROUND_PAUSE_MS)
  }

  /** Whoever reads the list gets it also where the alarm cannot be set. */
  #keepRoundsLater(): void {
    const rounds = this.#keepRounds().catch((error: unknown) => {
      logFault('the alarm of the directory could not be set', new Error(errorName(error)))
    })
    this.ctx.waitUntil(rounds)
  }

  #page<entry>(table: 'stuck' | 'letter', { after, limit }: PageQuestion): Page<entry> {
    const rows = this.#sql
      .exec<Row>(
        `SELECT sequence, head FROM ${table} WHERE sequence < ? ORDER BY sequence DESC LIMIT ?`,
        after ?? Number.MAX_SAFE_INTEGER,
        limit + 1,
      )
      .toArray()
    const shown = rows.slice(0, limit)
    const entries = shown.map(({ head }) => JSON.parse(head) as entry)
    return { entries, next: rows.length > limit ? (shown.at(-1)?.sequence ?? null) : null }
  }

  get #sql(): SqlStorage {
    return this.ctx.storage.sql
  }
}
