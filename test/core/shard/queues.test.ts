/** How much does the log keep, for whom, and what happens at each limit? */
import { describe, expect, test } from "vitest";
import { GRACE_MS } from "../../../src/core/shard/grace.ts";
import { CHECKPOINT_MS } from "../../../src/core/shard/shard.ts";
import { type GreetedSubscription, Kind, writeAck, writeBye, writeRelease } from "../../../src/link/records.ts";
import { body, ShardRig } from "../../support/shard-rig.ts";

const DAY = 24 * 3600;
const PUBLISHER = 1;

function filter(name: string): GreetedSubscription[] {
  const terms = { number: 1, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
  return [{ ...terms, filter: name, identifier: 0, start: undefined, scan: undefined }];
}

/** Persistent sessions, each offline and subscribed to a filter; a publisher on link 1. */
function rig(sessions: Record<string, string>, limits: object = {}): ShardRig {
  const r = new ShardRig(limits);
  r.advance(GRACE_MS + 1);
  r.hello(PUBLISHER, "publisher");
  let link = 10;
  for (const [session, name] of Object.entries(sessions)) {
    r.hello(++link, session, { persistent: true });
    r.subscribe(link, name);
    r.frame(link, writeBye);
    r.lose(link);
  }
  r.advance(2_000);
  return r;
}

function publish(r: ShardRig, topic: string, ...payloads: string[]): void {
  for (const payload of payloads) r.publish(PUBLISHER, body(topic, payload));
}

/** What waits for a session, taken and acknowledged. */
function drain(r: ShardRig, session: string, name: string, link = 99): string[] {
  r.hello(link, session, { persistent: true, epoch: r.now, subscriptions: filter(name), grants: 10_000 });
  const delivered = r.delivered(link);
  for (const { packetId } of delivered) r.frame(link, (to) => writeAck(to, packetId));
  r.frame(link, writeBye);
  r.lose(link);
  r.now += 1;
  return delivered.map(({ payload }) => payload);
}

function series(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `${from + i}`);
}

describe("the log keeps", () => {
  test("[§5] one copy of a message, however many sessions it waits for", () => {
    const sessions = Object.fromEntries(series(50).map((name) => [`device ${name}`, "t"]));
    const r = rig(sessions);
    publish(r, "t", ...series(20));
    expect(r.count("log")).toBe(20);
    expect(r.count("session")).toBe(50);
    for (const session of Object.keys(sessions)) expect(drain(r, session, "t")).toEqual(series(20));
    r.advance(2_000);
    expect(r.count("log")).toBe(0);
  });

  test("[§5] nothing for a session that is away while what it wants is not published", () => {
    const r = rig({ away: "never" });
    r.hello(2, "here");
    r.subscribe(2, "t");
    for (const payload of series(90)) {
      publish(r, "t", payload);
      for (const { packetId } of r.delivered(2)) r.frame(2, (to) => writeAck(to, packetId));
    }
    r.advance(2_000);
    expect(r.count("log")).toBe(0);
  });

  test.each(["sleeps", "restarts"])(
    "[§5] nothing for it when the shard %s, although only a bound of its place is stored",
    (what) => {
      const r = rig({ away: "never", owed: "t" });
      publish(r, "t", ...series(10));
      r.advance(60_000);
      if (what === "sleeps") r.sleep();
      else r.restart();
      r.advance(2 * GRACE_MS);
      expect(r.count("log")).toBe(10);
      expect(drain(r, "owed", "t")).toEqual(series(10));
      r.advance(60_000);
      expect(r.count("log")).toBe(0);
    },
  );

  test("[§5] what a link lost that comes back while the log is looked through: it is sent again", () => {
    const r = rig({ bulky: "bulk" });
    const here = { persistent: true, epoch: 5 };
    r.hello(20, "here", here);
    r.subscribe(20, "t");
    publish(r, "t", "mine");
    r.lose(20);
    r.advance(2_000);
    for (let i = 0; i < 100; i++) publish(r, "bulk", "x".repeat(100_000));
    r.restart();
    r.advance(GRACE_MS + 1);
    r.hello(PUBLISHER, "publisher");
    publish(r, "bulk", "the last");
    r.advance(CHECKPOINT_MS + 5);
    r.hello(21, "here", { ...here, link: 2, subscriptions: filter("t"), grants: 0 });
    r.advance(60_000);
    r.grant(21, 1);
    expect(r.payloads(21)).toEqual(["mine"]);
  });

  test("[§5] for a session that is away for weeks what it needs, and nothing in between that only others needed", () => {
    const r = rig({ away: "rare" }, { logBytesMax: 1_000_000 });
    r.hello(2, "here", { grants: 1_000 });
    r.subscribe(2, "t");
    publish(r, "rare", "one");
    for (let i = 0; i < 200; i++) {
      publish(r, "t", "x".repeat(1_000));
      for (const { packetId } of r.delivered(2)) r.frame(2, (to) => writeAck(to, packetId));
      if (i === 100) publish(r, "rare", "two");
      r.advance(1_000);
    }
    // A sixteenth of the limit may wait to be looked through.
    expect(r.count("log")).toBeLessThan(70);
    expect(r.reports).toEqual([]);
    expect(drain(r, "away", "rare")).toEqual(["one", "two"]);
    r.advance(2_000);
    expect(r.count("log")).toBe(0);
  });

  test("[§7] nothing for a link that nobody answers any more, though no close has come", () => {
    const r = rig({});
    for (const link of [3, 2]) {
      r.hello(link, `client ${link}`);
      r.subscribe(link, `t/${link}`);
      publish(r, `t/${link}`, "in flight");
    }
    for (let minutes = 0; minutes < 26 * 60; minutes += 4) {
      r.advance(240_000);
      r.pings.set(2, r.now);
    }
    expect(r.closed).toEqual([3]);
    r.advance(2 * GRACE_MS);
    expect(r.count("log")).toBe(1);
  });

  test("[MQTT-4.3.3-1] what is in flight, although everything behind it was taken", () => {
    const r = rig({}, { logBytesMax: 1_000_000 });
    r.hello(2, "device", { persistent: true, grants: 10_000 });
    r.subscribe(2, "t");
    publish(r, "t", "kept");
    const [first] = r.delivered(2);
    for (let i = 0; i < 100; i++) {
      publish(r, "t", "x".repeat(1_000));
      for (const { packetId } of r.delivered(2)) r.frame(2, (to) => writeAck(to, packetId));
      r.advance(1_000);
    }
    expect(r.count("log")).toBeLessThan(70);
    r.frame(2, writeBye);
    r.lose(2);
    r.hello(3, "device", { persistent: true, epoch: 2, subscriptions: filter("t") });
    expect(r.delivered(3)).toMatchObject([{ payload: "kept", packetId: first!.packetId, dup: true }]);
  });
});

describe("limits", () => {
  test("QUEUE_MESSAGES_MAX: the newest are delivered, and what was dropped is reported", () => {
    const r = rig({ away: "t", brief: "t" }, { queueMessagesMax: 10 });
    publish(r, "t", ...series(5));
    expect(drain(r, "brief", "t")).toEqual(series(5));
    publish(r, "t", ...series(20, 5));
    expect(drain(r, "away", "t")).toEqual(series(10, 15));
    expect(r.reports).toEqual([{ type: "report", why: "queue limit", messages: 15, sessions: 1 }]);
    expect(r.shard.counters.overflowed).toBe(15);
    expect(drain(r, "brief", "t")).toEqual(series(10, 15));
  });

  test("QUEUE_MESSAGES_MAX: counts what is the session's own, not what else the log holds", () => {
    const r = rig({ away: "t", other: "u" }, { queueMessagesMax: 10 });
    for (const payload of series(10)) {
      publish(r, "t", payload);
      publish(r, "u", ...series(5));
    }
    expect(drain(r, "away", "t")).toEqual(series(10));
    expect(r.reports).toEqual([]);
  });

  test("QUEUE_BYTES_MAX: the newest are delivered", () => {
    const r = rig({ away: "t" }, { queueBytesMax: 65_536 });
    publish(r, "t", ...series(20).map((payload) => payload.padEnd(10_000)));
    expect(drain(r, "away", "t").map((payload) => payload.trim())).toEqual(series(6, 14));
    expect(r.reports).toMatchObject([{ messages: 14, sessions: 1 }]);
  });

  test("QUEUE_SECONDS_MAX: an alarm lets go what is too old, and reports what it was owed by", () => {
    const r = rig({ away: "t", other: "t", third: "u" }, { queueSecondsMax: DAY });
    publish(r, "t", "old", "older");
    r.advance((DAY / 2) * 1000);
    publish(r, "t", "young");
    expect(r.shard.alarmAt).toBeDefined();
    r.advance((DAY / 2) * 1000 + 2_000);
    expect(r.count("log")).toBe(1);
    expect(r.reports).toEqual([{ type: "report", why: "too old", messages: 4, sessions: 2 }]);
    expect(drain(r, "away", "t")).toEqual(["young"]);
  });

  test("LOG_BYTES_MAX: the oldest go, and every message that a session so loses is counted", () => {
    const r = rig({ away: "t", other: "u" }, { logBytesMax: 1_000_000 });
    for (let i = 0; i < 150; i++) {
      publish(r, "t", `${i}`.padEnd(10_000));
      if (i % 50 === 49) r.advance(2_000);
    }
    const lost = r.reports.reduce((sum, { messages }) => sum + messages, 0);
    expect(lost).toBeGreaterThan(40);
    expect(r.reports.every(({ why, sessions }) => why === "log full" && sessions === 1)).toBe(true);
    const left = drain(r, "away", "t").map((payload) => payload.trim());
    expect(left).toEqual(series(150 - lost, lost));
  });

  test("SHARD_BYTES_MAX: QoS 1, QoS 2 and what is to be retained is refused with 0x97; the rest goes on, and all of it when there is room", () => {
    const r = rig({ away: "t" }, { shardBytesMax: 300_000 });
    r.hello(2, "here");
    r.subscribe(2, "#", { qos: 1 });
    for (let i = 0; i < 40; i++) publish(r, "t", `${i}`.padEnd(10_000));
    for (const { packetId } of r.delivered(2)) r.frame(2, (to) => writeAck(to, packetId));
    r.advance(2_000);
    const before = r.count("log");
    r.take(PUBLISHER);
    r.publish(PUBLISHER, body("t", "x", { qos: 1 }), 1);
    r.publish(PUBLISHER, body("t", "x", { qos: 2 }), 2);
    r.publish(PUBLISHER, body("t", "x", { qos: 0, retain: true }));
    expect(r.take(PUBLISHER).filter(({ kind }) => kind === Kind.Published)).toMatchObject([
      { packetId: 1, reason: 0x97 },
      { packetId: 2, reason: 0x97 },
    ]);
    r.publish(PUBLISHER, body("t", "live", { qos: 0 }));
    expect(r.payloads(2)).toEqual(["live"]);
    expect([r.count("log"), r.count("received"), r.count("retained")]).toEqual([before, 0, 0]);
    r.hello(3, "late", { persistent: true });
    r.subscribe(3, "t");
    expect(r.take(3).find(({ kind }) => kind === Kind.Subscribed)).toMatchObject({ codes: Uint8Array.of(0x97) });

    expect(drain(r, "away", "t")).toHaveLength(40);
    r.advance(2_000);
    r.sql.run("VACUUM");
    r.advance(60_000);
    r.sleep();
    r.publish(PUBLISHER, body("t", "again", { qos: 2 }), 3);
    expect(r.take(PUBLISHER)).toContainEqual({ kind: Kind.Published, packetId: 3, reason: 0 });
    r.frame(PUBLISHER, (to) => writeRelease(to, 3));
  });
});

describe("the schema", () => {
  test("a later one is refused, and nothing is changed", () => {
    const r = rig({ away: "t" });
    r.sql.run("CREATE TABLE later ( -- schema 2\n key TEXT)");
    const before = r.sql.rows("SELECT sql FROM sqlite_master");
    expect(() => r.restart()).toThrow("what is stored has schema 2, and this release knows 1 at most");
    expect(r.sql.rows("SELECT sql FROM sqlite_master")).toEqual(before);
  });

  test("version 0 is taken over with its log, retained messages, QoS 2 ids, placement and notes", () => {
    const r = rig({});
    r.hello(2, "subscriber");
    r.subscribe(2, "t", { qos: 2 });
    r.publish(PUBLISHER, body("t", "logged", { qos: 2, retain: true }), 7);
    r.will({ generation: 1, epoch: 9 }, "gone", body("will"));
    const old: [string, string][] = [
      ["meta", "key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID"],
      ["log", "first INTEGER PRIMARY KEY, last INTEGER NOT NULL, entries BLOB NOT NULL)"],
      ["retained", "offset INTEGER PRIMARY KEY, topic TEXT NOT NULL UNIQUE, message BLOB NOT NULL)"],
      ["received", "session TEXT PRIMARY KEY, generation INTEGER, epoch INTEGER, ids BLOB) WITHOUT ROWID"],
      ["will_done", "session TEXT, epoch INTEGER, at INTEGER, PRIMARY KEY (session, epoch)) WITHOUT ROWID"],
    ];
    // A restart notes more in `meta`.
    const counts = old.slice(1).map(([table]) => r.count(table));
    for (const [table, columns] of old) {
      r.sql.run(`ALTER TABLE ${table} RENAME TO new_${table}`);
      r.sql.run(`CREATE TABLE ${table} (${columns}`);
      const names = r.sql.rows(`SELECT name FROM pragma_table_info('${table}')`).map(({ name }) => name);
      r.sql.run(`INSERT INTO ${table} SELECT ${names.join(", ")} FROM new_${table}`);
      r.sql.run(`DROP TABLE new_${table}`);
    }
    for (const table of ["session", "subscription", "share", "ended"]) r.sql.run(`DROP TABLE ${table}`);

    r.restart();
    expect(old.slice(1).map(([table]) => r.count(table))).toEqual(counts);
    expect(r.count("session")).toBe(0);
    r.hello(3, "subscriber", { link: 2, cursor: 0, subscriptions: [{ ...filter("t")[0]!, qos: 2, start: 0 }] });
    expect(r.payloads(3)).toEqual(["logged"]);
    r.hello(4, "publisher", { link: 2 });
    r.publish(4, body("t", "logged", { qos: 2 }), 7);
    expect(r.delivered(3)).toEqual([]);
  });
});
