import { expect, test } from "vitest";
import { World } from "../../sim/world/world.ts";

test("a message goes from one client to another through every part", () => {
  const world = new World();
  const subscriber = world.connected("subscriber");
  const publisher = world.connected("publisher");
  subscriber.subscribe("a/#", 1);
  world.settle();
  expect(subscriber.last("suback")!.granted).toEqual([1]);
  const id = publisher.publish("a/b", "hello", { qos: 1 });
  world.settle();
  expect(publisher.acknowledged).toEqual([id]);
  expect(subscriber.payloads).toEqual(["hello"]);
  world.advance(2000);
  expect(world.shards.flatMap(({ failures }) => failures)).toEqual([]);
});
