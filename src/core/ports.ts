/**
 * What the core asks of the world: synchronous storage, and hashes. Everything else that the core needs arrives as an
 * input (bytes, records, `now`) and leaves as an effect.
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

/**
 * What authentication computes with, in the platform's own implementation because that is quicker than ours and compares
 * without telling by its time. Synchronous and without I/O; {@link randomBytes} is the one answer that is not a function
 * of its arguments.
 *
 * Implementation: `src/edge/cryptography.ts`, in workerd and in Node.
 */
export interface Cryptography {
  sha256(bytes: Uint8Array): Uint8Array;
  hmacSha256(key: Uint8Array, bytes: Uint8Array): Uint8Array;
  /** PBKDF2 with HMAC-SHA-256, 32 bytes of it (RFC 8018 §5.2). Some 0.1 to 0.5 µs an iteration. */
  pbkdf2Sha256(password: Uint8Array, salt: Uint8Array, iterations: number): Uint8Array;
  sha512(bytes: Uint8Array): Uint8Array;
  /** The same with HMAC-SHA-512, `bytes` of it. Some 0.3 to 0.5 µs an iteration and 64 bytes. */
  pbkdf2Sha512(password: Uint8Array, salt: Uint8Array, iterations: number, bytes: number): Uint8Array;
  /** Whether two arrays of the same length are the same, in a time that does not depend on where they differ. */
  equal(one: Uint8Array, other: Uint8Array): boolean;
  /** Bytes that nobody can guess. */
  randomBytes(count: number): Uint8Array;
}
