import { adoptEvents, createEventTable } from './event-rows.ts'

/** The columns of each table. A table is created when its first row is written. */
const COLUMNS = {
  operation: `
    id TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    due_at INTEGER,
    body BLOB`,
  body: `
    operation_id TEXT NOT NULL,
    belongs_to TEXT NOT NULL,
    part INTEGER NOT NULL,
    bytes BLOB,
    spill_key TEXT,
    PRIMARY KEY (operation_id, belongs_to, part)`,
  left_body: `
    operation_id TEXT NOT NULL,
    belongs_to TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (operation_id, belongs_to)`,
  garbage: 'spill_key TEXT PRIMARY KEY',
} as const

/** A table that has a key of its own. */
type KeyedTable = keyof typeof COLUMNS

/**
 * The SQLite tables of one object. Synchronous, so that work on them composes in a transaction.
 *
 * Each is created when its first row is written: creating one is billed as two rows, an object that
 * is only asked about should not occupy storage, and after `deleteAll` the instance lives on without
 * them.
 */
export class Tables {
  readonly #storage: DurableObjectStorage
  /** The tables and indexes that exist, with the statements that made them; `null`: not known. */
  #known: Map<string, string> | null = null

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage
  }

  get sql(): SqlStorage {
    return this.#storage.sql
  }

  /** Runs a read-decide-write as one: all of it is stored, or nothing. */
  transaction<result>(work: () => result): result {
    try {
      return this.#storage.transactionSync(work)
    } catch (error) {
      // The creation of a table may have been rolled back.
      this.#known = null
      throw error
    }
  }

  /** Whether a table or an index exists. */
  has(name: string): boolean {
    return this.#names().has(name)
  }

  /** Whether anything was ever written. If not, there is no storage to give back. */
  get areThere(): boolean {
    return this.#names().size > 0
  }

  /** The names of the tables and indexes that exist. */
  names(): readonly string[] {
    return [...this.#names().keys()]
  }

  /** Creates a table, if it does not exist. */
  require(name: KeyedTable): void {
    if (!this.has(name))
      this.create(
        name,
        `CREATE TABLE IF NOT EXISTS ${name} (${COLUMNS[name]}) STRICT, WITHOUT ROWID`,
      )
  }

  /** Creates the table of events, if it does not exist. */
  requireEvents(): void {
    if (this.has('event')) return
    createEventTable(this.sql)
    this.#names().set('event', '')
  }

  /** Creates the table of operations, or adds the column that an earlier version did not have. */
  requireOperations(): void {
    this.require('operation')
    if (this.#names().get('operation')?.includes('body BLOB') === true) return
    this.create('operation', 'ALTER TABLE operation ADD COLUMN body BLOB')
  }

  /** Runs a statement that creates or changes a table or an index. */
  create(name: string, statement: string): void {
    this.sql.exec(statement)
    const before = this.#names().get(name) ?? ''
    this.#names().set(name, before + statement)
  }

  drop(name: string): void {
    this.sql.exec(`DROP TABLE ${name}`)
    this.#names().delete(name)
  }

  #names(): Map<string, string> {
    return (this.#known ??= this.#look())
  }

  #look(): Map<string, string> {
    const rows = this.sql.exec<{ name: string; made: string | null }>(
      "SELECT name, sql AS made FROM sqlite_master WHERE name NOT LIKE '\\_cf%' ESCAPE '\\'",
    )
    const known = new Map(Array.from(rows, ({ name, made }) => [name, made ?? '']))
    if (known.has('event')) {
      this.#storage.transactionSync(() => adoptEvents(this.sql, new Set(known.keys())))
    }
    return known
  }

  /** Gives the whole storage back, the alarm included. */
  async deleteAll(): Promise<void> {
    this.#known = new Map()
    await this.#storage.deleteAll()
  }
}
