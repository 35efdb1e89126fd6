/** Retained delivery is a place in a scan. */
import assert from "node:assert/strict";
import { type Client } from "../world/client.ts";
import { World } from "../world/world.ts";
import { anew, equal, lasting, loseEverything, numbers, subscribed, until } from "./scene.ts";
import type { Schedules } from "./schedule.ts";

const COUNT = 20;

/** Twenty retained messages, and a subscriber to them that takes two at a time and has had `at` of them. */
function scanning(
  at: number,
  options: Parameters<Client["connect"]>[0],
): { world: World; subscriber: Client; publisher: Client } {
  const world = new World({ shards: 1 });
  const publisher = world.connected("publisher", {}, 5, "elsewhere");
  for (let i = 0; i < COUNT; i++) publisher.publish(`t/${i}`, `${i}`, { qos: 1, retain: true });
  world.advance(5_000);
  const properties = { ...options?.properties, receiveMaximum: 2 };
  const subscriber = world.connected("subscriber", { ...options, properties });
  subscribed(subscriber, "other");
  subscriber.subscribe("t/+", 1);
  until(world, () => subscriber.payloads.length >= at);
  return { world, subscriber, publisher };
}

const STOPS = "the rest of the retained messages never comes";

const FAULTS: ((world: World, subscriber: Client) => void)[] = [
  (world) => world.shards[0]!.crash(),
  (world) => world.shards[0]!.evict(),
  (world, subscriber) => world.link(subscriber, 0).drop(),
];

export const retained: Schedules = {
  "twenty retained messages come to a client that acknowledges nothing": {
    rule: "Retained messages come under the same window as everything else",
    harm: "more is under way to a client than its Receive Maximum",
    play(hold) {
      const world = new World({ shards: 1 });
      const publisher = world.connected("publisher");
      for (let i = 0; i < COUNT; i++) publisher.publish(`t/${i}`, `${i}`, { qos: 1, retain: true });
      world.advance(5_000);
      const subscriber = world.connected("subscriber", { properties: { receiveMaximum: 2 } });
      subscriber.acknowledges = false;
      subscriber.subscribe("t/+", 1);
      world.advance(10_000);
      assert(subscriber.payloads.length >= 2);
      hold(subscriber.unacknowledged.size <= 2, `${subscriber.unacknowledged.size}`);
    },
    without: [
      {
        name: "retained messages need no grant",
        file: "src/core/shard/pump.ts",
        find: "      if (!this.ready(to)) return false;\n      this.deliver(to, packet, message.topicUtf8.length, offset, subscription.number);",
        replace: "      this.deliver(to, packet, message.topicUtf8.length, offset, subscription.number);",
      },
    ],
  },

  "a retained message is replaced while a scan is on its way to it": {
    rule: "A scan skips values that are newer than its subscription, as their live copy is delivered",
    harm: "one publication comes twice: as it was published, and as retained",
    play(hold) {
      const { world, subscriber, publisher } = scanning(3, {});
      publisher.publish("t/19", "new", { qos: 1, retain: true });
      world.advance(10_000);
      const got = subscriber.payloads.filter((payload) => payload === "new");
      assert(got.length > 0);
      hold(got.length === 1, subscriber.payloads);
    },
    without: [
      {
        name: "a scan goes on to the end, wherever that is by then",
        file: "src/core/shard/roster.ts",
        find: "const scan = asks ? { after: 0, upTo: head }",
        replace: "const scan = asks ? { after: 0, upTo: 2 ** 48 - 1 }",
      },
    ],
  },

  "a shard restarts, or sleeps, or a link breaks, in the middle of a scan": {
    rule: "The place of a scan is in the hello",
    harm: STOPS,
    play(hold) {
      for (const fault of FAULTS) {
        for (const at of [3, 10, 15]) {
          const { world, subscriber, publisher } = scanning(at, {});
          fault(world, subscriber);
          publisher.publish("t/19", "new", { qos: 1, retain: true });
          world.advance(10_000);
          assert.equal(subscriber.closed, undefined);
          assert(subscriber.payloads.includes("new"));
          const got = subscriber.payloads.filter((payload) => payload !== "19" && payload !== "new");
          hold(equal(got, numbers(0, COUNT - 1)), got);
        }
      }
    },
    without: [
      {
        name: "a connection does not say where a scan is",
        file: "src/core/connection/shard-link.ts",
        find: "scan: scanning ? this.#newScan(subscription, previous, start) : undefined,",
        replace: "scan: undefined,",
      },
    ],
  },

  "a shard sleeps in the middle of a scan that waits for its client": {
    rule: "The place of a scan is in the attachment",
    harm: STOPS,
    play(hold) {
      const { world, subscriber } = scanning(3, {});
      subscriber.acknowledges = false;
      world.advance(10_000);
      assert.notEqual(world.link(subscriber, 0).attachment, undefined);
      world.shards[0]!.evict();
      subscriber.acknowledges = true;
      for (const id of subscriber.unacknowledged) subscriber.puback(id);
      world.advance(10_000);
      hold(equal(subscriber.payloads, numbers(0, COUNT)), subscriber.payloads);
    },
    without: [
      {
        name: "what is attached does not say where a scan is",
        file: "src/core/shard/attendance.ts",
        find: "subscriptions: [...this.subscriptions.values()],",
        replace: "subscriptions: [...this.subscriptions.values()].map((known) => ({ ...known, scan: undefined })),",
      },
    ],
  },

  "everything restarts in the middle of a lasting session's scan": {
    rule: "The place of a scan is stored, of a lasting session",
    harm: STOPS,
    play(hold) {
      for (const at of [3, 10, 15]) {
        const { world, subscriber } = scanning(at, anew());
        loseEverything(world);
        const back = world.connected("subscriber", lasting());
        world.advance(10_000);
        const got = new Set([...subscriber.payloads, ...back.payloads]);
        hold(equal([...got], numbers(0, COUNT)), [...got]);
      }
    },
    without: [
      {
        name: "SUBSCRIBE does not store the scan that it begins",
        file: "src/core/shard/roster.ts",
        find: "if (asks || (previous && differs(previous, wanted))) this.#parts.places.exact(by);",
        replace: "if (previous && differs(previous, wanted)) this.#parts.places.exact(by);",
      },
    ],
  },

  "a retained message is set at QoS 1 and acknowledged, and its shard fails": {
    rule: "What sets a retained message at QoS > 0 is stored before it is acknowledged",
    harm: "a retained message that was acknowledged is gone",
    play(hold) {
      const world = new World({ shards: 1 });
      const publisher = world.connected("publisher");
      publisher.publish("t", "x", { qos: 1, retain: true });
      until(world, () => publisher.acknowledged.length === 1);
      world.shards[0]!.crash();
      world.advance(5_000);
      const subscriber = world.connected("subscriber");
      subscribed(subscriber, "t");
      hold(equal(subscriber.payloads, ["x"]), subscriber.payloads);
    },
    without: [
      {
        name: "retained messages are stored with the next checkpoint",
        file: "src/core/shard/retained.ts",
        find: "if (message.qos === 0) {",
        replace: "if (message.qos <= 2) {",
      },
    ],
  },
};
