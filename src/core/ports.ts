/**
 * What the core asks of the world: synchronous storage. Everything else that the core needs arrives as an input
 * (bytes, records, `now`) and leaves as an effect.
 */

/** A value that both implementations of {@link Sql} store and return unchanged. Integers are exact up to 2^53. */
export type SqlValue = string | number | Uint8Array | null;

/** One row, by column name. */
export type SqlRow = Record<string, SqlValue>;

/**
 * A synchronous SQLite database that belongs to one object.
 *
 * Implementations: the object's own SQLite (`src/objects/sql.ts`) and `node:sqlite` for tests and simulation
 * (`test/support/node-sql.ts`), both held to `test/contracts/sql.ts`.
 *
 * Durability: a write is durable before anything that the object sends afterwards leaves it (in production the
 * output gate sees to that). An exception means that the storage failed: the object must be restarted, because what
 * it holds in memory may be ahead of what is stored.
 */
export interface Sql {
  /** Runs a query and returns every row. Blobs are returned as `Uint8Array`. */
  rows(query: string, ...parameters: SqlValue[]): SqlRow[];
  /** Runs a statement for its effect. */
  run(query: string, ...parameters: SqlValue[]): void;
  /** Runs `body` so that all of its writes are kept, or none of them when it throws. May be nested. */
  transaction<T>(body: () => T): T;
  /** Bytes that the database occupies, free pages included. */
  readonly bytes: number;
  /** Removes every table and row. The schema must be created again before the next use. */
  wipe(): void;
}
