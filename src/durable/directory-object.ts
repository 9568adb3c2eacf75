import { DurableObject } from 'cloudflare:workers'

import type { HapaxEnv } from '../config/env.ts'
import type { DeadLetter, Directory, Page, PageQuestion, StuckEntry } from './directory-guard.ts'

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
  }

  async listStuck(question: PageQuestion): Promise<Page<StuckEntry>> {
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
      JSON.stringify(head),
      bytes,
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
