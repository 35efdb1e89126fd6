import { describe, expect, test } from "vitest";
import { CONFIRM_MS } from "../../../src/core/connection/subscribing.ts";
import type { Client } from "../../sim/world/client.ts";
import { World, type WorldOptions } from "../../sim/world/world.ts";

function connected(options: WorldOptions = {}, version: 4 | 5 = 5): { world: World; client: Client } {
  const world = new World(options);
  return { world, client: world.connected("client", {}, version) };
}

/** A topic of one level on the shard. */
function topicOn(world: World, shard: number): string {
  return "abcdefghijklmnop".split("").find((name) => world.shardOf(name).shard === shard)!;
}

describe("SUBSCRIBE", () => {
  test("[MQTT-3.8.4-1] SUBACK comes when every shard of a wildcard has confirmed, and not before", () => {
    const { world, client } = connected({ shards: 4 });
    world.shards[2]!.reachable = false;
    client.subscribe("#");
    world.advance(4_000);
    expect(client.all("suback")).toEqual([]);
    world.shards[2]!.reachable = true;
    world.advance(3_000);
    expect(client.last("suback")!.granted).toEqual([1]);
  });

  test("links: a literal filter asks one shard only", () => {
    const { world, client } = connected({ shards: 4 });
    client.subscribe("a/b/#");
    world.settle();
    expect(world.shards.filter(({ core }) => core)).toHaveLength(1);
  });

  test("[MQTT-3.8.4-6] [MQTT-3.8.4-7] [MQTT-3.9.3-1] there is a code for every filter, in order, and every QoS is granted", () => {
    const { world, client } = connected();
    client.subscribe([
      { topic: "a", qos: 0 },
      { topic: "a/#/b" },
      { topic: "b", qos: 2 },
      { topic: "$share/g/t" },
      { topic: "$share//t" },
    ]);
    world.settle();
    expect(client.last("suback")!.granted).toEqual([0, 0x8f, 2, 1, 0x8f]);
  });

  test("[v3 MQTT-3.9.3-2] before MQTT 5 every failure is 0x80", () => {
    const { world, client } = connected({}, 4);
    client.subscribe([{ topic: "a/#/b" }, { topic: "$share/g/t" }, { topic: "b" }]);
    world.settle();
    expect(client.last("suback")!.granted).toEqual([0x80, 1, 1]);
  });

  test("links: subscriptionsMax counts filters, and the same filter again is not one more", () => {
    const { world, client } = connected({ limits: { subscriptionsMax: 2 } });
    client.subscribe([{ topic: "a" }, { topic: "b" }, { topic: "c" }, { topic: "a" }]);
    world.settle();
    expect(client.last("suback")!.granted).toEqual([1, 1, 0x97, 1]);
    client.unsubscribe("a");
    client.subscribe("c");
    world.settle();
    expect(client.last("suback")!.granted).toEqual([1]);
  });

  test("links: a shard that does not confirm within 10 s is 0x80, and the filter is undone on the others", () => {
    const { world, client } = connected({ shards: 2 });
    const publisher = world.connected("publisher");
    world.shards[1]!.reachable = false;
    client.subscribe("#");
    world.advance(CONFIRM_MS - 1);
    expect(client.all("suback")).toEqual([]);
    world.advance(100);
    expect(client.last("suback")!.granted).toEqual([0x80]);
    world.shards[1]!.reachable = true;
    world.advance(5_000);
    for (const shard of [0, 1]) publisher.publish(topicOn(world, shard), "x", { qos: 1 });
    world.advance(1_000);
    expect(publisher.acknowledged).toHaveLength(2);
    expect(client.payloads).toEqual([]);
  });

  test("links: when a repeated SUBSCRIBE fails on one shard, the subscription stays as it was on all", () => {
    const { world, client } = connected({ shards: 2 });
    const publisher = world.connected("publisher");
    client.subscribe("#", 1, { subscriptionIdentifier: 5 });
    world.settle();
    client.driver.barred.add(1);
    world.link(client, 1).drop();
    client.subscribe("#", 0, { subscriptionIdentifier: 6 });
    world.advance(CONFIRM_MS + 100);
    expect(client.last("suback")!.granted).toEqual([0x80]);
    client.driver.barred.clear();
    world.advance(5_000);
    for (const shard of [0, 1]) publisher.publish(topicOn(world, shard), "x", { qos: 1 });
    world.advance(1_000);
    expect(client.all("publish")).toMatchObject([
      { qos: 1, properties: { subscriptionIdentifier: 5 } },
      { qos: 1, properties: { subscriptionIdentifier: 5 } },
    ]);
  });

  test("[MQTT-3.1.2-24] a SUBACK that the client may not be sent ends the connection with 0x95", () => {
    const world = new World();
    const client = world.connected("client", { properties: { maximumPacketSize: 40 } });
    client.subscribe(Array.from({ length: 50 }, (_, i) => ({ topic: `t/${i}` })));
    world.settle();
    expect(client.all("suback")).toEqual([]);
    expect(client.last("disconnect")!.reasonCode).toBe(0x95);
  });

  test("links: a SUBSCRIBE survives a crash of the shard that has not answered", () => {
    const { world, client } = connected({ shards: 1, delayMs: 10 });
    const publisher = world.connected("publisher");
    client.subscribe("t");
    world.advance(35);
    world.shards[0]!.crash();
    world.advance(3_000);
    expect(client.all("suback")).toHaveLength(1);
    publisher.publish("t", "x", { qos: 1 });
    world.advance(1_000);
    expect(client.payloads).toEqual(["x"]);
  });
});

describe("SUBSCRIBE again on lower terms", () => {
  test("[MQTT-3.8.4-4] waits until what the log owes has come, and is then granted", () => {
    const { world, client } = connected({ shards: 1, limits: { inflightMax: 1 } });
    const publisher = world.connected("publisher");
    client.acknowledges = false;
    client.subscribe("t", 1);
    world.settle();
    for (const payload of ["1", "2"]) publisher.publish("t", payload, { qos: 1 });
    world.settle();
    client.subscribe("t", 0);
    world.settle();
    expect(client.all("suback")).toHaveLength(1);
    for (let i = 0; i < 2; i++) {
      client.puback(client.last("publish")!.messageId!);
      world.settle();
    }
    expect(client.all("publish").map(({ qos, payload }) => `${qos} ${payload!.toString()}`)).toEqual(["1 1", "1 2"]);
    expect(client.last("suback")!.granted).toEqual([0]);
  });
});

describe("UNSUBSCRIBE", () => {
  test("[MQTT-3.11.3-2] it is answered with a code for every filter: 0x00, or 0x11 if there was none", () => {
    const { world, client } = connected();
    client.subscribe([{ topic: "a" }, { topic: "+/b" }]);
    client.unsubscribe("a", "x", "+/b", "a");
    world.settle();
    expect(client.last("unsuback")!.granted).toEqual([0, 0x11, 0, 0x11]);
  });

  test("[v3 MQTT-3.10.4-5] before MQTT 5 it is answered too, without codes", () => {
    const { world, client } = connected({}, 4);
    const id = client.unsubscribe("a");
    world.settle();
    expect(client.last("unsuback")!.messageId).toBe(id);
  });

  test("[MQTT-3.10.4-2] after UNSUBACK nothing comes any more, [MQTT-3.10.4-3] what was under way is finished", () => {
    const { world, client } = connected({ shards: 1 });
    const publisher = world.connected("publisher");
    client.acknowledges = false;
    client.subscribe("t");
    world.settle();
    publisher.publish("t", "1", { qos: 1 });
    world.settle();
    client.unsubscribe("t");
    world.settle();
    publisher.publish("t", "2", { qos: 1 });
    world.settle();
    expect(client.payloads).toEqual(["1"]);
    client.puback(client.last("publish")!.messageId!);
    world.settle();
    expect(client.closed).toBeUndefined();
  });

  test("[v3 MQTT-4.8.0-2] before MQTT 5 a shard that does not confirm within 10 s closes the connection", () => {
    const { world, client } = connected({ shards: 1 }, 4);
    client.subscribe("t");
    world.settle();
    client.driver.barred.add(0);
    world.link(client, 0).drop();
    client.unsubscribe("t");
    world.advance(CONFIRM_MS + 100);
    expect(client.last("unsuback")).toBeUndefined();
    expect(client.closed).toBe(1013);
  });

  test("links: a shard that does not confirm within 10 s is 0x80, and is told when it is back", () => {
    const { world, client } = connected({ shards: 1 });
    const publisher = world.connected("publisher");
    client.subscribe("t");
    world.settle();
    client.driver.barred.add(0);
    world.link(client, 0).drop();
    client.unsubscribe("t");
    world.advance(CONFIRM_MS + 100);
    expect(client.last("unsuback")!.granted).toEqual([0x80]);
    client.driver.barred.clear();
    world.advance(45_000);
    publisher.publish("t", "x", { qos: 1 });
    world.advance(1_000);
    expect(client.payloads).toEqual([]);
  });
});
