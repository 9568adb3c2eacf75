const DEFAULT_TABLE = 'hapax_outbox'

/** A name that needs no quoting, is none of SQLite's or D1's own, and leaves room for an index's suffix. */
const TABLE = /^(?!sqlite_|_cf_|d1_)[a-z_]\w{0,59}$/i

/**
 * The migration that an outbox of another name needs.
 *
 * @param table Letters, digits and `_`; `hapax_outbox` unless it says otherwise.
 * @throws {TypeError} When it is not such a name.
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
  -- The relay that is delivering it, and until when it may.
  lease TEXT,
  lease_until INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS ${name}_due ON ${name} (due_at) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS ${name}_order ON ${name} (stream, destination, sequence) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS ${name}_delivered ON ${name} (ended_at) WHERE state = 'delivered';
CREATE INDEX IF NOT EXISTS ${name}_dead ON ${name} (sequence) WHERE state = 'dead';
`
}

/** The migration that `createD1Outbox` needs: a table `hapax_outbox` and its indexes. */
export const D1_OUTBOX_SQL: string = d1OutboxSql()

/** Every statement of an outbox, for its table. A value is bound, never written into a statement. */
export interface OutboxStatements {
  readonly insert: string
  readonly claim: string
  readonly deliver: string
  readonly postpone: string
  readonly bury: string
  readonly release: string
  readonly listDead: string
  readonly replay: string
  readonly cleanup: string
  readonly stats: string
}

/** @throws {TypeError} When the table's name is not an identifier. */
export function outboxStatements(table: string = DEFAULT_TABLE): OutboxStatements {
  const name = checkedTable(table)
  return {
    // Not `OR IGNORE`, which would also swallow an event that breaks a constraint.
    insert: `INSERT INTO ${name} (id, stream, destination, event, created_at, due_at)
      VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (id) DO NOTHING`,
    claim: claimOf(name),
    // Whatever became of its lease: it did arrive.
    deliver: `UPDATE ${name} SET state = 'delivered', ended_at = ?2, reason = NULL,
        lease = NULL, lease_until = 0
      WHERE sequence = ?1 AND state <> 'delivered'`,
    postpone: `UPDATE ${name} SET failures = failures + 1, reason = ?3, due_at = ?4,
        lease = NULL, lease_until = 0
      WHERE sequence = ?1 AND lease = ?2 AND state = 'pending'`,
    bury: `UPDATE ${name} SET failures = failures + 1, reason = ?3, state = 'dead', ended_at = ?4,
        lease = NULL, lease_until = 0
      WHERE sequence = ?1 AND lease = ?2 AND state = 'pending'`,
    release: `UPDATE ${name} SET lease = NULL, lease_until = 0
      WHERE stream = ?1 AND destination = ?2 AND lease = ?3 AND state = 'pending'`,
    listDead: `SELECT * FROM ${name} WHERE state = 'dead' AND sequence < ?1
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

/**
 * Takes the next events of streams whose first one is due and that no other relay is at: of each at
 * most `?6`. One statement, so that of two relays at once only one gets them.
 */
function claimOf(name: string): string {
  return `UPDATE ${name} SET lease = ?1, lease_until = ?2 WHERE sequence IN (
    WITH head AS (
      SELECT stream, destination, (
        SELECT max(sequence) FROM (
          SELECT sequence FROM ${name} AS next
          WHERE state = 'pending' AND next.stream = first.stream
            AND next.destination = first.destination
          ORDER BY sequence LIMIT ?6
        )
      ) AS last
      FROM ${name} AS first
      WHERE state = 'pending' AND due_at <= ?4 AND NOT EXISTS (
        SELECT 1 FROM ${name} AS other
        WHERE state = 'pending' AND other.stream = first.stream
          AND other.destination = first.destination
          AND (other.sequence < first.sequence OR other.lease_until > ?3)
      )
      ORDER BY due_at, sequence LIMIT ?5
    )
    SELECT row.sequence FROM head JOIN ${name} AS row
      ON row.stream = head.stream AND row.destination = head.destination
        AND row.sequence <= head.last AND row.state = 'pending'
  ) RETURNING sequence, stream, destination, event, failures, due_at`
}

/** A table cannot be bound: its name is the one thing that is written into a statement. */
function checkedTable(table: unknown): string {
  if (typeof table === 'string' && TABLE.test(table)) return table
  throw new TypeError(
    "An outbox's table has a name of letters, digits and '_', at most 60, such as 'hapax_outbox'.",
  )
}
