import { DurableObject } from 'cloudflare:workers'

import type { HapaxEnv } from '../config/env.ts'
import { errorName } from '../core/error-name.ts'
import { IN_DOUBT } from '../core/message-fate.ts'
import { logFault } from '../metrics/log.ts'
import { Alarm } from '../platform/alarm.ts'
import { askMany } from '../platform/ask-many.ts'
import { guardNamed, placementBeside } from '../platform/objects.ts'
import {
  cut,
  type DeadLetter,
  type Decided,
  type Directory,
  type DirectoryCount,
  type ListedEntry,
  type Page,
  type PageQuestion,
  type StuckEntry,
  toListed,
} from './directory-guard.ts'
import { createDirectoryTables } from './directory-tables.ts'

/** How often every object of the list is asked to set its alarm again, in milliseconds. */
const ROUND_MS = 3_600_000
/** Most objects that are asked in one alarm, and the pause before the next ones are. */
const ROUND_BATCH = 60
const ROUND_PAUSE_MS = 1_000
/** How long the objects of one alarm may take together, in milliseconds. */
const ROUND_LIMIT_MS = 30_000

/** How late a message of an object may arrive, in milliseconds. */
const HEARD_MS = 900_000

/**
 * How much of the 10 GB of an object the letters may use, so that the list of stuck operations always
 * has room. If a letter cannot be buried, its sender keeps the event or message.
 */
export const MAX_LETTER_BYTES = 8_000_000_000
/** What a letter uses besides its head and bytes: its id twice, two indexes, pages that are not full. */
export const LETTER_ROW_BYTES = 320

/** Storage key of the position of a round. */
const CURSOR = 'round'

type List = 'stuck' | 'letter'
type DeadLetterHead = Omit<DeadLetter, 'bytes'>

interface Row extends Record<string, SqlStorageValue> {
  sequence: number
  head: string
}

interface Tally extends Record<string, SqlStorageValue> {
  entries: number
  bytes: number
}

const toListedEntry = ({ sequence, head }: Row): ListedEntry => ({
  ...(JSON.parse(head) as StuckEntry),
  sequence,
})

/**
 * The operators' lists of a deployment: operations whose outcome is unknown, and dead letters. Both are
 * rare, so one object holds them all.
 */
export class DirectoryObject extends DurableObject<HapaxEnv> implements Directory {
  readonly #alarm = new Alarm((at) => this.ctx.storage.setAlarm(at))

  constructor(ctx: DurableObjectState, env: HapaxEnv) {
    super(ctx, env)
    createDirectoryTables(ctx.storage)
  }

  async list(entry: StuckEntry, saidAt = Date.now()): Promise<void> {
    this.ctx.storage.transactionSync(() => {
      if (!this.#isLatest(entry.operationId, saidAt)) return
      // Of an entry that is there already the table's trigger takes the old one away.
      const sql = 'INSERT INTO stuck (id, head) VALUES (?, ?)'
      this.#sql.exec(sql, entry.operationId, JSON.stringify(entry))
    })
    await this.#keepRounds()
  }

  async unlist(operationId: string, saidAt: number): Promise<void> {
    this.ctx.storage.transactionSync(() => {
      if (!this.#isLatest(operationId, saidAt)) return
      this.#sql.exec('DELETE FROM stuck WHERE id = ?', operationId)
    })
  }

  /**
   * Whether no later message about an operation has arrived. A message that its sender has given up
   * may still arrive after the one that replaced it.
   */
  #isLatest(operationId: string, saidAt: number): boolean {
    const sql = `INSERT INTO heard (id, said_at) VALUES (?, ?) ON CONFLICT (id)
      DO UPDATE SET said_at = excluded.said_at WHERE excluded.said_at >= said_at`
    return this.#sql.exec(sql, operationId, saidAt).rowsWritten > 0
  }

  async listStuck(question: PageQuestion): Promise<Page<ListedEntry>> {
    this.#keepRoundsLater()
    return this.#page('stuck', question, toListedEntry)
  }

  async strike(entries: readonly Pick<ListedEntry, 'operationId' | 'sequence'>[]): Promise<void> {
    const sql = 'DELETE FROM stuck WHERE sequence = ? AND id = ?'
    this.ctx.storage.transactionSync(() => {
      for (const { operationId, sequence } of entries) this.#sql.exec(sql, sequence, operationId)
    })
  }

  /** Burying the same letter twice makes one entry: the sender may not have received the first answer. */
  async bury({ bytes, ...head }: DeadLetter): Promise<void> {
    this.ctx.storage.transactionSync(() => {
      const sql = 'INSERT INTO letter (id, head, bytes) VALUES (?, ?, ?)'
      this.#sql.exec(sql, head.id, JSON.stringify(toListed(head)), bytes)
      const { entries, bytes: held } = this.#tallyOf('letter')
      if (held + entries * LETTER_ROW_BYTES <= MAX_LETTER_BYTES) return
      throw new Error('There are too many dead letters: replay some, or drop them.')
    })
  }

  async undecide(operationId: string): Promise<void> {
    this.#sql.exec(
      `UPDATE letter
        SET head = json_set(json_remove(head, '$.decision'), '$.reason', ?)
        WHERE head ->> '$.operationId' = ? AND head ->> '$.from' = 'inbox'
          AND coalesce(head ->> '$.decision', replace(head ->> '$.reason', 'retries-exhausted: ', ''))
            IN (SELECT value FROM json_each(?))`,
      'not_executed: resolved by an operator',
      operationId,
      JSON.stringify([...IN_DOUBT]),
    )
  }

  async decide(id: string, { decision, reason, operationId }: Decided): Promise<void> {
    this.#sql.exec(
      `UPDATE letter
        SET head = json_set(head, '$.decision', ?, '$.reason', ?,
          '$.operationId', coalesce(?, head ->> '$.operationId'))
        WHERE id = ?`,
      decision,
      cut(reason),
      operationId,
      id,
    )
  }

  async listLetters(question: PageQuestion): Promise<Page<DeadLetterHead>> {
    return this.#page('letter', question, ({ head }) => JSON.parse(head) as DeadLetterHead)
  }

  async letter(id: string): Promise<DeadLetter | null> {
    const rows = this.#sql.exec<{ head: string; bytes: ArrayBuffer }>(
      'SELECT head, bytes FROM letter WHERE id = ?',
      id,
    )
    const [row] = rows.toArray()
    if (row === undefined) return null
    const head = JSON.parse(row.head) as DeadLetterHead
    return { ...head, bytes: new Uint8Array(row.bytes) }
  }

  async count(): Promise<DirectoryCount> {
    this.#keepRoundsLater()
    const { entries: letters, bytes: letterBytes } = this.#tallyOf('letter')
    const [oldest] = this.#sql.exec<{ since: number }>(
      "SELECT head ->> '$.since' AS since FROM stuck ORDER BY head ->> '$.since' LIMIT 1",
    )
    const stuck = this.#tallyOf('stuck').entries
    return { stuck, letters, letterBytes, oldestAt: oldest?.since ?? null }
  }

  #tallyOf(list: List): Tally {
    const sql = 'SELECT entries, bytes FROM tally WHERE list = ?'
    return this.#sql.exec<Tally>(sql, list).one()
  }

  async dropLetter(id: string): Promise<boolean> {
    return this.#sql.exec('DELETE FROM letter WHERE id = ?', id).rowsWritten > 0
  }

  /**
   * Asks the objects of the list, a batch each time, to set their alarms again: an object whose alarm
   * the platform has given up recovers nothing until a request arrives. Operations that have ended
   * are struck off, in case the message of their object was lost.
   */
  override alarm(): Promise<void> {
    return this.#alarm.ring(async () => {
      const sql = 'SELECT sequence, head FROM stuck WHERE sequence > ? ORDER BY sequence LIMIT ?'
      const after = this.ctx.storage.kv.get<number>(CURSOR) ?? 0
      const batch = Array.from(this.#sql.exec<Row>(sql, after, ROUND_BATCH), toListedEntry)
      await this.#rearm(batch)
      const isOver = batch.length < ROUND_BATCH
      if (isOver) this.#forgetHeard()
      this.ctx.storage.kv.put(CURSOR, isOver ? 0 : (batch.at(-1)?.sequence ?? 0))
      if (isOver) await this.#keepRounds()
      else await this.ctx.storage.setAlarm(Date.now() + ROUND_PAUSE_MS)
    })
  }

  /** An object that does not answer is asked again in the next round. */
  async #rearm(batch: readonly ListedEntry[]): Promise<void> {
    const deployed = placementBeside(this.ctx.id)
    const guardOf = (name: string) => guardNamed(this.env, deployed, name)
    const asked = await askMany(
      batch,
      ({ operationId, object = operationId }) => guardOf(object).rearm(operationId),
      { inAllMs: ROUND_LIMIT_MS },
    )
    const isOver = (_: unknown, index: number) => {
      const one = asked[index]
      return one?.kind === 'answered' && one.answer === 'over'
    }
    await this.strike(batch.filter(isOver))
  }

  #forgetHeard(): void {
    const sql = 'DELETE FROM heard WHERE said_at < ? AND id NOT IN (SELECT id FROM stuck)'
    this.#sql.exec(sql, Date.now() - HEARD_MS)
  }

  /** Plans the next round while there are entries, even if the platform has given up the alarm. */
  async #keepRounds(): Promise<void> {
    const [first] = this.#sql.exec('SELECT 1 FROM stuck UNION ALL SELECT 1 FROM heard LIMIT 1')
    if (first === undefined) return
    const now = Date.now()
    const alarmAt = await this.ctx.storage.getAlarm()
    if (alarmAt === null) await this.ctx.storage.setAlarm(now + ROUND_MS)
    else if (alarmAt < now - ROUND_PAUSE_MS) await this.ctx.storage.setAlarm(now + ROUND_PAUSE_MS)
  }

  /** A reader of the list gets it even if the alarm cannot be set. */
  #keepRoundsLater(): void {
    const rounds = this.#keepRounds().catch((error: unknown) => {
      logFault('the alarm of the directory could not be set', new Error(errorName(error)))
    })
    this.ctx.waitUntil(rounds)
  }

  #page<entry>(
    list: List,
    { after, limit }: PageQuestion,
    toEntry: (row: Row) => entry,
  ): Page<entry> {
    const rows = this.#sql
      .exec<Row>(
        `SELECT sequence, head FROM ${list} WHERE sequence < ? ORDER BY sequence DESC LIMIT ?`,
        after ?? Number.MAX_SAFE_INTEGER,
        limit + 1,
      )
      .toArray()
    const shown = rows.slice(0, limit)
    const next = rows.length > limit ? (shown.at(-1)?.sequence ?? null) : null
    return { entries: shown.map(toEntry), next }
  }

  get #sql(): SqlStorage {
    return this.ctx.storage.sql
  }
}
