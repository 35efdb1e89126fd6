import { expect, test } from "vitest";
import { World } from "./world.ts";

test("an object goes to sleep when nothing has come to it for a while and it can", () => {
  const world = new World({ shards: 1, idleMs: 10_000 });
  const subscriber = world.connected("subscriber");
  subscriber.subscribe("a", 1);
  world.settle();
  const shard = world.shards[0]!;
  expect(shard.core).toBeDefined();
  world.advance(9_000);
  subscriber.publish("a", "1", { qos: 1 });
  world.settle();
  world.advance(5_000);
  expect(shard.core).toBeDefined();
  world.advance(90_000);
  expect(shard.core).toBeUndefined();
  expect(shard.sockets.size).toBe(1);
  subscriber.publish("a", "2", { qos: 1 });
  world.settle();
  expect(subscriber.payloads).toEqual(["1", "2"]);
  expect(shard.core).toBeDefined();
});

test("every object can sleep when nothing happens, and says why when it cannot", () => {
  const world = new World({ shards: 2, unsavedMs: 10 });
  const subscriber = world.connected("subscriber", { properties: { sessionExpiryInterval: 1000 } });
  subscriber.subscribe("#", 2);
  const publisher = world.connected("publisher");
  world.settle();
  for (let i = 0; i < 10; i++) publisher.publish(`t/${i}`, `${i}`, { qos: 2 });
  world.advance(100);
  expect(world.sleepless().map(({ node }) => node.party)).toContain("shard 0");
  expect(world.shards[0]!.holdsAwake[0]).toMatch(/^a timer, due in \d+ ms$/);
  world.advance(120_000);
  expect(world.sleepless()).toEqual([]);
  for (const node of [...world.shards, ...world.sessions.values()]) node.evict();
  expect(world.sleepless()).toEqual([]);
  publisher.publish("t/0", "awake", { qos: 2 });
  world.advance(100);
  expect(world.sleepless()).not.toEqual([]);
  expect(subscriber.payloads).toContain("awake");
});
