/** A will comes after everything that its client has published, and once. */
import assert from "node:assert/strict";
import { type Client } from "../world/client.ts";
import { World } from "../world/world.ts";
import { subscribed, topicOn, until, will } from "./scene.ts";
import type { Schedules } from "./schedule.ts";

/** A watcher of everything and a client that leaves a will on shard 0. */
function scene(shards = 1): { world: World; watcher: Client; client: Client; topic: string } {
  const world = new World({ shards });
  const watcher = world.connected("watcher", {}, 5, "elsewhere");
  subscribed(watcher, "#");
  const topic = topicOn(world, 0);
  const client = world.connected("client", will(topic));
  return { world, watcher, client, topic };
}

export const wills: Schedules = {
  "a client publishes to one of two shards and is cut off, at every moment": {
    rule: "The shard links are flushed before the session link is ended",
    harm: "what a client published before its end does not come before its will",
    play(hold) {
      for (let moment = 0; moment < 12; moment++) {
        const { world, watcher, client, topic } = scene(2);
        client.publish(topic, "0");
        world.advance(100);
        world.link(client, 0).up.delayMs = 3;
        for (let i = 1; i < 6; i++) client.publish(topic, `${i}`, { qos: 1 });
        world.advance(moment);
        client.cut();
        world.advance(10_000);
        const got = watcher.payloads;
        assert.equal(got.filter((payload) => payload === "will").length, 1);
        // What its Worker has read of it is published.
        hold(got.at(-1) === "will" && got.length === (moment > 0 ? 7 : 2), `after ${moment} ms: ${got.join()}`);
      }
    },
    without: [
      {
        name: "END does not wait for the shards",
        file: "src/core/connection/leaving.ts",
        find: "    if (!late && this.#shards && !this.#shards.settled) return;",
        replace: "",
      },
    ],
  },

  "a client publishes and is cut off, and its link to the shard is slow": {
    rule: "The shard links are flushed before the session link is ended",
    harm: "what a client published before its end does not come before its will",
    play(hold) {
      const { world, watcher, client, topic } = scene();
      client.publish(topic, "0", { qos: 1 });
      world.settle();
      world.link(client, 0).up.delayMs = 500;
      client.publish(topic, "1", { qos: 1 });
      world.advance(10);
      client.cut();
      world.advance(20_000);
      assert(watcher.payloads.includes("will"));
      hold(watcher.payloads.join() === "0,1,will", watcher.payloads);
    },
    without: [
      {
        name: "END does not wait for the shards",
        file: "src/core/connection/leaving.ts",
        find: "    if (!late && this.#shards && !this.#shards.settled) return;",
        replace: "",
      },
    ],
  },

  "a client is cut off while some shard that it has published to is away": {
    rule: "The flush takes at most 2 s",
    harm: "a will waits for a shard that it has nothing to do with",
    play(hold) {
      const { world, watcher, client } = scene(2);
      world.shards[1]!.reachable = false;
      client.publish(topicOn(world, 1), "x", { qos: 1 });
      world.advance(100);
      client.cut();
      world.advance(5_000);
      hold(watcher.payloads.join() === "will", watcher.payloads);
    },
    without: [
      {
        name: "END waits for the shards as long as it takes",
        file: "src/core/connection/leaving.ts",
        find: "export const FLUSH_MS = 2_000;",
        replace: "export const FLUSH_MS = 2_000_000;",
      },
    ],
  },

  "a client publishes and is cut off, and the frame arrives when its will is out": {
    rule: "The shard of a will first closes that epoch's link, and takes nothing more from it",
    harm: "something of a client comes after its will",
    play(hold) {
      const { world, watcher, client, topic } = scene();
      client.publish(topic, "0", { qos: 1 });
      world.settle();
      world.link(client, 0).up.delayMs = 5_000;
      client.publish(topic, "1", { qos: 1 });
      world.advance(10);
      client.cut();
      world.advance(20_000);
      assert(watcher.payloads.includes("will"));
      hold(watcher.payloads.at(-1) === "will", watcher.payloads);
    },
    without: [
      {
        name: "a will leaves its client's link as it is",
        file: "src/core/shard/shard.ts",
        find: "    this.#roster.over(will.publisher, of);",
        replace: "",
      },
    ],
  },

  "a client publishes and is cut off, and the hello of its new link arrives when its will is out": {
    rule: "A shard that has published an epoch's will refuses that epoch",
    harm: "something of a client comes after its will",
    play(hold) {
      const { world, watcher, client, topic } = scene();
      client.publish(topic, "0");
      world.settle();
      const broken = world.link(client, 0);
      broken.drop();
      client.publish(topic, "1");
      until(world, () => client.driver.links.get(0) !== broken && client.driver.links.get(0)?.id !== undefined);
      world.link(client, 0).up.delayMs = 5_000;
      world.settle();
      client.cut();
      world.advance(20_000);
      assert(watcher.payloads.includes("will"));
      hold(watcher.payloads.at(-1) === "will", watcher.payloads);
    },
    without: [
      {
        name: "a shard takes a connection in whose will it has published",
        file: "src/core/shard/roster.ts",
        find: "hello.epoch <= store.willDoneEpoch(hello.session) || hello.generation <= store.endedGeneration(hello.session);",
        replace: "hello.generation <= store.endedGeneration(hello.session);",
      },
    ],
  },

  "the session object restarts before it hears that the shard has the will": {
    rule: "The shard stores with the will that it is done, and a repeated call is only answered",
    harm: "a will is published twice",
    play(hold) {
      const { world, watcher, client } = scene();
      client.cut();
      until(
        world,
        () => watcher.payloads.length > 0 || world.shards[0]!.sql.rows("SELECT * FROM will_done").length > 0,
      );
      world.session("client").crash();
      // What it has stored it has to remember.
      world.shards[0]!.crash();
      world.advance(120_000);
      hold(watcher.payloads.join() === "will", watcher.payloads);
    },
    without: [
      {
        name: "a will that is handed over again is published again",
        file: "src/core/shard/shard.ts",
        find: "if (!this.#store.markWillDone(will.publisher, of, now)) return;",
        replace: "this.#store.markWillDone(will.publisher, of, now);",
      },
      {
        name: "a shard forgets which wills it has published when it restarts",
        file: "src/core/shard/shard.ts",
        find: "    if (store.hasNotes()) this.#sweepNotesAt = now + NOTES_KEPT_MS;",
        replace: "    store.sweepNotes(Infinity);",
      },
    ],
  },
};
