import { expect, test } from "vitest";
import { World } from "../../sim/world/world.ts";

test.each([1, 10])(
  "links: 10,000 retained messages of all shards come to a # subscriber with a Receive Maximum of %i: once, and a shard's in its order",
  (receiveMaximum) => {
    const world = new World();
    const publisher = world.connected("publisher");
    const topics = Array.from({ length: 10_000 }, (_, i) => `${i % 37}/${i % 100}/${i}`);
    // Every third is set again, and so comes after those of its shard that are set once.
    const again = topics.filter((_, i) => i % 3 === 0);
    const set = (all: readonly string[], payload: string): void => {
      for (const [i, topic] of all.entries()) {
        publisher.publish(topic, payload, { qos: 1, retain: true });
        if (i % 100 === 99) world.settle();
      }
      world.settle();
    };
    set(topics, "first");
    set(again, "second");
    expect(publisher.acknowledged).toHaveLength(topics.length + again.length);

    const subscriber = world.connected("subscriber", { properties: { receiveMaximum } });
    subscriber.subscribe("#", 1);
    world.settle();
    const wanted = [
      ...topics.filter((_, i) => i % 3 !== 0).map((topic) => ({ topic, payload: "first" })),
      ...again.map((topic) => ({ topic, payload: "second" })),
    ];
    const came = subscriber
      .all("publish")
      .map(({ topic, payload }) => ({ topic: topic!, payload: payload!.toString() }));
    expect(came).toHaveLength(wanted.length);
    for (const { shard } of world.shards) {
      const of = (all: typeof wanted): typeof wanted => all.filter(({ topic }) => world.shardOf(topic).shard === shard);
      expect(of(wanted).length).toBeGreaterThan(1_000);
      expect(of(came)).toEqual(of(wanted));
    }
    expect(subscriber.all("publish").every(({ retain }) => retain)).toBe(true);
    expect(subscriber.reused).toEqual([]);
  },
  30_000,
);
