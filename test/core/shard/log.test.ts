import { describe, expect, test } from "vitest";
import { RESERVATION } from "../../../src/core/shard/log.ts";
import { GRACE_MS } from "../../../src/core/shard/grace.ts";
import { Kind, type SubscriptionRecord, writeAck, writeGrant } from "../../../src/link/records.ts";
import { StorageFailure } from "../../support/node-sql.ts";
import { body, ShardRig } from "../../support/shard-rig.ts";

function rig(options: object = {}, limits: object = {}): ShardRig {
  const r = new ShardRig(limits);
  // Not recovering any more.
  r.advance(GRACE_MS + 1);
  r.hello(1, "publisher");
  r.hello(2, "subscriber", options);
  r.subscribe(2, "t");
  r.advance(5_000);
  r.take(1);
  r.take(2);
  return r;
}

/** Offsets of what the log holds. */
function stored(r: ShardRig): number[] {
  return r.sql.rows("SELECT last FROM log ORDER BY first").map((row) => row["last"] as number);
}

describe("the log", () => {
  test("[MQTT-4.3.2-4] a QoS 1 message is stored before anything of it is sent", () => {
    const r = rig();
    const before = r.history.length;
    const { run } = r.sql;
    r.sql.run = (query, ...parameters) => {
      if (query.includes("INSERT INTO log")) r.history.push("store");
      run.call(r.sql, query, ...parameters);
    };
    r.publish(1, body("t"));
    const history = r.history.slice(before);
    expect(history.indexOf("store")).toBeGreaterThanOrEqual(0);
    expect(history.indexOf("store")).toBeLessThan(history.indexOf("send"));
    expect(r.kinds(1)).toEqual([Kind.Published, Kind.Taken]);
  });

  test("links: a write that fails throws, and nothing was sent", () => {
    const r = rig();
    r.sql.failWrites = (query) => query.includes("INSERT INTO log");
    expect(() => r.publish(1, body("t"))).toThrow(StorageFailure);
    expect(r.take(1)).toEqual([]);
    expect(r.take(2)).toEqual([]);
  });

  test("links: one frame of many messages is one row, in order", () => {
    const r = rig();
    r.frame(1, (to) => {
      for (let i = 1; i <= 50; i++)
        to.u8(Kind.Publish)
          .u16(i)
          .u8(1)
          .string("t")
          .bytes32(new Uint8Array(0))
          .bytes32(Uint8Array.of(48 + (i % 10)));
    });
    expect(r.count("log")).toBe(1);
    expect(r.payloads(2)).toEqual(Array.from({ length: 50 }, (_, i) => String((i + 1) % 10)));
  });

  test("links: what no QoS 1 subscription matches is not stored, and QoS 0 never", () => {
    const r = rig();
    r.publish(1, body("other"));
    r.publish(1, body("t", "x", { qos: 0 }));
    expect(r.count("log")).toBe(0);
    expect(r.take(1).map(({ kind }) => kind)).toEqual([Kind.Published, Kind.Taken, Kind.Taken]);
  });

  test("links: a new incarnation starts above the reservation, so no offset names two messages", () => {
    const r = rig();
    r.publish(1, body("t"));
    const [first] = stored(r);
    r.restart();
    r.hello(1, "publisher");
    r.publish(1, body("t"));
    const [, second] = stored(r);
    expect(first).toBeLessThanOrEqual(RESERVATION);
    expect(second).toBeGreaterThan(RESERVATION);
    r.restart();
    r.hello(1, "publisher");
    r.publish(1, body("t"));
    expect(stored(r).at(-1)).toBeGreaterThan(2 * RESERVATION);
  });

  test("links: it is trimmed when nobody needs it, and not before", () => {
    const r = rig();
    r.publish(1, body("t"));
    r.publish(1, body("t"));
    const ids = r.delivered(2).map(({ packetId }) => packetId);
    r.advance(10_000);
    expect(r.count("log")).toBe(2);
    r.frame(2, (to) => writeAck(to, ids[0]!));
    r.advance(10_000);
    expect(r.count("log")).toBe(1);
    r.frame(2, (to) => writeAck(to, ids[1]!));
    r.advance(10_000);
    expect(r.count("log")).toBe(0);
    expect(r.shard.deadline).toBeUndefined();
    expect(r.shard.alarmAt).toBeUndefined();
  });

  test("links: what a session without grants has not had stays, and comes in order when it may", () => {
    const r = rig({ grants: 0 });
    for (let i = 0; i < 5; i++) r.publish(1, body("t", `${i}`));
    expect(r.kinds(2)).toEqual([Kind.Hungry]);
    r.advance(60_000);
    expect(r.count("log")).toBe(5);
    r.frame(2, (to) => writeGrant(to, 2));
    expect(r.payloads(2)).toEqual(["0", "1"]);
    r.publish(1, body("t", "5"));
    r.frame(2, (to) => writeGrant(to, 10));
    expect(r.payloads(2)).toEqual(["2", "3", "4", "5"]);
    r.publish(1, body("t", "6"));
    expect(r.payloads(2)).toEqual(["6"]);
  });

  test("links: a log above its limit loses its oldest batches, and it is counted", () => {
    const r = rig({ grants: 0 }, { logBytesMax: 10_000 });
    for (let i = 0; i < 30; i++) r.publish(1, body("t", `${i}`.padEnd(1_000, ".")));
    r.advance(5_000);
    expect(r.count("log")).toBeLessThan(12);
    expect(r.shard.counters.overflowed).toBeGreaterThanOrEqual(18);
    r.frame(2, (to) => writeGrant(to, 100));
    const got = r.payloads(2).map((payload) => parseInt(payload, 10));
    expect(got.at(-1)).toBe(29);
    expect(got.length).toBeLessThan(12);
    expect(got).toEqual(got.toSorted((a, b) => a - b));
  });

  test("[MQTT-3.8.4-4] a subscription that is replaced loses nothing that waited", () => {
    const r = rig({ grants: 0 });
    r.publish(1, body("t", "1"));
    r.subscribe(2, "t", { identifier: 5, retainHandling: 2 });
    r.publish(1, body("t", "2"));
    r.frame(2, (to) => writeGrant(to, 10));
    expect(r.payloads(2)).toEqual(["1", "2"]);
  });

  test("links: a subscription counts from its own offset, not from where the session stands", () => {
    const r = rig({ grants: 0 });
    r.hello(3, "other");
    r.subscribe(3, "u");
    r.publish(1, body("t", "1"));
    r.publish(1, body("u", "before"));
    r.subscribe(2, "u");
    r.publish(1, body("u", "after"));
    r.take(2);
    r.frame(2, (to) => writeGrant(to, 10));
    expect(r.payloads(2)).toEqual(["1", "after"]);
  });

  test("[MQTT-3.10.4-2] what waits for a filter is not sent after it is unsubscribed", () => {
    const r = rig({ grants: 0 });
    r.publish(1, body("t", "1"));
    r.frame(2, (to) => to.u8(Kind.Unsubscribe).u32(9).u32(1).string("t"));
    r.frame(2, (to) => writeGrant(to, 10));
    expect(r.payloads(2)).toEqual([]);
  });

  test("links: a message of almost a row's size is stored and delivered", () => {
    const r = rig();
    r.publish(1, body("t", "x".repeat(1_800_000)));
    r.publish(1, body("t", "y".repeat(1_800_000)));
    r.restart();
    r.take(2);
    r.hello(2, "subscriber", {
      link: 2,
      cursor: 0,
      subscriptions: [
        {
          number: 1,
          filter: "t",
          qos: 1,
          noLocal: false,
          retainAsPublished: false,
          retainHandling: 0,
          identifier: 0,
          start: 0,
          scan: undefined,
        },
      ],
    });
    expect(r.payloads(2).map((payload) => payload.length)).toEqual([1_800_000]);
    r.frame(2, (to) => to.u8(Kind.Drained));
    expect(r.payloads(2).map((payload) => payload.length)).toEqual([1_800_000]);
  });
});

test("who comes back to a long log reads some of it in each turn, and everything in the end", () => {
  const rig = new ShardRig();
  const payload = "x".repeat(100_000);
  const subscribed = (link: number, session: string, filter: string): SubscriptionRecord => {
    rig.hello(link, session, { persistent: true });
    const subscription = rig.subscribe(link, filter);
    rig.advance(5_000);
    rig.lose(link);
    return subscription;
  };
  subscribed(1, "keeper", "t/#");
  const subscriptions = [{ ...subscribed(2, "reader", "x/y"), start: undefined, scan: undefined }];
  rig.hello(3, "publisher");
  for (let i = 0; i < 200; i++) {
    rig.publish(3, body(`t/${i}`, payload), i + 1);
    if (i % 100 === 50) rig.publish(3, body("x/y", `${i}`), 1_000 + i);
  }
  rig.advance(5_000);
  rig.hello(4, "reader", { persistent: true, epoch: 2, subscriptions });
  const turns: string[][] = [rig.payloads(4)];
  while (turns.flat().length < 2 && turns.length < 10) {
    // Until it is at the end the object has something to do at once, and does not sleep.
    expect(rig.shard.deadline).toBe(rig.now);
    rig.do(rig.shard.tick(rig.now));
    turns.push(rig.payloads(4));
  }
  expect(turns.flat()).toEqual(["50", "150"]);
  expect(turns.length).toBe(2);
  rig.advance(5_000);
  expect(rig.shard.deadline).toBeUndefined();
});
