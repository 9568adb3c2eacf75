/** The tables of the directory; those of an earlier version get what they lack. */
export function createDirectoryTables(storage: DurableObjectStorage): void {
  storage.transactionSync(() => {
    storage.sql.exec(LISTS)
    const [counted] = storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'tally'")
    if (counted === undefined) storage.sql.exec(COUNTS)
  })
}

/**
 * `heard` holds the time of the last message about each operation, so that a late, older message is
 * ignored. Entries of operations that are not listed stay for a while.
 */
const LISTS = `
  CREATE TABLE IF NOT EXISTS stuck (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    head TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS stuck_since ON stuck (head ->> '$.since');
  CREATE TABLE IF NOT EXISTS letter (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    head TEXT NOT NULL,
    bytes BLOB NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS letter_operation ON letter (head ->> '$.operationId');
  CREATE TABLE IF NOT EXISTS heard (
    id TEXT PRIMARY KEY,
    said_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;`

/**
 * How much is on each list. Triggers keep it, so that it is right whatever writes to the lists: they
 * are part of the very statement. `INSERT OR REPLACE` would fire none for the row that it replaces.
 */
const COUNTS = `
  CREATE TABLE tally (
    list TEXT PRIMARY KEY,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO tally SELECT 'stuck', count(*), 0 FROM stuck;
  INSERT INTO tally SELECT 'letter', count(*),
    coalesce(sum(octet_length(head) + octet_length(bytes)), 0) FROM letter;
  ${triggersOf('stuck', () => '0')}
  ${triggersOf('letter', (row) => `octet_length(${row}.head) + octet_length(${row}.bytes)`)}`

function triggersOf(list: string, bytesOf: (row: 'NEW' | 'OLD') => string): string {
  const change = (sign: '+' | '-', row: 'NEW' | 'OLD') =>
    `UPDATE tally SET entries = entries ${sign} 1, bytes = bytes ${sign} (${bytesOf(row)})
      WHERE list = '${list}'`
  return `
    CREATE TRIGGER ${list}_replaced BEFORE INSERT ON ${list}
      BEGIN DELETE FROM ${list} WHERE id = NEW.id; END;
    CREATE TRIGGER ${list}_changed AFTER UPDATE ON ${list}
      BEGIN ${change('-', 'OLD')}; ${change('+', 'NEW')}; END;
    CREATE TRIGGER ${list}_added AFTER INSERT ON ${list} BEGIN ${change('+', 'NEW')}; END;
    CREATE TRIGGER ${list}_gone AFTER DELETE ON ${list} BEGIN ${change('-', 'OLD')}; END;`
}
