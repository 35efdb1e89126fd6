/** Sessions that outlive their connections, at their session object. */
import { describe, expect, test } from "vitest";
import { GRACE_MS } from "../../../src/core/session/session.ts";
import { STILL_HERE_MS } from "../../../src/link/ping.ts";
import { FOR_EVER, type SubscriptionRecord } from "../../../src/link/records.ts";
import { SessionRig } from "../../support/session-rig.ts";

const HOUR = 3600;

function subscription(filter: string, more: Partial<SubscriptionRecord> = {}): SubscriptionRecord {
  return {
    number: 1,
    filter,
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    identifier: 0,
    ...more,
  };
}

/** A client that connected, subscribed on shards 1 and 3, and left. */
function left(expirySeconds = HOUR): SessionRig {
  const r = new SessionRig();
  r.connect(1, { expirySeconds });
  r.keep(1, { put: [subscription("a"), subscription("b")], shards: [1, 3] });
  r.end(1, false, expirySeconds);
  r.lose(1);
  return r;
}

function resume(r: SessionRig, link: number, more: Parameters<SessionRig["connect"]>[1] = {}): boolean {
  r.now += 1;
  r.connect(link, { cleanStart: false, expirySeconds: HOUR, ...more });
  return r.welcome(link)!.sessionPresent;
}

describe("a session with an expiry interval", () => {
  test("[MQTT-3.1.2-5] is found by the next connection, with its subscriptions and the shards that know it", () => {
    const r = left();
    expect(resume(r, 2)).toBe(true);
    expect(r.welcome(2)).toMatchObject({ persistent: true, shards: [1, 3] });
    expect(r.welcome(2)!.subscriptions.map(({ filter }) => filter)).toEqual(["a", "b"]);
  });

  test("[MQTT-3.1.2-5] has the same generation and a higher epoch in each connection", () => {
    const r = left();
    const { generation, epoch } = r.welcome(1)!;
    resume(r, 2);
    expect(r.welcome(2)!.generation).toBe(generation);
    expect(r.welcome(2)!.epoch).toBeGreaterThan(epoch);
  });

  test("[MQTT-3.1.2-6] is not found where none was, nor by a clean start [MQTT-3.2.2-2]", () => {
    const r = new SessionRig();
    expect(resume(r, 1)).toBe(false);
    r.end(1, false, HOUR);
    r.now += 1;
    r.connect(2, { cleanStart: true, expirySeconds: HOUR });
    expect(r.welcome(2)).toMatchObject({ sessionPresent: false, shards: [], subscriptions: [] });
  });

  test("[MQTT-3.1.2-23] without one it ends with its connection", () => {
    const r = new SessionRig();
    r.connect(1, { expirySeconds: 0 });
    r.end(1, false, 0);
    expect(resume(r, 2)).toBe(false);
  });

  test("[MQTT §3.1.2.11.2] a resumed session whose connection wants none ends with that connection", () => {
    const r = left();
    expect(resume(r, 2, { expirySeconds: 0 })).toBe(true);
    r.end(2, false, 0);
    expect(r.shardWipes.map(({ shard }) => shard)).toEqual([1, 3]);
    expect(resume(r, 3)).toBe(false);
  });

  test("is known across restarts of its object, before and after its connection has gone", () => {
    const r = left();
    r.restart();
    expect(resume(r, 2)).toBe(true);
    r.restart();
    r.now += 1;
    r.connect(3, { cleanStart: false, expirySeconds: HOUR });
    expect(r.welcome(3)).toMatchObject({ sessionPresent: true, shards: [1, 3] });
  });

  test("[MQTT-3.8.4-3] keeps the last subscription of each filter, and none that was given up", () => {
    const r = new SessionRig();
    r.connect(1, { expirySeconds: HOUR });
    r.keep(1, { put: [subscription("a"), subscription("b")], shards: [1] });
    r.keep(1, { put: [subscription("a", { qos: 2, identifier: 7, noLocal: true })] });
    r.keep(1, { remove: ["b"] });
    r.restart();
    resume(r, 2);
    expect(r.welcome(2)!.subscriptions).toMatchObject([{ filter: "a", qos: 2, identifier: 7, noLocal: true }]);
  });

  test("links: a change of a connection that was taken over is not kept", () => {
    const r = new SessionRig();
    r.connect(1, { expirySeconds: HOUR });
    resume(r, 2);
    r.keep(1, { put: [subscription("late")] });
    resume(r, 3);
    expect(r.welcome(3)!.subscriptions).toEqual([]);
  });

  test("links: a connection whose welcome was lost is told all of it when it asks again, also by a restarted object", () => {
    const r = left();
    resume(r, 2, { name: "asking" });
    r.restart();
    r.connect(3, { name: "asking", link: 2, cleanStart: false, expirySeconds: HOUR });
    expect(r.welcome(3)).toMatchObject({ sessionPresent: true, shards: [1, 3] });
    expect(r.welcome(3)!.epoch).toBe(r.welcome(2)!.epoch);
    expect(r.welcome(3)!.subscriptions).toHaveLength(2);
  });

  test("links: a connection that comes back is not told again, and one whose session has ended is refused", () => {
    const r = left();
    resume(r, 2);
    const fence = r.welcome(2)!;
    r.lose(2);
    r.connect(3, { reattach: fence, link: 2, cleanStart: false, expirySeconds: HOUR });
    expect(r.welcome(3)).toMatchObject({ epoch: fence.epoch, subscriptions: [], shards: [] });
    r.lose(3);
    r.now += 1;
    r.connect(4, { cleanStart: true });
    r.end(4, false);
    r.restart();
    r.connect(5, { reattach: fence, link: 3, cleanStart: false, expirySeconds: HOUR });
    expect(r.refused(5)).toBe(0x8e);
  });
});

describe("expiry", () => {
  test("[MQTT-4.1.0-2] counts from the end of the connection, and wipes every shard that may hold something", () => {
    const r = left(HOUR);
    r.advance(HOUR * 1000 - 1);
    expect(r.shardWipes).toEqual([]);
    r.advance(1);
    expect(r.shardWipes.map(({ shard }) => shard)).toEqual([1, 3]);
    expect(resume(r, 2)).toBe(false);
  });

  test("[MQTT-4.1.0-2] goes on across restarts, and an alarm that comes late or twice ends it once", () => {
    const r = left(HOUR);
    r.restart();
    r.now += 2 * HOUR * 1000;
    r.alarm();
    r.alarm();
    expect(r.shardWipes).toHaveLength(2);
  });

  test("[MQTT-3.2.2-3] a session that has expired is not found although no alarm has come", () => {
    const r = left(HOUR);
    r.now += HOUR * 1000;
    expect(resume(r, 2)).toBe(false);
    expect(r.shardWipes).toHaveLength(2);
    expect(r.welcome(2)!.generation).toBeGreaterThan(r.welcome(1)!.generation);
  });

  test("[MQTT §3.14.2.2.2] DISCONNECT may change the interval", () => {
    const r = new SessionRig();
    r.connect(1, { expirySeconds: HOUR });
    r.end(1, false, 10);
    r.advance(10_000);
    expect(resume(r, 2)).toBe(false);
    r.end(2, false, 10 * HOUR);
    r.advance(9 * HOUR * 1000);
    expect(resume(r, 3)).toBe(true);
  });

  test("[MQTT §3.1.2.11.2] 0xFFFFFFFF never passes, and sets no alarm", () => {
    const r = left(FOR_EVER);
    expect(r.session.alarmAt).toBeUndefined();
    r.advance(1000 * 365 * 24 * HOUR * 1000);
    expect(resume(r, 2)).toBe(true);
  });

  test("[MQTT-4.1.0-1] never while the client is connected; the object only looks every 12 h whether it still is", () => {
    const r = new SessionRig();
    r.connect(1, { expirySeconds: 1 });
    expect(r.session.alarmAt).toBe(r.now + STILL_HERE_MS);
    r.pings.set(1, r.now + STILL_HERE_MS);
    r.advance(STILL_HERE_MS);
    expect(r.closed).toEqual([]);
    r.advance(STILL_HERE_MS);
    r.advance(GRACE_MS + 1000);
    expect(r.closed).toEqual([1]);
    expect(r.wipes).toBe(1);
  });

  test("links: of a lost link counts from the end of its grace, which a restart does not begin anew", () => {
    const r = new SessionRig();
    r.connect(1, { expirySeconds: 10 });
    r.lose(1);
    r.advance(GRACE_MS / 2);
    r.restart();
    r.advance(GRACE_MS / 2 + 9_999);
    expect(r.wipes).toBe(0);
    r.advance(1);
    expect(r.wipes).toBe(1);
  });
});

describe("a wipe", () => {
  test("[MQTT-3.1.2-4] of a clean start is of the old generation, and CONNACK waits for none", () => {
    const r = left();
    const { generation } = r.welcome(1)!;
    r.now += 1;
    r.connect(2, { cleanStart: true });
    expect(r.welcomed(2)).toBe(true);
    expect(r.welcome(2)!.generation).toBeGreaterThan(generation);
    expect(r.shardWipes).toEqual([
      { shard: 1, generation },
      { shard: 3, generation },
    ]);
  });

  test("links: that fails is tried again, ever more rarely, and after a restart; the object stays until all are done", () => {
    const r = left(1);
    r.advance(1000);
    const [one, three] = r.shardWipes;
    r.do(r.session.shardWiped(one!, r.now));
    r.do(r.session.wipeFailed(three!, r.now));
    r.advance(10_000);
    expect(r.shardWipes).toHaveLength(3);
    r.do(r.session.wipeFailed(three!, r.now));
    r.advance(15_000);
    expect(r.shardWipes).toHaveLength(3);
    r.restart();
    expect(r.shardWipes.at(-1)).toEqual(three);
    expect(r.wipes).toBe(0);
    r.do(r.session.shardWiped(three!, r.now));
    expect(r.wipes).toBe(1);
    expect(r.tables).toBe(0);
    expect(r.session.alarmAt).toBeUndefined();
  });

  test("links: that is still owed does not hold up the next session, nor ends it", () => {
    const r = left();
    r.now += 1;
    r.connect(2, { cleanStart: true, expirySeconds: HOUR });
    r.keep(2, { put: [subscription("new")], shards: [1] });
    for (const wipe of r.shardWipes.slice()) r.do(r.session.shardWiped(wipe, r.now));
    r.end(2, false, HOUR);
    expect(r.wipes).toBe(0);
    expect(resume(r, 3)).toBe(true);
  });

  test("links: a later one of the same shard replaces the earlier one, whose answer then means nothing", () => {
    const r = left();
    r.now += 1;
    r.connect(2, { cleanStart: true, expirySeconds: HOUR });
    r.keep(2, { shards: [1] });
    const [first] = r.shardWipes;
    r.now += 1;
    r.connect(3, { cleanStart: true });
    r.do(r.session.shardWiped(first!, r.now));
    expect(r.sql.rows("SELECT shard FROM wipe")).toEqual([{ shard: 1 }, { shard: 3 }]);
  });

  test("links: generations rise over what is still to be wiped, though the clock goes back", () => {
    const r = left();
    r.now += 1;
    r.connect(2, { cleanStart: true });
    r.end(2, false);
    const { generation } = r.welcome(1)!;
    r.restart();
    r.now -= HOUR * 1000;
    r.connect(3, {});
    expect(r.welcome(3)!.generation).toBeGreaterThan(generation);
  });
});

describe("a will with a delay", () => {
  const will = { will: "gone", willDelaySeconds: 100, expirySeconds: HOUR };

  test("[MQTT-3.1.3-9] is published when it has passed, also by an object that restarted", () => {
    const r = new SessionRig();
    r.connect(1, will);
    r.end(1, true, HOUR);
    r.restart();
    r.advance(99_999);
    expect(r.wills).toEqual([]);
    r.advance(1);
    expect(r.willPayloads).toEqual(["gone"]);
  });

  test("[MQTT-3.1.3-9] is not published when the session is resumed before", () => {
    const r = new SessionRig();
    r.connect(1, will);
    r.end(1, true, HOUR);
    r.advance(99_000);
    expect(resume(r, 2)).toBe(true);
    r.advance(10 * HOUR * 1000);
    expect(r.wills).toEqual([]);
  });

  test("[MQTT §3.1.4] nor when its connection is taken over by one that goes on; one without a delay is", () => {
    const r = new SessionRig();
    r.connect(1, will);
    resume(r, 2, { will: "at once" });
    resume(r, 3);
    expect(r.willPayloads).toEqual(["at once"]);
    r.advance(HOUR * 1000);
    expect(r.willPayloads).toEqual(["at once"]);
  });

  test("[MQTT-3.1.3-9] a clean start ends the session, and with it the delay", () => {
    const r = new SessionRig();
    r.connect(1, will);
    r.end(1, true, HOUR);
    r.now += 1;
    r.connect(2, { cleanStart: true });
    expect(r.willPayloads).toEqual(["gone"]);
  });

  test.each([0, 10])("[MQTT §3.1.3.2.2] does not outlast a session that lives for %i s", (expirySeconds) => {
    const r = new SessionRig();
    r.connect(1, { ...will, expirySeconds });
    r.end(1, true, expirySeconds);
    r.advance(expirySeconds * 1000 - 1);
    if (expirySeconds > 0) expect(r.wills).toEqual([]);
    r.advance(1);
    expect(r.willPayloads).toEqual(["gone"]);
  });

  test("[MQTT §3.1.3.2.2] is cut short by a DISCONNECT that lets the session end", () => {
    const r = new SessionRig();
    r.connect(1, will);
    r.end(1, true, 0);
    expect(r.willPayloads).toEqual(["gone"]);
  });

  test("[MQTT-3.14.4-3] is dropped by a DISCONNECT without it", () => {
    const r = left();
    resume(r, 2, will);
    r.end(2, false, HOUR);
    r.advance(HOUR * 1000);
    expect(r.wills).toEqual([]);
  });

  test("links: begins when a lost link's grace is over", () => {
    const r = new SessionRig();
    r.connect(1, will);
    r.lose(1);
    r.advance(GRACE_MS + 99_999);
    expect(r.wills).toEqual([]);
    r.advance(1);
    expect(r.willPayloads).toEqual(["gone"]);
  });

  test("links: that is on its way is not called back by a connection that comes too late, and goes once", () => {
    const r = new SessionRig();
    const { epoch } = r.connect(1, will);
    r.end(1, true, HOUR);
    r.advance(100_000);
    expect(resume(r, 2)).toBe(true);
    r.do(r.session.willFailed(epoch, r.now));
    r.restart();
    r.advance(60_000);
    expect(r.willPayloads).toEqual(["gone", "gone"]);
    r.do(r.session.willPublished(epoch, r.now));
    r.advance(HOUR * 1000);
    expect(r.wills).toHaveLength(2);
  });
});

describe("a planned end", () => {
  test.each([
    ["clean", 0, true],
    ["clean", HOUR, true],
    ["resumed", HOUR, false],
  ])(
    "[decision 16] publishes no will if the client comes back in time, %s, expiry %i",
    (_how, expirySeconds, cleanStart) => {
      const r = new SessionRig();
      r.connect(1, { will: "moved", expirySeconds });
      r.end(1, true, expirySeconds, true);
      r.advance(GRACE_MS - 1);
      r.restart();
      r.connect(2, { cleanStart, expirySeconds });
      expect(r.welcome(2)!.sessionPresent).toBe(!cleanStart);
      r.advance(2 * GRACE_MS);
      expect(r.wills).toEqual([]);
    },
  );

  test.each([0, HOUR])("[MQTT-3.1.2-8] publishes it if the client does not, expiry %i", (expirySeconds) => {
    const r = new SessionRig();
    r.connect(1, { will: "moved", expirySeconds });
    r.end(1, true, expirySeconds, true);
    r.advance(GRACE_MS - 1);
    expect(r.wills).toEqual([]);
    r.advance(1);
    expect(r.willPayloads).toEqual(["moved"]);
    r.now += 1;
    r.connect(2, { cleanStart: true });
    expect(r.willPayloads).toEqual(["moved"]);
  });
});

describe("a goodbye whose END is still to come", () => {
  test("[MQTT-3.14.4-3] counts when the link is lost before END", () => {
    const r = new SessionRig();
    r.connect(1, { will: "gone", expirySeconds: HOUR });
    r.leave(1, false, HOUR);
    r.lose(1);
    r.advance(2 * GRACE_MS);
    expect(r.wills).toEqual([]);
    expect(resume(r, 2)).toBe(true);
  });

  test("[DESIGN §5] a will that goes with it waits for END, for what was published before it", () => {
    const r = new SessionRig();
    const fence = r.connect(1, { will: "gone", expirySeconds: HOUR });
    r.leave(1, true, 0);
    r.lose(1);
    expect(r.wills).toEqual([]);
    r.advance(GRACE_MS / 2);
    r.connect(2, { reattach: fence, link: 2, expirySeconds: HOUR });
    expect(r.wills).toEqual([]);
    r.end(2, true, 0);
    expect(r.willPayloads).toEqual(["gone"]);
  });

  test("[MQTT §3.14.2.2.2] its interval holds though its END never comes", () => {
    const r = new SessionRig();
    r.connect(1, { will: "gone", expirySeconds: HOUR });
    r.leave(1, true, 0);
    r.lose(1);
    r.advance(GRACE_MS);
    expect(r.willPayloads).toEqual(["gone"]);
    expect(resume(r, 2)).toBe(false);
  });
});

describe("END that comes late, over another link than the one that was dead", () => {
  test("[MQTT-3.1.3-9] a will's delay counts from when the client was gone", () => {
    const r = new SessionRig();
    r.connect(1, { will: "gone", willDelaySeconds: 5, expirySeconds: HOUR });
    r.now += 10_000;
    r.end(1, true, HOUR, false, r.now - 10_000);
    expect(r.willPayloads).toEqual(["gone"]);
  });

  test("[MQTT-3.1.2-23] so does the session's expiry", () => {
    const r = new SessionRig();
    r.connect(1, { expirySeconds: 60 });
    r.now += 30_000;
    r.end(1, true, 60, false, r.now - 30_000);
    r.advance(30_000);
    expect(resume(r, 2)).toBe(false);
  });

  test("no clock that is ahead makes them later", () => {
    const r = new SessionRig();
    r.connect(1, { will: "gone", willDelaySeconds: 5, expirySeconds: HOUR });
    r.end(1, true, HOUR, false, r.now + 60_000);
    r.advance(5_000);
    expect(r.willPayloads).toEqual(["gone"]);
  });
});

describe("what is stored", () => {
  test("[decision 11] nothing for a session that ends with its connection", () => {
    const r = new SessionRig();
    r.connect(1, { expirySeconds: 0 });
    expect(r.tables).toBe(0);
  });

  test("schema: a later one is refused, and nothing is changed", () => {
    const r = new SessionRig();
    r.sql.run("CREATE TABLE session ( -- schema 99\n one INTEGER)");
    expect(() => r.restart()).toThrow("schema 99");
    expect(r.tables).toBe(1);
  });

  test("schema: wills of version 0 are taken over", () => {
    const r = new SessionRig();
    const { epoch } = r.connect(1, { will: "old" });
    const [row] = r.sql.rows("SELECT * FROM will");
    r.sql.run("DROP TABLE will");
    r.sql.run(
      `CREATE TABLE will (epoch INTEGER PRIMARY KEY, generation INTEGER NOT NULL, connection TEXT NOT NULL,
       message BLOB NOT NULL, due INTEGER)`,
    );
    const { generation, connection, message } = row!;
    r.sql.run("INSERT INTO will VALUES (?, ?, ?, ?, NULL)", epoch, generation!, connection!, message!);
    r.restart();
    r.advance(GRACE_MS);
    expect(r.willPayloads).toEqual(["old"]);
  });
});
