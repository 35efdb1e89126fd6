import { expect, test } from "vitest";
import { World } from "./world.ts";

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
