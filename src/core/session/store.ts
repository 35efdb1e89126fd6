/**
 * What a session object stores, and how: the session, if it outlives its connections, with its subscriptions; what its
 * shards have still to forget; and the wills that are still to be published or dropped. Tables are made for the first
 * row that they hold, because making one costs rows written; a session that ends with its connection leaves none, and its
 * object's database goes when nothing is owed any more.
 */

import { ByteReader, ByteWriter } from "../../link/bytes.ts";
import { readMessage, writeMessage } from "../../link/message.ts";
import { type Fence, readSubscriptionFlags, subscriptionFlags, type SubscriptionRecord } from "../../link/records.ts";
import type { Message } from "../../mqtt/message.ts";
import type { Sql } from "../ports.ts";
import { SCHEMA_VERSION, schemaVersion } from "../schema.ts";

const SCHEMA = {
  // One row: the session that outlives its connections. Shards are two bytes each.
  session: `CREATE TABLE session ( -- schema ${SCHEMA_VERSION}
    one INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    connection TEXT NOT NULL,
    present INTEGER NOT NULL,
    expiry_seconds INTEGER NOT NULL,
    gone_at INTEGER,
    shards BLOB NOT NULL
  )`,
  subscription: `CREATE TABLE subscription ( -- schema ${SCHEMA_VERSION}
    filter TEXT PRIMARY KEY,
    flags INTEGER NOT NULL,
    identifier INTEGER NOT NULL
  ) WITHOUT ROWID`,
  // What a shard still holds of a generation that is over.
  wipe: `CREATE TABLE wipe ( -- schema ${SCHEMA_VERSION}
    shard INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL
  )`,
  // One row per connection that left a will; due is NULL while the connection lives.
  will: `CREATE TABLE will ( -- schema ${SCHEMA_VERSION}
    epoch INTEGER PRIMARY KEY,
    generation INTEGER NOT NULL,
    connection TEXT NOT NULL,
    delay_seconds INTEGER NOT NULL,
    held INTEGER NOT NULL,
    message BLOB NOT NULL,
    due INTEGER
  )`,
};
type Table = keyof typeof SCHEMA;

/** A will and the connection whose it is. */
export interface Will extends Fence {
  /** The connection's own name. */
  readonly connection: string;
  /** Will Delay Interval. */
  readonly delaySeconds: number;
  /** Its client was made to connect again: it is not published if the client does, before it is due. */
  readonly held: boolean;
  readonly message: Message;
  /** When it is to be published, in milliseconds since 1970; undefined while its connection lives. */
  readonly due: number | undefined;
}

/** A session that outlives its connections; generation and epoch are of the latest one. */
export interface KeptSession extends Fence {
  /** The latest connection's own name. */
  readonly connection: string;
  /** That connection found the session. */
  readonly present: boolean;
  /** How long it outlives that connection. */
  readonly expirySeconds: number;
  /** When that connection was over, or will count as over; undefined while it lives. In milliseconds since 1970. */
  readonly goneAt: number | undefined;
  /** Shards that may hold state of it. */
  readonly shards: readonly number[];
}

/** A shard that has to forget a generation and those before it. */
export interface Wipe {
  readonly shard: number;
  readonly generation: number;
}

export class SessionStore {
  readonly #sql: Sql;
  readonly #tables: Set<Table>;

  constructor(sql: Sql) {
    this.#sql = sql;
    if (schemaVersion(sql) === 0) migrateFrom0(sql);
    const found = new Set(sql.rows("SELECT name FROM sqlite_master WHERE type = 'table'").map(({ name }) => name));
    this.#tables = new Set((Object.keys(SCHEMA) as Table[]).filter((table) => found.has(table)));
  }

  transaction<T>(body: () => T): T {
    return this.#sql.transaction(body);
  }

  /** The database is about to be wiped. */
  wiped(): void {
    this.#tables.clear();
  }

  // The session.

  session(): KeptSession | undefined {
    const row = this.#has("session") ? this.#sql.rows("SELECT * FROM session")[0] : undefined;
    return (
      row && {
        generation: row["generation"] as number,
        epoch: row["epoch"] as number,
        connection: row["connection"] as string,
        present: row["present"] === 1,
        expirySeconds: row["expiry_seconds"] as number,
        goneAt: (row["gone_at"] as number | null) ?? undefined,
        shards: readShards(row["shards"] as Uint8Array),
      }
    );
  }

  putSession(session: KeptSession): void {
    this.#make("session");
    this.#sql.run(
      `INSERT OR REPLACE INTO session (one, generation, epoch, connection, present, expiry_seconds, gone_at, shards)
       VALUES (1, ?, ?, ?, ?, ?, ?, ?)`,
      session.generation,
      session.epoch,
      session.connection,
      session.present ? 1 : 0,
      session.expirySeconds,
      session.goneAt ?? null,
      writeShards(session.shards),
    );
  }

  deleteSession(): void {
    if (this.#has("session")) this.#sql.run("DELETE FROM session");
    if (this.#has("subscription")) this.#sql.run("DELETE FROM subscription");
  }

  /** In the order of their filters, and numbered in it. */
  subscriptions(): SubscriptionRecord[] {
    if (!this.#has("subscription")) return [];
    return this.#sql.rows("SELECT filter, flags, identifier FROM subscription ORDER BY filter").map((row, at) => ({
      number: at + 1,
      filter: row["filter"] as string,
      ...readSubscriptionFlags(row["flags"] as number),
      identifier: row["identifier"] as number,
    }));
  }

  putSubscription(subscription: SubscriptionRecord): void {
    this.#make("subscription");
    this.#sql.run(
      "INSERT OR REPLACE INTO subscription (filter, flags, identifier) VALUES (?, ?, ?)",
      subscription.filter,
      subscriptionFlags(subscription),
      subscription.identifier,
    );
  }

  deleteSubscription(filter: string): void {
    if (this.#has("subscription")) this.#sql.run("DELETE FROM subscription WHERE filter = ?", filter);
  }

  // What shards have to forget.

  wipes(): Wipe[] {
    if (!this.#has("wipe")) return [];
    return this.#sql
      .rows("SELECT shard, generation FROM wipe ORDER BY shard")
      .map((row) => ({ shard: row["shard"] as number, generation: row["generation"] as number }));
  }

  putWipe({ shard, generation }: Wipe): void {
    this.#make("wipe");
    this.#sql.run("INSERT OR REPLACE INTO wipe (shard, generation) VALUES (?, ?)", shard, generation);
  }

  deleteWipe(shard: number): void {
    this.#sql.run("DELETE FROM wipe WHERE shard = ?", shard);
  }

  // Wills.

  wills(): Will[] {
    if (!this.#has("will")) return [];
    return this.#sql.rows("SELECT * FROM will ORDER BY epoch").map((row) => ({
      epoch: row["epoch"] as number,
      connection: row["connection"] as string,
      generation: row["generation"] as number,
      delaySeconds: row["delay_seconds"] as number,
      held: row["held"] === 1,
      message: readMessage(new ByteReader(row["message"] as Uint8Array)),
      due: (row["due"] as number | null) ?? undefined,
    }));
  }

  putWill(will: Will): void {
    this.#make("will");
    const message = new ByteWriter();
    writeMessage(message, will.message);
    this.#sql.run(
      `INSERT INTO will (epoch, generation, connection, delay_seconds, held, message, due)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
      will.epoch,
      will.generation,
      will.connection,
      will.delaySeconds,
      will.held ? 1 : 0,
      message.take(),
      will.due ?? null,
    );
  }

  holdWill(epoch: number): void {
    this.#sql.run("UPDATE will SET held = 1 WHERE epoch = ?", epoch);
  }

  setDue(epoch: number, due: number | undefined): void {
    this.#sql.run("UPDATE will SET due = ? WHERE epoch = ?", due ?? null, epoch);
  }

  deleteWill(epoch: number): void {
    this.#sql.run("DELETE FROM will WHERE epoch = ?", epoch);
  }

  #has(table: Table): boolean {
    return this.#tables.has(table);
  }

  #make(table: Table): void {
    if (this.#tables.has(table)) return;
    this.#sql.run(SCHEMA[table]);
    this.#tables.add(table);
  }
}

function writeShards(shards: readonly number[]): Uint8Array {
  const to = new ByteWriter(2 * shards.length);
  for (const shard of shards) to.u16(shard);
  return to.take();
}

function readShards(bytes: Uint8Array): number[] {
  const from = new ByteReader(bytes);
  const shards: number[] = [];
  while (!from.done) shards.push(from.u16());
  return shards;
}

/** Version 0 knew wills only, and those without a delay. */
function migrateFrom0(sql: Sql): void {
  sql.transaction(() => {
    sql.run("ALTER TABLE will RENAME TO will_0");
    sql.run(SCHEMA.will);
    sql.run(
      `INSERT INTO will (epoch, generation, connection, delay_seconds, held, message, due)
       SELECT epoch, generation, connection, 0, 0, message, due FROM will_0`,
    );
    sql.run("DROP TABLE will_0");
  });
}
