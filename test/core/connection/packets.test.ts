import { describe, expect, test } from "vitest";
import type { Client } from "../../sim/world/client.ts";
import { World, type WorldOptions } from "../../sim/world/world.ts";

function connected(options: WorldOptions = {}, version: 4 | 5 = 5): { world: World; client: Client } {
  const world = new World(options);
  return { world, client: world.connected("client", {}, version) };
}

/** The reason that a client of MQTT 5 was disconnected with, if it was. */
function reason(client: Client): number | undefined {
  return client.last("disconnect")?.reasonCode;
}

describe("what a client may not send", () => {
  test("[MQTT-6.0.0-1] a text frame closes with 1003", () => {
    const { world, client } = connected();
    client.driver.textFrame();
    world.settle();
    expect(reason(client)).toBe(0x82);
    expect(client.closed).toBe(1003);
  });

  test.each([
    ["CONNACK", [0x20, 3, 0, 0, 0]],
    ["SUBACK", [0x90, 4, 0, 1, 0, 0]],
    ["UNSUBACK", [0xb0, 4, 0, 1, 0, 0]],
    ["PINGRESP", [0xd0, 0]],
    ["AUTH", [0xf0, 0]],
  ])("[MQTT §4.13] %s is not for a server", (_name, packet) => {
    const { world, client } = connected();
    client.raw(Uint8Array.from(packet));
    world.settle();
    expect(reason(client)).toBe(0x82);
    expect(client.closed).toBe(1002);
  });

  test.each([
    ["SUBSCRIBE", [0x82, 7, 0, 0, 0, 0, 1, 97, 0]],
    ["UNSUBSCRIBE", [0xa2, 6, 0, 0, 0, 0, 1, 97]],
    ["PUBLISH", [0x32, 6, 0, 1, 97, 0, 0, 0]],
    ["PUBACK", [0x40, 2, 0, 0]],
  ])("[MQTT-2.2.1-3] packet id 0 in %s is a protocol error", (_name, packet) => {
    const { world, client } = connected();
    client.raw(Uint8Array.from(packet));
    world.settle();
    expect(reason(client)).toBe(0x82);
  });

  test("[MQTT-3.12.4-1] PINGREQ with a body is malformed", () => {
    const { world, client } = connected();
    client.raw(Uint8Array.of(0xc0, 1, 0));
    world.settle();
    expect(reason(client)).toBe(0x81);
  });

  test("[MQTT-3.2.2-15] [MQTT §2.1.4] a packet above the maximum is 0x95 before its body comes", () => {
    const { world, client } = connected({ limits: { packetBytesMax: 1_000 } });
    client.raw(Uint8Array.of(0x30, 0xe8, 0x07));
    world.settle();
    expect(reason(client)).toBe(0x95);
    expect(client.closed).toBe(1009);
  });

  test("[MQTT-3.14.4-2] nothing is read after DISCONNECT", () => {
    const { world, client } = connected();
    const watcher = world.connected("watcher");
    watcher.subscribe("t");
    world.settle();
    client.send({ cmd: "disconnect" });
    client.publish("t", "late");
    world.settle();
    expect(watcher.payloads).toEqual([]);
    expect(client.closed).toBe(1000);
  });
});

describe("PUBLISH", () => {
  test("[MQTT-4.3.2-4] PUBACK comes when the shard owns the message, and not before", () => {
    const { world, client } = connected({ shards: 1 });
    world.shards[0]!.reachable = false;
    client.publish("t", "x", { qos: 1 });
    world.advance(5_000);
    expect(client.acknowledged).toEqual([]);
    world.shards[0]!.reachable = true;
    world.advance(3_000);
    expect(client.acknowledged).toEqual([1]);
  });

  test("[MQTT-4.3.2-5] a DUP that comes while the first is under way is not a second message", () => {
    const { world, client } = connected({ shards: 1 }, 4);
    const watcher = world.connected("watcher");
    watcher.subscribe("t");
    world.settle();
    client.publish("t", "x", { qos: 1, messageId: 9 });
    client.publish("t", "x", { qos: 1, messageId: 9, dup: true });
    world.settle();
    expect(client.acknowledged).toEqual([9]);
    expect(watcher.payloads).toEqual(["x"]);
    client.publish("t", "y", { qos: 1, messageId: 9, dup: true });
    world.settle();
    expect(client.acknowledged).toEqual([9, 9]);
    expect(watcher.payloads).toEqual(["x", "y"]);
  });

  test("[MQTT-2.2.1-4] another message under an id that is under way is a protocol error", () => {
    const { world, client } = connected();
    client.publish("t", "x", { qos: 1, messageId: 9 });
    client.publish("t", "y", { qos: 1, messageId: 9 });
    world.settle();
    expect(reason(client)).toBe(0x82);
  });

  test("[MQTT-3.3.4-7] more than Receive Maximum unacknowledged is 0x93, and as many are not", () => {
    const { world, client } = connected({ shards: 1, limits: { receiveMaximum: 3 } });
    world.shards[0]!.reachable = false;
    for (let i = 0; i < 3; i++) client.publish("t", "x", { qos: 1 });
    world.advance(100);
    expect(client.closed).toBeUndefined();
    client.publish("t", "x", { qos: 1 });
    world.advance(100);
    expect(reason(client)).toBe(0x93);
  });

  test("[v3 MQTT-3.3.5-2] before MQTT 5 there is no Receive Maximum, and bytes are what is bounded", () => {
    const { world, client } = connected({ shards: 1, limits: { receiveMaximum: 3, unansweredBytesMax: 10_000 } }, 4);
    world.shards[0]!.reachable = false;
    for (let i = 0; i < 20; i++) client.publish("t", "x".repeat(400), { qos: 1 });
    world.advance(100);
    expect(client.closed).toBeUndefined();
    for (let i = 0; i < 10; i++) client.publish("t", "x".repeat(400), { qos: 1 });
    world.advance(100);
    expect(client.closed).toBe(1008);
  });

  test("[MQTT §4.7.2] the server's own topics are not published to: 0x87, or as if it had gone out before MQTT 5", () => {
    const world = new World();
    const watcher = world.connected("watcher");
    watcher.subscribe("$SYS/#");
    const five = world.connected("five");
    const four = world.connected("four", {}, 4);
    for (const client of [five, four]) {
      client.publish("$SYS/x", "x", { qos: 1 });
      client.publish("$SYS/x", "x");
    }
    world.settle();
    expect(five.all("puback")).toMatchObject([{ reasonCode: 0x87 }]);
    expect(four.all("puback")).toHaveLength(1);
    expect(watcher.payloads).toEqual([]);
  });

  test("links: QoS 0 beyond the backlog of a shard is dropped, and QoS 1 is not", () => {
    const { world, client } = connected({ shards: 1, limits: { linkBacklogBytesMax: 5_000 } });
    const watcher = world.connected("watcher");
    watcher.subscribe("t", 0);
    world.settle();
    client.driver.barred.add(0);
    for (let i = 0; i < 20; i++) client.publish("t", "x".repeat(1_000));
    client.publish("t", "last", { qos: 1 });
    world.advance(1_000);
    client.driver.barred.clear();
    world.advance(3_000);
    expect(watcher.payloads.filter((payload) => payload !== "last").length).toBeLessThan(5);
    expect(watcher.payloads).toContain("last");
  });
});

describe("topic aliases", () => {
  const alias = (topicAlias: number): Record<string, unknown> => ({ properties: { topicAlias } });

  test("[MQTT-3.3.2-12] an alias means the topic that it was last given with", () => {
    const { world, client } = connected();
    client.subscribe("#");
    world.settle();
    client.publish("a", "1", alias(1));
    client.publish("", "2", alias(1));
    client.publish("b", "3", alias(1));
    client.publish("", "4", alias(1));
    client.publish("c", "5", alias(32));
    client.publish("", "6", alias(32));
    world.settle();
    const told = client.all("publish").map(({ topic, payload }) => `${topic}${payload!.toString()}`);
    expect(told.toSorted()).toEqual(["a1", "a2", "b3", "b4", "c5", "c6"]);
    expect(client.all("publish").every(({ properties }) => properties?.["topicAlias"] === undefined)).toBe(true);
  });

  test.each([
    ["above the maximum", "a", 33, 0x94],
    ["that is not set", "", 5, 0x82],
  ])("[MQTT §3.3.2.3.4] an alias %s ends the connection", (_case, topic, topicAlias, code) => {
    const { world, client } = connected();
    client.publish(topic, "x", alias(topicAlias));
    world.settle();
    expect(reason(client)).toBe(code);
  });

  test("[MQTT-3.3.2-7] an alias dies with its connection", () => {
    const { world, client } = connected();
    client.publish("a", "x", alias(1));
    world.settle();
    const next = world.connected("client");
    next.publish("", "x", alias(1));
    world.settle();
    expect(reason(next)).toBe(0x82);
  });

  test("[MQTT-3.3.2-12] an alias is set by a message that is refused, too", () => {
    const { world, client } = connected();
    client.publish("$SYS/x", "x", { qos: 1, ...alias(1) });
    client.publish("", "x", { qos: 1, ...alias(1) });
    world.settle();
    expect(client.all("puback").map(({ reasonCode }) => reasonCode)).toEqual([0x87, 0x87]);
  });
});

describe("acknowledgements of a client", () => {
  test("[MQTT-4.3.2-3] one for an id that is not in flight is ignored", () => {
    const { world, client } = connected();
    client.puback(77);
    client.puback(4);
    world.settle();
    expect(client.closed).toBeUndefined();
  });

  test("[MQTT §4.3.3] PUBREC and PUBREL of an unknown id are answered with 0x92, PUBCOMP is not", () => {
    const { world, client } = connected();
    client.send({ cmd: "pubrec", messageId: 7 });
    client.send({ cmd: "pubrel", messageId: 8 });
    client.send({ cmd: "pubcomp", messageId: 9 });
    client.send({ cmd: "pubrec", messageId: 10, reasonCode: 0x80 });
    world.settle();
    expect(client.received.slice(1)).toMatchObject([
      { cmd: "pubrel", messageId: 7, reasonCode: 0x92 },
      { cmd: "pubcomp", messageId: 8, reasonCode: 0x92 },
    ]);
  });

  test("[MQTT-4.4.0-2] PUBACK with an error completes the delivery", () => {
    const { world, client } = connected({ shards: 1 });
    client.acknowledges = false;
    client.subscribe("t");
    client.publish("t", "x", { qos: 1 });
    world.settle();
    client.publish("t", "y", { qos: 1 });
    world.settle();
    for (const { messageId } of client.all("publish")) client.send({ cmd: "puback", messageId, reasonCode: 0x80 });
    world.settle();
    world.shards[0]!.crash();
    world.advance(5_000);
    expect(client.payloads.filter((payload) => payload === "y")).toHaveLength(1);
  });
});
