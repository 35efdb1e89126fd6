/**
 * {@link Sql} over the SQLite database of a Durable Object. What the platform does that is not obvious, all of it seen
 * in workerd 1.20261102 and held by `test/contracts/sql.ts`:
 *
 * - A number is bound as REAL, whole or not. SQLite makes it an integer where the column is declared INTEGER and leaves
 *   it a REAL elsewhere (read back, it is the same number; as TEXT it would be "5.0"). So declare integers as INTEGER.
 * - A view into a larger buffer is bound as the bytes of the view; an empty one is an empty blob and not NULL.
 * - `undefined` is bound as NULL without a complaint (the Node implementation throws).
 * - At most 100 parameters, and exactly as many as the statement has. A query may hold several statements; the
 *   parameters then belong to the last one. A comment or a second `;` after the last one is an error, which comes
 *   after the statements before it have run.
 * - A cursor that is not read to its end keeps its statement running: it locks its table, and the object is reset when
 *   the turn's writes cannot be committed under it. So every statement here is read to its end, one with RETURNING too.
 * - BEGIN and SAVEPOINT are refused; `transactionSync` nests by itself, and an inner rollback leaves the outer alone.
 */
import type { Sql, SqlRow, SqlValue } from "../core/ports.ts";

export function objectSql(storage: DurableObjectStorage): Sql {
  const { sql } = storage;

  function rows(query: string, ...parameters: SqlValue[]): SqlRow[] {
    const found = sql.exec(query, ...parameters).toArray();
    for (const row of found) {
      for (const column in row) {
        const value = row[column];
        if (value instanceof ArrayBuffer) (row as SqlRow)[column] = new Uint8Array(value);
      }
    }
    return found as SqlRow[];
  }

  function run(query: string, ...parameters: SqlValue[]): void {
    sql.exec(query, ...parameters).toArray();
  }

  function transaction<T>(body: () => T): T {
    return storage.transactionSync(body);
  }

  /**
   * Drops the tables one by one, and does not call `storage.deleteAll()`. That one takes effect at once too, but it
   * takes the alarm with it, is not promised to be atomic with the writes around it, and inside `transactionSync` throws
   * an internal error with everything gone all the same. Dropping is part of the transaction, so "wipe, then store the
   * new state" is all or nothing; it costs no row written, however many rows go, and gives the pages back. What stays is
   * an empty database (4 KiB) and the alarm: an object that is to vanish altogether calls `deleteAll()` in its shell.
   */
  function wipe(): void {
    storage.transactionSync(() => {
      // Newest first, so that what refers to a table goes before it. `_cf_` tables are the platform's own (the alarm,
      // the key-value API) and may not be touched; `sqlite_` ones are SQLite's and empty themselves.
      const found = rows(
        `SELECT type, name FROM sqlite_master
         WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_cf_*'
         ORDER BY rowid DESC`,
      );
      for (const { type, name } of found) run(`DROP ${String(type)} "${String(name).replaceAll('"', '""')}"`);
    });
  }

  return {
    rows,
    run,
    transaction,
    wipe,
    get bytes() {
      return sql.databaseSize;
    },
  };
}
