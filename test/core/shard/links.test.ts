import { describe, expect, test } from "vitest";
import { ASK_BYTES } from "../../../src/core/shard/outlet.ts";
import { GRACE_MS } from "../../../src/core/shard/grace.ts";
import { CHECKPOINT_MS } from "../../../src/core/shard/shard.ts";
import { ByteReader } from "../../../src/link/bytes.ts";
import {
  type HelloRecord,
  Kind,
  Phase,
  readRecord,
  writeAck,
  writeBye,
  writeGrant,
  writeRecall,
} from "../../../src/link/records.ts";
import { body, ShardRig } from "../../support/shard-rig.ts";

const REFUSED = 0xff;

function refusal(r: ShardRig, link: number): number | undefined {
  return r.take(link).find((record) => record.kind === REFUSED)?.reason;
}

function known(filter: string, start = 0): HelloRecord["subscriptions"] {
  return [
    {
      number: 1,
      filter,
      qos: 1,
      noLocal: false,
      retainAsPublished: false,
      retainHandling: 0,
      identifier: 0,
      start,
      scan: undefined,
    },
  ];
}

describe("hello", () => {
  test("links: a higher epoch or link closes the lower one, whose frames are ignored", () => {
    const r = new ShardRig();
    r.hello(1, "client", { epoch: 5, link: 1 });
    r.subscribe(1, "t");
    r.hello(2, "client", { epoch: 5, link: 2 });
    expect(r.closed).toEqual([1]);
    r.hello(3, "client", { epoch: 6, link: 1 });
    expect(r.closed).toEqual([1, 2]);
    r.subscribe(3, "#");
    r.take(3);
    for (const link of [1, 2]) r.publish(link, body("t"));
    expect(r.delivered(3)).toEqual([]);
    expect(r.kinds(2)).not.toContain(Kind.Published);
  });

  test.each([
    ["generation", { generation: 1, epoch: 9, link: 9 }],
    ["epoch", { generation: 2, epoch: 4, link: 9 }],
    ["link", { generation: 2, epoch: 5, link: 2 }],
  ])("links: a lower %s is refused, and changes nothing", (_what, fence) => {
    const r = new ShardRig();
    r.hello(1, "client", { generation: 2, epoch: 5, link: 3 });
    r.subscribe(1, "t");
    r.take(1);
    r.hello(2, "client", fence);
    expect(refusal(r, 2)).toBe(0x8e);
    expect(r.closed).toEqual([2]);
    r.publish(1, body("t"));
    expect(r.payloads(1)).toEqual(["x"]);
  });

  test("links: another placement than the stored one is refused with 0x8B, also after a restart", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    r.hello(2, "other", { shards: 8 });
    expect(refusal(r, 2)).toBe(0x8b);
    r.restart();
    r.hello(3, "third", { depth: 3 });
    expect(refusal(r, 3)).toBe(0x8b);
    r.hello(4, "fourth");
    expect(r.kinds(4)).toEqual([Kind.Attached, Kind.Taken]);
  });

  test("links: no common version is refused with a code that closes politely", () => {
    const r = new ShardRig();
    r.hello(1, "client", { versionMin: 2, versionMax: 3 });
    expect(refusal(r, 1)).toBe(0x8b);
  });

  test("links: another tenant is refused", () => {
    const r = new ShardRig();
    r.hello(1, "client", { tenant: "other" });
    expect(refusal(r, 1)).toBe(0x83);
  });

  test("links: more links than the limit are refused with 0x97, and one that goes makes room", () => {
    const r = new ShardRig({ shardLinksMax: 2 });
    r.hello(1, "a");
    r.hello(2, "b");
    r.hello(3, "c");
    expect(refusal(r, 3)).toBe(0x97);
    r.lose(1);
    r.hello(4, "d");
    expect(r.kinds(4)).toContain(Kind.Attached);
  });

  test("links: a frame that is not records closes its link, and counts as a lost one", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    r.subscribe(1, "t");
    r.frame(1, (to) => to.u8(0x7f));
    expect(r.closed).toEqual([1]);
    expect(r.shard.alarmAt).toBeDefined();
  });

  test("links: each frame of a link is answered with one credit, and one that was fenced off with none", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    r.publish(1, body("t"));
    r.publish(1, body("t", "x", { qos: 0 }));
    expect(r.kinds(1).filter((kind) => kind === Kind.Taken)).toHaveLength(3);
    r.hello(2, "client", { link: 2 });
    r.publish(1, body("t"));
    expect(r.kinds(1)).toEqual([]);
  });
});

describe("a lost link", () => {
  test("links: it forgets nobody for the grace, and what comes meanwhile is sent to the link that comes back", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    r.hello(2, "client");
    r.subscribe(2, "t");
    r.publish(1, body("t", "0"));
    const [first] = r.delivered(2);
    r.lose(2);
    r.publish(1, body("t", "1"));
    r.advance(GRACE_MS - 1_000);
    r.publish(1, body("t", "2"));
    r.hello(3, "client", {
      link: 2,
      cursor: 1,
      subscriptions: known("t"),
      inflight: [{ packetId: first!.packetId, offset: 1, source: 0, qos: 1, retain: false, phase: Phase.Sent }],
    });
    expect(r.payloads(3)).toEqual(["1", "2"]);
  });

  test("links: what was in flight and never arrived is sent as new, without DUP", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    r.hello(2, "client");
    r.subscribe(2, "t");
    r.publish(1, body("t", "lost"));
    r.lose(2);
    r.hello(3, "client", { link: 2, cursor: 0, subscriptions: known("t") });
    expect(r.delivered(3)).toMatchObject([{ payload: "lost", dup: false }]);
  });

  test("links: when the grace is over the session is forgotten and the log trimmed, however often the alarm rings", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    r.hello(2, "client");
    r.subscribe(2, "t");
    r.lose(2);
    r.publish(1, body("t"));
    r.advance(GRACE_MS + 21_000);
    r.do(r.shard.alarm(r.now));
    r.do(r.shard.alarm(r.now));
    r.publish(1, body("t"));
    r.advance(5_000);
    expect(r.count("log")).toBe(0);
  });

  test("links: a session that subscribes to nothing is forgotten at once", () => {
    const r = new ShardRig();
    r.advance(GRACE_MS + 1);
    r.hello(1, "publisher");
    r.lose(1);
    expect(r.shard.alarmAt).toBeUndefined();
  });

  test("links: bye forgets at once, and is answered", () => {
    const r = new ShardRig();
    r.advance(GRACE_MS + 1);
    r.hello(1, "publisher");
    r.hello(2, "client");
    r.subscribe(2, "t");
    r.take(2);
    r.frame(2, writeBye);
    expect(r.kinds(2)).toEqual([Kind.Taken]);
    r.lose(2);
    r.publish(1, body("t"));
    expect(r.count("log")).toBe(0);
    expect(r.shard.alarmAt).toBeUndefined();
  });

  test("links: a shard that starts without sockets logs everything for the grace and trims nothing", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    r.hello(2, "client");
    r.subscribe(2, "t");
    r.take(2);
    r.restart();
    r.hello(3, "publisher", { link: 2 });
    r.publish(3, body("t", "1"));
    r.publish(3, body("unwanted", "2"));
    r.advance(20_000);
    expect(r.count("log")).toBe(2);
    r.hello(4, "client", { link: 2, cursor: 0, subscriptions: known("t") });
    const [only, ...more] = r.delivered(4);
    expect([only!.payload, more]).toEqual(["1", []]);
    r.frame(4, (to) => writeAck(to, only!.packetId));
    r.advance(60_000);
    r.publish(3, body("unwanted", "3"));
    expect(r.count("log")).toBe(0);
  });
});

describe("sleep", () => {
  test("links: a change makes what a socket remembers void at once, and the checkpoint renews it", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    r.subscribe(1, "t");
    expect(r.attachments.get(1)).toBeUndefined();
    r.advance(CHECKPOINT_MS);
    const remembered = readRecord(new ByteReader(r.attachments.get(1)!), r.now);
    expect(remembered).toMatchObject({
      kind: Kind.Hello,
      session: "client",
      grants: 100,
      subscriptions: [{ filter: "t" }],
    });
    r.frame(1, (to) => writeGrant(to, 1));
    expect(r.attachments.get(1)).toBeUndefined();
  });

  test("links: an object that has saved everything asks for no tick", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    r.subscribe(1, "t");
    r.advance(CHECKPOINT_MS);
    expect(r.shard.deadline).toBeUndefined();
  });

  test("links: a link that is not remembered is closed on waking, and the others go on", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    r.hello(2, "client");
    r.subscribe(2, "t");
    r.advance(5_000);
    r.take(2);
    r.frame(1, (to) => writeGrant(to, 1));
    r.sleep();
    expect(r.closed).toEqual([1]);
    r.hello(3, "publisher", { link: 2 });
    r.publish(3, body("t"));
    expect(r.payloads(2)).toEqual(["x"]);
  });

  test("links: a list that is too long to be remembered has the link say hello again", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    for (let i = 0; i < 100; i++) r.subscribe(1, `a/long/topic/name/${i}`);
    r.advance(5_000);
    expect(r.attachments.get(1)).toBeUndefined();
    expect(r.shard.deadline).toBeUndefined();
    r.sleep();
    expect(r.closed).toEqual([1]);
  });
});

describe("flow", () => {
  test("links: grants that are recalled come back, as many as there are", () => {
    const r = new ShardRig();
    r.hello(1, "client", { grants: 3 });
    r.take(1);
    r.frame(1, (to) => writeRecall(to, 2));
    r.frame(1, (to) => writeRecall(to, 5));
    expect(r.take(1).filter((record) => record.kind === Kind.Returned)).toMatchObject([{ count: 2 }, { count: 1 }]);
  });

  test("links: beyond the bound under way QoS 0 is dropped and counted, and the link is asked", () => {
    const r = new ShardRig({ deliveryBacklogBytesMax: ASK_BYTES });
    r.hello(1, "publisher");
    r.hello(2, "client");
    r.subscribe(2, "t", { qos: 0 });
    r.take(2);
    for (let i = 0; i < 20; i++) r.publish(1, body("t", "x".repeat(10_000), { qos: 0 }));
    const records = r.take(2);
    expect(records.filter(({ kind }) => kind === Kind.Deliver)).toHaveLength(7);
    expect(records.filter(({ kind }) => kind === Kind.Ask)).toHaveLength(1);
    expect(r.shard.counters.qos0Dropped).toBe(13);
    // It is told of at once, and then once in ten seconds.
    r.advance(10_000);
    expect(r.dropped).toEqual([1, 12]);
    expect(r.shard.deadline).toBeUndefined();
    r.frame(2, (to) => to.u8(Kind.Drained));
    r.publish(1, body("t", "again", { qos: 0 }));
    expect(r.payloads(2)).toEqual(["again"]);
  });

  test("QOS0_BYTES_RATE_MAX: QoS 0 that is more than a link may have in a second is dropped and counted, QoS 1 is not", () => {
    const r = new ShardRig({ qos0BytesRateMax: 10_000 });
    r.hello(1, "publisher");
    for (const [link, qos] of [
      [2, 0],
      [3, 0],
      [4, 1],
    ] as const) {
      r.hello(link, `client ${link}`);
      r.subscribe(link, link === 3 ? "other" : "t", { qos });
      r.take(link);
    }
    for (let i = 0; i < 40; i++) r.publish(1, body("t", "x".repeat(1_000), { qos: 1 }), i + 1);
    // Two seconds' worth at once, of packets of 1,007 bytes.
    expect(r.payloads(2)).toHaveLength(20);
    expect(r.payloads(4)).toHaveLength(40);
    expect(r.shard.counters.qos0Dropped).toBe(20);
    r.publish(1, body("other", "y", { qos: 0 }));
    expect(r.payloads(3)).toEqual(["y"]);
    r.advance(1_000);
    for (let i = 0; i < 40; i++) r.publish(1, body("t", "x".repeat(1_000), { qos: 0 }));
    expect(r.payloads(2)).toHaveLength(10);
  });

  test("links: beyond the bound QoS 1 waits in the log, and goes on when the link has drained", () => {
    const r = new ShardRig({ deliveryBacklogBytesMax: ASK_BYTES });
    r.hello(1, "publisher");
    r.hello(2, "client");
    r.subscribe(2, "t");
    r.take(2);
    for (let i = 0; i < 20; i++) r.publish(1, body("t", `${i}`.padEnd(10_000, ".")));
    const got = r.payloads(2);
    for (let i = 0; i < 5; i++) {
      r.frame(2, (to) => to.u8(Kind.Drained));
      got.push(...r.payloads(2));
    }
    expect(got.map((payload) => parseInt(payload, 10))).toEqual(Array.from({ length: 20 }, (_, i) => i));
  });
});

describe("a will", () => {
  test("links: it is published once, however often it is asked for, also after a restart", () => {
    const r = new ShardRig();
    r.hello(2, "watcher");
    r.subscribe(2, "#");
    r.take(2);
    const fence = { generation: 1, epoch: 7 };
    r.will(fence, "client", body("will", "gone"));
    r.will(fence, "client", body("will", "gone"));
    expect(r.payloads(2)).toEqual(["gone"]);
    r.restart();
    r.hello(3, "watcher", { link: 2, cursor: 1, subscriptions: known("#") });
    r.will(fence, "client", body("will", "gone"));
    r.will({ generation: 1, epoch: 8 }, "client", body("will", "next"));
    expect(r.payloads(3)).toEqual(["next"]);
  });

  test("links: it closes the link of its epoch, whose later frames are ignored, and leaves a later epoch alone", () => {
    const r = new ShardRig();
    r.hello(2, "watcher");
    r.subscribe(2, "#");
    r.hello(1, "client", { epoch: 7 });
    r.hello(3, "later", { epoch: 9 });
    r.take(2);
    r.will({ generation: 1, epoch: 7 }, "client", body("will", "gone"));
    r.will({ generation: 1, epoch: 8 }, "later", body("will", "later gone"));
    expect(r.closed).toEqual([1]);
    r.publish(1, body("t", "too late"));
    r.publish(3, body("t", "in time"));
    expect(r.payloads(2)).toEqual(["gone", "later gone", "in time"]);
  });

  test("[MQTT-3.1.2-14] it obeys its RETAIN, and No Local compares its client id", () => {
    const r = new ShardRig();
    r.hello(2, "watcher");
    r.subscribe(2, "will", { noLocal: true });
    r.hello(3, "client", { epoch: 9 });
    r.subscribe(3, "will", { noLocal: true });
    r.take(2);
    r.take(3);
    r.will({ generation: 1, epoch: 7 }, "client", body("will", "gone", { retain: true, expirySeconds: 60 }));
    expect(r.delivered(2)).toMatchObject([
      { payload: "gone", retain: false, properties: Uint8Array.of(2, 0, 0, 0, 60) },
    ]);
    expect(r.delivered(3)).toEqual([]);
    expect(r.count("retained")).toBe(1);
  });

  test("links: what is noted of wills is swept when nobody can ask any more", () => {
    const r = new ShardRig();
    r.will({ generation: 1, epoch: 7 }, "client", body("will", "gone"));
    expect(r.count("will_done")).toBe(1);
    r.advance(49 * 3600 * 1000);
    expect(r.count("will_done")).toBe(0);
  });
});

describe("coming back", () => {
  test("links: a session that was given up and missed messages is refused, not welcomed as if it had not", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    r.subscribe(1, "t");
    r.lose(1);
    r.advance(GRACE_MS + 30_000);
    r.hello(2, "client", { link: 2, cursor: 5, subscriptions: known("t") });
    expect(refusal(r, 2)).toBe(0x83);
  });

  test("links: within the grace it is welcome, remembered or not", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    r.subscribe(1, "t");
    r.lose(1);
    r.hello(2, "client", { link: 2, cursor: 5, subscriptions: known("t") });
    expect(refusal(r, 2)).toBeUndefined();
    r.restart();
    r.advance(GRACE_MS - 1);
    r.hello(3, "client", { link: 3, cursor: 5, subscriptions: known("t") });
    expect(refusal(r, 3)).toBeUndefined();
  });

  test("links: a publisher, and who subscribed at QoS 0, have missed nothing and may come late", () => {
    const r = new ShardRig();
    r.hello(1, "publisher", { link: 7, cursor: 5 });
    r.hello(2, "client", { link: 7, cursor: 5, subscriptions: known("t").map((each) => ({ ...each, qos: 0 })) });
    expect(refusal(r, 1)).toBeUndefined();
    expect(refusal(r, 2)).toBeUndefined();
  });

  test("links: a shard that nobody is attached to waits for nobody when it starts again", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    r.subscribe(1, "t");
    r.frame(1, writeBye);
    r.advance(CHECKPOINT_MS);
    r.restart();
    r.hello(2, "publisher");
    r.publish(2, body("t"));
    expect(r.count("log")).toBe(0);
  });

  test("links: a shard that waited in vain stops waiting, however often it starts again", () => {
    const r = new ShardRig();
    r.hello(1, "client");
    r.subscribe(1, "t");
    r.hello(2, "publisher");
    r.publish(2, body("t"));
    r.restart();
    expect(r.shard.alarmAt).toBeDefined();
    r.advance(120_000);
    r.restart();
    r.advance(1);
    expect(r.count("log")).toBe(0);
    expect(r.shard.alarmAt).toBeUndefined();
  });
});
