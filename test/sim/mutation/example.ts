/** What the tests of {@link runMutated} run over mutated code. */
import { shardOfTopic } from "../../../src/core/shard/placement.ts";
import { World } from "../world/world.ts";

export function place(topic: string, shards: number): number {
  return shardOfTopic(topic, { shards, depth: 2 });
}

/** What a subscriber gets of a message, through the whole broker. */
export async function relay(payload: string): Promise<string[]> {
  const world = new World({ shards: 1 });
  const subscriber = world.connected("subscriber");
  subscriber.subscribe("t", 1);
  world.settle();
  world.connected("publisher").publish("t", payload, { qos: 1 });
  await Promise.resolve();
  world.advance(5_000);
  return subscriber.payloads;
}

export function failing(): never {
  throw new RangeError("out of cheese");
}

export function loops(): never {
  for (;;);
}
