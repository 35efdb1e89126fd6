/** Schedules that the rules once did not survive. */

import { describe, expect, test } from "vitest";
import { Window } from "../../src/core/connection/window.ts";
import { ByteReader, type ByteWriter, LinkFormatError } from "../../src/link/bytes.ts";
import * as records from "../../src/link/records.ts";
import type { Client } from "../sim/world/client.ts";
import { World, type WorldOptions } from "../sim/world/world.ts";
import { body, type Delivered, ShardRig } from "../support/shard-rig.ts";

/** A subscriber of `t/1` at QoS 1 and a publisher, on one shard, with everything saved. */
function pair(options: WorldOptions = {}): { world: World; subscriber: Client; publisher: Client } {
  const world = new World({ shards: 1, ...options });
  const subscriber = world.connected("subscriber");
  const publisher = world.connected("publisher");
  subscriber.subscribe("t/1", 1);
  world.settle();
  publisher.publish("t/1", "first", { qos: 1 });
  world.settle();
  world.advance(5_000);
  expect(subscriber.payloads).toEqual(["first"]);
  return { world, subscriber, publisher };
}

describe("sleep", () => {
  test("links: a session that a shard woke with is delivered QoS 1 messages", () => {
    const { world, subscriber, publisher } = pair();
    world.shards[0]!.evict();
    publisher.publish("t/1", "second", { qos: 1 });
    world.settle();
    expect(subscriber.payloads).toEqual(["first", "second"]);
  });

  test("links: a session without grants that a shard woke with gets hungry when there is something", () => {
    const world = new World({ shards: 4 });
    const subscriber = world.connected("subscriber", { properties: { receiveMaximum: 1 } });
    const publisher = world.connected("publisher");
    subscriber.subscribe("t/1", 1);
    world.settle();
    publisher.publish("t/1", "first", { qos: 1 });
    world.settle();
    world.advance(5_000);
    for (const shard of world.shards) shard.evict();
    publisher.publish("t/1", "second", { qos: 1 });
    world.settle();
    world.advance(5_000);
    expect(subscriber.payloads).toEqual(["first", "second"]);
  });

  test("links: a link that breaks while its shard sleeps forgets nobody", () => {
    const { world, subscriber, publisher } = pair();
    world.shards[0]!.evict();
    // The way back takes a while.
    subscriber.driver.barred.add(0);
    world.link(subscriber, 0).drop();
    world.advance(500);
    publisher.publish("t/1", "second", { qos: 1 });
    world.advance(500);
    expect(publisher.acknowledged).toHaveLength(2);
    subscriber.driver.barred.clear();
    world.advance(5_000);
    expect(subscriber.closed).toBeUndefined();
    expect(subscriber.payloads).toEqual(["first", "second"]);
  });

  test("links: a shard that restarts and then sleeps is still recovering when it wakes", () => {
    const { world, subscriber, publisher } = pair();
    publisher.subscribe("t/2", 1);
    world.advance(60_000);
    subscriber.driver.barred.add(0);
    world.shards[0]!.crash();
    world.advance(11_000);
    world.shards[0]!.evict();
    publisher.publish("t/1", "second", { qos: 1 });
    world.advance(5_000);
    expect(publisher.acknowledged).toHaveLength(2);
    subscriber.driver.barred.clear();
    world.advance(5_000);
    expect(subscriber.closed).toBeUndefined();
    expect(subscriber.payloads).toEqual(["first", "second"]);
  });

  test("links: a session object that slept finds out that its connection vanished", () => {
    const world = new World({ shards: 1 });
    const watcher = world.connected("watcher");
    watcher.subscribe("will/#", 1);
    const client = world.connected("client", {
      will: { topic: "will/client", payload: Buffer.from("gone"), qos: 1, retain: false },
    });
    world.advance(60_000);
    // The Worker vanishes, and nobody tells the object, which sleeps whenever it can.
    client.driver.done = true;
    for (let hours = 0; hours < 26; hours++) {
      world.session("client").evict();
      world.advance(3600 * 1000);
    }
    expect(watcher.payloads).toEqual(["gone"]);
  });
});

describe("retained", () => {
  test("[MQTT-3.3.1-9] subscribing again sends a retained message that was set after the first SUBSCRIBE", () => {
    const { world, subscriber, publisher } = pair();
    publisher.publish("t/1", "kept", { qos: 1, retain: true });
    world.settle();
    subscriber.subscribe("t/1", 1);
    world.settle();
    expect(subscriber.payloads).toEqual(["first", "kept", "kept"]);
    expect(subscriber.last("publish")!.retain).toBe(true);
  });

  test("[MQTT-4.3.1-1] a scan of QoS 0 messages that a crash interrupts does not start again", () => {
    const world = new World({ shards: 1, limits: { deliveryBacklogBytesMax: 65_536 } });
    const publisher = world.connected("publisher");
    for (let i = 0; i < 100; i++) publisher.publish(`t/${i}`, `${i}`.padEnd(2_000, "."), { qos: 1, retain: true });
    world.settle();
    const subscriber = world.connected("subscriber");
    subscriber.subscribe("t/+", 0);
    for (let i = 0; i < 500 && subscriber.all("publish").length === 0; i++) world.step(world.now + 100);
    subscriber.down.held = true;
    world.advance(200);
    subscriber.down.held = false;
    world.shards[0]!.crash();
    world.advance(5_000);
    const topics = subscriber.all("publish").map(({ topic }) => topic);
    expect(new Set(topics).size).toBe(100);
    expect(topics).toHaveLength(100);
  });

  test("[MQTT-3.3.1-9] a retained message whose level begins with U+10FFFF is found by a wildcard", () => {
    const world = new World({ shards: 1 });
    const publisher = world.connected("publisher");
    publisher.publish("t/\u{10ffff}", "last", { qos: 1, retain: true });
    world.settle();
    const subscriber = world.connected("subscriber");
    subscriber.subscribe("t/+", 1);
    world.settle();
    expect(subscriber.payloads).toEqual(["last"]);
  });
});

describe("wills", () => {
  test("[MQTT-3.1.2-8] a welcome that is lost on its way publishes no will", () => {
    const world = new World({ shards: 1 });
    const watcher = world.connected("watcher");
    watcher.subscribe("will/#", 1);
    const client = world.client("client");
    client.connect({ will: { topic: "will/client", payload: Buffer.from("gone"), qos: 1, retain: false } });
    while (!client.driver.links.has("session")) world.step(world.now + 10);
    const link = world.link(client, "session");
    // The object has accepted the connection and answers.
    while (link.attachment === undefined) world.step(world.now + 10);
    link.drop();
    world.advance(5_000);
    expect(client.last("connack")!.reasonCode).toBe(0);
    expect(client.closed).toBeUndefined();
    expect(watcher.payloads).toEqual([]);
  });

  test("links: a connection that was taken over publishes nothing after its will", () => {
    const world = new World({ shards: 1 });
    const watcher = world.connected("watcher");
    watcher.subscribe("t/#", 1);
    const will = { topic: "t/will", payload: Buffer.from("will"), qos: 1 as const, retain: false };
    const old = world.connected("client", { will });
    old.publish("t/1", "first", { qos: 1 });
    world.settle();
    // What it publishes now is still on its way to the shard when it is taken over.
    world.link(old, 0).up.delayMs = 100;
    old.publish("t/1", "late", { qos: 1 });
    world.advance(5);
    world.connected("client");
    world.advance(5_000);
    expect(old.closed).toBeDefined();
    expect(watcher.payloads.at(-1)).toBe("will");
  });

  test("links: while a will is on its way to its shard the alarm does not ring again and again", () => {
    const world = new World({ shards: 1, delayMs: 50 });
    const will = { topic: "t/will", payload: Buffer.from("will"), qos: 1 as const, retain: false };
    const client = world.connected("client", { will });
    world.advance(1_000);
    client.cut();
    world.advance(5_000);
    expect(world.session("client").rings).toBeLessThanOrEqual(2);
  });

  test("links: epochs rise across a wipe, also within one millisecond", () => {
    const world = new World({ shards: 1, delayMs: 0 });
    const watcher = world.connected("watcher");
    watcher.subscribe("t/#", 1);
    world.settle();
    for (const payload of ["one", "two"]) {
      const will = { topic: "t/will", payload: Buffer.from(payload), qos: 1 as const, retain: false };
      const client = world.client("client");
      client.connect({ will });
      while (world.step());
      client.cut();
      while (world.step());
    }
    world.advance(60_000);
    expect(watcher.payloads).toEqual(["one", "two"]);
  });
});

describe("SUBSCRIBE", () => {
  test("[MQTT-3.1.4-6] SUBSCRIBE and then PUBLISH of QoS 1 keep their order while the shard's link opens", () => {
    const world = new World({ shards: 1 });
    const client = world.client("client");
    client.connect();
    client.subscribe("t", 1);
    client.publish("t", "own", { qos: 1 });
    world.settle();
    expect(client.payloads).toEqual(["own"]);
  });

  test("links: a filter that is twice in a SUBSCRIBE that fails is undone", () => {
    const world = new World({ shards: 2 });
    const subscriber = world.connected("subscriber");
    const publisher = world.connected("publisher");
    world.shards[1]!.reachable = false;
    subscriber.subscribe([{ topic: "#" }, { topic: "#" }]);
    world.advance(11_000);
    expect(subscriber.last("suback")!.granted).toEqual([0x80, 0x80]);
    const topic = ["a", "b", "c", "d"].find((name) => world.shardOf(name).shard === 0)!;
    publisher.publish(topic, "message", { qos: 1 });
    world.advance(1_000);
    expect(subscriber.payloads).toEqual([]);
  });

  test("[MQTT-3.8.4-1] undoing a SUBSCRIBE leaves a later one of the same filter alone", () => {
    const world = new World({ shards: 2 });
    const subscriber = world.connected("subscriber");
    const publisher = world.connected("publisher");
    world.shards[1]!.reachable = false;
    subscriber.subscribe("#", 0);
    world.advance(5_000);
    subscriber.subscribe("#", 1);
    world.advance(6_000);
    world.shards[1]!.reachable = true;
    world.advance(3_000);
    expect(subscriber.all("suback").map(({ granted }) => granted)).toEqual([[0x80], [1]]);
    for (const topic of ["a", "b", "c", "d"]) publisher.publish(topic, topic, { qos: 1 });
    world.advance(1_000);
    expect(subscriber.payloads.toSorted()).toEqual(["a", "b", "c", "d"]);
  });

  test("links: more filters than 65,535 in one SUBSCRIBE are answered", () => {
    const world = new World({
      shards: 1,
      limits: { packetBytesMax: 2 ** 21, subscriptionsMax: 40_000, filtersPerSubscribeMax: 70_000 },
    });
    const subscriber = world.connected("subscriber", {}, 4);
    subscriber.subscribe(Array.from({ length: 65_537 }, () => ({ topic: "t" })));
    world.advance(2_000);
    expect(subscriber.last("suback")?.granted).toHaveLength(65_537);
    expect(new Set(subscriber.last("suback")?.granted)).toEqual(new Set([1]));
  });
});

describe("CONNACK", () => {
  test("[MQTT-3.14.0-1] a CONNACK above the client's Maximum Packet Size is no reason to send DISCONNECT", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client", { properties: { maximumPacketSize: 8 } });
    expect(client.closed).toBeDefined();
    expect(client.received).toEqual([]);
  });

  test("[MQTT-3.1.2-24] a refusal above the client's Maximum Packet Size is not sent", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client", { properties: { maximumPacketSize: 4, authenticationMethod: "SCRAM" } });
    expect(client.closed).toBeDefined();
    expect(client.received).toEqual([]);
  });
});

describe("links", () => {
  test("links: two shards that are hungry for one grant take turns and deliver", () => {
    const world = new World({ shards: 2 });
    const subscriber = world.connected("subscriber", { properties: { receiveMaximum: 1 } });
    const publisher = world.connected("publisher");
    subscriber.acknowledges = false;
    subscriber.subscribe("#", 1);
    world.settle();
    const topics = [0, 1].map((shard) =>
      ["a", "b", "c", "d", "e"].find((name) => world.shardOf(name).shard === shard)!,
    );
    for (let i = 0; i < 3; i++) for (const topic of topics) publisher.publish(topic, `${topic}${i}`, { qos: 1 });
    world.advance(1_000);
    expect(subscriber.payloads).toHaveLength(1);
    subscriber.acknowledges = true;
    subscriber.puback(subscriber.last("publish")!.messageId!);
    world.advance(1_000);
    expect(subscriber.payloads).toHaveLength(6);
  });

  test("links: a connection does not come back after the grace that a shard gives it", () => {
    const { world, subscriber, publisher } = pair({ random: () => 0.99 });
    publisher.subscribe("t/2", 1);
    world.advance(60_000);
    // The stored end of the grace moves in steps: after another loss it is not moved for this one.
    world.link(publisher, 0).drop();
    world.advance(19_900);
    const droppedAt = world.now;
    subscriber.driver.barred.add(0);
    world.link(subscriber, 0).drop();
    world.advance(29_500);
    subscriber.driver.barred.clear();
    // The last attempt succeeds, but slowly.
    while (!subscriber.driver.links.has(0)) world.step(world.now + 5_000);
    world.link(subscriber, 0).down.held = true;
    world.advance(droppedAt + 40_300 - world.now);
    publisher.publish("t/1", "second", { qos: 1 });
    world.advance(300);
    const late = subscriber.driver.links.get(0);
    if (late) late.down.held = false;
    world.advance(60_000);
    // It has lost a message, so it must not go on as if it had not.
    if (subscriber.closed === undefined) expect(subscriber.payloads).toEqual(["first", "second"]);
  });

  test("links: a shard that is full takes a link that replaces another of the same connection", () => {
    const world = new World({ shards: 1, limits: { shardLinksMax: 1 } });
    const subscriber = world.connected("subscriber");
    subscriber.subscribe("t/1", 1);
    world.settle();
    const link = world.link(subscriber, 0);
    // The Worker sees the break first.
    link.up.delayMs = 10_000;
    link.closeAtObject();
    world.advance(5_000);
    expect(subscriber.closed).toBeUndefined();
  });

  test("links: a string that is not UTF-8 is a LinkFormatError, so that it breaks a link and not an object", () => {
    const unsubscribe = Uint8Array.of(0x05, 0, 0, 0, 1, 0, 1, 0, 1, 0xff);
    expect(() => records.readRecord(new ByteReader(unsubscribe), 0)).toThrow(LinkFormatError);
  });

  test("links: a shard is never granted more than its packet ids", () => {
    const window = new Window(60_000, 4);
    const ids = Math.floor(65_535 / 4);
    let held = window.open(0);
    window.delivered(0, held);
    let outstanding = held;
    held = 0;
    // Hungry while grants for what the client has just acknowledged are on their way.
    for (let i = 0; i < 3; i++) for (const change of window.hungry(0)) held += change.grant;
    for (let i = 0; i < 10; i++) {
      outstanding -= 1;
      for (const change of window.acknowledged(0)) held += change.grant;
    }
    for (const change of window.hungry(0)) held += change.grant;
    expect(held + outstanding).toBeLessThanOrEqual(ids);
  });
});

describe("SUBSCRIBE again with other options while deliveries wait", () => {
  /** The client acknowledges nothing, so "second" waits in the log. */
  function waiting(): { world: World; subscriber: Client; publisher: Client } {
    const world = new World({ shards: 1 });
    const subscriber = world.connected("subscriber", { properties: { receiveMaximum: 1 } });
    const publisher = world.connected("publisher");
    subscriber.acknowledges = false;
    subscriber.subscribe("t", 1);
    world.settle();
    for (const payload of ["first", "second"]) publisher.publish("t", payload, { qos: 1 });
    world.advance(1_000);
    expect(publisher.acknowledged).toHaveLength(2);
    expect(subscriber.payloads).toEqual(["first"]);
    return { world, subscriber, publisher };
  }

  function acknowledge(subscriber: Client): void {
    subscriber.acknowledges = true;
    for (const packetId of subscriber.unacknowledged) subscriber.puback(packetId);
  }

  test("[MQTT-4.6.0-6] what is published after the QoS was lowered to 0 does not overtake what waits", () => {
    const { world, subscriber, publisher } = waiting();
    subscriber.subscribe("t", 0);
    world.settle();
    publisher.publish("t", "third", { qos: 1 });
    world.advance(1_000);
    acknowledge(subscriber);
    world.advance(5_000);
    expect(subscriber.payloads).toEqual(["first", "second", "third"]);
  });

  test("[MQTT-3.8.4-4] what waits is not lost when the QoS is lowered to 0 and raised again", () => {
    const { world, subscriber } = waiting();
    subscriber.subscribe("t", 0);
    world.settle();
    subscriber.subscribe("t", 1);
    world.settle();
    acknowledge(subscriber);
    world.advance(5_000);
    expect(subscriber.payloads).toEqual(["first", "second"]);
  });

  test("[MQTT-3.8.4-4] what waits is not lost when the QoS is lowered to 0 and then the link breaks", () => {
    const { world, subscriber } = waiting();
    subscriber.subscribe("t", 0);
    world.settle();
    world.link(subscriber, 0).drop();
    world.advance(5_000);
    acknowledge(subscriber);
    world.advance(5_000);
    expect(subscriber.payloads).toEqual(["first", "second"]);
  });

  test("[MQTT-3.8.3-3] what No Local kept back does not come after No Local was given up and everything was lost", () => {
    const world = new World({ shards: 1 });
    const lasting = { clean: false, properties: { sessionExpiryInterval: 3600 } };
    // Somebody who is away keeps the log from being trimmed.
    const absent = world.connected("absent", lasting);
    absent.subscribe("t", 1);
    world.settle();
    absent.cut();
    const client = world.connected("client", lasting);
    client.subscribe([{ topic: "#", nl: true }], 2);
    client.subscribe("t", 0);
    world.advance(5_000);
    client.publish("t", "own", { qos: 2 });
    world.settle();
    expect(client.payloads).toEqual(["own"]);
    client.subscribe([{ topic: "#", rh: 2 }], 2);
    world.settle();
    world.killWorker("worker");
    for (const node of [...world.shards, ...world.sessions.values()]) node.crash();
    const again = world.connected("client", lasting);
    world.advance(5_000);
    expect(again.payloads).toEqual([]);
  });

  test("[MQTT-3.8.3-3] a client's own message that No Local kept back does not come when No Local is given up", () => {
    const { world, subscriber } = waiting();
    subscriber.subscribe([
      { topic: "own", nl: true },
      { topic: "+", qos: 0 },
    ]);
    world.settle();
    const other = world.connected("other");
    other.subscribe("own", 1);
    world.settle();
    subscriber.publish("own", "own", { qos: 1 });
    world.advance(1_000);
    subscriber.subscribe([{ topic: "own", nl: false, rh: 2 }]);
    world.settle();
    acknowledge(subscriber);
    world.advance(5_000);
    expect(subscriber.payloads.filter((payload) => payload === "own")).toHaveLength(1);
  });
});

describe("a session in two share groups that handed it the same message", () => {
  /** It has it at QoS 1 from one and at QoS 2 from the other, and for itself; its shard restarts, knowing only the latter. */
  function restarted(restart: (world: World, member: Client) => Client): {
    world: World;
    member: Client;
    other: Client;
  } {
    const world = new World({ shards: 1 });
    const options = { clean: false, properties: { sessionExpiryInterval: 3600 } };
    const member = world.connected("member", options);
    member.acknowledges = false;
    member.subscribe("$share/one/t", 1);
    member.subscribe("$share/two/t", 2);
    member.subscribe("t", 1);
    world.settle();
    world.advance(5_000);
    world.connected("publisher").publish("t", "m", { qos: 2 });
    world.settle();
    expect(member.payloads).toEqual(["m", "m", "m"]);
    const again = restart(world, member);
    // Whoever comes has what a member that goes was handed at QoS 1.
    const other = world.connected("other");
    other.subscribe("$share/two/t", 2);
    world.settle();
    again.cut();
    world.advance(5_000);
    return { world, member: again, other };
  }

  test.each<[string, (world: World, member: Client) => Client]>([
    [
      "its shard restarts",
      (world, member) => {
        world.shards[0]!.crash();
        world.advance(1_000);
        return member;
      },
    ],
    [
      "its shard restarts, and then it comes again",
      (world, member) => {
        member.driver.kill();
        world.shards[0]!.crash();
        world.advance(1_000);
        const again = world.client("member");
        again.acknowledges = false;
        again.connect({ clean: false, properties: { sessionExpiryInterval: 3600 } });
        world.advance(1_000);
        return again;
      },
    ],
    [
      "its shard restarts, and it stays away",
      (world, member) => {
        member.driver.kill();
        world.shards[0]!.crash();
        world.advance(60_000);
        return member;
      },
    ],
  ])("has it once from each when %s [MQTT-4.8.2-4]", (_when, restart) => {
    const { other } = restarted(restart);
    expect(other.payloads).toEqual([]);
  });
});

test("what a limit takes from the log while it is on its way to a client is reported", () => {
  const world = new World({ shards: 1, limits: { queueSecondsMax: 60 } });
  const options = { clean: false, properties: { sessionExpiryInterval: 3600 } };
  const subscriber = world.connected("subscriber", options);
  subscriber.subscribe("t", 1);
  world.settle();
  const publisher = world.connected("publisher");
  // Whether its client has it when its Worker dies, nobody knows.
  subscriber.acknowledges = false;
  publisher.publish("t", "m", { qos: 1 });
  world.settle();
  subscriber.driver.kill();
  expect(publisher.acknowledged).toHaveLength(1);
  world.advance(120_000);
  const again = world.connected("subscriber", options);
  world.advance(5_000);
  expect(again.payloads).toEqual([]);
  expect(world.shards[0]!.reports.map(({ messages }) => messages)).toEqual([1]);
});

test.each([
  ["the connection has heard of some of them", 1],
  ["it has heard of nothing", undefined],
])(
  "what a limit takes from the log while it is on its way over a link that is lost is reported, if %s",
  (_, cursor) => {
    const r = new ShardRig({ queueSecondsMax: 60 });
    const wanted = { noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 } as const;
    const own = { ...wanted, number: 1, filter: "t", qos: 1 } as const;
    r.hello(1, "publisher");
    r.hello(2, "member", { persistent: true });
    r.frame(2, (to) => records.writeSubscribe(to, 1, [own]));
    for (const payload of ["1", "2", "3"]) r.publish(1, body("t", payload));
    expect(r.payloads(2)).toEqual(["1", "2", "3"]);
    r.advance(120_000);
    const delivery = { packetId: 4, offset: 1, source: 0, qos: 1, retain: false, phase: 0 } as const;
    r.hello(3, "member", {
      persistent: true,
      link: 2,
      cursor,
      subscriptions: [{ ...own, start: 0, scan: undefined }],
      inflight: cursor === undefined ? [] : [delivery],
    });
    expect(r.payloads(3)).toEqual([]);
    expect(r.reports.map(({ messages }) => messages)).toEqual([cursor === undefined ? 3 : 2]);
  },
);

test("what a session has for itself is not taken for what a share group handed it, when both were under way", () => {
  for (let moment = 0; moment < 12; moment++) {
    const world = new World({ shards: 1 });
    const keeping = { clean: false, properties: { sessionExpiryInterval: 3600 } };
    const member = world.connected("member", keeping);
    member.acknowledges = false;
    member.subscribe("t", 1, { subscriptionIdentifier: 3 });
    member.subscribe("$share/group/t", 1, { subscriptionIdentifier: 2 });
    world.advance(60_000);
    world.connected("publisher").publish("t", "m", { qos: 1 });
    // The group's place is stored with what it handed out.
    world.advance(1_200);
    const [own, shared] = [3, 2].map((identifier) => {
      return member.all("publish").find(({ properties }) => properties!["subscriptionIdentifier"] === identifier)!;
    });
    member.puback(shared!.messageId!);
    world.advance(moment);
    member.cut();
    world.advance(20);
    world.shards[0]!.crash();
    const again = world.connected("member", keeping);
    world.advance(5_000);
    const came = again.all("publish").map(({ properties }) => properties!["subscriptionIdentifier"]);
    expect([own!.payload!.toString(), came], `after ${moment} ms`).toEqual(["m", expect.arrayContaining([3])]);
  }
});

test("links: a shared delivery that comes again after its subscription was given up moves nobody past what waits", () => {
  const world = new World({ shards: 1 });
  const keeping = { clean: false, properties: { sessionExpiryInterval: 3600, receiveMaximum: 1 } };
  const member = world.connected("member", keeping);
  member.acknowledges = false;
  member.subscribe("t", 1);
  member.subscribe("$share/group/s", 1);
  world.advance(60_000);
  const publisher = world.connected("publisher");
  for (let i = 0; i < 5; i++) publisher.publish("t", `${i}`, { qos: 1 });
  world.settle();
  expect(member.payloads).toEqual(["0"]);
  // The grant and the message come in one frame, so that the group has it before what waits longer.
  member.publish("x", "", { qos: 0 });
  member.puback(member.last("publish")!.messageId!);
  member.publish("s", "shared", { qos: 1 });
  world.settle();
  expect(member.payloads).toEqual(["0", "shared"]);
  member.unsubscribe("$share/group/s");
  world.settle();
  member.cut();
  world.settle();
  const again = world.client("member");
  again.acknowledges = false;
  again.connect(keeping);
  world.settle();
  expect(again.payloads).toEqual(["shared"]);
  world.shards[0]!.crash();
  again.acknowledges = true;
  again.puback(again.last("publish")!.messageId!);
  world.advance(10_000);
  expect(again.payloads).toEqual(["shared", "1", "2", "3", "4"]);
});

test("links: what two share groups handed a session is told apart when it comes back and its subscriptions have other numbers", () => {
  for (const first of ["one", "two"] as const) {
    const world = new World({ shards: 1 });
    const keeping = { clean: false, properties: { sessionExpiryInterval: 3600 } };
    const qosOf = { one: 1, two: 2 };
    const identifierOf = { one: 11, two: 12 };
    const member = world.connected("member", keeping);
    member.acknowledges = false;
    for (const group of [first, first === "one" ? "two" : "one"] as const) {
      member.subscribe(`$share/${group}/t`, qosOf[group], { subscriptionIdentifier: identifierOf[group] });
      world.settle();
    }
    world.connected("publisher").publish("t", "m", { qos: 2 });
    world.settle();
    member.cut();
    world.settle();
    const again = world.client("member");
    again.acknowledges = false;
    again.connect(keeping);
    world.settle();
    const came = again
      .all("publish")
      .map(({ qos, properties }) => `QoS ${qos} of ${Number(properties!["subscriptionIdentifier"])}`);
    expect(came.toSorted()).toEqual([`QoS 1 of ${identifierOf.one}`, `QoS 2 of ${identifierOf.two}`]);
  }
});

test.each([
  ["one", "two"],
  ["two", "one"],
])(
  "links: what two share groups handed a session is told apart by a shard that restarts (first %s, then %s)",
  (first, second) => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    r.hello(2, "member", { persistent: true, grants: 1 });
    const subscriptions = [first, second].map((group) => r.subscribe(2, `$share/${group}/t`, { qos: 2 }));
    const handed = (): records.InflightRecord => {
      const deliveries = r.take(2).flatMap((record) => (record.kind === records.Kind.Deliver ? record.deliveries : []));
      expect(deliveries).toHaveLength(1);
      return deliveries[0]!;
    };
    r.publish(1, body("t", "m", { qos: 2 }));
    const arrived = handed();
    // What the other group hands it leaves in a frame of its own, which never arrives.
    r.grant(2, 1);
    expect(handed()).toMatchObject({ offset: arrived.offset, shared: true, source: subscriptions[1]!.number });
    r.restart();
    r.hello(1, "publisher", { link: 2, cursor: 1 });
    r.hello(3, "member", {
      persistent: true,
      link: 2,
      cursor: 1,
      sharedReceived: 1,
      subscriptions: subscriptions.map((wanted) => ({ ...wanted, start: 0, scan: undefined })),
      inflight: [arrived],
    });
    expect(r.delivered(3).map(({ payload, dup }) => [payload, dup])).toEqual([["m", false]]);
  },
);

describe("a session whose shard restarts before its connection has heard of a shared delivery", () => {
  const terms = { noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 } as const;
  const own = { ...terms, number: 1, filter: "t", qos: 2 } as const;
  const shared = { ...terms, number: 2, filter: "$share/group/s", qos: 1 } as const;
  const [publisher, other, member] = [1, 2, 3];

  function scene(): ShardRig {
    const r = new ShardRig();
    for (const [link, session] of [
      [publisher, "publisher"],
      [other, "other"],
      [member, "member"],
    ] as const) {
      r.hello(link, session, { persistent: session === "member" });
    }
    r.frame(member, (to) => records.writeSubscribe(to, 1, [own]));
    return r;
  }

  function greet(r: ShardRig, link: number, linkNumber: number, more: (to: ByteWriter) => void = () => {}): void {
    const subscriptions = [own, shared].map((wanted) => ({ ...wanted, start: undefined, scan: undefined }));
    r.hello(link, "member", { persistent: true, epoch: 2, link: linkNumber, subscriptions }, more);
  }

  test("links: gets nothing again that it has received", () => {
    const r = scene();
    // The log keeps what came for somebody else.
    r.hello(6, "absent", { persistent: true });
    r.frame(6, (to) => records.writeSubscribe(to, 1, [own]));
    r.frame(6, (to) => records.writeBye(to));
    r.frame(other, (to) => records.writeSubscribe(to, 1, [shared]));
    r.publish(publisher, body("s", "shared"));
    r.frame(member, (to) => records.writeSubscribe(to, 2, [shared]));
    r.publish(publisher, body("t", "own", { qos: 2 }), 2);
    const [{ packetId }] = r.delivered(member) as [Delivered];
    r.frame(member, (to) => records.writeReceived(to, packetId));
    r.advance(60_000);
    r.frame(member, (to) => records.writeBye(to));
    r.frame(other, (to) => records.writeBye(to));
    r.advance(60_000);
    greet(r, 4, 1);
    expect(r.payloads(4)).toEqual(["shared"]);
    r.restart();
    greet(r, 5, 2);
    expect(r.payloads(5)).toEqual(["shared"]);
  });

  test("links: is sent what waited longer than that", () => {
    const r = scene();
    r.frame(member, (to) => records.writeSubscribe(to, 2, [shared]));
    r.advance(60_000);
    r.frame(member, (to) => records.writeBye(to));
    r.publish(publisher, body("t", "own"));
    greet(r, 4, 1, (to) => records.writePublish(to, 2, body("s", "shared")));
    expect(r.payloads(4)).toEqual(["shared", "own"]);
    r.restart();
    greet(r, 5, 2);
    expect(r.payloads(5).toSorted()).toEqual(["own", "shared"]);
  });
});

test("[MQTT-3.3.1-9] a retained message that came when its client had gone comes again, though the shard restarts", () => {
  for (let moment = 0; moment < 25; moment++) {
    const world = new World({ shards: 1 });
    const keeping = { clean: false, properties: { sessionExpiryInterval: 3600, receiveMaximum: 1 } };
    const publisher = world.connected("publisher");
    publisher.publish("kept", "retained", { qos: 1, retain: true });
    const member = world.connected("member", keeping);
    member.acknowledges = false;
    member.subscribe("t", 1);
    world.settle();
    publisher.publish("t", "m", { qos: 1 });
    world.settle();
    member.subscribe("kept", 1);
    world.advance(60_000);
    expect(member.payloads).toEqual(["m"]);
    member.puback(member.last("publish")!.messageId!);
    world.advance(moment % 5);
    member.cut();
    world.advance(Math.floor(moment / 5));
    world.shards[0]!.crash({ loseSent: false });
    world.advance(5_000);
    const again = world.connected("member", keeping);
    world.advance(5_000);
    const came = [...member.payloads, ...again.payloads].filter((payload) => payload === "retained");
    expect(came.length, `moment ${moment}`).toBeGreaterThan(0);
  }
});

test("what a limit takes from the log while a session is not known yet, after a restart, is reported when it comes back", () => {
  const r = new ShardRig({ logBytesMax: 1_000 });
  const wanted = { noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 } as const;
  const own = { ...wanted, number: 1, filter: "t", qos: 1 } as const;
  r.hello(1, "publisher");
  r.hello(2, "subscriber");
  r.frame(2, (to) => records.writeSubscribe(to, 1, [own]));
  r.restart();
  r.hello(3, "publisher", { link: 2 });
  for (let i = 0; i < 5; i++) r.publish(3, body("t", "x".repeat(500)));
  r.advance(2_000);
  expect(r.reports).toEqual([]);
  r.hello(4, "subscriber", { link: 2, cursor: 0, subscriptions: [{ ...own, start: 0, scan: undefined }] });
  const came = r.payloads(4).length;
  expect(came).toBeLessThan(5);
  expect(r.reports[0]!.messages).toBeGreaterThanOrEqual(5 - came);
});

test.each([3, 4] as const)(
  "a client of version %i is let in for long enough to take what fills the shard that refuses its messages",
  (version) => {
    const world = new World({ shards: 1, limits: { shardBytesMax: 200_000 } });
    const client = world.client("client", version);
    client.connect({ clean: false });
    world.settle();
    client.subscribe("t", 1);
    world.settle();
    client.cut();
    world.settle();
    const publisher = world.connected("publisher");
    const large = "x".repeat(1_000);
    while (publisher.last("puback")?.reasonCode !== 0x97) {
      for (let i = 0; i < 10; i++) publisher.publish("t", large, { qos: 1 });
      world.advance(2_000);
    }
    const again = world.client("client", version);
    again.acknowledges = false;
    again.connect({ clean: false });
    world.settle();
    again.publish("other", "mine", { qos: 1 });
    world.settle();
    const waiting = again.payloads.length;
    expect(waiting).toBeGreaterThan(100);
    expect(again.closed).toBeUndefined();
    for (const { messageId } of again.all("publish")) again.puback(messageId!);
    world.advance(8_000);
    // What was refused is not acknowledged; the client brings it again.
    expect(again.all("puback")).toEqual([]);
    world.advance(3_000);
    expect(again.closed).toBe(1008);
    const third = world.client("client", version);
    third.connect({ clean: false });
    world.settle();
    third.publish("other", "mine", { qos: 1 });
    world.settle();
    expect(third.all("puback")).toHaveLength(1);
  },
);
