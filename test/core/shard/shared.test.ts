/** Shared subscriptions, end to end and without failures; `schedules/shares.test.ts` has the bad days. */
import { describe, expect, test } from "vitest";
import { SHARE_STRATEGIES, type ShareStrategy } from "../../../src/core/shard/share-strategy.ts";
import type { Client, Version } from "../../sim/world/client.ts";
import { World, type WorldOptions } from "../../sim/world/world.ts";

const KEPT = { clean: false, properties: { sessionExpiryInterval: 3600 } };

interface Scene {
  readonly world: World;
  readonly publisher: Client;
  readonly members: readonly Client[];
}

/** Members `a`, `b`, … of `$share/g/t/#`, and a publisher. */
function scene(count: number, qos = 1, options: WorldOptions = {}, connect: object = {}, version: Version = 5): Scene {
  const world = new World({ shards: 1, ...options });
  const publisher = world.connected("publisher");
  const members = Array.from({ length: count }, (_, i) => {
    const member = world.connected("abcdefgh"[i]!, connect, version);
    member.subscribe("$share/g/t/#", qos);
    world.settle();
    return member;
  });
  return { world, publisher, members };
}

function publish({ world, publisher }: Scene, count: number, qos: 0 | 1 | 2 = 1, topic = "t/x"): string[] {
  const payloads = Array.from({ length: count }, (_, i) => `${i}`);
  for (const payload of payloads) publisher.publish(topic, payload, { qos });
  world.settle();
  return payloads;
}

function sorted(...members: Client[]): string[] {
  return members.flatMap(({ payloads }) => payloads).sort((a, b) => Number(a) - Number(b));
}

describe("a shared subscription", () => {
  test.each([3, 4, 5] as const)("[MQTT-4.8.2-3] is available to clients of version %i", (version) => {
    const s = scene(2, 2, {}, {}, version);
    expect(s.members.map((member) => member.last("suback")!.granted)).toEqual([[2], [2]]);
    const payloads = publish(s, 6);
    expect(sorted(...s.members)).toEqual(payloads);
  });

  test("[MQTT-4.8.2-1] names a group, [MQTT-4.8.2-2] without wildcards, and a filter after it", () => {
    const world = new World();
    const client = world.connected("client");
    const wrong = [
      "$share",
      "$share/",
      "$share/g",
      "$share/g/",
      "$share//t",
      "$share/+/t",
      "$share/g#/t",
      "$share/g/t/#/x",
    ];
    client.subscribe(wrong.map((topic) => ({ topic })));
    world.settle();
    // `$share` alone is an ordinary filter.
    expect(client.last("suback")!.granted).toEqual([1, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f, 0x8f]);
  });

  test("[MQTT-3.8.3-4] with No Local is a protocol error", () => {
    const { world, members } = scene(1);
    members[0]!.subscribe([{ topic: "$share/g/t", nl: true }]);
    world.settle();
    expect(members[0]!.last("disconnect")!.reasonCode).toBe(0x82);
  });

  test("[MQTT §4.8.2] gets no retained messages, whatever Retain Handling says", () => {
    const { world, publisher, members } = scene(1);
    publisher.publish("t/kept", "kept", { qos: 1, retain: true });
    world.settle();
    const late = world.connected("late");
    for (const rh of [0, 1, 2]) late.subscribe([{ topic: "$share/other/t/#", rh }]);
    world.settle();
    expect(late.payloads).toEqual([]);
    expect(members[0]!.payloads).toEqual(["kept"]);
  });

  test("groups are told apart by name and by filter, and each gets every message once; so does who subscribes plainly", () => {
    const s = scene(2);
    const others = ["$share/h/t/#", "$share/g/t/x", "t/x"].map((filter, i) => {
      const client = s.world.connected(`other-${i}`);
      client.subscribe(filter);
      return client;
    });
    s.world.settle();
    const payloads = publish(s, 4);
    for (const other of others) expect(other.payloads).toEqual(payloads);
    expect(sorted(...s.members)).toEqual(payloads);
  });

  test("of a session that also subscribes plainly gives it copies of its own", () => {
    const s = scene(1);
    s.members[0]!.subscribe("t/x");
    s.world.settle();
    publish(s, 2);
    expect(sorted(s.members[0]!)).toEqual(["0", "0", "1", "1"]);
  });

  test("each member has its own QoS, identifier and Retain As Published [MQTT-3.3.4-2]", () => {
    const world = new World({ shards: 1 });
    const s = { world, publisher: world.connected("publisher"), members: [] };
    const [low, high] = [world.connected("low"), world.connected("high")];
    low.subscribe([{ topic: "$share/g/t/#", qos: 0 }], 0, { subscriptionIdentifier: 7 });
    high.subscribe([{ topic: "$share/g/t/#", qos: 2, rap: true }], 0, { subscriptionIdentifier: 8 });
    world.settle();
    for (let i = 0; i < 2; i++) s.publisher.publish("t/x", "retained", { qos: 2, retain: true });
    world.settle();
    expect(low.last("publish")).toMatchObject({ qos: 0, retain: false, properties: { subscriptionIdentifier: 7 } });
    expect(high.last("publish")).toMatchObject({ qos: 2, retain: true, properties: { subscriptionIdentifier: 8 } });
  });

  test("lives on every shard that its filter can match on", () => {
    const world = new World({ shards: 4 });
    const publisher = world.connected("publisher");
    const members = ["a", "b"].map((id) => world.connected(id));
    for (const member of members) member.subscribe("$share/g/#");
    world.settle();
    const topics = Array.from({ length: 40 }, (_, i) => `topic-${i}/x`);
    topics.forEach((topic, i) => publisher.publish(topic, `${i}`, { qos: 1 }));
    world.settle();
    expect(new Set(topics.map((topic) => world.shardOf(topic))).size).toBe(4);
    expect(sorted(...members)).toEqual(topics.map((_, i) => `${i}`));
    for (const { payloads } of members) expect(payloads.length).toBeGreaterThan(10);
  });

  test("that a member ends with UNSUBSCRIBE leaves the rest to the others", () => {
    const s = scene(2);
    s.members[0]!.unsubscribe("$share/g/t/#");
    s.world.settle();
    expect(s.members[0]!.last("unsuback")!.granted).toEqual([0]);
    expect(publish(s, 3)).toEqual(s.members[1]!.payloads);
  });
});

describe("a share group hands out", () => {
  function shares(strategy: ShareStrategy, send: (publishers: Client[], i: number) => void): string[][] {
    const s = scene(3, 1, { settings: { shareStrategy: strategy } });
    const publishers = [s.publisher, ...["p1", "p2", "p3", "p4"].map((id) => s.world.connected(id))];
    for (let i = 0; i < 60; i++) {
      send(publishers, i);
      s.world.settle();
    }
    expect(sorted(...s.members)).toHaveLength(60);
    return s.members.map(({ payloads }) => payloads);
  }

  test("in turn", () => {
    const got = shares("round-robin", ([publisher], i) => publisher!.publish("t/x", `${i}`, { qos: 1 }));
    expect(got.map((payloads) => payloads.length)).toEqual([20, 20, 20]);
  });

  test("to whoever has least in flight", () => {
    const s = scene(2, 1, { settings: { shareStrategy: "least-inflight" } });
    s.members[0]!.acknowledges = false;
    for (let i = 0; i < 10; i++) publish(s, 1);
    expect(s.members.map(({ payloads }) => payloads.length)).toEqual([1, 9]);
  });

  test("equal topics to the same member", () => {
    const got = shares("hash-topic", ([publisher], i) => publisher!.publish(`t/${i % 12}`, `${i % 12}`, { qos: 1 }));
    const owners = Array.from({ length: 12 }, (_, topic) => got.filter((payloads) => payloads.includes(`${topic}`)));
    expect(owners.map(({ length }) => length)).toEqual(Array(12).fill(1));
    for (const payloads of got) expect(payloads).not.toEqual([]);
  });

  test("messages of one publisher to the same member", () => {
    const got = shares("hash-publisher", (publishers, i) => publishers[i % 5]!.publish("t/x", `${i % 5}`, { qos: 1 }));
    const owners = Array.from({ length: 5 }, (_, from) => got.filter((payloads) => payloads.includes(`${from}`)));
    expect(owners.map(({ length }) => length)).toEqual(Array(5).fill(1));
  });

  test("to one member as long as it takes them", () => {
    const got = shares("sticky", ([publisher], i) => publisher!.publish("t/x", `${i}`, { qos: 1 }));
    expect(got.map((payloads) => payloads.length)).toEqual([60, 0, 0]);
  });

  test.each(SHARE_STRATEGIES)("with %s to who can take it, of members that are full", (shareStrategy) => {
    const connect = { properties: { receiveMaximum: 3 } };
    const s = scene(3, 1, { settings: { shareStrategy } }, connect);
    for (const member of s.members.slice(1)) member.acknowledges = false;
    const payloads = publish(s, 50);
    expect(s.members[1]!.payloads.length).toBeLessThanOrEqual(3);
    expect(s.members[2]!.payloads.length).toBeLessThanOrEqual(3);
    expect(sorted(...s.members)).toEqual(payloads);
  });

  test("QoS 0 to one of those that are here", () => {
    const s = scene(3, 2);
    s.members[0]!.send({ cmd: "disconnect" });
    s.world.settle();
    const payloads = publish(s, 10, 0);
    expect(sorted(...s.members.slice(1))).toEqual(payloads);
    expect(s.members[0]!.payloads).toEqual([]);
  });

  test("a message that a member cannot take for its size to another, and to nobody if there is none [MQTT-3.1.2-24]", () => {
    const world = new World({ shards: 1 });
    const publisher = world.connected("publisher");
    const small = world.connected("small", { properties: { maximumPacketSize: 60 } });
    const large = world.connected("large");
    for (const member of [small, large]) member.subscribe("$share/g/t");
    world.settle();
    for (let i = 0; i < 4; i++) publisher.publish("t", "x".repeat(100), { qos: 1 });
    world.settle();
    expect([small.payloads.length, large.payloads.length]).toEqual([0, 4]);
    large.unsubscribe("$share/g/t");
    world.settle();
    publisher.publish("t", "x".repeat(100), { qos: 1 });
    publisher.publish("t", "short", { qos: 1 });
    world.settle();
    expect(small.payloads).toEqual(["short"]);
    expect(publisher.acknowledged).toHaveLength(6);
  });
});

describe("a member that goes", () => {
  test("[MQTT §4.8.2] leaves what it has not acknowledged at QoS 1 to another", () => {
    const s = scene(2);
    s.members[0]!.acknowledges = false;
    const payloads = publish(s, 10);
    expect(sorted(s.members[1]!)).toHaveLength(5);
    s.members[0]!.cut();
    s.world.settle();
    expect(sorted(s.members[1]!)).toEqual(payloads);
    expect(s.members[1]!.all("publish").some(({ dup }) => dup)).toBe(false);
  });

  test("[MQTT-4.4.0-1] and is alone has it again when it comes back, under its packet ids", () => {
    const s = scene(1, 1, {}, KEPT);
    s.members[0]!.acknowledges = false;
    publish(s, 3);
    const ids = s.members[0]!.all("publish").map(({ messageId }) => messageId);
    s.members[0]!.cut();
    s.world.settle();
    const back = s.world.connected("a", KEPT);
    s.world.settle();
    expect(back.payloads).toEqual(["0", "1", "2"]);
    expect(back.all("publish").map(({ messageId, dup }) => [messageId, dup])).toEqual(ids.map((id) => [id, true]));
  });

  test("and was alone leaves it to who comes first", () => {
    const s = scene(1, 1, {}, KEPT);
    s.members[0]!.acknowledges = false;
    publish(s, 3);
    s.members[0]!.cut();
    s.world.settle();
    const other = s.world.connected("other");
    other.subscribe("$share/g/t/#");
    s.world.settle();
    expect(other.payloads).toEqual(["0", "1", "2"]);
    expect(s.world.connected("a", KEPT).payloads).toEqual([]);
  });

  test("[MQTT-4.8.2-4] has its QoS 2 messages when it comes back, and nobody else has them", () => {
    const s = scene(2, 2, {}, KEPT);
    s.members[0]!.acknowledges = false;
    publish(s, 10, 2);
    const its = s.members[0]!.payloads;
    expect(its).toHaveLength(5);
    s.members[0]!.cut();
    s.world.settle();
    expect(sorted(s.members[1]!)).toHaveLength(5);
    const back = s.world.connected("a", KEPT);
    s.world.settle();
    expect(back.payloads).toEqual(its);
  });

  test("[MQTT-4.8.2-5] and whose session ends takes its QoS 2 messages with it", () => {
    const s = scene(2, 2);
    s.members[0]!.acknowledges = false;
    publish(s, 10, 2);
    s.members[0]!.cut();
    s.world.advance(120_000);
    expect(sorted(s.members[1]!)).toHaveLength(5);
  });

  test.each([1, 2] as const)("[MQTT-4.8.2-6] a QoS %i message that a member refuses goes to nobody else", (qos) => {
    const s = scene(2, qos);
    for (const member of s.members) member.acknowledges = false;
    publish(s, 2, qos);
    for (const member of s.members) {
      for (const { messageId } of member.all("publish")) {
        member.send({ cmd: qos === 1 ? "puback" : "pubrec", messageId: messageId!, reasonCode: 0x83 });
      }
    }
    s.world.settle();
    s.members[0]!.cut();
    s.world.advance(120_000);
    expect(sorted(...s.members)).toEqual(["0", "1"]);
  });
});

describe("the backlog of a share group", () => {
  test("waits for a session of it, and is shared by those that come", () => {
    const s = scene(2, 1, {}, { clean: false, properties: { sessionExpiryInterval: 3600, receiveMaximum: 5 } });
    for (const member of s.members) member.send({ cmd: "disconnect" });
    s.world.settle();
    const payloads = publish(s, 40);
    const back = ["a", "b"].map((id) => {
      const client = s.world.client(id);
      client.connect({ clean: false, properties: { sessionExpiryInterval: 3600, receiveMaximum: 5 } });
      return client;
    });
    s.world.settle();
    expect(sorted(...back)).toEqual(payloads);
    for (const client of back) expect(client.payloads.length).toBeGreaterThan(5);
  });

  test("ends with its last session", () => {
    const s = scene(1, 1, {}, { clean: false, properties: { sessionExpiryInterval: 10 } });
    s.members[0]!.send({ cmd: "disconnect" });
    s.world.settle();
    publish(s, 3);
    s.world.advance(60_000);
    const late = s.world.connected("late");
    late.subscribe("$share/g/t/#");
    s.world.settle();
    expect(late.payloads).toEqual([]);
    s.world.advance(60_000);
    for (const table of ["share", "log"]) {
      expect(s.world.shards[0]!.sql.rows(`SELECT * FROM ${table}`), table).toHaveLength(table === "share" ? 1 : 0);
    }
  });

  test("waits for the member that wanted it, when its shard restarts and one comes first that wants QoS 0 only", () => {
    const s = scene(1, 1, {}, { properties: { receiveMaximum: 1 } });
    const [busy] = s.members as [Client];
    const low = s.world.connected("low", KEPT);
    low.subscribe("$share/g/t/#", 0);
    s.world.settle();
    low.send({ cmd: "disconnect" });
    s.world.settle();
    busy.acknowledges = false;
    publish(s, 5);
    s.world.advance(2_000);
    busy.driver.barred.add(0);
    s.world.shards[0]!.crash();
    s.world.settle();
    const back = s.world.connected("low", KEPT);
    s.world.advance(3_000);
    busy.driver.barred.delete(0);
    busy.acknowledges = true;
    busy.puback(busy.all("publish")[0]!.messageId!);
    s.world.advance(5_000);
    expect(sorted(busy, back)).toEqual(["0", "1", "2", "3", "4"]);
  });

  test("is gone, with its place, when nobody in the group wants more than QoS 0", () => {
    const s = scene(1, 1, {}, KEPT);
    const places = () => s.world.shards[0]!.sql.rows("SELECT * FROM share");
    s.members[0]!.acknowledges = false;
    publish(s, 3);
    s.world.advance(2_000);
    expect(places()).toHaveLength(1);
    s.members[0]!.subscribe("$share/g/t/#", 0);
    s.world.advance(60_000);
    expect(places()).toEqual([]);
  });

  test("leaves out what has expired [MQTT-3.3.2-5]", () => {
    const s = scene(1, 1, {}, KEPT);
    s.members[0]!.send({ cmd: "disconnect" });
    s.world.settle();
    s.publisher.publish("t/x", "short", { qos: 1, properties: { messageExpiryInterval: 5 } });
    s.publisher.publish("t/x", "long", { qos: 1, properties: { messageExpiryInterval: 500 } });
    s.world.advance(10_000);
    const back = s.world.connected("a", KEPT);
    s.world.settle();
    expect(back.payloads).toEqual(["long"]);
    expect(back.last("publish")!.properties).toMatchObject({ messageExpiryInterval: 490 });
  });

  test("has its oldest messages dropped, counted, beyond the limit on a queue", () => {
    const s = scene(1, 1, { limits: { queueMessagesMax: 10 } }, KEPT);
    s.members[0]!.send({ cmd: "disconnect" });
    s.world.settle();
    publish(s, 25);
    const back = s.world.connected("a", KEPT);
    s.world.settle();
    expect(back.payloads).toEqual(Array.from({ length: 10 }, (_, i) => `${i + 15}`));
    expect(s.world.shards[0]!.reports).toMatchObject([{ messages: 15, sessions: 1 }]);
  });

  test("outlives a restart of its shard, and is handed out once", () => {
    const s = scene(1, 2, {}, KEPT);
    s.members[0]!.send({ cmd: "disconnect" });
    s.world.settle();
    const payloads = publish(s, 5, 2);
    s.world.shards[0]!.crash();
    s.world.advance(60_000);
    const back = s.world.connected("a", KEPT);
    s.world.settle();
    s.world.shards[0]!.crash();
    s.world.advance(60_000);
    expect(back.payloads).toEqual(payloads);
  });

  test("after a mass disconnect of half the members loses nothing, and no member starves", () => {
    const s = scene(8, 1, { shards: 1 }, { properties: { receiveMaximum: 10 } });
    for (const member of s.members.slice(0, 4)) member.acknowledges = false;
    for (let i = 0; i < 200; i++) s.publisher.publish("t/x", `${i}`, { qos: 1 });
    s.world.settle();
    for (const member of s.members.slice(0, 4)) member.cut();
    s.world.settle();
    for (let i = 200; i < 400; i++) s.publisher.publish("t/x", `${i}`, { qos: 1 });
    s.world.advance(60_000);
    const left = s.members.slice(4);
    expect(sorted(...left)).toEqual(Array.from({ length: 400 }, (_, i) => `${i}`));
    for (const { payloads } of left) expect(payloads.length).toBeGreaterThan(80);
  });
});
