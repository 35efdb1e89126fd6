/** What is fixed and what is bounded: the placement, what is under way, links, attachments, a Worker's CPU time. */
import assert from "node:assert/strict";
import type { Placement } from "../../../src/core/shard/placement.ts";
import { type Client } from "../world/client.ts";
import { World } from "../world/world.ts";
import { anew, disconnect, equal, lasting, numbers, publishMany, subscribed, will } from "./scene.ts";
import type { Schedules } from "./schedule.ts";

/** A client whose Worker was deployed with another placement. */
function elsewhere(world: World, id: string, placement: Placement): Client {
  const { placement: usual } = world;
  Object.assign(world, { placement });
  const client = world.client(id);
  Object.assign(world, { placement: usual });
  client.connect();
  world.settle();
  return client;
}

/** Publishes as often as it takes until the connection is at its limit of CPU time. */
function exhaust(client: Client): void {
  for (let i = 0; i < 400 && client.closed === undefined; i++) {
    publishMany(client, "busy", 0, 20, { qos: 0 });
    client.world.settle();
  }
}

/** 10 ms of CPU time for each connection. */
const BRIEF = { connectionCpuSecondsMax: 0.01 };

export const limits: Schedules = {
  "two deployments with different placements meet at a shard": {
    rule: "A shard stores the placement, and refuses another with 0x8B",
    harm: "a message is acknowledged and does not reach who is subscribed to it",
    play(hold) {
      const world = new World({ shards: 4, depth: 2 });
      const subscribers = Array.from({ length: 12 }, (_, i) => world.connected(`${i}`));
      for (const [i, subscriber] of subscribers.entries()) subscribed(subscriber, `t/${i}`);
      for (const i of subscribers.keys()) {
        const publisher = elsewhere(world, `publisher ${i}`, { shards: 4, depth: 1 });
        publisher.publish(`t/${i}`, "x", { qos: 1 });
        world.advance(1_000);
        const refused = publisher.last("disconnect")?.reasonCode === 0x8b;
        hold(refused || subscribers[i]!.payloads.length === publisher.acknowledged.length, `t/${i}`);
      }
    },
    without: [
      {
        name: "a shard takes any placement",
        file: "src/core/shard/roster.ts",
        find: "else if (placement.shards !== hello.shards || placement.depth !== hello.depth) return Reason.ServerShuttingDown;",
        replace: "",
      },
    ],
  },

  "shards restart, and the first who comes has another placement": {
    rule: "The placement is stored",
    harm: "a message is acknowledged and does not reach who is subscribed to it",
    play(hold) {
      const world = new World({ shards: 4, depth: 2 });
      const topics = Array.from({ length: 12 }, (_, i) => `t/${i}`);
      for (const topic of topics) {
        const client = world.connected(topic, anew());
        subscribed(client, topic);
        disconnect(client);
      }
      for (const node of world.shards) node.crash();
      for (const topic of topics) {
        const publisher = elsewhere(world, `publisher of ${topic}`, { shards: 4, depth: 1 });
        publisher.publish(topic, "x", { qos: 1 });
        world.advance(1_000);
        const subscriber = world.connected(topic, lasting());
        world.advance(1_000);
        hold(subscriber.payloads.length === publisher.acknowledged.length, topic);
      }
    },
    without: [
      {
        name: "a shard without links takes any placement",
        file: "src/core/shard/roster.ts",
        find: "    const placement = store.placement();\n    if (!placement)",
        replace: "    const placement = this.#links.size > 0 ? store.placement() : undefined;\n    if (!placement)",
      },
    ],
  },

  "a small message goes to twenty subscribers": {
    rule: "A shard asks a connection for credit once 64 KiB are under way, not with every frame",
    harm: "a fan-out to N brings N frames back",
    play(hold) {
      const world = new World({ shards: 1 });
      for (let i = 0; i < 20; i++) subscribed(world.connected(`${i}`), "t", 0);
      const publisher = world.connected("publisher");
      publisher.publish("t", "first");
      world.advance(60_000);
      let frames = 0;
      const [shard] = world.shards;
      const message = shard!.message.bind(shard);
      shard!.message = (link, frame) => {
        frames += 1;
        message(link, frame);
      };
      publisher.publish("t", "x");
      world.advance(5_000);
      hold(frames === 1, `${frames} frames`);
    },
    without: [
      {
        name: "every frame asks for credit",
        file: "src/core/shard/outlet.ts",
        find: "const asking = outlet.sent(records.length + (end?.bytes ?? 0));",
        replace: "const asking = outlet.sent(records.length + (end?.bytes ?? 0)) || end !== undefined;",
      },
    ],
  },

  "a subscriber reads everything, and 2 MB of QoS 0 are published to it": {
    rule: "A shard asks for credit once 64 KiB are under way",
    harm: "a reader that is fast enough loses QoS 0",
    play(hold) {
      const world = new World({ shards: 1 });
      const subscriber = world.connected("subscriber");
      subscribed(subscriber, "t", 0);
      const publisher = world.connected("publisher");
      const payload = "x".repeat(16 * 1024);
      for (let i = 0; i < 8; i++) {
        publishMany(publisher, "t", 0, 16, { qos: 0, payload });
        world.advance(1_000);
      }
      hold(subscriber.payloads.length === 128, `${subscriber.payloads.length} of 128`);
    },
    without: [
      {
        name: "a shard never asks",
        file: "src/core/shard/outlet.ts",
        find: "this.#unansweredBytes < ASK_BYTES",
        replace: "this.#unansweredBytes < Infinity",
      },
    ],
  },

  "a subscriber reads nothing, and 6 MB of QoS 0 are published to it": {
    rule: "A connection answers for credit only when its client has taken what was sent, and QoS 0 beyond is dropped",
    harm: "a slow reader of QoS 0 costs the isolate its memory",
    play(hold) {
      const world = new World({ shards: 1 });
      const subscriber = world.connected("subscriber");
      subscribed(subscriber, "t", 0);
      const publisher = world.connected("publisher");
      subscriber.down.held = true;
      const payload = "x".repeat(16 * 1024);
      for (let i = 0; i < 24; i++) {
        publishMany(publisher, "t", 0, 16, { qos: 0, payload });
        world.advance(1_000);
      }
      assert.equal(publisher.driver.reports.length, 0);
      hold(subscriber.down.bytes < 1.5 * 1024 * 1024, `${subscriber.down.bytes} bytes`);
      subscriber.down.held = false;
      world.advance(1_000);
      subscriber.received.length = 0;
      publisher.publish("t", "y");
      world.advance(1_000);
      assert.deepEqual(subscriber.payloads, ["y"]);
    },
    without: [
      {
        name: "a connection answers for credit at once",
        file: "src/core/connection/shard-links.ts",
        find: "if (this.#host.bufferedBytes() > CLIENT_BUFFER_LOW_BYTES) {",
        replace: "if (this.#host.bufferedBytes() > Infinity) {",
      },
      {
        name: "a shard sends QoS 0 however much is under way",
        file: "src/core/shard/dispatch.ts",
        find: "if (outlet.backlogBytes < this.#backlogBytesMax) return true;",
        replace: "if (outlet.backlogBytes < Infinity) return true;",
      },
    ],
  },

  "a subscriber reads nothing, and loses QoS 0": {
    rule: "QoS 0 that is dropped for a slow reader is counted",
    harm: "messages are dropped and nobody can see it",
    play(hold) {
      const world = new World({ shards: 1 });
      const subscriber = world.connected("subscriber");
      subscribed(subscriber, "t", 0);
      const publisher = world.connected("publisher");
      subscriber.down.held = true;
      const payload = "x".repeat(16 * 1024);
      for (let i = 0; i < 10; i++) {
        publishMany(publisher, "t", 0, 16, { qos: 0, payload });
        world.advance(1_000);
      }
      const counted = world.shards[0]!.core!.counters.qos0Dropped;
      subscriber.down.held = false;
      world.advance(1_000);
      const lost = 160 - subscriber.payloads.length;
      assert(lost > 0);
      hold(counted === lost, `${counted} counted, ${lost} lost`);
    },
    without: [
      {
        name: "what is dropped is not counted",
        file: "src/core/shard/shard.ts",
        find: "dropped: () => (this.counters.qos0Dropped += 1),",
        replace: "dropped: () => {},",
      },
    ],
  },

  "a shard has as many links as it may have, and another client comes": {
    rule: "A shard refuses links beyond its limit (30,000), and their clients get 0x97",
    harm: "a shard has more links than fit into its memory",
    play(hold) {
      const world = new World({ shards: 1, limits: { shardLinksMax: 3 } });
      const clients = Array.from({ length: 4 }, (_, i) => world.connected(`${i}`));
      for (const client of clients) {
        client.subscribe("t", 1);
        world.settle();
      }
      world.advance(5_000);
      const [shard] = world.shards;
      const refused = clients.filter((client) => client.last("disconnect")?.reasonCode === 0x97);
      hold(shard!.sockets.size === 3 && refused.length === 1, `${shard!.sockets.size} links`);
    },
    without: [
      {
        name: "a shard takes any number of links",
        file: "src/core/shard/roster.ts",
        find: "    if (this.#links.size >= this.#config.limits.shardLinksMax && !previous?.outlet) return Reason.QuotaExceeded;\n",
        replace: "",
      },
    ],
  },

  "clients subscribe to many filters, and their shard goes to sleep": {
    rule: "What is attached to a link's socket has at most 1 KiB",
    harm: "30,000 attachments do not fit into an object's memory when it wakes",
    play(hold) {
      const world = new World({ shards: 1 });
      const clients = [1, 10, 30, 100].map((filters) => {
        const client = world.connected(`${filters}`);
        for (let i = 0; i < filters; i++) client.subscribe(`t/${i}`, 1);
        return client;
      });
      world.advance(60_000);
      const bytes = clients.map((client) => (world.link(client, 0).attachment as Uint8Array | undefined)?.length ?? 0);
      assert(bytes[0]! > 0);
      hold(Math.max(...bytes) <= 1024, bytes);
    },
    without: [
      {
        name: "a session is attached whatever its size",
        file: "src/core/shard/shard.ts",
        find: "const REMEMBERED_BYTES_MAX = 1024;",
        replace: "const REMEMBERED_BYTES_MAX = 1024 * 1024;",
      },
    ],
  },

  // Decision 01: not rows, as first designed, but another hello.
  "a client is subscribed to a hundred filters, and its shard sleeps and wakes": {
    rule: "A link of whose session nothing is attached is closed on wake, so that its connection says hello again",
    harm: "a subscriber with many filters gets nothing after its shard has slept",
    play(hold) {
      const world = new World({ shards: 1 });
      const client = world.connected("client");
      for (let i = 0; i < 100; i++) client.subscribe(`t/${i}`, 1);
      const publisher = world.connected("publisher");
      world.advance(60_000);
      world.shards[0]!.evict();
      publishMany(publisher, "t/1", 0, 3);
      world.advance(10_000);
      assert.equal(publisher.acknowledged.length, 3);
      hold(equal(client.payloads, numbers(0, 3)), client.payloads);
    },
    without: [
      {
        name: "a link of whose session nothing is attached stays open",
        file: "src/core/shard/shard.ts",
        find: "      else this.#closing.push(link);\n      forgotten",
        replace: "      else if (hello) this.#closing.push(link);\n      forgotten",
      },
    ],
  },

  // Decision 02.
  "a client subscribes, and its shard sleeps and wakes before the next checkpoint": {
    rule: "An attachment is true or empty: a change empties it until the next checkpoint",
    harm: "a subscription that was confirmed is gone after its shard has slept",
    play(hold) {
      const world = new World({ shards: 1 });
      const client = world.connected("client");
      subscribed(client, "other");
      const publisher = world.connected("publisher");
      world.advance(60_000);
      subscribed(client, "t/#");
      world.shards[0]!.evict();
      publishMany(publisher, "t/1", 0, 3);
      world.advance(10_000);
      assert.equal(publisher.acknowledged.length, 3);
      hold(equal(client.payloads, numbers(0, 3)), client.payloads);
    },
    without: [
      {
        name: "an attachment stays as it was until the next checkpoint",
        file: "src/core/shard/shard.ts",
        find: '    this.#effects.push({ type: "remember", link: attendance.outlet.link, hello: undefined });\n',
        replace: "",
      },
    ],
  },

  "a client has used its connection's CPU time": {
    rule: "A connection counts its own work, and at half of the limit makes its client connect again: 0x8B, 1012",
    harm: "a connection goes on until the platform cuts it off",
    play(hold) {
      const world = new World({ shards: 1, limits: BRIEF });
      const client = world.connected("client");
      exhaust(client);
      hold(client.last("disconnect")?.reasonCode === 0x8b && client.closed === 1012, `${client.closed}`);
    },
    without: [
      {
        name: "a connection does not look at what it has used",
        file: "src/core/connection/connection.ts",
        find: '    if (this.#phase === "open" && this.#budget.spent) this.#retire(now);\n',
        replace: "",
      },
    ],
  },

  "a client with a will is made to connect again, and does": {
    rule: "The session object is told that the end was planned: no will if the client comes back within the grace",
    harm: "a will is published of a client that was only made to connect again",
    play(hold) {
      const world = new World({ shards: 1, limits: BRIEF });
      const watcher = world.connected("watcher");
      subscribed(watcher, "will");
      const client = world.connected("client", will("will"));
      exhaust(client);
      assert.equal(client.closed, 1012);
      world.advance(10_000);
      world.connected("client");
      world.advance(120_000);
      hold(watcher.payloads.length === 0, watcher.payloads);
    },
    without: [
      {
        name: "a planned end is an end",
        file: "src/core/session/session.ts",
        find: "if (end.planned) this.#move(now);",
        replace: "if (end.planned !== end.planned) this.#move(now);",
      },
    ],
  },

  "a client with a will is made to connect again, and does not": {
    rule: "The will of a planned end is published when the grace is over",
    harm: "the will of a client that is gone is not published",
    play(hold) {
      const world = new World({ shards: 1, limits: BRIEF });
      const watcher = world.connected("watcher");
      subscribed(watcher, "will");
      const client = world.connected("client", will("will"));
      exhaust(client);
      assert.equal(client.closed, 1012);
      world.advance(30_000);
      assert.deepEqual(watcher.payloads, []);
      world.advance(30_000);
      hold(watcher.payloads.length === 1, watcher.payloads);
    },
    without: [
      {
        name: "nobody waits for a client that was made to connect again",
        file: "src/core/session/session.ts",
        find: "      this.#wills.hold(this.#latest.epoch);\n      this.#expect(now);",
        replace: "      this.#wills.hold(this.#latest.epoch);",
      },
    ],
  },
};
