/** Of two connections, or two links of one, the later wins, whichever a shard hears of first. */
import assert from "node:assert/strict";
import { type Client } from "../world/client.ts";
import { World } from "../world/world.ts";
import { anew, lasting, pair, publishMany, rowsOf, subscribed } from "./scene.ts";
import type { Schedules } from "./schedule.ts";

const OVERTAKEN = "what a connection has sent that was taken over comes after what its successor has sent";

/**
 * A client whose Worker is cut off from the rest: its link to the shard is down, it does not hear that it is taken over,
 * and it has a message to send.
 */
function cutOff(world: World, options: Parameters<Client["connect"]>[0] = {}): Client {
  const client = world.connected("client", options, 5, "far");
  subscribed(client, "other");
  client.publish("t/1", "first", { qos: 1 });
  world.settle();
  world.link(client, "session").down.held = true;
  client.driver.barred.add(0);
  world.link(client, 0).drop();
  client.publish("t/1", "old", { qos: 1 });
  world.advance(1_000);
  return client;
}

function watched(): { world: World; watcher: Client } {
  const world = new World({ shards: 1 });
  const watcher = world.connected("watcher", {}, 5, "elsewhere");
  subscribed(watcher, "t/#");
  return { world, watcher };
}

export const fences: Schedules = {
  "a client connects again while a frame of its first connection is on its way": {
    rule: "A later hello closes the earlier link, whose frames are ignored from then on",
    harm: OVERTAKEN,
    play(hold) {
      const { world, watcher } = watched();
      const old = world.connected("client");
      old.publish("t/1", "first", { qos: 1 });
      world.settle();
      world.link(old, 0).up.delayMs = 5_000;
      old.publish("t/1", "old");
      const next = world.connected("client");
      next.publish("t/1", "new", { qos: 1 });
      world.advance(20_000);
      assert.equal(next.acknowledged.length, 1);
      hold(watcher.payloads.at(-1) === "new", watcher.payloads);
    },
    without: [
      [
        {
          name: "a later hello leaves the earlier link open",
          file: "src/core/shard/roster.ts",
          find: "    if (refusal !== undefined) return refusal;\n    if (previous?.outlet) this.#close(previous.outlet.link);",
          replace: "    if (refusal !== undefined) return refusal;",
        },
        {
          name: "its frames are taken",
          file: "src/core/shard/roster.ts",
          find: "    if (attendance.subscriptions.size > 0) fanout.changed();\n    if (attendance.outlet) this.#links.delete(attendance.outlet.link);",
          replace: "    if (attendance.subscriptions.size > 0) fanout.changed();",
        },
      ],
    ],
  },

  "a connection that was taken over, and has not heard of it, comes back to a shard": {
    rule: "A hello of an earlier connection than the shard knows of is refused",
    harm: OVERTAKEN,
    play(hold) {
      const { world, watcher } = watched();
      const old = cutOff(world);
      const next = world.connected("client");
      next.publish("t/1", "new", { qos: 1 });
      world.advance(100);
      assert.equal(next.acknowledged.length, 1);
      old.driver.barred.clear();
      world.advance(20_000);
      hold(watcher.payloads.join() === "first,new", watcher.payloads);
    },
    without: [
      {
        name: "a shard takes in whoever came last",
        file: "src/core/shard/roster.ts",
        find: "return compareFences({ ...hello, linkNumber: hello.link }, known) < 0;",
        replace: "return false;",
      },
    ],
  },

  "a hello arrives when its connection has given that link up and opened another": {
    rule: "Of two links of one connection the one with the higher number wins",
    harm: "a hello that comes late closes the link that has replaced its own",
    play(hold) {
      const world = new World({ shards: 1 });
      const { subscriber, publisher } = pair(world);
      subscriber.driver.barred.add(0);
      world.link(subscriber, 0).drop();
      world.advance(100);
      subscriber.driver.barred.clear();
      while (!subscriber.driver.links.has(0)) world.step(world.now + 5_000);
      const late = world.link(subscriber, 0);
      late.up.delayMs = 15_000;
      world.advance(13_000);
      const link = world.link(subscriber, 0);
      assert.notEqual(link, late);
      publishMany(publisher, "t/1", 0, 3);
      world.advance(1_000);
      assert.equal(subscriber.payloads.length, 3);
      world.advance(20_000);
      publishMany(publisher, "t/1", 3, 6);
      world.advance(20_000);
      assert.equal(new Set(subscriber.payloads).size, 6);
      hold(world.link(subscriber, 0) === link, "another link");
    },
    without: [
      {
        name: "link numbers are not compared",
        file: "src/core/shard/attendance.ts",
        find: "a.epoch - b.epoch || a.linkNumber - b.linkNumber",
        replace: "a.epoch - b.epoch",
      },
    ],
  },

  // Of a session that the shard holds something of; another has no row there, decision 13.
  "a connection of a lasting session that was taken over comes back to a shard that has restarted": {
    rule: "The hello of a lasting session stores its epoch",
    harm: OVERTAKEN,
    play(hold) {
      const { world, watcher } = watched();
      const old = cutOff(world, anew());
      const next = world.connected("client", lasting());
      next.publish("t/1", "new", { qos: 1 });
      world.advance(100);
      assert.equal(next.acknowledged.length, 1);
      next.driver.barred.add(0);
      world.shards[0]!.crash();
      old.driver.barred.clear();
      world.advance(20_000);
      hold(watcher.payloads.join() === "first,new", watcher.payloads);
    },
    without: [
      {
        name: "the hello of a lasting session stores nothing",
        file: "src/core/shard/roster.ts",
        find: "    if (earlier?.epoch !== attendance.epoch) places.exact(attendance);\n    else places.changed(attendance, now);",
        replace: "    places.changed(attendance, now);",
      },
    ],
  },

  "a connection that was taken over comes back to a shard that has restarted, and its successor has sent QoS 2": {
    rule: "The first QoS 2 id of any session stores its epoch",
    harm: OVERTAKEN,
    play(hold) {
      const { world, watcher } = watched();
      const old = cutOff(world);
      const next = world.connected("client");
      next.releases = false;
      next.publish("t/1", "new", { qos: 2 });
      world.advance(100);
      assert.equal(next.all("pubrec").length, 1);
      next.driver.barred.add(0);
      world.shards[0]!.crash();
      old.driver.barred.clear();
      world.advance(20_000);
      hold(watcher.payloads.join() === "first,new", watcher.payloads);
    },
    without: [
      {
        name: "ids of QoS 2 are no fence",
        file: "src/core/shard/roster.ts",
        find: "if (fenced || over || received.fences(hello)) return Reason.SessionTakenOver;",
        replace: "if (fenced || over) return Reason.SessionTakenOver;",
      },
    ],
  },

  "a client that has sent QoS 2 is gone without a word": {
    rule: "Stored fences of sessions that have ended are swept",
    harm: "a row stays for ever of a session that has ended",
    play(hold) {
      const world = new World({ shards: 1 });
      const client = world.connected("client");
      client.releases = false;
      client.publish("t/1", "x", { qos: 2 });
      world.settle();
      assert.equal(rowsOf(world.shards[0]!, "received"), 1);
      world.killWorker("worker");
      world.advance(100);
      world.shards[0]!.crash();
      world.advance(24 * 3600_000);
      hold(rowsOf(world.shards[0]!, "received") === 0, world.shards[0]!.sql.rows("SELECT session FROM received"));
    },
    without: [
      {
        name: "ids of QoS 2 are not swept",
        file: "src/core/shard/shard.ts",
        find: "    if (!recovering) this.#received.sweep((session) => this.#roster.get(session) !== undefined);\n",
        replace: "",
      },
    ],
  },
};
