import { DurableObject } from 'cloudflare:workers'

import type { Effect, EffectKind, LedgerPage, NewEffect } from './ledger-page.ts'

/** A type without the index signature that SQL rows are asked for, with it. */
type Row<T> = { [Column in keyof T]: T[Column] }

/** Counts every side effect of the API, so that a second one cannot stay unseen. */
export class Ledger extends DurableObject<object> {
  readonly #sql: SqlStorage

  constructor(ctx: DurableObjectState, env: object) {
    super(ctx, env)
    this.#sql = ctx.storage.sql
    this.#sql.exec(`
      CREATE TABLE IF NOT EXISTS effects (
        kind TEXT NOT NULL, key TEXT, attempt INTEGER, at INTEGER NOT NULL,
        id TEXT NOT NULL, answer TEXT NOT NULL
      );
      CREATE TABLE IF NOT EXISTS calls (count INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS credentials (credential TEXT PRIMARY KEY);
      INSERT INTO calls SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM calls)`)
  }

  /** Counts a request before it is looked at. */
  countCall(credential: string): void {
    this.#sql.exec('UPDATE calls SET count = count + 1')
    this.#sql.exec('INSERT OR IGNORE INTO credentials VALUES (?)', credential)
  }

  /**
   * Makes the side effect happen: always, since nothing here asks whether it did before.
   *
   * @param answer What the API answers, as JSON text.
   */
  record(effect: NewEffect, answer: string): void {
    this.#sql.exec(
      'INSERT INTO effects VALUES (?, ?, ?, ?, ?, ?)',
      effect.kind,
      effect.key,
      effect.attempt,
      Date.now(),
      effect.id,
      answer,
    )
  }

  /** The payment made under this key, as JSON text, or null. */
  paymentByKey(key: string): string | null {
    return this.#answer('key = ?', key)
  }

  /** The payment of this id, as JSON text, or null. */
  paymentById(id: string): string | null {
    return this.#answer('id = ?', id)
  }

  /** All of it, in the order in which it happened. */
  read(): LedgerPage {
    const effects = this.#sql
      .exec<Row<Effect>>('SELECT kind, key, attempt, at, id FROM effects ORDER BY rowid')
      .toArray()
    const kinds = this.#sql
      .exec<{ kind: EffectKind; count: number }>(
        'SELECT kind, count(*) AS count FROM effects GROUP BY kind',
      )
      .toArray()
    return {
      calls: this.#sql.exec<{ count: number }>('SELECT count FROM calls').one().count,
      counts: Object.fromEntries(kinds.map(({ kind, count }) => [kind, count])),
      effects,
      credentials: this.#sql
        .exec<{ credential: string }>('SELECT credential FROM credentials')
        .toArray()
        .map(({ credential }) => credential),
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#sql.exec('DELETE FROM effects; DELETE FROM credentials; UPDATE calls SET count = 0')
  }

  #answer(where: string, value: string): string | null {
    const [row] = this.#sql
      .exec<{ answer: string }>(
        `SELECT answer FROM effects WHERE kind = 'payment' AND ${where} LIMIT 1`,
        value,
      )
      .toArray()
    return row?.answer ?? null
  }
}
