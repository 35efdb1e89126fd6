/** Faults that clients do not notice, or as little as may be; the design's own rules are in `test/sim/rules`. */

import { describe, expect, test } from "vitest";
import type { Client } from "../../sim/world/client.ts";
import { World, type WorldOptions } from "../../sim/world/world.ts";

/** A subscriber of `t/#` and a publisher, with everything saved. */
function pair(options: WorldOptions = {}): { world: World; subscriber: Client; publisher: Client } {
  const world = new World({ shards: 1, ...options });
  const subscriber = world.connected("subscriber");
  const publisher = world.connected("publisher");
  subscriber.subscribe("t/#", 1);
  publisher.subscribe("p", 1);
  world.advance(60_000);
  return { world, subscriber, publisher };
}

function publishMany(publisher: Client, from: number, to: number, options: object = {}): void {
  for (let i = from; i < to; i++) publisher.publish("t/1", `${i}`, { qos: 1, ...options });
}

const numbers = (from: number, to: number): string[] => Array.from({ length: to - from }, (_, i) => `${from + i}`);

/** Everything came, in order, apart from what came again; nobody noticed. */
function expectAll({ subscriber, publisher }: { subscriber: Client; publisher: Client }, count: number): void {
  expect(publisher.acknowledged.toSorted((a, b) => a - b)).toHaveLength(count);
  expect([...new Set(subscriber.payloads)]).toEqual(numbers(0, count));
  expect([subscriber.closed, publisher.closed]).toEqual([undefined, undefined]);
  expect(subscriber.reused).toEqual([]);
  expect(subscriber.all("publish").every(({ dup }) => !dup)).toBe(true);
}

describe("a broken link is not a broken client", () => {
  test("links: QoS 1 that is sent while the link is down arrives when it is up", () => {
    const all = pair();
    const { world, publisher } = all;
    publisher.driver.barred.add(0);
    world.link(publisher, 0).drop();
    publishMany(publisher, 0, 5);
    world.advance(20_000);
    expect(publisher.acknowledged).toEqual([]);
    publisher.driver.barred.clear();
    world.advance(5_000);
    expectAll(all, 5);
  });

  test("links: QoS 0 may be lost with a link, but comes in order and once", () => {
    const { world, subscriber, publisher } = pair();
    for (let i = 0; i < 40; i++) {
      publisher.publish("t/1", `${i}`);
      world.advance(1);
      if (i % 10 === 5) world.link(publisher, 0)?.drop();
      world.advance(30);
    }
    world.advance(5_000);
    const got = subscriber.payloads.map(Number);
    expect(got).toEqual([...new Set(got)].toSorted((a, b) => a - b));
    expect(got.length).toBeGreaterThan(30);
    expect(subscriber.closed).toBeUndefined();
  });

  test("links: a session object that crashes is not noticed, and the will stays where it is", () => {
    const world = new World({ shards: 1 });
    const watcher = world.connected("watcher");
    watcher.subscribe("will");
    const client = world.connected("client", {
      will: { topic: "will", payload: Buffer.from("gone"), qos: 1, retain: false },
    });
    for (let i = 0; i < 5; i++) {
      world.session("client").crash();
      world.advance(15_000);
    }
    world.advance(120_000);
    expect(client.closed).toBeUndefined();
    expect(watcher.payloads).toEqual([]);
    client.cut();
    world.advance(5_000);
    expect(watcher.payloads).toEqual(["gone"]);
  });

  test("links: a storage that fails acknowledges nothing, and when it works again nothing is lost", () => {
    const all = pair();
    const { world, publisher } = all;
    publishMany(publisher, 0, 3);
    world.settle();
    world.shards[0]!.sql.failWrites = true;
    publishMany(publisher, 3, 6);
    world.advance(5_000);
    expect(publisher.acknowledged).toHaveLength(3);
    expect(all.subscriber.payloads).toEqual(numbers(0, 3));
    world.shards[0]!.sql.failWrites = false;
    world.advance(5_000);
    expectAll(all, 6);
  });
});

describe("a lost link forgets nobody", () => {
  test("links: alarms that are late or ring twice change nothing", () => {
    const all = pair();
    const { world, subscriber, publisher } = all;
    world.alarmLateMs = 30_000;
    subscriber.driver.barred.add(0);
    world.link(subscriber, 0).drop();
    publishMany(publisher, 0, 3);
    for (let i = 0; i < 20; i++) {
      world.shards[0]!.ring();
      world.advance(1_000);
    }
    subscriber.driver.barred.clear();
    world.advance(5_000);
    expectAll(all, 3);
  });

  test("links: an object that has nothing to save sleeps: no timer, no alarm, nothing in its log", () => {
    const { world, subscriber, publisher } = pair();
    publishMany(publisher, 0, 5);
    world.advance(120_000);
    expect(subscriber.payloads).toHaveLength(5);
    const shard = world.shards[0]!;
    expect([shard.deadline, shard.core!.alarmAt]).toEqual([undefined, undefined]);
    expect(shard.sql.rows("SELECT * FROM log")).toEqual([]);
  });
});

describe("a subscription on other terms", () => {
  test.each([
    ["No Local before", false],
    ["QoS 0 by another filter before", true],
  ])("[MQTT-3.8.4-4] brings nothing of what was published before, whatever is lost then (%s)", (_name, also) => {
    const world = new World({ shards: 1 });
    const properties = { sessionExpiryInterval: 1_000 };
    // Keeps the log.
    const away = world.connected("away", { properties });
    away.subscribe("a", 1);
    world.settle();
    away.cut();
    const client = world.connected("client", { properties });
    client.subscribe([{ topic: "a", nl: true, qos: 1 }]);
    if (also) client.subscribe([{ topic: "+", qos: 0 }]);
    world.advance(10_000);
    client.publish("a", "own", { qos: 1 });
    world.settle();
    expect(client.payloads).toEqual(also ? ["own"] : []);
    client.subscribe([{ topic: "a", nl: false, qos: 1, rh: 2 }]);
    world.settle();
    world.killWorker("worker");
    world.shards[0]!.crash();
    const back = world.connected("client", { clean: false, properties });
    back.publish("a", "next", { qos: 1 });
    world.advance(5_000);
    expect(back.payloads.filter((payload) => payload === "own")).toEqual([]);
    expect(back.payloads).toContain("next");
  });
});

test("links: a change of subscriptions that waits for deliveries outlasts the sleep of its shard", () => {
  for (const properties of [{ receiveMaximum: 1 }, { receiveMaximum: 1, sessionExpiryInterval: 1_000 }]) {
    const world = new World({ shards: 1 });
    const client = world.connected("client", { properties });
    client.acknowledges = false;
    client.subscribe("a", 1);
    world.settle();
    for (const payload of ["1", "2", "3"]) client.publish("a", payload, { qos: 1 });
    world.settle();
    const packetId = client.subscribe("a", 0);
    world.advance(7_000);
    const shard = world.shards[0]!;
    expect([client.payloads, client.all("suback").length, shard.sleeps]).toEqual([["1"], 1, true]);
    shard.evict();
    client.acknowledges = true;
    client.puback(client.last("publish")!.messageId!);
    world.advance(2_000);
    // Before 10 s have passed, so it is not given up.
    expect(client.last("suback")).toMatchObject({ messageId: packetId, granted: [0] });
    expect(client.payloads).toEqual(["1", "2", "3"]);
    client.unsubscribe("a");
    world.settle();
    shard.crash();
    world.advance(1_000);
    client.publish("a", "4");
    world.advance(1_000);
    expect(client.payloads).toEqual(["1", "2", "3"]);
  }
});

describe("wills come last", () => {
  const will = { topic: "t/will", payload: Buffer.from("will"), qos: 1 as const, retain: false };

  test("links: the will of a client whose Worker died is published once, after the grace", () => {
    const world = new World({ shards: 1 });
    const watcher = world.connected("watcher", {}, 5, "other worker");
    watcher.subscribe("t/#");
    world.connected("client", { will });
    world.killWorker("worker");
    world.advance(30_000);
    expect(watcher.payloads).toEqual([]);
    for (let i = 0; i < 10; i++) {
      world.session("client").ring();
      world.session("client").crash();
      world.advance(10_000);
    }
    expect(watcher.payloads).toEqual(["will"]);
  });

  test("links: the shard of a will that is away is asked again until it has it", () => {
    const world = new World({ shards: 1 });
    const watcher = world.connected("watcher");
    watcher.subscribe("t/#");
    world.settle();
    const client = world.connected("client", { will });
    world.shards[0]!.reachable = false;
    client.cut();
    world.advance(15_000);
    world.session("client").crash();
    world.advance(10_000);
    expect(watcher.payloads).toEqual([]);
    world.shards[0]!.reachable = true;
    world.advance(60_000);
    expect(watcher.payloads).toEqual(["will"]);
    expect(world.session("client").sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
  });
});

describe("takeover", () => {
  test("[MQTT-3.1.4-3] the old connection learns of it though its session link was lost at that moment", () => {
    for (let moment = 0; moment < 10; moment++) {
      const world = new World({ shards: 1 });
      const old = world.connected("client");
      world.link(old, "session").drop();
      world.advance(moment);
      const next = world.client("client");
      next.connect();
      world.advance(5_000);
      expect(old.last("disconnect")!.reasonCode, `after ${moment} ms`).toBe(0x8e);
      expect(old.closed).toBeDefined();
      expect(next.last("connack")!.reasonCode).toBe(0);
      expect(next.closed).toBeUndefined();
    }
  });

  test("[MQTT-3.1.4-3] of many that come at once one survives", () => {
    for (let seed = 0; seed < 20; seed++) {
      const world = new World({ shards: 1, pick: (ready) => (seed * 7) % ready });
      const clients = Array.from({ length: 5 }, () => world.client("client", 5, "w"));
      for (const client of clients) client.connect();
      world.advance(seed);
      world.session("client").crash();
      world.advance(10_000);
      expect(clients.filter(({ closed }) => closed === undefined)).toHaveLength(1);
    }
  });

  test("links: a new connection of the same client does not get what the old one subscribed to", () => {
    const { world, subscriber, publisher } = pair();
    world.link(subscriber, 0).up.held = true;
    const next = world.connected("subscriber");
    next.subscribe("x");
    world.settle();
    publishMany(publisher, 0, 3);
    world.advance(5_000);
    expect(subscriber.closed).toBeDefined();
    expect(next.payloads).toEqual([]);
  });
});

test("links: one that is dead without a close is found out by what is not answered, not by the next ping", () => {
  const all = pair();
  const { world, publisher } = all;
  world.link(publisher, 0).die();
  publishMany(publisher, 0, 3);
  world.advance(29_000);
  expect(publisher.acknowledged).toEqual([]);
  world.advance(4_000);
  expectAll(all, 3);
});

test("links: a shard that is busy for long is not taken for a dead link", () => {
  const all = pair();
  const { world, publisher } = all;
  const link = world.link(publisher, 0);
  // Its answers take their time; the platform's, to pings, do not.
  world.shards[0]!.unsavedMs = 100_000;
  publishMany(publisher, 0, 3);
  world.advance(90_000);
  expect(publisher.acknowledged).toEqual([]);
  expect(world.link(publisher, 0)).toBe(link);
  world.shards[0]!.unsavedMs = 0;
  world.advance(5_000);
  expectAll(all, 3);
});
