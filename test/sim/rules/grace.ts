/** A lost link forgets nobody. */
import assert from "node:assert/strict";
import { type Client } from "../world/client.ts";
import { World } from "../world/world.ts";
import {
  anew,
  assertAcknowledged,
  disconnect,
  equal,
  numbers,
  pair,
  publishMany,
  rowsOf,
  subscribed,
  until,
  will,
} from "./scene.ts";
import type { Schedules } from "./schedule.ts";

/** The subscriber's link breaks, and no other opens until it is let in again. */
function shutOut(world: World, subscriber: Client): void {
  subscriber.driver.barred.add(0);
  world.link(subscriber, 0).drop();
  world.advance(100);
}

function letIn(world: World, subscriber: Client): void {
  subscriber.driver.barred.clear();
  world.advance(10_000);
}

/** A subscriber's shard restarts, and for ten seconds only a publisher finds its way. */
function restart(): { world: World; subscriber: Client } {
  const world = new World({ shards: 1 });
  const { subscriber } = pair(world);
  const publisher = world.connected("another publisher");
  subscriber.driver.barred.add(0);
  world.shards[0]!.crash();
  world.advance(5_000);
  publishMany(publisher, "t/1", 0, 3);
  world.advance(5_000);
  assertAcknowledged(publisher, 3);
  letIn(world, subscriber);
  return { world, subscriber };
}

const LOST = "a message that was acknowledged is lost to a subscriber that had no link for a moment";

export const grace: Schedules = {
  "messages are published while a subscriber has no link": {
    rule: "A session without a link counts as offline for 40 s, and what it wants is logged",
    harm: LOST,
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber, publisher } = pair(world);
      shutOut(world, subscriber);
      publishMany(publisher, "t/1", 0, 3);
      world.advance(5_000);
      assertAcknowledged(publisher, 3);
      letIn(world, subscriber);
      hold(equal(subscriber.payloads, numbers(0, 3)) && subscriber.closed === undefined, subscriber.payloads);
    },
    without: [
      {
        name: "a session ends with its link",
        file: "src/core/shard/roster.ts",
        find: "    // For a while it counts as offline, and what it wants is logged.\n",
        replace: "    this.#end(attendance);\n    if (attendance) return;\n",
      },
    ],
  },

  "a subscriber has no link for 25 s": {
    rule: "The grace of a shard (40 s) is longer than a connection tries to come back (30 s)",
    harm: LOST,
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber, publisher } = pair(world);
      shutOut(world, subscriber);
      world.advance(25_000);
      publishMany(publisher, "t/1", 0, 3);
      world.advance(1_000);
      assertAcknowledged(publisher, 3);
      letIn(world, subscriber);
      hold(equal(subscriber.payloads, numbers(0, 3)) && subscriber.closed === undefined, subscriber.payloads);
    },
    without: [
      {
        name: "a shard waits for 20 s",
        file: "src/core/shard/grace.ts",
        find: "export const GRACE_MS = 40_000;",
        replace: "export const GRACE_MS = 20_000;",
      },
    ],
  },

  "a client with a will has no link to its session object for 25 s": {
    rule: "The grace of a session object (40 s) is longer than a connection tries to come back (30 s)",
    harm: "a will is published of a client that is here, or the client is disconnected",
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber } = pair(world);
      const client = world.connected("client", will("t/will"));
      client.driver.barred.add("session");
      world.link(client, "session").drop();
      world.advance(25_000);
      client.driver.barred.clear();
      world.advance(10_000);
      hold(subscriber.payloads.length === 0 && client.closed === undefined, subscriber.payloads);
    },
    without: [
      {
        name: "a session object waits for 20 s",
        file: "src/core/session/session.ts",
        find: "export const GRACE_MS = 40_000;",
        replace: "export const GRACE_MS = 20_000;",
      },
    ],
  },

  "a subscriber's link is lost for a long time, and its connection does not come back": {
    rule: "The grace of a lost link ends by an alarm",
    harm: "the log is kept for a session that is gone",
    play(hold) {
      const world = new World({ shards: 1 });
      const { publisher } = pair(world);
      world.killWorker("a");
      world.advance(100);
      publishMany(publisher, "t/1", 0, 3);
      world.advance(10_000);
      assertAcknowledged(publisher, 3);
      world.shards[0]!.evict();
      world.advance(180_000);
      hold(rowsOf(world.shards[0]!, "log") === 0, `${rowsOf(world.shards[0]!, "log")} rows`);
    },
    without: [
      {
        name: "no alarm is set for the end of recovering",
        file: "src/core/shard/shard.ts",
        find: "    if (!this.#log.empty || this.#received.any || this.#grace.awaits) times.push(this.#grace.until);\n",
        replace: "",
      },
    ],
  },

  "a member of a share group is gone without a word, and holds a message": {
    rule: "The grace of a lost link ends by an alarm",
    harm: "a message stays with a member of a share group that is gone",
    play(hold) {
      const world = new World({ shards: 1 });
      const gone = world.connected("gone", anew(), 5, "a");
      gone.acknowledges = false;
      const other = world.connected("other", anew(), 5, "b");
      for (const member of [gone, other]) subscribed(member, "$share/g/s");
      const publisher = world.connected("publisher", {}, 5, "b");
      publishMany(publisher, "s", 0, 2);
      world.advance(5_000);
      assert.deepEqual([gone.payloads.length, other.payloads.length], [1, 1]);
      world.killWorker("a");
      world.advance(120_000);
      hold(other.payloads.length === 2, other.payloads);
    },
    without: [
      {
        name: "no alarm is set for the end of a session's grace",
        file: "src/core/shard/shard.ts",
        find: "const times = [this.#sweepNotesAt, this.#roster.nextEnd, this.#queues.nextExpiry];",
        replace: "const times = [this.#sweepNotesAt, this.#queues.nextExpiry];",
      },
    ],
  },

  "a subscriber says goodbye, and messages are published": {
    rule: "BYE ends a session at a shard at once",
    harm: "messages are stored for a session that has said goodbye",
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber, publisher } = pair(world);
      disconnect(subscriber);
      world.advance(5_000);
      publishMany(publisher, "t/1", 0, 3);
      until(world, () => publisher.acknowledged.length === 3);
      hold(rowsOf(world.shards[0]!, "log") === 0, `${rowsOf(world.shards[0]!, "log")} rows`);
    },
    without: [
      {
        name: "BYE is a lost link",
        file: "src/core/shard/shard.ts",
        find: "        this.#roster.leave(from);\n",
        replace: "        this.#roster.lose(link, now);\n",
      },
    ],
  },

  "a shard restarts, and messages are published before a subscriber is back": {
    rule: "A shard that starts without sockets logs every QoS > 0 message for that grace, matched or not",
    harm: LOST,
    play(hold) {
      const { subscriber } = restart();
      hold(equal(subscriber.payloads, numbers(0, 3)) && subscriber.closed === undefined, subscriber.payloads);
    },
    without: [
      {
        name: "a shard that recovers logs only what is matched",
        file: "src/core/shard/dispatch.ts",
        find: "(grace.recovering(now) || plan.keeps)",
        replace: "plan.keeps",
      },
      {
        name: "a shard that starts waits for nobody",
        file: "src/core/shard/grace.ts",
        find: "if (alone && this.#presence === Presence.Attached) {",
        replace: "if (alone && this.#presence !== this.#presence) {",
      },
      {
        name: "a shard does not store that sessions are attached",
        file: "src/core/shard/grace.ts",
        find: "    this.#store.putPresence(presence);",
        replace: "",
      },
      {
        name: "a shard that recovers trims its log",
        file: "src/core/shard/queues.ts",
        find: "    if (recovering) return undefined;",
        replace: "",
      },
    ],
  },

  "a shard restarts twice while a subscriber has no link": {
    rule: "The end of the grace is stored",
    harm: LOST,
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber, publisher } = pair(world);
      shutOut(world, subscriber);
      publishMany(publisher, "t/1", 0, 3);
      world.advance(5_000);
      world.shards[0]!.crash();
      world.advance(5_000);
      world.shards[0]!.evict();
      publishMany(publisher, "t/1", 3, 6);
      world.advance(5_000);
      assertAcknowledged(publisher, 6);
      letIn(world, subscriber);
      hold(equal(subscriber.payloads, numbers(0, 6)) && subscriber.closed === undefined, subscriber.payloads);
    },
    without: [
      {
        name: "the end of the grace is not stored",
        file: "src/core/shard/grace.ts",
        find: "      this.#store.putGraceUntil(this.#storedUntil);",
        replace: "",
      },
    ],
  },

  "a shard restarts while messages wait in a share group, and its only member is not back yet": {
    rule: "A shard that recovers ends no share group",
    harm: "a member of a share group is handed a QoS 2 message twice, or no more of them",
    play(hold) {
      const world = new World({ shards: 1 });
      const { publisher } = pair(world);
      const member = world.connected("member", { properties: { receiveMaximum: 1 } }, 5, "c");
      member.acknowledges = false;
      subscribed(member, "$share/g/s", 2);
      publishMany(publisher, "s", 0, 3, { qos: 2 });
      world.advance(5_000);
      assert.equal(publisher.completed.length, 3);
      assert.deepEqual(member.payloads, ["0"]);
      member.driver.barred.add(0);
      world.shards[0]!.crash();
      world.advance(5_000);
      letIn(world, member);
      member.acknowledges = true;
      member.send({ cmd: "pubrec", messageId: member.last("publish")!.messageId! });
      world.advance(5_000);
      hold(equal(member.payloads, numbers(0, 3)), member.payloads);
    },
    without: [
      {
        name: "a shard that recovers ends the groups that nobody is in",
        file: "src/core/shard/shard.ts",
        find: "this.#groups.save(this.#grace.recovering(now));",
        replace: "this.#groups.save(false);",
      },
      {
        name: "a shard that recovers takes back at once what members were handed",
        file: "src/core/shard/shard.ts",
        find: "if (!recovering) this.#groups.conclude();",
        replace: "this.#groups.conclude();",
      },
    ],
  },
};
