import { describe, expect, test } from "vitest";
import { FLUSH_MS } from "../../../src/core/connection/leaving.ts";
import * as records from "../../../src/link/records.ts";
import type { Client } from "../../sim/world/client.ts";
import { World } from "../../sim/world/world.ts";

const will = { topic: "will", payload: Buffer.from("gone"), qos: 1 as const, retain: false };

function withWill(version: 4 | 5 = 5): { world: World; watcher: Client; client: Client } {
  const world = new World({ shards: 1 });
  const watcher = world.connected("watcher");
  watcher.subscribe("#");
  world.settle();
  return { world, watcher, client: world.connected("client", { will }, version) };
}

describe("the end of a connection", () => {
  test("[MQTT-3.14.4-3] DISCONNECT with 0x00 drops the will", () => {
    for (const version of [4, 5] as const) {
      const { world, watcher, client } = withWill(version);
      client.send({ cmd: "disconnect" });
      world.advance(120_000);
      expect(watcher.payloads).toEqual([]);
      expect(client.driver.done).toBe(true);
    }
  });

  test.each([0x04, 0x80, 0x98])("[MQTT-3.14.4-3] DISCONNECT with reason %i keeps the will", (reasonCode) => {
    const { world, watcher, client } = withWill();
    client.send({ cmd: "disconnect", reasonCode });
    world.advance(5_000);
    expect(watcher.payloads).toEqual(["gone"]);
    expect(client.closed).toBe(1000);
  });

  test.each([
    ["DISCONNECT 0x00", { cmd: "disconnect" }, []],
    ["DISCONNECT 0x04", { cmd: "disconnect", reasonCode: 4 }, ["gone"]],
  ] as const)(
    "links: %s is said again over a new link if the old one is dead and nobody knew",
    (_name, packet, got) => {
      const { world, watcher, client } = withWill();
      world.link(client, "session").die();
      client.send(packet);
      while (client.closed === undefined) world.step(Infinity);
      // The close confirms that the end is stored: whatever the next connection does it meets no will of this one.
      expect(client.closed).toBe(1000);
      world.connected("client");
      world.advance(120_000);
      expect(watcher.payloads).toEqual(got);
      expect(client.driver.done).toBe(true);
    },
  );

  test("[MQTT §3.14.2.2.2] raising the session expiry from 0 is a protocol error, and the will is published", () => {
    const { world, watcher, client } = withWill();
    client.send({ cmd: "disconnect", reasonCode: 0, properties: { sessionExpiryInterval: 10 } });
    world.advance(5_000);
    expect(client.last("disconnect")!.reasonCode).toBe(0x82);
    expect(watcher.payloads).toEqual(["gone"]);
  });

  test("[MQTT-3.1.2-8] a socket that closes publishes the will", () => {
    const { world, watcher, client } = withWill();
    client.cut();
    world.advance(5_000);
    expect(watcher.payloads).toEqual(["gone"]);
  });

  test.each([
    ["HUNGRY", records.Kind.Hungry],
    ["ASK", records.Kind.Ask],
    ["ECHO", records.Kind.Echo],
  ])("links: %s that crosses BYE does not hold up the end", (_name, kind) => {
    const world = new World({ shards: 2 });
    const client = world.connected("client", { properties: { receiveMaximum: 2 } });
    client.subscribe("#");
    // Longer than its links count as busy, so that BYE leaves at once.
    world.advance(100);
    client.driver.closed();
    client.driver.frame(world.link(client, 1), Uint8Array.of(kind));
    world.advance(FLUSH_MS / 2);
    expect(client.driver.done).toBe(true);
  });

  test("links: the session is ended when every shard has taken everything, and not before", () => {
    const { world, watcher, client } = withWill();
    world.link(client, "session");
    client.publish("t", "first", { qos: 1 });
    world.settle();
    // The shard's credit takes a second.
    world.link(client, 0).down.delayMs = 1_000;
    client.publish("t", "second", { qos: 1 });
    client.publish("t", "third");
    world.advance(10);
    client.cut();
    world.advance(900);
    expect(world.session("client").sockets.size).toBe(1);
    expect(watcher.payloads).toEqual(["first", "second"]);
    world.advance(4_000);
    expect(watcher.payloads).toEqual(["first", "second", "third", "gone"]);
    expect(client.driver.done).toBe(true);
  });

  test("links: a shard that does not answer is waited for no longer than the flush", () => {
    const { world, watcher, client } = withWill();
    const other = world.connected("other", { will: { ...will, payload: Buffer.from("other gone") } });
    void client;
    other.publish("t", "first");
    world.settle();
    world.link(other, 0).up.held = true;
    other.publish("t", "lost");
    world.advance(10);
    other.cut();
    world.advance(FLUSH_MS - 100);
    expect(watcher.payloads).toEqual(["first"]);
    world.advance(200);
    expect(watcher.payloads).toEqual(["first", "other gone"]);
  });

  test("links: a session object that is away when the client goes is told later", () => {
    const { world, watcher, client } = withWill();
    const session = world.session("client");
    session.reachable = false;
    session.crash();
    client.cut();
    world.advance(10_000);
    expect(watcher.payloads).toEqual([]);
    expect(client.driver.done).toBe(false);
    session.reachable = true;
    world.advance(5_000);
    expect(watcher.payloads).toEqual(["gone"]);
    expect(client.driver.done).toBe(true);
  });

  test("links: a session object that stays away does not keep a connection for ever", () => {
    const { world, client } = withWill();
    world.session("client").reachable = false;
    world.session("client").crash();
    client.cut();
    world.advance(60_000);
    expect(client.driver.done).toBe(true);
  });

  test("links: a shard that stays away is given up after about 30 s with 0x89", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    client.subscribe("t");
    world.settle();
    world.shards[0]!.reachable = false;
    world.shards[0]!.crash();
    world.advance(29_000);
    expect(client.closed).toBeUndefined();
    world.advance(13_000);
    expect(client.last("disconnect")!.reasonCode).toBe(0x89);
    expect(client.closed).toBe(1013);
  });

  test("links: a session object that stays away is given up after about 30 s with 0x89", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    world.session("client").reachable = false;
    world.session("client").crash();
    world.advance(29_000);
    expect(client.closed).toBeUndefined();
    world.advance(13_000);
    expect(client.last("disconnect")!.reasonCode).toBe(0x89);
  });

  test("links: a shard with another placement is 0x8B", () => {
    const world = new World({ shards: 2 });
    world.connected("first").subscribe("#");
    world.settle();
    for (const shard of world.shards) shard.sql.run("UPDATE meta SET value = 8 WHERE key = 'shards'");
    const client = world.connected("client");
    client.subscribe("#");
    world.settle();
    expect(client.last("disconnect")!.reasonCode).toBe(0x8b);
    expect(client.closed).toBe(1012);
  });

  test("links: a link that nobody needs is not opened again", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    client.publish("t", "x", { qos: 1 });
    world.settle();
    world.shards[0]!.crash();
    world.advance(10_000);
    expect(client.driver.links.has(0)).toBe(false);
    client.publish("t", "y", { qos: 1 });
    world.settle();
    expect(client.acknowledged).toEqual([1, 2]);
  });

  test("links: a silent link is pinged, and taken for broken when no answer comes", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    client.subscribe("t");
    world.settle();
    const link = world.link(client, 0);
    world.advance(300_000);
    expect(link.pongAt).toBeDefined();
    expect(world.link(client, 0)).toBe(link);
    link.down.held = true;
    world.advance(600_000);
    expect(world.link(client, 0)).not.toBe(link);
    expect(client.closed).toBeUndefined();
  });
});

describe("the CPU budget", () => {
  const limits = { connectionCpuSecondsMax: 1 };

  /** A client that works until the broker has had enough of it. */
  function worn(version: 4 | 5, clean: boolean): { world: World; watcher: Client; client: Client; sent: number } {
    const world = new World({ shards: 1, limits });
    const watcher = world.connected("watcher");
    watcher.subscribe("will");
    const properties = clean ? {} : { sessionExpiryInterval: 3600 };
    const client = world.connected("client", { will, clean, ...(version === 5 && { properties }) }, version);
    let sent = 0;
    for (; client.closed === undefined && sent < 1_000_000; sent += 1_000) {
      for (let i = 0; i < 1_000; i++) client.publish("t", "x");
      world.settle();
    }
    return { world, watcher, client, sent };
  }

  test.each([
    [4, true],
    [5, true],
    [5, false],
  ] as const)("[decision 16] a connection retires in time: version %i, clean %s", (version, clean) => {
    const { world, watcher, client, sent } = worn(version, clean);
    expect(sent).toBeLessThan(500_000);
    expect(client.closed).toBe(1012);
    if (version === 5) expect(client.last("disconnect")!.reasonCode).toBe(0x8b);
    const again = world.connected("client", { clean, will }, version);
    if (!clean) expect(again.last("connack")!.sessionPresent).toBe(true);
    world.advance(120_000);
    expect(watcher.payloads).toEqual([]);
  });

  test("[MQTT-3.1.2-8] the will of a client that does not come back is published", () => {
    const { world, watcher } = worn(5, true);
    world.advance(60_000);
    expect(watcher.payloads).toEqual(["gone"]);
  });

  // A second of a connection's CPU time is some seconds of a machine that is busy otherwise.
  test("[MQTT-4.3.2-4] what was acknowledged before is owned, and what was not is not", { timeout: 30_000 }, () => {
    const world = new World({ shards: 1, limits });
    const device = world.connected("device", { clean: false, properties: { sessionExpiryInterval: 3600 } });
    device.subscribe("t");
    world.settle();
    const publisher = world.connected("publisher");
    for (let i = 0; publisher.closed === undefined; i++) {
      publisher.publish("t", `${i}`, { qos: 1, messageId: (i % 60_000) + 1 });
      if (i % 200 === 199) world.settle();
    }
    world.advance(5_000);
    // The device's own connection may have retired as well.
    const again = world.connected("device", { clean: false, properties: { sessionExpiryInterval: 3600 } });
    world.settle();
    const got = new Set([...device.payloads, ...again.payloads]);
    expect(got.size).toBeGreaterThanOrEqual(publisher.acknowledged.length);
  });

  test("what a shard has not heard of an overtaken connection it does not hear after the next one", () => {
    for (let awayMs = 0; awayMs < 1_500; awayMs += 50) {
      const world = new World({ shards: 1 });
      const first = world.connected("client");
      const [shard] = world.shards;
      shard!.reachable = false;
      first.publish("t", "old", { qos: 1, retain: true });
      world.settle();
      const second = world.connected("client");
      world.advance(awayMs);
      shard!.reachable = true;
      second.publish("t", "new", { qos: 1, retain: true });
      while (second.acknowledged.length === 0) world.advance(1);
      // The session ends, and with it what its shard knows of it.
      second.send({ cmd: "disconnect", reasonCode: 0 });
      world.advance(10_000);
      const fresh = world.connected("fresh");
      fresh.subscribe("t", 1);
      world.settle();
      expect(fresh.payloads).toEqual(["new"]);
      expect([first.driver.done, second.driver.done]).toEqual([true, true]);
    }
  });
});
