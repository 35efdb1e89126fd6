/** What a session object stores, and how. The object's whole database goes when the session has ended. */

import { ByteReader, ByteWriter } from "../../link/bytes.ts";
import { readMessage, writeMessage } from "../../link/message.ts";
import type { Fence } from "../../link/records.ts";
import type { Message } from "../../mqtt/message.ts";
import type { Sql } from "../ports.ts";

const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS session (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     generation INTEGER NOT NULL,
     epoch INTEGER NOT NULL,
     grace_until INTEGER
   )`,
  // One row per connection that left a will; due is NULL while the connection lives.
  `CREATE TABLE IF NOT EXISTS will (
     epoch INTEGER PRIMARY KEY,
     generation INTEGER NOT NULL,
     message BLOB NOT NULL,
     due INTEGER
   )`,
];

/** The one row of a session that exists. Times are milliseconds since 1970. */
export interface SessionRow extends Fence {
  /** Set while the current connection's link is lost: when its client counts as gone. */
  readonly graceUntil: number | undefined;
}

export interface WillRow extends Fence {
  readonly message: Message;
  /** When it is to be published; undefined while its connection lives. */
  readonly due: number | undefined;
}

export class SessionStore {
  readonly #sql: Sql;
  #ready = false;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  session(): SessionRow | undefined {
    const row = this.#open().rows("SELECT generation, epoch, grace_until FROM session")[0];
    if (!row) return undefined;
    return {
      generation: row["generation"] as number,
      epoch: row["epoch"] as number,
      graceUntil: (row["grace_until"] as number | null) ?? undefined,
    };
  }

  putSession(row: SessionRow): void {
    this.#open().run(
      `INSERT INTO session (id, generation, epoch, grace_until) VALUES (1, ?, ?, ?)
       ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, epoch = excluded.epoch,
         grace_until = excluded.grace_until`,
      row.generation,
      row.epoch,
      row.graceUntil ?? null,
    );
  }

  deleteSession(): void {
    this.#open().run("DELETE FROM session");
  }

  wills(): WillRow[] {
    return this.#open()
      .rows("SELECT epoch, generation, message, due FROM will ORDER BY epoch")
      .map((row) => ({
        epoch: row["epoch"] as number,
        generation: row["generation"] as number,
        message: readMessage(new ByteReader(row["message"] as Uint8Array)),
        due: (row["due"] as number | null) ?? undefined,
      }));
  }

  putWill(will: WillRow): void {
    const message = new ByteWriter();
    writeMessage(message, will.message);
    this.#open().run(
      "INSERT OR REPLACE INTO will (epoch, generation, message, due) VALUES (?, ?, ?, ?)",
      will.epoch,
      will.generation,
      message.take(),
      will.due ?? null,
    );
  }

  deleteWill(epoch: number): void {
    this.#open().run("DELETE FROM will WHERE epoch = ?", epoch);
  }

  transaction<T>(body: () => T): T {
    return this.#open().transaction(body);
  }

  /** The database is about to be wiped; the schema is made again when it is next needed. */
  wiped(): void {
    this.#ready = false;
  }

  #open(): Sql {
    if (!this.#ready) {
      for (const statement of SCHEMA) this.#sql.run(statement);
      this.#ready = true;
    }
    return this.#sql;
  }
}
