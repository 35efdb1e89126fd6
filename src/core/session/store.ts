/**
 * What a session object stores, and how: the wills that are still to be published or dropped. A session without one
 * leaves no row, not even a table, and its object's database goes when nothing is owed any more.
 */

import { ByteReader, ByteWriter } from "../../link/bytes.ts";
import { readMessage, writeMessage } from "../../link/message.ts";
import type { Fence } from "../../link/records.ts";
import type { Message } from "../../mqtt/message.ts";
import type { Sql } from "../ports.ts";

// One row per connection that left a will; due is NULL while the connection lives.
const SCHEMA = `CREATE TABLE will (
  epoch INTEGER PRIMARY KEY,
  generation INTEGER NOT NULL,
  connection TEXT NOT NULL,
  message BLOB NOT NULL,
  due INTEGER
)`;

/** A will and the connection whose it is. */
export interface Will extends Fence {
  /** The connection's own name. */
  readonly connection: string;
  readonly message: Message;
  /** When it is to be published, in milliseconds since 1970; undefined while its connection lives. */
  readonly due: number | undefined;
}

export class SessionStore {
  readonly #sql: Sql;
  /** A table costs rows written to make, so it is made for the first will. */
  #ready: boolean;

  constructor(sql: Sql) {
    this.#sql = sql;
    this.#ready = sql.rows("SELECT 1 AS one FROM sqlite_master WHERE name = 'will'").length > 0;
  }

  wills(): Will[] {
    if (!this.#ready) return [];
    return this.#sql.rows("SELECT epoch, generation, connection, message, due FROM will ORDER BY epoch").map((row) => ({
      epoch: row["epoch"] as number,
      connection: row["connection"] as string,
      generation: row["generation"] as number,
      message: readMessage(new ByteReader(row["message"] as Uint8Array)),
      due: (row["due"] as number | null) ?? undefined,
    }));
  }

  putWill(will: Will): void {
    if (!this.#ready) this.#sql.run(SCHEMA);
    this.#ready = true;
    const message = new ByteWriter();
    writeMessage(message, will.message);
    this.#sql.run(
      "INSERT INTO will (epoch, generation, connection, message, due) VALUES (?, ?, ?, ?, ?)",
      will.epoch,
      will.generation,
      will.connection,
      message.take(),
      will.due ?? null,
    );
  }

  setDue(epoch: number, due: number | undefined): void {
    this.#sql.run("UPDATE will SET due = ? WHERE epoch = ?", due ?? null, epoch);
  }

  deleteWill(epoch: number): void {
    this.#sql.run("DELETE FROM will WHERE epoch = ?", epoch);
  }

  transaction<T>(body: () => T): T {
    return this.#sql.transaction(body);
  }

  /** The database is about to be wiped. */
  wiped(): void {
    this.#ready = false;
  }
}
