/** Sessions that go on, end to end: connections, session objects and shards in one world. */
import { describe, expect, test } from "vitest";
import { shardOfTopic } from "../../../src/core/shard/placement.ts";
import type { Client, Version } from "../../sim/world/client.ts";
import { World, type WorldOptions } from "../../sim/world/world.ts";

const KEEPING = { clean: false, properties: { sessionExpiryInterval: 3600 } };

function keeping(version: Version, more: object = {}): object {
  if (version < 5) return { clean: false };
  return { clean: false, properties: { sessionExpiryInterval: 3600, ...more } };
}

/** One topic on each shard. */
function topics(world: World): string[] {
  const found: string[] = [];
  for (let i = 0; found.filter(Boolean).length < world.placement.shards; i++) {
    found[shardOfTopic(`t/${i}`, world.placement)] ??= `t/${i}`;
  }
  return found;
}

function leave(client: Client): void {
  client.send({ cmd: "disconnect", ...(client.version === 5 && { reasonCode: 0 }) });
  client.world.advance(3_000);
}

/** A device with a session that goes on, subscribed to `#`, and a publisher. */
function scene(
  version: Version = 5,
  options: WorldOptions = {},
): { world: World; device: Client; publisher: Client; all: string[] } {
  const world = new World(options);
  const device = world.connected("device", keeping(version), version);
  device.subscribe("#", 2);
  world.settle();
  const publisher = world.connected("publisher", KEEPING);
  return { world, device, publisher, all: topics(world) };
}

describe.each([3, 4, 5] as const)("a session of version %i", (version) => {
  test("[MQTT-4.5.0-1] gets from every shard what was published while it was away, and its QoS 0 not", () => {
    const { world, device, publisher, all } = scene(version);
    leave(device);
    for (const topic of all) for (const qos of [0, 1, 2]) publisher.publish(topic, `${topic} ${qos}`, { qos });
    world.settle();
    const again = world.connected("device", keeping(version), version);
    expect(again.last("connack")).toMatchObject({ sessionPresent: version > 3 });
    world.settle();
    const wanted = all.flatMap((topic) => [`${topic} 1`, `${topic} 2`]);
    expect(again.payloads.toSorted()).toEqual(wanted.toSorted());
  });

  test("[MQTT-4.4.0-1] [v3 MQTT-4.4.0-1] is sent again what it has not acknowledged, and nothing while its connection lives", () => {
    const { world, device, publisher, all } = scene(version);
    device.acknowledges = false;
    for (const topic of all) publisher.publish(topic, topic, { qos: 1 });
    world.advance(300_000);
    expect(device.payloads).toHaveLength(4);
    device.cut();
    const again = world.connected("device", keeping(version), version);
    world.settle();
    const ids = (client: Client): unknown[] =>
      client
        .all("publish")
        .map(({ messageId, topic }) => `${topic} ${messageId}`)
        .toSorted();
    expect(ids(again)).toEqual(ids(device));
    expect(again.all("publish").every(({ dup }) => dup)).toBe(true);
  });

  test("[MQTT-3.1.2-4] is nothing to a clean one", () => {
    const { world, device, publisher, all } = scene(version);
    leave(device);
    for (const topic of all) publisher.publish(topic, "old", { qos: 1 });
    world.settle();
    const clean = world.connected("device", {}, version);
    expect(clean.last("connack")).toMatchObject({ sessionPresent: false });
    publisher.publish(all[0]!, "new", { qos: 1 });
    world.settle();
    expect(clean.payloads).toEqual([]);
    for (const { sql } of world.shards) expect(sql.rows("SELECT session FROM session")).toEqual([]);
  });

  test("[MQTT-4.3.3-10] of a publisher: a QoS 2 message that is sent again after a reconnection is delivered once", () => {
    const { world, device, all } = scene(version);
    const publisher = world.connected("sender", keeping(version), version);
    publisher.releases = false;
    publisher.publish(all[1]!, "once", { qos: 2, messageId: 7 });
    world.settle();
    expect(publisher.all("pubrec")).toHaveLength(1);
    publisher.cut();
    for (const node of [...world.shards, ...world.sessions.values()]) node.crash();
    const again = world.connected("sender", keeping(version), version);
    again.publish(all[1]!, "once", { qos: 2, messageId: 7, dup: true });
    world.advance(1_000);
    expect(again.completed).toEqual([7]);
    expect(device.payloads).toEqual(["once"]);
    again.publish(all[1]!, "another", { qos: 2, messageId: 7 });
    world.settle();
    expect(device.payloads).toEqual(["once", "another"]);
  });

  test("[MQTT-4.3.3-11] of a publisher: PUBREL after a reconnection finds the shard that holds the id", () => {
    const { world, all } = scene(version);
    const publisher = world.connected("sender", keeping(version), version);
    publisher.releases = false;
    for (const [i, topic] of all.entries()) publisher.publish(topic, topic, { qos: 2, messageId: 10 + i });
    world.settle();
    publisher.cut();
    const again = world.client("sender", version);
    again.connect(keeping(version));
    for (const i of all.keys()) again.send({ cmd: "pubrel", messageId: 10 + i });
    again.send({ cmd: "pubrel", messageId: 99 });
    world.settle();
    expect(again.completed.toSorted((a, b) => a - b)).toEqual([10, 11, 12, 13, 99]);
    const unknown = again.all("pubcomp").find(({ messageId }) => messageId === 99);
    if (version === 5) expect(unknown!.reasonCode).toBe(0x92);
    for (const { sql } of world.shards) expect(sql.rows("SELECT session FROM received")).toEqual([]);
  });
});

describe("a resumed window", () => {
  test.each([1, 2, 65_535])(
    "[MQTT-3.3.4-9] Receive Maximum %i is kept over four shards, and none starves",
    (maximum) => {
      const { world, device, publisher, all } = scene();
      device.acknowledges = false;
      for (let i = 0; i < 3; i++) for (const topic of all) publisher.publish(topic, `${topic} ${i}`, { qos: 1 });
      world.settle();
      device.cut();
      for (let i = 3; i < 6; i++) for (const topic of all) publisher.publish(topic, `${topic} ${i}`, { qos: 2 });
      world.settle();
      const again = world.client("device");
      again.acknowledges = false;
      again.connect(keeping(5, { receiveMaximum: maximum }) as Parameters<Client["connect"]>[0]);
      world.settle();
      expect(again.payloads).toHaveLength(Math.min(maximum, 24));
      again.acknowledges = true;
      for (const packet of again.all("publish")) {
        if (packet.qos === 1) again.puback(packet.messageId!);
        else again.send({ cmd: "pubrec", messageId: packet.messageId });
      }
      world.advance(10_000);
      expect(new Set(again.payloads).size).toBe(24);
      for (const topic of all) {
        const own = again.payloads.filter((payload) => payload.startsWith(`${topic} `));
        expect(own).toEqual(Array.from({ length: 6 }, (_, i) => `${topic} ${i}`));
      }
    },
  );

  test("[MQTT §4.9] a PUBREL of an earlier connection takes no quota, and its PUBCOMP gives none back", () => {
    const { world, device, publisher, all } = scene();
    device.acknowledges = false;
    publisher.publish(all[0]!, "received", { qos: 2 });
    world.settle();
    device.send({ cmd: "pubrec", messageId: device.last("publish")!.messageId });
    world.settle();
    expect(device.all("pubrel")).toHaveLength(1);
    device.cut();
    for (let i = 0; i < 4; i++) publisher.publish(all[0]!, `${i}`, { qos: 1 });
    world.settle();
    const again = world.client("device");
    again.acknowledges = false;
    again.connect(keeping(5, { receiveMaximum: 2 }) as Parameters<Client["connect"]>[0]);
    world.settle();
    expect(again.all("pubrel")).toHaveLength(1);
    expect(again.payloads).toEqual(["0", "1"]);
    again.pubcomp(again.last("pubrel")!.messageId!);
    world.settle();
    expect(again.payloads).toEqual(["0", "1"]);
  });
});

describe("⚑ before a shard is told", () => {
  test("links: a SUBSCRIBE is kept by the session object: a shard that never learned of it is mended by the next hello", () => {
    const { world, device, publisher, all } = scene();
    world.settle();
    for (const shard of world.shards) shard.reachable = false;
    for (const [name, link] of device.driver.links) if (name !== "session") link.drop();
    device.subscribe("extra/1", 1);
    world.settle();
    expect(device.all("suback")).toHaveLength(1);
    device.cut();
    for (const shard of world.shards) shard.reachable = true;
    world.advance(5_000);
    const again = world.connected("device", KEEPING);
    world.settle();
    publisher.publish("extra/1", "x", { qos: 1 });
    publisher.publish(all[2]!, "y", { qos: 1 });
    world.settle();
    expect(again.payloads.toSorted()).toEqual(["x", "y"]);
  });

  test("links: a SUBSCRIBE that some shard does not confirm in 10 s gets 0x80, and is kept nowhere", () => {
    const { world, device } = scene(5, { shards: 2 });
    world.shards[1]!.reachable = false;
    device.driver.links.get(1)!.drop();
    const filters = [
      { topic: "new/#", qos: 1 },
      { topic: "+/new", qos: 1 },
    ] as const;
    device.subscribe(filters.map((filter) => ({ ...filter })));
    world.advance(11_000);
    expect(device.last("suback")!.granted).toContain(0x80);
    world.shards[1]!.reachable = true;
    world.advance(10_000);
    leave(device);
    const kept = world.session("device").sql.rows("SELECT filter FROM subscription ORDER BY filter");
    const failed = filters.filter((_, i) => device.last("suback")!.granted![i] === 0x80).map(({ topic }) => topic);
    for (const filter of failed) expect(kept).not.toContainEqual({ filter });
    expect(kept).toContainEqual({ filter: "#" });
  });

  test("links: an earlier subscription of a filter that fails so is kept as it was", () => {
    const { world, device } = scene(5, { shards: 2 });
    device.subscribe("both/+", 1);
    world.settle();
    world.shards[1]!.reachable = false;
    device.driver.links.get(1)!.drop();
    device.subscribe("+/+", 2);
    device.subscribe("#", 0);
    world.advance(11_000);
    expect(device.last("suback")!.granted).toEqual([0x80]);
    world.shards[1]!.reachable = true;
    world.advance(10_000);
    const flags = world.session("device").sql.rows("SELECT filter, flags & 3 AS qos FROM subscription");
    expect(flags).toContainEqual({ filter: "#", qos: 2 });
    expect(flags).not.toContainEqual(expect.objectContaining({ filter: "+/+" }));
  });

  test("links: the first QoS 2 PUBLISH to a shard waits until the session object knows of it, and later ones behind it", () => {
    const { world, all } = scene();
    const sender = world.connected("sender", KEEPING);
    const object = world.session("sender");
    sender.driver.links.get("session")!.up.held = true;
    for (let i = 0; i < 3; i++) sender.publish(all[3]!, `${i}`, { qos: 2 });
    world.settle();
    expect(world.shards[3]!.sql.rows("SELECT session FROM received")).toEqual([]);
    sender.driver.links.get("session")!.up.held = false;
    world.settle();
    expect(object.sql.rows("SELECT length(shards) AS bytes FROM session")).toEqual([{ bytes: 2 }]);
    const device = world.clients[0]!;
    expect(device.payloads).toEqual(["0", "1", "2"]);
  });

  test("links: UNSUBSCRIBE is kept first too: after a crash in between the next hello ends it at the shard", () => {
    const { world, device, publisher, all } = scene(5, { shards: 1 });
    device.driver.links.get(0)!.up.held = true;
    device.unsubscribe("#");
    world.settle();
    world.killWorker("worker");
    world.advance(1_000);
    const again = world.connected("device", KEEPING);
    const late = world.connected("late", KEEPING);
    late.publish(all[0]!, "x", { qos: 1 });
    world.settle();
    expect(again.payloads).toEqual([]);
    expect(publisher.closed).toBeDefined();
  });
});

describe("⚑ (client id, generation)", () => {
  test("links: an expiry whose wipe does not get through revives nothing, and gets through later", () => {
    const { world, device, publisher, all } = scene(5, { shards: 2 });
    device.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 1 } });
    world.advance(500);
    world.shards[0]!.reachable = false;
    world.advance(5_000);
    expect(world.shards[0]!.sql.rows("SELECT session FROM session WHERE session = 'device'")).toHaveLength(1);
    const again = world.connected("device", KEEPING);
    expect(again.last("connack")!.sessionPresent).toBe(false);
    world.shards[0]!.reachable = true;
    world.advance(60_000);
    publisher.publish(all[0]!, "x", { qos: 1 });
    world.settle();
    expect(again.payloads).toEqual([]);
    for (const { sql } of world.shards) {
      expect(sql.rows("SELECT session FROM session WHERE session = 'device'")).toEqual([]);
    }
  });

  test("links: a session whose connections and objects are all lost expires through its 12 h alarm", () => {
    const { world, device } = scene();
    world.killWorker("worker");
    for (const node of [...world.shards, ...world.sessions.values()]) node.crash();
    world.advance(14 * 3600 * 1000);
    expect(world.session("device").sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
    expect(device.closed).toBe(1006);
  });
});

test("[MQTT-3.10.4-2] UNSUBACK waits for a shard that has not heard of the UNSUBSCRIBE before", () => {
  const world = new World({ shards: 1 });
  const device = world.connected("device", KEEPING);
  device.subscribe("t", 1);
  world.advance(60_000);
  // The list is kept, and the connection lost before the shard is told.
  world.link(device, 0).up.held = true;
  device.unsubscribe("t");
  world.settle();
  device.cut();
  const [shard] = world.shards;
  shard!.reachable = false;
  const again = world.connected("device", KEEPING);
  again.unsubscribe("t");
  world.advance(1_000);
  expect(again.last("unsuback")).toBeUndefined();
  shard!.reachable = true;
  world.advance(3_000);
  expect(again.last("unsuback")!.granted).toEqual([0x11]);
  world.connected("publisher").publish("t", "too late", { qos: 1 });
  world.settle();
  expect(again.payloads).toEqual([]);
});

describe("⚑ everything at once", () => {
  test("[MQTT-4.3.2-4] loses nothing that was acknowledged, and at QoS 2 repeats nothing, wherever it strikes", () => {
    for (let steps = 0; steps < 400; steps += 3) {
      const { world, device, publisher, all } = scene(5, { shards: 2 });
      world.advance(50_000);
      for (let i = 0; i < 3; i++) for (const topic of all) publisher.publish(topic, `${topic} ${i}`, { qos: 2 });
      let done = false;
      for (let left = steps; left > 0 && !done; left--) done = !world.step(world.now + 5);
      const acknowledged = publisher.all("pubrec").length;
      world.killWorker("worker");
      for (const node of [...world.shards, ...world.sessions.values()]) node.crash();
      const again = world.connected("device", KEEPING);
      world.advance(60_000);
      // As a client does that remembers what it has received.
      const held = new Set(device.all("publish").map(({ messageId }) => messageId));
      for (const { messageId } of device.all("pubrel")) held.delete(messageId);
      const fresh = again.all("publish").filter(({ dup, messageId }) => !(dup && held.has(messageId)));
      const got = [...device.payloads, ...fresh.map(({ payload }) => payload!.toString())];
      expect(new Set(got).size, `${steps} steps: ${got.join(", ")}`).toBe(got.length);
      expect(got.length).toBeGreaterThanOrEqual(acknowledged);
      if (done) return;
    }
    expect.fail("it never came to rest");
  });
});
