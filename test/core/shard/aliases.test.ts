/** Topic aliases towards clients: a busy topic's name is sent once to each that takes aliases. */
import { describe, expect, test } from "vitest";
import type { Client } from "../../sim/world/client.ts";
import { World } from "../../sim/world/world.ts";

const TOPIC = "a/rather/long/topic";

function scene(topicAliasMaximum: number, options: ConstructorParameters<typeof World>[0] = { shards: 1 }) {
  const world = new World(options);
  const publisher = world.connected("publisher");
  const subscriber = world.connected("subscriber", { properties: { topicAliasMaximum } });
  subscriber.subscribe("#", 2);
  world.settle();
  return { world, publisher, subscriber };
}

/** Topic and alias of each delivery, as they were sent. */
function named({ received }: Client): [string, unknown][] {
  return received
    .filter(({ cmd }) => cmd === "publish")
    .map(({ topic, properties }) => [topic!, properties?.["topicAlias"]]);
}

/** The topics of the deliveries, with the aliases resolved as a client does; fails on one that was not told. */
function resolved(client: Client, maximum: number): string[] {
  const told = new Map<number, string>();
  return named(client).map(([topic, alias]) => {
    if (alias === undefined) return topic;
    expect(alias).toBeGreaterThan(0);
    expect(alias).toBeLessThanOrEqual(maximum);
    if (topic !== "") told.set(alias as number, topic);
    const known = told.get(alias as number);
    expect(known).toBeDefined();
    return known!;
  });
}

describe("a client's Topic Alias Maximum", () => {
  test("[MQTT §3.3.2.3.4] lets the name of a topic go once, at every QoS", () => {
    const { world, publisher, subscriber } = scene(10);
    for (const qos of [0, 1, 2] as const) publisher.publish(TOPIC, `${qos}`, { qos });
    world.settle();
    expect(named(subscriber)).toEqual([
      [TOPIC, 1],
      ["", 1],
      ["", 1],
    ]);
    expect(subscriber.payloads).toEqual(["0", "1", "2"]);
    expect(subscriber.all("pubrel")).toHaveLength(1);
  });

  test("[MQTT-3.1.2-27] of 0, or none, has every name sent", () => {
    const { world, publisher, subscriber } = scene(0);
    const silent = world.connected("silent");
    const old = world.connected("old", {}, 4);
    for (const client of [silent, old]) client.subscribe("#");
    world.settle();
    for (let i = 0; i < 3; i++) publisher.publish(TOPIC, `${i}`);
    world.settle();
    for (const client of [subscriber, silent, old]) expect(named(client)).toEqual(Array(3).fill([TOPIC, undefined]));
  });

  test("[MQTT-3.1.2-26] [MQTT-3.3.2-11] is kept, whatever the number of topics and shards", () => {
    for (const maximum of [1, 3, 7, 300]) {
      const { world, publisher, subscriber } = scene(maximum, { shards: 4 });
      const topics = Array.from({ length: 200 }, (_, i) => `topic-${i % 120}/with/a/name`);
      for (const topic of topics) publisher.publish(topic, topic);
      for (const topic of topics) publisher.publish(topic, topic, { qos: 1 });
      world.settle();
      expect(resolved(subscriber, maximum)).toEqual(subscriber.payloads);
      expect(subscriber.payloads.toSorted()).toEqual([...topics, ...topics].toSorted());
    }
  });

  test("is each client's own, and one packet still serves all that know as much", () => {
    const { world, publisher, subscriber } = scene(10);
    publisher.publish(TOPIC, "0");
    world.settle();
    const late = world.connected("late", { properties: { topicAliasMaximum: 10 } });
    late.subscribe("#");
    world.settle();
    for (let i = 1; i < 3; i++) publisher.publish(TOPIC, `${i}`);
    world.settle();
    expect(named(late)).toEqual([
      [TOPIC, 1],
      ["", 1],
    ]);
    expect(named(subscriber).slice(1)).toEqual([
      ["", 1],
      ["", 1],
    ]);
  });

  test("a link that comes back, and a shard that restarts, begin anew", () => {
    for (const lose of [
      ({ world, subscriber }: ReturnType<typeof scene>) => world.link(subscriber, 0).drop(),
      ({ world }: ReturnType<typeof scene>) => world.shards[0]!.crash(),
      ({ world }: ReturnType<typeof scene>) => world.shards[0]!.evict(),
    ]) {
      const s = scene(10);
      for (let round = 0; round < 3; round++) {
        for (let i = 0; i < 3; i++)
          s.publisher.publish(`${TOPIC}/${(i + round) % 4}`, `${TOPIC}/${(i + round) % 4}`, { qos: 1 });
        s.world.settle();
        lose(s);
        s.world.advance(5_000);
      }
      expect(resolved(s.subscriber, 10)).toEqual(s.subscriber.payloads);
      expect(s.subscriber.payloads).toHaveLength(9);
    }
  });

  test("what is sent again to another connection has its name [MQTT-3.3.2-7]", () => {
    const world = new World({ shards: 1 });
    const publisher = world.connected("publisher");
    const kept = { clean: false, properties: { sessionExpiryInterval: 600, topicAliasMaximum: 10 } };
    const first = world.connected("subscriber", kept);
    first.subscribe("#");
    first.acknowledges = false;
    world.settle();
    for (let i = 0; i < 3; i++) publisher.publish(TOPIC, `${i}`, { qos: 1 });
    world.settle();
    first.cut();
    world.settle();
    const second = world.connected("subscriber", kept);
    world.settle();
    expect(named(second)).toEqual(Array(3).fill([TOPIC, undefined]));
    publisher.publish(TOPIC, "3", { qos: 1 });
    world.settle();
    expect(named(second).at(-1)).toEqual([TOPIC, 1]);
  });

  test("saves what a topic's name is longer than its alias", () => {
    const bytes = [0, 10].map((maximum) => {
      const { world, publisher, subscriber } = scene(maximum);
      let sent = 0;
      const deliver = subscriber.deliver.bind(subscriber);
      subscriber.deliver = (packet) => {
        sent += packet.length;
        deliver(packet);
      };
      for (let i = 0; i < 100; i++) publisher.publish(TOPIC, "20 bytes of a payload");
      world.settle();
      return sent;
    });
    // The first has both.
    expect(bytes[0]! - bytes[1]!).toBe(100 * (TOPIC.length - 3) - TOPIC.length);
  });

  test("a topic that many others follow gives its alias up", () => {
    const { world, publisher, subscriber } = scene(1);
    publisher.publish(TOPIC, TOPIC);
    world.settle();
    for (let i = 0; i < 200; i++) publisher.publish(`another/topic/${i}`, `another/topic/${i}`);
    world.settle();
    publisher.publish(TOPIC, TOPIC);
    world.settle();
    expect(resolved(subscriber, 1)).toEqual(subscriber.payloads);
    expect(new Set(named(subscriber).filter(([topic, alias]) => topic !== "" && alias === 1)).size).toBeGreaterThan(1);
  });
});
