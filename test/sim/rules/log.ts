/** The log: packet ids, offsets, from where a subscription counts, what is kept and for whom. */
import assert from "node:assert/strict";
import { type Client } from "../world/client.ts";
import { World, type WorldOptions } from "../world/world.ts";
import {
  anew,
  assertAcknowledged,
  disconnect,
  equal,
  lasting,
  loseEverything,
  numbers,
  pair,
  publishMany,
  rowsOf,
  subscribed,
  topicOn,
} from "./scene.ts";
import type { Schedules } from "./schedule.ts";

/** Sessions that are away, one for each filter, and a publisher. */
function away(options: WorldOptions, ...filters: string[]): { world: World; publisher: Client } {
  const world = new World({ shards: 1, ...options });
  for (const filter of filters) {
    const client = world.connected(`of ${filter}`, anew());
    subscribed(client, filter);
    disconnect(client);
  }
  return { world, publisher: world.connected("publisher", {}, 5, "elsewhere") };
}

/** What waits for a session that is away. */
function collect(world: World, filter: string): string[] {
  const client = world.connected(`of ${filter}`, lasting());
  world.advance(10_000);
  return client.payloads;
}

/** Publishes so many messages of 64 KiB, all of which are acknowledged. */
function publishLarge(publisher: Client, topic: string, count: number): void {
  const before = publisher.acknowledged.length;
  for (let i = 0; i < count; i++) {
    publisher.publish(topic, `${i} ${"x".repeat(64 * 1024)}`, { qos: 1 });
    publisher.world.advance(2_000);
  }
  assertAcknowledged(publisher, before + count);
}

/** A session that was sent `a0` and not `a1`, and then another's message `b0` is logged. */
function behind(options: Parameters<Client["connect"]>[0]): { world: World; client: Client } {
  const { world, publisher } = away({}, "b");
  const client = world.connected("client", options);
  client.acknowledges = false;
  subscribed(client, "a");
  for (const payload of ["a0", "a1", "b0"]) publisher.publish(payload[0]!, payload, { qos: 1 });
  world.advance(5_000);
  assertAcknowledged(publisher, 3);
  assert.deepEqual(client.payloads, ["a0"]);
  return { world, client };
}

function acknowledge(client: Client): void {
  client.acknowledges = true;
  for (const id of client.unacknowledged) client.puback(id);
  client.world.advance(10_000);
}

const ONE_AT_A_TIME = { properties: { receiveMaximum: 1 } };

export const log: Schedules = {
  "two shards deliver to one client, which acknowledges nothing": {
    rule: "Shard k uses only packet ids that are k modulo SHARDS",
    harm: "a packet id is used twice at one time",
    play(hold) {
      const world = new World({ shards: 2 });
      const subscriber = world.connected("subscriber");
      subscriber.acknowledges = false;
      subscribed(subscriber, "#");
      const publisher = world.connected("publisher");
      for (const shard of [0, 1, 0, 1, 0, 1]) publisher.publish(topicOn(world, shard), "x", { qos: 1 });
      world.advance(5_000);
      assert.equal(subscriber.payloads.length, 6);
      hold(subscriber.reused.length === 0, subscriber.reused);
    },
    without: [
      {
        name: "a shard uses any packet id",
        file: "src/core/shard/attendance.ts",
        find: "      this.#packetId += shards;",
        replace: "      this.#packetId += 1;",
      },
    ],
  },

  "a shard of 64 has used all of its packet ids": {
    rule: "No shard uses the packet id 0",
    harm: "a message is sent under the packet id 0",
    play(hold) {
      const world = new World({ shards: 64, depth: 1 });
      const topic = Array.from({ length: 1_000 }, (_, i) => `${i}`).find((name) => world.shardOf(name).shard === 0);
      const subscriber = world.connected("subscriber");
      subscribed(subscriber, topic!);
      const publisher = world.connected("publisher");
      for (let i = 0; i < 1_100; i += 100) {
        publishMany(publisher, topic!, i, i + 100);
        world.settle();
      }
      assert.equal(subscriber.payloads.length, 1_100);
      hold(
        subscriber.all("publish").every(({ messageId }) => messageId! > 0 && messageId! % 64 === 0),
        subscriber.all("publish").map(({ messageId }) => messageId),
      );
    },
    without: [
      {
        name: "the slice of shard 0 begins with 0",
        file: "src/core/shard/attendance.ts",
        find: "this.#packetId = this.#shard === 0 ? shards : this.#shard;",
        replace: "this.#packetId = this.#shard;",
      },
    ],
  },

  "a shard restarts, and then a subscriber's link breaks": {
    rule: "Offsets are issued from a stored reservation, and a new incarnation starts above it",
    harm: "a message is taken for an earlier one that had its offset, and is lost",
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber, publisher } = pair(world);
      publishMany(publisher, "t/1", 0, 5);
      world.advance(60_000);
      world.shards[0]!.crash();
      world.advance(120_000);
      assert.equal(rowsOf(world.shards[0]!, "log"), 0);
      subscriber.driver.barred.add(0);
      world.link(subscriber, 0).drop();
      world.advance(100);
      publishMany(publisher, "t/1", 5, 8);
      world.advance(1_000);
      subscriber.driver.barred.clear();
      world.advance(10_000);
      assertAcknowledged(publisher, 8);
      hold(equal(subscriber.payloads, numbers(0, 8)), subscriber.payloads);
    },
    without: [
      {
        name: "a new incarnation counts on from what is in the log",
        file: "src/core/shard/log.ts",
        find: "    this.#head = this.#reserved;\n",
        replace: "    this.#head = store.batches().at(-1)?.last ?? 0;\n",
      },
      {
        name: "reservations are not stored",
        file: "src/core/shard/log.ts",
        find: "      this.#store.putReserved(this.#reserved);\n",
        replace: "",
      },
    ],
  },

  "a message waits for a session that is away, its shard restarts, and the limit of age passes": {
    rule: "Batches store when they were written",
    harm: "a message waits longer than messages may",
    play(hold) {
      const { world, publisher } = away({ limits: { queueSecondsMax: 600 } }, "t");
      publisher.publish("t", "x", { qos: 1 });
      world.advance(5_000);
      assertAcknowledged(publisher, 1);
      world.shards[0]!.evict();
      world.advance(700_000);
      hold(rowsOf(world.shards[0]!, "log") === 0 && collect(world, "t").length === 0, "it is there");
    },
    without: [
      {
        name: "a batch does not store its time",
        file: "src/core/shard/log.ts",
        find: "this.#store.appendBatch(batch, now, encoded);",
        replace: "this.#store.appendBatch(batch, 0, encoded);",
      },
    ],
  },

  "a session that is behind subscribes to what was logged for another one": {
    rule: "A subscription counts from the log's head at its SUBSCRIBE",
    harm: "a message comes that was published before the subscription",
    play(hold) {
      const { world, client } = behind(ONE_AT_A_TIME);
      client.subscribe("b", 1);
      world.settle();
      acknowledge(client);
      assert(client.payloads.includes("a1"));
      hold(!client.payloads.includes("b0"), client.payloads);
    },
    without: [
      {
        name: "a subscription counts from the beginning of the log",
        file: "src/core/shard/fanout.ts",
        find: "start < offset && ",
        replace: "",
      },
    ],
  },

  "a lasting session that is behind subscribes to what was logged for another one, and everything restarts": {
    rule: "The offset from which a subscription counts is stored with it",
    harm: "a message comes that was published before the subscription",
    play(hold) {
      const { world, client } = behind(anew(3600, ONE_AT_A_TIME));
      subscribed(client, "b");
      loseEverything(world);
      const back = world.connected("client", lasting());
      world.advance(10_000);
      assert(back.payloads.includes("a1"));
      hold(!back.payloads.includes("b0"), back.payloads);
    },
    without: [
      {
        name: "a stored subscription counts from the beginning of the log",
        file: "src/core/shard/store.ts",
        find: 'start: row["start"] as number,',
        replace: "start: 0,",
      },
    ],
  },

  // [MQTT-3.8.4-4]
  "a session that is behind subscribes to the same filter again": {
    rule: "An identical filter keeps the offset from which it counts",
    harm: "a message is lost because its filter was subscribed to again",
    play(hold) {
      for (const restarts of [false, true]) {
        const { world, client } = behind(ONE_AT_A_TIME);
        client.subscribe("a", 1);
        world.settle();
        if (restarts) world.shards[0]!.crash();
        world.advance(5_000);
        acknowledge(client);
        hold(equal(client.payloads, ["a0", "a1"]), client.payloads);
      }
    },
    without: [
      {
        name: "a shard counts it from now",
        file: "src/core/shard/roster.ts",
        find: "const start = previous && previous.qos > 0 ? previous.start : head;",
        replace: "const start = head;",
      },
      {
        name: "a connection says that it counts from now",
        file: "src/core/connection/shard-link.ts",
        find: "start: previous && previous.qos > 0 ? previous.start : start,",
        replace: "start,",
      },
    ],
  },

  "one message waits for a session that is away, while others are sent a log full": {
    rule: "Under pressure sessions advance past what does not match them before anything is taken from anybody",
    harm: "a session that owes next to nothing loses its messages to the traffic of others",
    play(hold) {
      const { world, publisher } = away({ limits: { logBytesMax: 1024 * 1024 } }, "t");
      publisher.publish("t", "x", { qos: 1 });
      const busy = world.connected("busy", {}, 5, "elsewhere");
      subscribed(busy, "b");
      publishLarge(publisher, "b", 40);
      assert.equal(busy.payloads.length, 40);
      hold(equal(collect(world, "t"), ["x"]), "it is gone");
    },
    without: [
      {
        name: "a log is only trimmed at its front",
        file: "src/core/shard/queues.ts",
        find: "    return this.#survey(now);",
        replace: "    return undefined;",
      },
    ],
  },

  "more waits for a session that is away than the log may hold": {
    rule: "A log has a limit, and what goes beyond it is taken from the oldest",
    harm: "a log grows without a bound",
    play(hold) {
      const { world, publisher } = away({ limits: { logBytesMax: 1024 * 1024 } }, "t");
      publishLarge(publisher, "t", 40);
      const bytes = world.shards[0]!.sql.rows("SELECT sum(length(entries)) AS bytes FROM log")[0]!["bytes"] as number;
      hold(bytes <= 1024 * 1024, `${bytes} bytes`);
      assert.equal(collect(world, "t").at(-1)!.split(" ")[0], "39");
    },
    without: [
      {
        name: "a log is not cut",
        file: "src/core/shard/queues.ts",
        find: `    this.#cut(this.#log.cutForBytes(this.#limits.logBytesMax), "log full", now);\n`,
        replace: "",
      },
    ],
  },

  "a log is full, and a session that is away loses messages": {
    rule: "What a session loses to a limit is counted and reported",
    harm: "messages that were acknowledged are lost and nobody can see it",
    play(hold) {
      const { world, publisher } = away({ limits: { logBytesMax: 1024 * 1024 } }, "t");
      publishLarge(publisher, "t", 40);
      const [shard] = world.shards;
      const reported = shard!.reports.reduce((sum, { messages }) => sum + messages, 0);
      const lost = 40 - collect(world, "t").length;
      assert(lost > 20);
      hold(reported === lost, `${reported} reported, ${lost} lost`);
    },
    without: [
      {
        name: "what is cut is not reported",
        file: "src/core/shard/queues.ts",
        find: "    if (messages > 0) this.#report(why, messages, losers.size);\n",
        replace: "",
      },
    ],
  },

  "a shard is full": {
    rule: "Beyond its limit a shard refuses QoS > 0 with 0x97",
    harm: "a shard stores more than an object may",
    play(hold) {
      const { world, publisher } = away({ limits: { shardBytesMax: 1024 * 1024 } }, "t");
      for (let i = 0; i < 40; i++) {
        publisher.publish("t", `${i} ${"x".repeat(64 * 1024)}`, { qos: 1 });
        world.advance(2_000);
      }
      const refused = publisher.all("puback").filter(({ reasonCode }) => reasonCode === 0x97);
      const { bytes } = world.shards[0]!.sql;
      hold(refused.length > 20 && bytes < 1.2 * 1024 * 1024, `${bytes} bytes`);
    },
    without: [
      {
        name: "a shard that is full takes messages",
        file: "src/core/shard/shard.ts",
        find: "    if (this.#full && (message.qos > 0 || message.retain)) return Reason.QuotaExceeded;\n",
        replace: "",
      },
    ],
  },

  "a burst arrives in one frame for a session that is away, and then everything restarts": {
    rule: "A commit writes every pending entry up to it, in order",
    harm: "messages that were acknowledged are lost, or come in another order",
    play(hold) {
      const { world, publisher } = away({}, "t/#");
      publishMany(publisher, "t/1", 0, 20);
      world.advance(100);
      assertAcknowledged(publisher, 20);
      loseEverything(world);
      const got = collect(world, "t/#");
      hold(equal(got, numbers(0, 20)), got);
    },
    without: [
      {
        name: "a commit writes the last entry",
        file: "src/core/shard/log.ts",
        find: "for (const entry of this.#pending) {",
        replace: "for (const entry of this.#pending.slice(-1)) {",
      },
      {
        name: "a commit writes the last entry first",
        file: "src/core/shard/log.ts",
        find: "for (const entry of this.#pending) {",
        replace: "for (const entry of this.#pending.toReversed()) {",
      },
    ],
  },

  "a message is acknowledged, and its shard fails before the next checkpoint": {
    rule: "A message is committed in the turn that acknowledges it",
    harm: "a message that was acknowledged is lost",
    play(hold) {
      const { world, publisher } = away({}, "t/#");
      publishMany(publisher, "t/1", 0, 3);
      for (let left = 100; publisher.acknowledged.length < 3 && left > 0; left--) world.step(world.now + 10);
      assertAcknowledged(publisher, 3);
      loseEverything(world);
      const got = collect(world, "t/#");
      hold(equal(got, numbers(0, 3)), got);
    },
    without: [
      {
        name: "messages are committed with the next checkpoint",
        file: "src/core/shard/shard.ts",
        find: "    if (!this.#received.unsaved) {\n      this.#log.commit(now);\n      return;\n    }",
        replace:
          "    if (!this.#received.unsaved) {\n      if (this.#checkpointAt === undefined) this.#log.commit(now);\n      return;\n    }",
      },
    ],
  },
};
