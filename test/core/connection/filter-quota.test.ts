/** So many filters of a kind, levels and filters in a packet; and what a client is told of one more. */
import { describe, expect, test } from "vitest";
import type { Limits } from "../../../src/core/limits.ts";
import { SubscriptionTree } from "../../../src/core/shard/subscription-tree.ts";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { FilterQuota } from "../../../src/core/connection/filter-quota.ts";
import { Random } from "../../support/random.ts";
import type { Version } from "../../sim/world/client.ts";
import { World } from "../../sim/world/world.ts";

function scene(limits: Partial<Limits>, version: Version = 5) {
  const world = new World({ shards: 2, limits });
  const client = world.connected("client", {}, version);
  return {
    world,
    client,
    /** The codes of one SUBSCRIBE. */
    subscribe(...filters: string[]): number[] {
      const messageId = client.all("suback").length + 1;
      const subscriptions = filters.map((topic) => ({ topic, qos: 0 }));
      client.send({ cmd: "subscribe", messageId, subscriptions });
      world.settle();
      return (client.last("suback") as unknown as { granted: number[] }).granted;
    },
    unsubscribe(filter: string): void {
      client.send({ cmd: "unsubscribe", messageId: 1000, unsubscriptions: [filter] });
      world.settle();
    },
  };
}

describe.each<[string, Partial<Limits>, string, string, string, string]>([
  ["WILDCARD_SUBSCRIPTIONS_MAX", { wildcardSubscriptionsMax: 2 }, "a/+", "b/#", "c/+", "c/d"],
  ["SHARED_SUBSCRIPTIONS_MAX", { sharedSubscriptionsMax: 2 }, "$share/g/a", "$share/g/b", "$share/h/a", "c"],
  ["SUBSCRIPTION_BYTES_MAX", { subscriptionBytesMax: 20 }, "a".repeat(10), "bbbbbbbbb", "cc", "d"],
  ["SUBSCRIPTION_LEVELS_MAX", { subscriptionLevelsMax: 20 }, "a/b/c/d/e/f/g/h/i/j", "1/2/3/4/5/6/7/8/9", "x/y", "x"],
])("[MQTT-3.9.3-2] %s", (_name, limits, one, two, more, other) => {
  test("one more is answered 0x97, what the client has is taken again, and what it gives up makes room", () => {
    const s = scene(limits);
    expect(s.subscribe(one, two, more, one, other)).toEqual([0, 0, 0x97, 0, 0]);
    s.unsubscribe(one);
    expect(s.subscribe(more)).toEqual([0]);
    expect(s.client.driver.denied).toEqual([`subscribe ${more}`]);
    expect(s.client.closed).toBeUndefined();
  });

  test("one more is answered 0x80 before MQTT 5 [v3 MQTT-3.9.3-2]", () => {
    expect(scene(limits, 4).subscribe(one, two, more)).toEqual([0, 0, 0x80]);
  });
});

test("FILTERS_PER_SUBSCRIBE_MAX: what is beyond it in a packet is answered 0x97, also what the client has", () => {
  const s = scene({ filtersPerSubscribeMax: 2 });
  expect(s.subscribe("a", "b", "c", "a")).toEqual([0, 0, 0x97, 0x97]);
  expect(s.subscribe("c", "d")).toEqual([0, 0]);
  expect(scene({ filtersPerSubscribeMax: 1 }, 4).subscribe("a", "b")).toEqual([0, 0x80]);
});

describe("[MQTT §3.2.2.3.11, §3.2.2.3.13] what nobody may have is said in CONNACK, and answered with its own code", () => {
  test.each<[Partial<Limits>, object, string, number]>([
    [{ wildcardSubscriptionsMax: 0 }, { wildcardSubscriptionAvailable: false }, "a/+", 0xa2],
    [{ wildcardSubscriptionsMax: 0 }, { wildcardSubscriptionAvailable: false }, "$share/g/#", 0xa2],
    [{ sharedSubscriptionsMax: 0 }, { sharedSubscriptionAvailable: false }, "$share/g/a", 0x9e],
  ])("%j", (limits, properties, filter, code) => {
    const s = scene(limits);
    expect(s.client.last("connack")!.properties).toMatchObject(properties);
    expect(s.subscribe("a", filter)).toEqual([0, code]);
    expect(scene(limits, 4).subscribe("a", filter)).toEqual([0, 0x80]);
  });

  test("nothing is said of what everybody may", () => {
    const { properties } = scene({}).client.last("connack")!;
    expect(properties).not.toHaveProperty("wildcardSubscriptionAvailable");
    expect(properties).not.toHaveProperty("sharedSubscriptionAvailable");
  });
});

test("a subscription bomb: what one client may have is few nodes of the tree, whatever its filters are", () => {
  const shapes: ((at: number, random: Random) => string)[] = [
    // As many as there are, as deep as they may be, matching one topic.
    (_at, random) => Array.from({ length: 128 }, () => random.of(["+", "a"])).join("/"),
    (at) => `${at.toString(36)}${"/".repeat(127)}`,
    (at) => `${"+/".repeat(at % 127)}#`,
    (at) => `${at}`,
    (at) => `$share/g${at}/${"+/".repeat(60)}a`,
  ];
  for (const shape of shapes) {
    const random = new Random(1);
    const quota = new FilterQuota(DEFAULT_LIMITS);
    const tree = new SubscriptionTree<string, number>();
    const taken = new Set<string>();
    for (let at = 0; at < 20_000; at++) {
      const filter = shape(at, random);
      if (taken.has(filter) || !quota.fits(filter)) continue;
      quota.add(filter);
      taken.add(filter);
      tree.set(filter, "bomber", at);
    }
    expect(taken.size).toBeLessThanOrEqual(DEFAULT_LIMITS.subscriptionsMax);
    // The root is one more. A match looks at each at most once.
    expect(tree.nodes).toBeLessThanOrEqual(DEFAULT_LIMITS.subscriptionLevelsMax + 1);
  }
});
