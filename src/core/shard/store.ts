/** What a topic shard stores, and how. Offsets are the log's; times are milliseconds since 1970. */

import { ByteReader, ByteWriter } from "../../link/bytes.ts";
import { readMessage, writeMessage } from "../../link/message.ts";
import { readSubscriptionFlags, subscriptionFlags, type SubscriptionRecord } from "../../link/records.ts";
import type { Departed, Fence } from "../../link/records.ts";
import type { Message } from "../../mqtt/message.ts";
import type { Sql, SqlRow } from "../ports.ts";
import { SCHEMA_VERSION, schemaVersion } from "../schema.ts";
import type { Placement } from "./placement.ts";

const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS meta ( -- schema ${SCHEMA_VERSION}
     key TEXT PRIMARY KEY,
     value INTEGER NOT NULL
   ) WITHOUT ROWID`,
  // A row is a batch: a row written costs the same for one message as for a hundred. `at` is when it was written.
  `CREATE TABLE IF NOT EXISTS log ( -- schema ${SCHEMA_VERSION}
     first INTEGER PRIMARY KEY,
     last INTEGER NOT NULL,
     at INTEGER NOT NULL,
     entries BLOB NOT NULL
   )`,
  // In the order of their offsets, so that a place in a scan is one number that survives replacements.
  `CREATE TABLE IF NOT EXISTS retained ( -- schema ${SCHEMA_VERSION}
     offset INTEGER PRIMARY KEY,
     topic TEXT NOT NULL UNIQUE,
     message BLOB NOT NULL
   )`,
  // Sessions that outlive their connections, each with its place: how far the log was delivered to it, what is not
  // acknowledged, which retained messages are still to come (`place.ts`). Always written whole.
  `CREATE TABLE IF NOT EXISTS session ( -- schema ${SCHEMA_VERSION}
     session TEXT PRIMARY KEY,
     generation INTEGER NOT NULL,
     epoch INTEGER NOT NULL,
     place BLOB NOT NULL
   ) WITHOUT ROWID`,
  // Their subscriptions here: copies, the truth is the session object's. `start` is theirs alone.
  `CREATE TABLE IF NOT EXISTS subscription ( -- schema ${SCHEMA_VERSION}
     session TEXT NOT NULL,
     filter TEXT NOT NULL,
     flags INTEGER NOT NULL,
     identifier INTEGER NOT NULL,
     start INTEGER NOT NULL,
     PRIMARY KEY (session, filter)
   ) WITHOUT ROWID`,
  // Share groups, each with its place: how far the log was handed out, and what became of it (`share-groups.ts`).
  `CREATE TABLE IF NOT EXISTS share ( -- schema ${SCHEMA_VERSION}
     filter TEXT PRIMARY KEY,
     place BLOB NOT NULL
   ) WITHOUT ROWID`,
  // Generations that were wiped: whoever comes back with one of them comes too late.
  `CREATE TABLE IF NOT EXISTS ended ( -- schema ${SCHEMA_VERSION}
     session TEXT PRIMARY KEY,
     generation INTEGER NOT NULL,
     at INTEGER NOT NULL
   ) WITHOUT ROWID`,
  // Packet ids of QoS 2 that are taken and not released, two bytes each.
  `CREATE TABLE IF NOT EXISTS received ( -- schema ${SCHEMA_VERSION}
     session TEXT PRIMARY KEY,
     generation INTEGER NOT NULL,
     epoch INTEGER NOT NULL,
     ids BLOB NOT NULL
   ) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS will_done ( -- schema ${SCHEMA_VERSION}
     session TEXT NOT NULL,
     epoch INTEGER NOT NULL,
     connection TEXT NOT NULL,
     at INTEGER NOT NULL,
     PRIMARY KEY (session, epoch)
   ) WITHOUT ROWID`,
];

/** Rows read at a time where all are read: a shard may store more than fit in memory as rows. */
const PAGE_ROWS = 1_000;
/** A session that outlives its connections, as it is stored; `place.ts` reads its place. */
export interface StoredSession extends Fence {
  readonly session: string;
  readonly place: Uint8Array;
}

/** A stored subscription, and the log offset from which it counts. */
export interface StoredSubscription extends SubscriptionRecord {
  readonly start: number;
}

/** Where a batch of the log ends, its bytes, and when it was written; 0: that was not noted. */
export interface StoredBatch {
  readonly last: number;
  readonly bytes: number;
  readonly at: number;
}

/** A message with its place in the log. */
export interface Entry {
  readonly offset: number;
  readonly message: Message;
}

type MetaKey = "shards" | "depth" | "reserved" | "grace_until" | "presence";

/** What is known of sessions that only memory and their connections know. The numbers are stored. */
export const Presence = {
  /** There are none: whoever comes is new. */
  None: 0,
  /** There are, or were when the object last ran. */
  Attached: 1,
  /** An incarnation forgot them and waits for them until the grace ends; none has come since. */
  Awaited: 2,
} as const;
export type Presence = (typeof Presence)[keyof typeof Presence];

export class ShardStore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
    if (schemaVersion(sql) === 0) migrateFrom0(sql);
    for (const statement of SCHEMA) sql.run(statement);
  }

  transaction<T>(body: () => T): T {
    return this.#sql.transaction(body);
  }

  placement(): Placement | undefined {
    const shards = this.#meta("shards");
    const depth = this.#meta("depth");
    return shards === undefined || depth === undefined ? undefined : { shards, depth };
  }

  putPlacement(placement: Placement): void {
    this.#putMeta("shards", placement.shards);
    this.#putMeta("depth", placement.depth);
  }

  /** Offsets up to this one may have been issued. */
  reserved(): number {
    return this.#meta("reserved") ?? 0;
  }

  putReserved(offset: number): void {
    this.#putMeta("reserved", offset);
  }

  /** Until when a session may come back that this object does not remember. */
  graceUntil(): number {
    return this.#meta("grace_until") ?? 0;
  }

  putGraceUntil(at: number): void {
    this.#putMeta("grace_until", at);
  }

  presence(): Presence {
    return (this.#meta("presence") ?? Presence.None) as Presence;
  }

  putPresence(presence: Presence): void {
    this.#putMeta("presence", presence);
  }

  // The log.

  appendBatch(entries: readonly Entry[], at: number, encoded: Uint8Array): void {
    this.#sql.run(
      "INSERT INTO log (first, last, at, entries) VALUES (?, ?, ?, ?)",
      entries[0]!.offset,
      entries.at(-1)!.offset,
      at,
      encoded,
    );
  }

  /** The first batch with an entry after `offset`. */
  batchAfter(offset: number): { first: number; last: number; entries: Entry[] } | undefined {
    // Found by its key: batches do not overlap, so it is the one that begins at or before the offset, or the next.
    const row = this.#sql.rows(
      `SELECT first, last, entries FROM log
       WHERE first >= coalesce((SELECT max(first) FROM log WHERE first <= ?), 0) AND last > ? ORDER BY first LIMIT 1`,
      offset,
      offset,
    )[0];
    if (!row) return undefined;
    return {
      first: row["first"] as number,
      last: row["last"] as number,
      entries: decodeEntries(row["entries"] as Uint8Array),
    };
  }

  /** Deletes the batches that end at or before `offset`. */
  deleteBatches(offset: number): void {
    this.#sql.run("DELETE FROM log WHERE first <= ? AND last <= ?", offset, offset);
  }

  /** Deletes the batch that ends at `last`. */
  deleteBatch(last: number): void {
    this.#sql.run("DELETE FROM log WHERE first = (SELECT max(first) FROM log WHERE first <= ?)", last);
  }

  /** Oldest first. */
  batches(): StoredBatch[] {
    return this.#sql.rows("SELECT last, at, length(entries) AS bytes FROM log ORDER BY first").map((row) => ({
      last: row["last"] as number,
      bytes: row["bytes"] as number,
      at: row["at"] as number,
    }));
  }

  // Sessions that outlive their connections.

  /** Calls `visit` for every stored session. */
  sessions(visit: (session: StoredSession) => void): void {
    let after = "";
    for (;;) {
      const rows = this.#sql.rows(
        "SELECT session, generation, epoch, place FROM session WHERE session > ? ORDER BY session LIMIT ?",
        after,
        PAGE_ROWS,
      );
      for (const row of rows) {
        visit({
          session: row["session"] as string,
          generation: row["generation"] as number,
          epoch: row["epoch"] as number,
          place: row["place"] as Uint8Array,
        });
      }
      if (rows.length < PAGE_ROWS) return;
      after = rows.at(-1)!["session"] as string;
    }
  }

  putSession({ session, generation, epoch, place }: StoredSession): void {
    this.#sql.run(
      "INSERT OR REPLACE INTO session (session, generation, epoch, place) VALUES (?, ?, ?, ?)",
      session,
      generation,
      epoch,
      place,
    );
  }

  /** Deletes a session with its subscriptions. */
  deleteSession(session: string): void {
    this.#sql.run("DELETE FROM session WHERE session = ?", session);
    this.#sql.run("DELETE FROM subscription WHERE session = ?", session);
  }

  /** Calls `visit` for every stored subscription. */
  subscriptions(visit: (session: string, subscription: StoredSubscription) => void): void {
    let after: readonly [session: string, filter: string] = ["", ""];
    for (;;) {
      const rows = this.#sql.rows(
        `SELECT session, filter, flags, identifier, start FROM subscription
         WHERE (session, filter) > (?, ?) ORDER BY session, filter LIMIT ?`,
        ...after,
        PAGE_ROWS,
      );
      for (const row of rows) {
        visit(row["session"] as string, {
          number: 0,
          filter: row["filter"] as string,
          ...readSubscriptionFlags(row["flags"] as number),
          identifier: row["identifier"] as number,
          start: row["start"] as number,
        });
      }
      if (rows.length < PAGE_ROWS) return;
      const last = rows.at(-1)!;
      after = [last["session"] as string, last["filter"] as string];
    }
  }

  putSubscription(session: string, subscription: StoredSubscription): void {
    this.#sql.run(
      "INSERT OR REPLACE INTO subscription (session, filter, flags, identifier, start) VALUES (?, ?, ?, ?, ?)",
      session,
      subscription.filter,
      subscriptionFlags(subscription),
      subscription.identifier,
      subscription.start,
    );
  }

  deleteSubscription(session: string, filter: string): void {
    this.#sql.run("DELETE FROM subscription WHERE session = ? AND filter = ?", session, filter);
  }

  // Share groups.

  /** By `$share/<group>/<filter>`. */
  shares(): { filter: string; place: Uint8Array }[] {
    const rows = this.#sql.rows("SELECT filter, place FROM share");
    return rows.map((row) => ({ filter: row["filter"] as string, place: row["place"] as Uint8Array }));
  }

  putShare(filter: string, place: Uint8Array): void {
    this.#sql.run("INSERT OR REPLACE INTO share (filter, place) VALUES (?, ?)", filter, place);
  }

  deleteShare(filter: string): void {
    this.#sql.run("DELETE FROM share WHERE filter = ?", filter);
  }

  /** The latest generation of a session that was wiped here; 0 for none. */
  endedGeneration(session: string): number {
    return (this.#sql.rows("SELECT generation FROM ended WHERE session = ?", session)[0]?.["generation"] ??
      0) as number;
  }

  putEnded(session: string, generation: number, now: number): void {
    this.#sql.run("INSERT OR REPLACE INTO ended (session, generation, at) VALUES (?, ?, ?)", session, generation, now);
  }

  // Retained messages.

  putRetained(entry: Entry): void {
    const message = new ByteWriter();
    writeMessage(message, entry.message);
    this.deleteRetained(entry.message.topic);
    this.#sql.run(
      "INSERT INTO retained (offset, topic, message) VALUES (?, ?, ?)",
      entry.offset,
      entry.message.topic,
      message.take(),
    );
  }

  deleteRetained(topic: string): void {
    this.#sql.run("DELETE FROM retained WHERE topic = ?", topic);
  }

  retainedOffset(topic: string): number | undefined {
    return this.#sql.rows("SELECT offset FROM retained WHERE topic = ?", topic)[0]?.["offset"] as number | undefined;
  }

  /** Bytes of a topic's message; undefined when it has none. */
  retainedBytes(topic: string): number | undefined {
    const row = this.#sql.rows("SELECT length(message) AS bytes FROM retained WHERE topic = ?", topic)[0];
    return row?.["bytes"] as number | undefined;
  }

  /** How many there are, and the bytes of all of them. Looks at each: 8 ms for 100,000 of 150 bytes (Node 24). */
  retainedUsage(): { messages: number; bytes: number } {
    const row = this.#sql.rows("SELECT count(*) AS messages, sum(length(message)) AS bytes FROM retained")[0]!;
    return { messages: row["messages"] as number, bytes: (row["bytes"] as number | null) ?? 0 };
  }

  /** Offsets and topics after `offset`, up to and with `upTo`, in order, of topics that begin with `prefix`. */
  retainedTopics(prefix: string, offset: number, upTo: number, limit: number): { offset: number; topic: string }[] {
    const end = successor(prefix);
    let rows: SqlRow[];
    if (end === undefined) {
      rows = this.#sql.rows(
        "SELECT offset, topic FROM retained WHERE offset > ? AND offset <= ? ORDER BY offset LIMIT ?",
        offset,
        upTo,
        limit,
      );
    } else {
      // By itself SQLite goes through all retained messages in their order. The `+` keeps it from that.
      const key = this.#isNarrow(prefix, end) ? "+offset" : "offset";
      rows = this.#sql.rows(
        `SELECT offset, topic FROM retained WHERE topic >= ? AND topic < ? AND ${key} > ? AND ${key} <= ?
         ORDER BY ${key} LIMIT ?`,
        prefix,
        end,
        offset,
        upTo,
        limit,
      );
    }
    return rows.map((row) => ({ offset: row["offset"] as number, topic: row["topic"] as string }));
  }

  /** True when few retained topics are at or after `from` and before `to`. */
  #isNarrow(from: string, to: string): boolean {
    const many = "SELECT 1 AS one FROM retained WHERE topic >= ? AND topic < ? LIMIT 1 OFFSET ?";
    return this.#sql.rows(many, from, to, SORTED_TOPICS_MAX).length === 0;
  }

  retainedAt(offset: number): Entry | undefined {
    const row = this.#sql.rows("SELECT message FROM retained WHERE offset = ?", offset)[0];
    return row && { offset, message: readMessage(new ByteReader(row["message"] as Uint8Array)) };
  }

  // QoS 2 from clients.

  received(session: string): (Fence & { ids: Set<number> }) | undefined {
    const row = this.#sql.rows("SELECT generation, epoch, ids FROM received WHERE session = ?", session)[0];
    if (!row) return undefined;
    const from = new ByteReader(row["ids"] as Uint8Array);
    const ids = new Set<number>();
    while (!from.done) ids.add(from.u16());
    return { generation: row["generation"] as number, epoch: row["epoch"] as number, ids };
  }

  putReceived(session: string, fence: Fence, ids: Iterable<number>): void {
    const to = new ByteWriter();
    for (const id of ids) to.u16(id);
    this.#sql.run(
      "INSERT OR REPLACE INTO received (session, generation, epoch, ids) VALUES (?, ?, ?, ?)",
      session,
      fence.generation,
      fence.epoch,
      to.take(),
    );
  }

  deleteReceived(session: string): void {
    this.#sql.run("DELETE FROM received WHERE session = ?", session);
  }

  receivedSessions(): string[] {
    return this.#sql.rows("SELECT session FROM received").map((row) => row["session"] as string);
  }

  // Wills.

  /** Notes that the will of a connection is published. Returns false when it was noted before, under whatever epoch. */
  markWillDone(session: string, { epoch, connection = "" }: Departed, now: number): boolean {
    const notes = this.#sql.rows("SELECT epoch, connection FROM will_done WHERE session = ?", session);
    if (notes.some((note) => note["epoch"] === epoch)) return false;
    this.#sql.run(
      "INSERT INTO will_done (session, epoch, connection, at) VALUES (?, ?, ?, ?)",
      session,
      epoch,
      connection,
      now,
    );
    return connection === "" || !notes.some((note) => note["connection"] === connection);
  }

  /** The latest epoch of a session whose will is noted; 0 for none. */
  willDoneEpoch(session: string): number {
    return (this.#sql.rows("SELECT max(epoch) AS epoch FROM will_done WHERE session = ?", session)[0]?.["epoch"] ??
      0) as number;
  }

  /** Forgets the notes of wills and of ended generations that nobody can ask for any more. */
  sweepNotes(before: number): void {
    this.#sql.run("DELETE FROM will_done WHERE at < ?", before);
    this.#sql.run("DELETE FROM ended WHERE at < ?", before);
  }

  hasNotes(): boolean {
    return this.#sql.rows("SELECT 1 AS one FROM will_done UNION ALL SELECT 1 FROM ended LIMIT 1").length > 0;
  }

  /** Bytes of everything that is stored. */
  get bytes(): number {
    return this.#sql.bytes;
  }

  #meta(key: MetaKey): number | undefined {
    return this.#sql.rows("SELECT value FROM meta WHERE key = ?", key)[0]?.["value"] as number | undefined;
  }

  #putMeta(key: MetaKey, value: number): void {
    this.#sql.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value);
  }
}

/** Retained topics with one prefix that are found and sorted sooner than all retained messages are gone through. */
const SORTED_TOPICS_MAX = 1_024;

/** The first text after every text that begins with `prefix`, in the order of code points; undefined: there is none. */
function successor(prefix: string): string | undefined {
  const points = Array.from(prefix);
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    const point = last.codePointAt(0)!;
    // Surrogates are no code points of their own.
    if (point < 0x10ffff) return points.join("") + String.fromCodePoint(point === 0xd7ff ? 0xe000 : point + 1);
  }
  return undefined;
}

/** Appends one entry to a batch: offset u48 · message. */
export function writeEntry(to: ByteWriter, entry: Entry): void {
  to.u48(entry.offset);
  writeMessage(to, entry.message);
}

function decodeEntries(bytes: Uint8Array): Entry[] {
  const from = new ByteReader(bytes);
  const entries: Entry[] = [];
  while (!from.done) entries.push({ offset: from.u48(), message: readMessage(from) });
  return entries;
}

/** Version 0 knew no sessions that outlive their connections, and did not note when a batch was written. */
function migrateFrom0(sql: Sql): void {
  const made = ["meta", "log", "retained", "received", "will_done"];
  sql.transaction(() => {
    for (const table of made) sql.run(`ALTER TABLE ${table} RENAME TO ${table}_0`);
    for (const statement of SCHEMA) sql.run(statement);
    sql.run("INSERT INTO meta SELECT key, value FROM meta_0");
    sql.run("INSERT INTO log (first, last, at, entries) SELECT first, last, 0, entries FROM log_0");
    sql.run("INSERT INTO retained SELECT offset, topic, message FROM retained_0");
    sql.run("INSERT INTO received SELECT session, generation, epoch, ids FROM received_0");
    sql.run("INSERT INTO will_done (session, epoch, connection, at) SELECT session, epoch, '', at FROM will_done_0");
    for (const table of made) sql.run(`DROP TABLE ${table}_0`);
  });
}
