/** Session objects, one for each client id: what does each store, what does each step write, and what does one weigh? */

import { Session, type SessionAttachment, type SessionEffect } from "../../src/core/session/session.ts";
import { SessionStore } from "../../src/core/session/store.ts";
import { ByteWriter } from "../../src/link/bytes.ts";
import * as records from "../../src/link/records.ts";
import { type NodeSql, nodeSql } from "../../test/support/node-sql.ts";
import { Disk, rowsChanged } from "./disk.ts";
import { heldBytes } from "./heap.ts";
import { filtersOf, sessionNamed } from "./population.ts";
import { message, subscription } from "./shard-subject.ts";
import { microsecondsPerCall } from "./stopwatch.ts";

export interface SessionsOrder {
  readonly kind: "sessions";
}

/** One life: connect, subscribe, disconnect, connect again, end. */
interface Life {
  readonly name: string;
  /** Rows written by each step. */
  readonly connectRows: number;
  readonly subscribeRows: number;
  readonly disconnectRows: number;
  readonly resumeRows: number;
  readonly endRows: number;
  /** Of the database while the client is here, and while it is away. */
  readonly bytesHere: number;
  readonly bytesAway: number;
}

export interface SessionsPoint {
  readonly lives: readonly Life[];
  /** µs of a wake with what is stored of a session with one subscription, and of a CONNECT at a new object. */
  readonly wakeUs: number;
  readonly connectUs: number;
  /** Of the core of one object; the platform's share of it is not known. */
  readonly heapBytes: number;
}

interface Kind {
  readonly name: string;
  readonly expirySeconds: number;
  readonly filters: number;
  readonly will: boolean;
}

const KINDS: readonly Kind[] = [
  { name: "ends with its connection", expirySeconds: 0, filters: 1, will: false },
  { name: "the same, with a will", expirySeconds: 0, filters: 1, will: true },
  { name: "goes on, 1 subscription", expirySeconds: 86_400, filters: 1, will: false },
  { name: "goes on, 10 subscriptions", expirySeconds: 86_400, filters: 10, will: false },
  { name: "goes on, 100 subscriptions", expirySeconds: 86_400, filters: 100, will: false },
  { name: "goes on, 1 subscription and a will", expirySeconds: 86_400, filters: 1, will: true },
];

const START = 1_700_000_000_000;
const OBJECTS = 2_000;

class SessionSubject {
  readonly sql: NodeSql;
  session: Session;
  now = START;
  #link = 0;
  readonly #attachments = new Map<number, SessionAttachment>();

  constructor(sql: NodeSql) {
    this.sql = sql;
    this.session = new Session(
      { linkVersions: records.LINK_VERSIONS },
      new SessionStore(sql),
      [],
      () => undefined,
      this.now,
    );
    this.#do(this.session.start(this.now));
  }

  connect({ expirySeconds, will }: Kind, cleanStart: boolean): void {
    this.now += 1000;
    this.#link += 1;
    this.#frame((to) =>
      records.writeConnect(to, {
        versionMin: 1,
        versionMax: 1,
        tenant: "main",
        session: sessionNamed(1),
        link: 1,
        // As long as a real one.
        connection: `8c5b6e0e-7d1f-4c57-9a53-${String(this.#link).padStart(12, "0")}`,
        cleanStart,
        expirySeconds,
        willDelaySeconds: 0,
        reattach: undefined,
        will: will ? { ...message("wills/of/devices", 1), at: this.now, publisher: sessionNamed(1) } : undefined,
      }),
    );
  }

  subscribe(filters: readonly string[]): void {
    const put = filters.map((filter, at) => subscription(filter, { number: at + 1 }));
    this.#frame((to) => records.writeKeep(to, { request: 1, put, remove: [], shards: [0] }));
  }

  disconnect(expirySeconds: number): void {
    this.now += 1000;
    this.#frame((to) => records.writeEnd(to, { publishWill: false, planned: false, expirySeconds, goneAt: this.now }));
  }

  #frame(write: (to: ByteWriter) => void): void {
    const to = new ByteWriter();
    write(to);
    this.#do(this.session.frame(this.#link, to.take(), this.now));
  }

  #do(effects: readonly SessionEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "attach") this.#attachments.set(effect.link, effect.attachment);
      else if (effect.type === "wipeShard") this.#do(this.session.shardWiped(effect.wipe, this.now));
      else if (effect.type === "wipe") this.sql.wipe();
    }
    void this.session.alarmAt;
  }
}

export function measureSessions(): SessionsPoint {
  const disk = new Disk();
  try {
    return { lives: KINDS.map((kind, at) => live(disk, kind, at)), ...times(disk) };
  } finally {
    disk.remove();
  }
}

function live(disk: Disk, kind: Kind, number: number): Life {
  const sql = disk.open(`life-${number}`);
  const subject = new SessionSubject(sql);
  const rows = (step: () => void): number => {
    const before = rowsChanged(sql);
    step();
    return rowsChanged(sql) - before;
  };
  const kept = kind.expirySeconds > 0;
  const connectRows = rows(() => subject.connect(kind, false));
  const subscribeRows = kept ? rows(() => subject.subscribe(filtersOf(sessionNamed(1), kind.filters))) : 0;
  const bytesHere = bytesOf(sql);
  const disconnectRows = rows(() => subject.disconnect(kind.expirySeconds));
  const bytesAway = bytesOf(sql);
  const resumeRows = rows(() => subject.connect(kind, false));
  const endRows = rows(() => subject.disconnect(0));
  return { name: kind.name, connectRows, subscribeRows, disconnectRows, resumeRows, endRows, bytesHere, bytesAway };
}

/** Of what holds rows: an object whose tables are gone is deleted. */
function bytesOf(sql: NodeSql): number {
  return sql.rows("SELECT name FROM sqlite_master").length === 0 ? 0 : sql.bytes;
}

function times(disk: Disk): { wakeUs: number; connectUs: number; heapBytes: number } {
  const kind = KINDS[2]!;
  const stored = disk.open("stored");
  const first = new SessionSubject(stored);
  first.connect(kind, false);
  first.subscribe(filtersOf(sessionNamed(1), 1));
  first.disconnect(kind.expirySeconds);
  const wakeUs = microsecondsPerCall(OBJECTS, () => new SessionSubject(stored));
  const connectUs = microsecondsPerCall(200, (call) => {
    const subject = new SessionSubject(fresh[call]!);
    subject.connect(kind, false);
  });
  const before = heldBytes();
  const objects = Array.from({ length: OBJECTS }, () => new SessionSubject(stored));
  const heapBytes = (heldBytes() - before) / objects.length;
  return { wakeUs, connectUs, heapBytes };
}

/** New databases: to open one is the platform's work. */
const fresh = Array.from({ length: 1200 }, () => nodeSql());
