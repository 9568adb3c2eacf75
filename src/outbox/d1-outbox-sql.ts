const DEFAULT_TABLE = 'hapax_outbox'

/** A name that needs no quotes, is not reserved by SQLite or D1, and leaves room for the suffix of an index. */
const TABLE = /^(?!sqlite_|_cf_|d1_)[a-z_]\w{0,59}$/i

/**
 * The migration of an outbox with another table name.
 *
 * @param table Letters, digits and `_`. Default: `hapax_outbox`.
 * @throws {TypeError} If the name is invalid.
 */
export function d1OutboxSql(table: string = DEFAULT_TABLE): string {
  const name = checkedTable(table)
  return `CREATE TABLE IF NOT EXISTS ${name} (
  -- The order in which events were committed: D1 has one writer.
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  -- Of the CloudEvent: the same in every delivery.
  id TEXT NOT NULL UNIQUE,
  -- Events of one stream that go to one destination are delivered in their order.
  stream TEXT NOT NULL,
  destination TEXT NOT NULL CHECK (json_valid(destination)),
  event TEXT NOT NULL CHECK (json_valid(event)),
  state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'dead')),
  -- Deliveries that have failed, and why the last one did.
  failures INTEGER NOT NULL DEFAULT 0,
  reason TEXT,
  -- Times are epoch milliseconds.
  created_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  ended_at INTEGER,
  -- Of the first event: the relay that is at its stream, after the time since when; and until when.
  lease TEXT,
  lease_until INTEGER NOT NULL DEFAULT 0,
  -- Whether it is the first pending event of its stream and destination. Triggers see to that.
  is_head INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS ${name}_order ON ${name} (stream, destination, sequence) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS ${name}_delivered ON ${name} (ended_at) WHERE state = 'delivered';
CREATE INDEX IF NOT EXISTS ${name}_dead ON ${name} (sequence) WHERE state = 'dead';
${headSql(name)}`
}

/**
 * The migration of a table without the column `is_head`. It does not change pending events, and relays
 * of the previous version continue to work.
 *
 * @param table As for `d1OutboxSql`.
 * @throws {TypeError} If the name is invalid.
 */
export function d1OutboxUpgradeSql(table: string = DEFAULT_TABLE): string {
  const name = checkedTable(table)
  return `ALTER TABLE ${name} ADD COLUMN is_head INTEGER NOT NULL DEFAULT 0;
${headSql(name)}UPDATE ${name} SET is_head = 1 WHERE sequence IN
  (SELECT min(sequence) FROM ${name} WHERE state = 'pending' GROUP BY stream, destination);
DROP INDEX IF EXISTS ${name}_due;
`
}

/**
 * The triggers that keep `is_head` correct, whatever code writes to the table. The lease moves with the
 * head of a stream. The body of a trigger is one line, because some tools split migrations at line ends.
 */
function headSql(name: string): string {
  const pending = (row: string) =>
    `FROM ${name} WHERE state = 'pending' AND stream = ${row}.stream AND destination = ${row}.destination`
  const first = (row: string) => `(SELECT min(sequence) ${pending(row)})`
  const lead = `UPDATE ${name} SET is_head = (sequence = NEW.sequence), (lease, lease_until) = (SELECT lease, max(lease_until) FROM (SELECT lease, lease_until ${pending('NEW')} ORDER BY sequence LIMIT 2)) WHERE sequence IN (SELECT sequence ${pending('NEW')} ORDER BY sequence LIMIT 2)`
  const pass = `UPDATE ${name} SET is_head = 1, lease = OLD.lease, lease_until = OLD.lease_until WHERE sequence = ${first('OLD')}`
  const leave = `UPDATE ${name} SET is_head = 0, lease = NULL, lease_until = 0 WHERE sequence = NEW.sequence`
  return `CREATE INDEX IF NOT EXISTS ${name}_head ON ${name} (due_at, sequence) WHERE is_head = 1;
CREATE INDEX IF NOT EXISTS ${name}_age ON ${name} (created_at) WHERE state = 'pending';
CREATE TRIGGER IF NOT EXISTS ${name}_inserted AFTER INSERT ON ${name}
WHEN NEW.state = 'pending' AND NEW.sequence = ${first('NEW')}
BEGIN ${lead}; END;
CREATE TRIGGER IF NOT EXISTS ${name}_replayed AFTER UPDATE OF state ON ${name}
WHEN OLD.state <> 'pending' AND NEW.state = 'pending' AND NEW.sequence = ${first('NEW')}
BEGIN ${lead}; END;
CREATE TRIGGER IF NOT EXISTS ${name}_ended AFTER UPDATE OF state ON ${name}
WHEN OLD.state = 'pending' AND NEW.state <> 'pending' AND OLD.is_head = 1
BEGIN ${leave}; ${pass}; END;
CREATE TRIGGER IF NOT EXISTS ${name}_moved AFTER UPDATE OF sequence, stream, destination ON ${name}
WHEN OLD.state = 'pending' AND NEW.state = 'pending' AND (OLD.sequence, OLD.stream, OLD.destination) <> (NEW.sequence, NEW.stream, NEW.destination)
BEGIN ${pass} AND OLD.is_head = 1; ${leave}; ${lead} AND NEW.sequence = ${first('NEW')}; END;
CREATE TRIGGER IF NOT EXISTS ${name}_deleted AFTER DELETE ON ${name}
WHEN OLD.state = 'pending' AND OLD.is_head = 1
BEGIN ${pass}; END;
`
}

/** The migration for `createD1Outbox`: the table `hapax_outbox` with its indexes and triggers. */
export const D1_OUTBOX_SQL: string = d1OutboxSql()

/** The statements of an outbox. Values are always bound. */
export type OutboxStatements = ReturnType<typeof outboxStatements>

/** @throws {TypeError} If the name of the table is invalid. */
export function outboxStatements(table: string = DEFAULT_TABLE) {
  const name = checkedTable(table)
  return {
    // Not `OR IGNORE`, which would also drop an event that violates a constraint.
    insert: `INSERT INTO ${name} (id, stream, destination, event, created_at, due_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (id) DO NOTHING`,
    ...leaseStatements(name),
    // Without a check of the lease, because the event has arrived.
    deliver: `UPDATE ${name} SET state = 'delivered', ended_at = ?2, reason = NULL
      WHERE sequence = ?1 AND state <> 'delivered'`,
    postpone: `UPDATE ${name} SET failures = failures + 1, reason = ?3, due_at = ?4,
        lease = NULL, lease_until = 0
      WHERE sequence = ?1 AND lease = ?2 AND state = 'pending'`,
    bury: `UPDATE ${name} SET failures = failures + 1, reason = ?3, state = 'dead', ended_at = ?4
      WHERE sequence = ?1 AND lease = ?2 AND state = 'pending'`,
    listDead: `SELECT sequence, id, stream, destination, event, reason, failures AS attempts,
        created_at AS createdAt, ended_at AS deadAt
      FROM ${name} WHERE state = 'dead' AND sequence < ?1
      ORDER BY sequence DESC LIMIT ?2`,
    replay: `UPDATE ${name} SET state = 'pending', failures = 0, due_at = ?2, ended_at = NULL
      WHERE id = ?1 AND state = 'dead'`,
    cleanup: `DELETE FROM ${name} WHERE sequence IN
      (SELECT sequence FROM ${name} WHERE state = 'delivered' AND ended_at < ?1 LIMIT ?2)`,
    stats: `SELECT
        (SELECT count(*) FROM ${name} WHERE state = 'pending') AS pending,
        (SELECT min(created_at) FROM ${name} WHERE state = 'pending') AS oldestAt,
        (SELECT count(*) FROM ${name} WHERE state = 'dead') AS dead`,
  }
}

const TAKEN = 'sequence, stream, destination, event, failures, due_at, lease_until'

/** Only one relay at a time delivers a stream to a destination: the one with the lease of its first event. */
function leaseStatements(name: string) {
  const head = `sequence = (SELECT min(sequence) FROM ${name}
        WHERE state = 'pending' AND stream = ?2 AND destination = ?3) AND lease = ?1`
  return {
    // One statement, so that only one of two relays gets a stream. A lease from the future is ignored,
    // because the clock of its relay was wrong.
    claim: `UPDATE ${name} SET lease = ?1, lease_until = ?2 WHERE sequence IN (
        SELECT sequence FROM ${name}
        WHERE is_head = 1 AND due_at <= ?4
          AND (lease_until <= ?3 OR CAST(lease AS INTEGER) > ?6)
        ORDER BY due_at, sequence LIMIT ?5
      ) RETURNING ${TAKEN}`,
    next: `SELECT ${TAKEN} FROM ${name} WHERE ${head}`,
    release: `UPDATE ${name} SET lease = NULL, lease_until = 0 WHERE ${head}`,
  }
}

/** Checks the name of a table, which cannot be bound and is written into the statements. */
function checkedTable(table: unknown): string {
  if (typeof table === 'string' && TABLE.test(table)) return table
  throw new TypeError(
    "An outbox's table has a name of letters, digits and '_', at most 60, such as 'hapax_outbox'.",
  )
}
